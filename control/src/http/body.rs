//! Requests' bodies and paths, refused in the contract's words.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    check::{Checker, FieldErrors},
    error::{ApiError, ErrorCode},
};

/// A body of JSON: 415 if it claims to be something else, 400 if it is not JSON, 422 with the field if it is of the wrong shape.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "The body must be application/json"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        // Read twice, so that what is no JSON at all and what is JSON of another shape are told apart.
        let mut value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::new(ErrorCode::ValidationError, format!("The body is not JSON: {error}"))
                .status(StatusCode::BAD_REQUEST)
        })?;
        let mut check = Checker::default();
        // serde would read an object from a list, too, by position.
        check.require("", value.is_object(), "must be an object");
        no_nul(&mut check, "", &value);
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        whole_numbers(&mut value);
        serde_path_to_error::deserialize(value)
            .map(Self)
            .map_err(|error| ApiError::validation(&FieldErrors::from_serde(error)))
    }
}

/// The character NUL is no part of any text that the database keeps.
fn no_nul(check: &mut Checker, key: &str, value: &Value) {
    const MESSAGE: &str = "must not have the character U+0000";
    match value {
        Value::String(text) => check.require(key, !text.contains('\0'), MESSAGE),
        Value::Array(items) => check.each(key, items, |check, item| no_nul(check, "", item)),
        Value::Object(object) => check.inside(key, |check| {
            for (key, value) in object {
                check.require("", !key.contains('\0'), "must not have keys with the character U+0000");
                no_nul(check, key, value);
            }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// To JSON, and to the description of the API, 3.0 is an integer; serde reads none from it.
fn whole_numbers(value: &mut Value) {
    /// Above this, a double has no fraction because it cannot have one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|it| number.is_f64() && it.fract() == 0.0 && it.abs() <= EXACT);
            if let Some(whole) = whole {
                *number = (whole as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

pub(crate) fn unreadable(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::new(ErrorCode::PayloadTooLarge, "The body is too large")
    } else {
        ApiError::new(ErrorCode::ValidationError, "The body could not be read").status(StatusCode::BAD_REQUEST)
    }
}

/// The id in a path. What is no UUID is nothing's id: `None`, which a handler answers like an id that is not there.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Option<Uuid>);

impl PathId {
    /// The id, or what is not found.
    pub fn or(self, code: ErrorCode) -> Result<Uuid, ApiError> {
        self.0.ok_or_else(|| ApiError::not_found(code))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        // Percent-encoding that is no UTF-8 is no id either.
        Ok(Self(path.ok().and_then(|Path(text)| Uuid::try_parse(&text).ok())))
    }
}
