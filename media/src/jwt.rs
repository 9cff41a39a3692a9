//! Tokens that we sign for vendors.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use trunkline_base::Secret;

use crate::account::AccountError;

/// Signs claims with an RSA key in PEM. A big key takes tens of milliseconds, which no task that moves audio may wait for.
pub(crate) async fn sign(
    claims: impl Serialize + Send + 'static,
    private_key: &Secret,
) -> Result<Secret, AccountError> {
    let key = private_key.clone();
    let signing = tokio::task::spawn_blocking(move || {
        let key = EncodingKey::from_rsa_pem(key.expose().as_bytes()).map_err(|_| AccountError::PrivateKey)?;
        encode(&Header::new(Algorithm::RS256), &claims, &key).map(Secret::new).map_err(|_| AccountError::PrivateKey)
    });
    // A key that makes the arithmetic panic is no key.
    signing.await.unwrap_or(Err(AccountError::PrivateKey))
}

/// Seconds since 1970.
pub(crate) fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
