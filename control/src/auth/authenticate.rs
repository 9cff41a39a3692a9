//! From a request's headers to its [`Principal`].

use axum::http::{HeaderMap, header};

use super::{Auth, Principal, TokenError};
use crate::{db::Db, error::ApiError};

impl Auth {
    /// Who sends these headers, and for which tenant. The error is what they are answered.
    pub async fn authenticate(&self, db: &Db, headers: &HeaderMap) -> Result<Principal, ApiError> {
        let token = bearer(headers).map_err(|error| ApiError::auth(error.to_string()))?;
        let claims = self.keys.verify(token).map_err(|error| ApiError::auth(error.to_string()))?;
        self.principal(db, &claims).await
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let header = headers.get(header::AUTHORIZATION).ok_or(TokenError::Missing)?;
    let header = header.to_str().map_err(|_| TokenError::Malformed)?;
    let (scheme, token) = header.split_once(' ').ok_or(TokenError::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    Ok(token.trim())
}
