//! From a request's headers to its [`Principal`].
//!
//! A request shows one token or one API key. Of several, nobody could say in whose name it is meant, so it is refused; nothing is
//! taken from a URL, which logs and histories keep.

use axum::http::{HeaderMap, HeaderValue, header};

use super::{Auth, Principal, TokenError};
use crate::{api_keys::key::PREFIX, db::Db, error::ApiError};

/// What a request shows.
enum Shown<'a> {
    Token(&'a str),
    ApiKey(&'a str),
}

impl Auth {
    /// Who sends these headers, and for which tenant. The error is what they are answered.
    pub async fn authenticate(&self, db: &Db, headers: &HeaderMap) -> Result<Principal, ApiError> {
        match shown(headers)? {
            Shown::ApiKey(key) => self.api_keys.principal(db, key).await,
            Shown::Token(token) => self.principal(db, &self.keys.verify(token).await?).await,
        }
    }
}

fn shown(headers: &HeaderMap) -> Result<Shown<'_>, TokenError> {
    let mut bearers = headers.get_all(header::AUTHORIZATION).iter();
    let mut keys = headers.get_all("x-api-key").iter();
    match (bearers.next(), bearers.next(), keys.next(), keys.next()) {
        (None, None, None, None) => Err(TokenError::Missing),
        (Some(bearer), None, None, None) => {
            let credential = bearer_of(bearer)?;
            Ok(if credential.starts_with(PREFIX) { Shown::ApiKey(credential) } else { Shown::Token(credential) })
        }
        (None, None, Some(key), None) => Ok(Shown::ApiKey(text(key)?.trim())),
        _ => Err(TokenError::Several),
    }
}

fn bearer_of(header: &HeaderValue) -> Result<&str, TokenError> {
    let (scheme, token) = text(header)?.split_once(' ').ok_or(TokenError::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    Ok(token.trim())
}

fn text(header: &HeaderValue) -> Result<&str, TokenError> {
    header.to_str().map_err(|_| TokenError::Malformed)
}
