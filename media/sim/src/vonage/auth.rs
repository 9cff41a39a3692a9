//! Who asks: an application by a token that its key signed, or the account by its key and secret.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous::insecure_decode_claims, decode};
use serde::Deserialize;

use super::{Application, VonageConfig, error::ApiError};
use crate::dates::unix_now;

/// How far the clocks may be apart, in seconds.
const LEEWAY: u64 = 30;
/// How long a token lives that does not say, and how long one may live; seconds.
const DEFAULT_LIFE: u64 = 15 * 60;
const LONGEST_LIFE: u64 = 24 * 60 * 60;

#[derive(Debug, Deserialize)]
struct Claims {
    application_id: String,
    iat: u64,
    jti: String,
    #[serde(default)]
    exp: Option<u64>,
    #[serde(default)]
    nbf: Option<u64>,
}

impl VonageConfig {
    /// The application whose token came along.
    pub(super) fn application(&self, headers: &HeaderMap) -> Result<&Application, ApiError> {
        let wrong = || ApiError::unauthorized("You did not provide correct credentials.");
        let token = credentials(headers, "Bearer ").ok_or_else(wrong)?;
        let claims: Claims = insecure_decode_claims(token).map_err(|_| ApiError::unauthorized("Invalid Token"))?;
        let application = self.applications.iter().find(|it| it.id == claims.application_id).ok_or_else(wrong)?;
        let key = DecodingKey::from_rsa_pem(application.public_key.as_bytes()).map_err(|_| wrong())?;
        let mut rules = Validation::new(Algorithm::RS256);
        (rules.validate_exp, rules.validate_aud) = (false, false);
        rules.required_spec_claims.clear();
        decode::<Claims>(token, &key, &rules).map_err(|_| ApiError::unauthorized("Invalid Token"))?;
        let now = unix_now();
        let ends = claims.exp.unwrap_or(claims.iat + DEFAULT_LIFE);
        let begins = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
        if claims.jti.is_empty() || ends > claims.iat + LONGEST_LIFE || begins > now + LEEWAY {
            return Err(ApiError::unauthorized("Invalid Token"));
        }
        if ends + LEEWAY < now { Err(ApiError::unauthorized("Token expired")) } else { Ok(application) }
    }

    /// Whether the account's key and secret came along.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let decoded = credentials(headers, "Basic ").and_then(|basic| STANDARD.decode(basic).ok());
        decoded.is_some_and(|decoded| decoded == format!("{}:{}", self.api_key, self.api_secret).into_bytes())
    }
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix(scheme)
}
