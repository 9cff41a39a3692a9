//! Errors as Anthropic writes them.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Throttle;

/// An error for the client.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    kind: String,
    message: String,
    /// Why another try is pointless, as a code.
    error_code: Option<&'static str>,
    retry_after: Option<u32>,
}

impl ApiError {
    /// A request that makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    pub(super) fn missing_key() -> Self {
        Self::new(401, "authentication_error", "x-api-key header is required")
    }

    pub(super) fn invalid_key() -> Self {
        Self::new(401, "authentication_error", "invalid x-api-key")
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(404, "not_found_error", what)
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, "request_too_large", "Request exceeds the maximum size")
    }

    /// What Anthropic says with `status`.
    pub(super) fn refusal(status: u16, retry_after: Option<u32>, throttle: Throttle) -> Self {
        let error = match (status, throttle) {
            (401, _) => Self::invalid_key(),
            (402, _) => {
                Self::new(status, "billing_error", "There is an issue with your billing or payment information.")
            }
            (403, _) => Self::new(
                status,
                "permission_error",
                "Your API key does not have permission to use the specified resource.",
            ),
            (404, _) => Self::not_found("The requested resource could not be found."),
            (409, _) => Self::new(status, "conflict_error", "The request conflicts with another one."),
            (413, _) => Self::too_large(),
            (429, Throttle::Rate) => Self::new(
                status,
                "rate_limit_error",
                "This request would exceed your account's rate limit. Please try again later.",
            ),
            (429, Throttle::Spend) => Self {
                error_code: Some("enforced_spend_limit_reached"),
                ..Self::new(status, "rate_limit_error", "You have reached your specified API usage limits.")
            },
            (504, _) => Self::new(status, "timeout_error", "Request timed out"),
            (529, _) => Self::overloaded(),
            (400..500, _) => Self { status, ..Self::invalid("The request was refused.") },
            _ => Self::new(status, "api_error", "Internal server error"),
        };
        Self { retry_after, ..error }
    }

    /// An error of the server's, named by its type: inside a stream that had begun well, or instead of an answer.
    pub(super) fn midway(kind: &str) -> Self {
        match kind {
            "overloaded_error" => Self::overloaded(),
            "rate_limit_error" => Self::refusal(429, None, Throttle::Rate),
            "timeout_error" => Self::refusal(504, None, Throttle::Rate),
            other => Self::new(500, other, "Internal server error"),
        }
    }

    /// The error as a body, or as the data of a stream's `error` event.
    pub(super) fn body(&self, request_id: &str) -> Value {
        let mut error = json!({"type": self.kind, "message": self.message});
        if let Some(code) = self.error_code {
            error["details"] = json!({"error_code": code});
        }
        json!({"type": "error", "error": error, "request_id": request_id})
    }

    pub(super) fn response(&self, request_id: &str) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body(request_id))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.error_code.is_some() {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }

    fn overloaded() -> Self {
        Self::new(529, "overloaded_error", "Overloaded")
    }

    fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self { status, kind: kind.into(), message: message.into(), error_code: None, retry_after: None }
    }
}
