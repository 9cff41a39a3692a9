//! Errors as the project's services write them: Auth in two forms, Storage with a status that its HTTP status does not tell.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// The header that asks for the newer form of Auth's errors.
const VERSION: &str = "x-supabase-api-version";
/// The first version with it.
const NEWER: &str = "2024-01-01";

/// An error of Auth's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthError {
    status: u16,
    code: String,
    message: String,
    retry_after: Option<u32>,
    /// Whether the client asked for the newer form.
    newer: bool,
}

/// An error of Storage's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StorageError {
    status: u16,
    code: String,
    /// What used to be the code.
    error: String,
    message: String,
    retry_after: Option<u32>,
}

impl AuthError {
    pub(super) fn new(headers: &HeaderMap, status: u16, code: &str, message: &str) -> Self {
        let newer =
            headers.get(VERSION).and_then(|version| version.to_str().ok()).is_some_and(|version| version >= NEWER);
        Self { status, code: code.into(), message: message.into(), retry_after: None, newer }
    }

    pub(super) fn bad_jwt(headers: &HeaderMap) -> Self {
        Self::new(headers, 403, "bad_jwt", "invalid JWT: unable to parse or verify signature")
    }

    /// What Auth says with `status`.
    pub(super) fn refusal(headers: &HeaderMap, status: u16, retry_after: Option<u32>) -> Self {
        let (code, message) = match status {
            401 => ("no_authorization", "This endpoint requires a valid Bearer token"),
            403 => ("bad_jwt", "invalid JWT"),
            404 => ("not_found", "Resource not found"),
            429 => ("over_request_rate_limit", "Request rate limit reached"),
            400..500 => ("validation_failed", "The request was refused"),
            _ => ("unexpected_failure", "Unexpected failure, please check server logs for more information"),
        };
        Self { retry_after, ..Self::new(headers, status, code, message) }
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let body = if self.newer {
            json!({"code": self.code, "message": self.message})
        } else {
            json!({"code": self.status, "error_code": self.code, "msg": self.message})
        };
        let mut response = (of(self.status), Json(body)).into_response();
        let headers = response.headers_mut();
        if let Ok(code) = HeaderValue::try_from(self.code) {
            headers.insert("x-sb-error-code", code);
        }
        if self.newer {
            headers.insert(VERSION, HeaderValue::from_static(NEWER));
        }
        with_retry(response, self.retry_after)
    }
}

impl StorageError {
    pub(super) fn new(status: u16, code: &str, error: &str, message: &str) -> Self {
        Self { status, code: code.into(), error: error.into(), message: message.into(), retry_after: None }
    }

    pub(super) fn no_bucket() -> Self {
        Self::new(404, "NoSuchBucket", "Bucket not found", "Bucket not found")
    }

    pub(super) fn no_key() -> Self {
        Self::new(404, "NoSuchKey", "not_found", "Object not found")
    }

    pub(super) fn duplicate() -> Self {
        Self::new(409, "ResourceAlreadyExists", "Duplicate", "The resource already exists")
    }

    pub(super) fn denied(message: &str) -> Self {
        Self::new(403, "AccessDenied", "Unauthorized", message)
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(400, "InvalidRequest", "invalid_request", message)
    }

    /// What Storage says with `status`.
    pub(super) fn refusal(status: u16, retry_after: Option<u32>) -> Self {
        let error = match status {
            401 | 403 => Self::denied("Invalid Compact JWS"),
            404 => Self::no_key(),
            409 => Self::duplicate(),
            413 => {
                Self::new(status, "EntityTooLarge", "Payload too large", "The object exceeded the maximum allowed size")
            }
            415 => Self::new(status, "InvalidMimeType", "invalid_mime_type", "mime type is not supported"),
            423 => Self::new(status, "ResourceLocked", "resource_locked", "The resource is locked"),
            429 => Self::new(status, "SlowDown", "too_many_connections", "Too many connections issued to the database"),
            503 => Self::new(status, "LockTimeout", "acquiring_lock_timeout", "Acquiring lock timeout"),
            544 => Self::new(status, "DatabaseTimeout", "database_timeout", "The connection to the database timed out"),
            400..500 => Self::invalid("The request was refused"),
            _ => Self::new(500, "InternalError", "internal", "Internal Server Error"),
        };
        Self { retry_after, ..error }
    }
}

impl IntoResponse for StorageError {
    fn into_response(self) -> Response {
        // The vendor's HTTP status is 400 for nearly everything.
        let status = if matches!(self.status, 429 | 500 | 544) { self.status } else { 400 };
        let body = json!({"statusCode": self.status.to_string(), "code": self.code, "error": self.error, "message": self.message});
        with_retry((of(status), Json(body)).into_response(), self.retry_after)
    }
}

fn of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn with_retry(mut response: Response, retry_after: Option<u32>) -> Response {
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
