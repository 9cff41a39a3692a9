//! Errors as Salesforce writes them: a list for data, an object where tokens are given out.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An error of a request for data.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    status: u16,
    code: String,
    message: String,
    /// The fields that are at fault.
    fields: Vec<String>,
    retry_after: Option<u32>,
}

/// An error of a request for a token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OAuthError {
    status: u16,
    error: String,
    description: String,
    retry_after: Option<u32>,
}

impl ApiError {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), fields: Vec::new(), retry_after: None }
    }

    pub(super) fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(super) fn of_field(code: &str, message: impl Into<String>, field: &str) -> Self {
        Self { fields: vec![field.into()], ..Self::bad(code, message) }
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub(super) fn session() -> Self {
        Self::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
    }

    pub(super) fn used_up() -> Self {
        Self::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    }

    /// What Salesforce says with `status`.
    pub(super) fn refusal(status: u16, retry_after: Option<u32>) -> Self {
        let error = match status {
            401 => Self::session(),
            403 => Self::used_up(),
            404 => Self::not_found(),
            405 => Self::new(status, "METHOD_NOT_ALLOWED", "HTTP Method not allowed."),
            415 => Self::new(status, "UNSUPPORTED_MEDIA_TYPE", "Content type is not supported."),
            503 => Self::new(status, "SERVER_UNAVAILABLE", "Server temporarily unavailable. Please try again."),
            400..500 => Self::new(status, "MALFORMED_QUERY", "The request was refused."),
            _ => Self::new(status, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
        };
        Self { retry_after, ..error }
    }

    /// The error with this code, as a script asks for it.
    pub(super) fn of_code(code: &str) -> Self {
        match code {
            "INVALID_SESSION_ID" => Self::session(),
            "REQUEST_LIMIT_EXCEEDED" => Self::used_up(),
            "API_DISABLED_FOR_ORG" => Self::new(403, code, "The REST API is not enabled for this Organization."),
            "INSUFFICIENT_ACCESS_OR_READONLY" => Self::new(403, code, "insufficient access rights on object id"),
            "UNABLE_TO_LOCK_ROW" => Self::bad(code, "unable to obtain exclusive access to this record or 1 records"),
            "SERVER_UNAVAILABLE" => Self::refusal(503, None),
            "UNKNOWN_EXCEPTION" => Self::refusal(500, None),
            other => Self::bad(other, "The request was refused."),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"message": self.message, "errorCode": self.code});
        if !self.fields.is_empty() {
            error["fields"] = self.fields.into();
        }
        with_retry((of(self.status), Json(json!([error]))).into_response(), self.retry_after)
    }
}

impl OAuthError {
    pub(super) fn new(error: &str, description: &str) -> Self {
        Self { status: 400, error: error.into(), description: description.into(), retry_after: None }
    }

    pub(super) fn grant(description: &str) -> Self {
        Self::new("invalid_grant", description)
    }

    pub(super) fn client() -> Self {
        Self::new("invalid_client", "invalid client credentials")
    }

    /// What Salesforce says with `status`.
    pub(super) fn refusal(status: u16, retry_after: Option<u32>) -> Self {
        let error = match status {
            401 => Self::client(),
            403 => Self::grant("ip restricted"),
            429 => Self::new("rate_limit_exceeded", "login rate exceeded"),
            400..500 => Self::grant("authentication failure"),
            _ => Self::new("server_error", "An unexpected error occurred."),
        };
        Self { status, retry_after, ..error }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.error, "error_description": self.description}));
        with_retry((of(self.status), body).into_response(), self.retry_after)
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
