//! Errors as OpenAI writes them.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Throttle, quirks::ErrorShape};

/// An error for the client.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<String>,
    retry_after: Option<u32>,
}

impl ApiError {
    /// A request that makes no sense.
    pub(super) fn invalid(message: impl Into<String>, param: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, message).with_param(param)
    }

    pub(super) fn with_code(mut self, code: &str) -> Self {
        self.code = Some(code.into());
        self
    }

    pub(super) fn invalid_key() -> Self {
        let message =
            "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", Some("invalid_api_key"), message)
    }

    pub(super) fn missing_key() -> Self {
        let message = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", None, message)
    }

    pub(super) fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", Some("model_not_found"), message)
    }

    /// What OpenAI says with `status`.
    pub(super) fn refusal(status: u16, retry_after: Option<u32>, throttle: Throttle) -> Self {
        let (kind, code, message) = match (status, throttle) {
            (401, _) => return Self::invalid_key(),
            (403, _) => (
                "request_forbidden",
                "unsupported_country_region_territory",
                "Country, region, or territory not supported",
            ),
            (404, _) => (
                "invalid_request_error",
                "model_not_found",
                "The model does not exist or you do not have access to it.",
            ),
            (429, Throttle::Rate) => ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
            (429, Throttle::Quota) => (
                "insufficient_quota",
                "credit_balance_exhausted",
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            (503, _) => (
                "service_unavailable_error",
                "server_is_overloaded",
                "The server is overloaded. Please try again later.",
            ),
            (400..500, _) => ("invalid_request_error", "invalid_request", "The request was refused."),
            _ => ("server_error", "server_error", "The server had an error while processing your request."),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { retry_after, ..Self::new(status, kind, Some(code), message) }
    }

    /// An error inside a response that had begun well, or instead of it.
    pub(super) fn midway(code: &str) -> Self {
        let message = "The server had an error while processing your request. Sorry about that!";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some(code), message)
    }

    /// The error as a body.
    pub(super) fn body(&self, shape: ErrorShape) -> Value {
        let Self { message, kind, param, code, .. } = self;
        match shape {
            ErrorShape::OpenAi => json!({"error": {"message": message, "type": kind, "param": param, "code": code}}),
            ErrorShape::Text => json!({"error": message}),
            ErrorShape::Object => {
                json!({"object": "error", "message": message, "type": kind, "param": param, "code": self.status.as_u16()})
            }
            ErrorShape::Detail => json!({"detail": message}),
        }
    }

    pub(super) fn response(&self, shape: ErrorShape) -> Response {
        let mut response = (self.status, Json(self.body(shape))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn new(status: StatusCode, kind: &'static str, code: Option<&str>, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind, param: None, code: code.map(Into::into), retry_after: None }
    }

    fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }
}
