//! Changing only what has not changed since it was read.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use crate::error::ApiError;

/// The version that a change is meant for: `If-Match: 3`, also as `"3"` or `W/"3"`. `None` without the header, and for `*`.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(Option<i32>);

impl IfMatch {
    /// Refuses a change of what has moved on.
    pub fn check(self, version: i32) -> Result<(), ApiError> {
        if self.0.is_none_or(|wanted| wanted == version) {
            return Ok(());
        }
        Err(ApiError::conflict("It has changed since that version").details(serde_json::json!({ "version": version })))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default().trim();
        let text = text.strip_prefix("W/").unwrap_or(text);
        if text == "*" {
            return Ok(Self(None));
        }
        let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let version = number.parse().map_err(|_| ApiError::field("If-Match", "must be a version, such as 3"))?;
        Ok(Self(Some(version)))
    }
}
