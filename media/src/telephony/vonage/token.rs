//! The token that a request about calls is made with: RS256 by the application's private key.

use std::time::SystemTime;

use serde::Serialize;
use trunkline_base::Secret;

use super::account::VonageAuth;
use crate::{
    account::AccountError,
    jwt::{seconds, sign},
};

/// How long one is valid, in seconds: the vendor's SDKs have the same. At least 30, at most a day.
const VALID: u64 = 900;

#[derive(Debug, Serialize)]
struct Claims {
    application_id: String,
    iat: u64,
    exp: u64,
    jti: String,
}

/// A token for the application. `jti` is different each time.
pub(super) async fn token(auth: &VonageAuth, now: SystemTime, jti: &str) -> Result<Secret, AccountError> {
    let iat = seconds(now);
    let claims = Claims { application_id: auth.application_id.clone(), iat, exp: iat + VALID, jti: jti.to_owned() };
    sign(claims, &auth.private_key).await
}
