//! Errors as ElevenLabs writes them: bodies of HTTP responses, and frames before a socket closes.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// An error of an HTTP request or a WebSocket handshake.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    pub(super) code: String,
    message: String,
    param: Option<&'static str>,
    retry_after: Option<u32>,
    /// The field of the body that is missing or misused, reported in the form of the vendor's web framework.
    unprocessable: Option<&'static str>,
}

/// An error of a socket: a frame, then close 1008.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    /// The machine-readable code.
    pub(super) code: String,
    /// The human-readable text, also the close frame's reason.
    pub(super) message: String,
}

/// The close code of every failure: policy violation.
pub(super) const CLOSE_POLICY: u16 = 1_008;

impl ApiError {
    pub(super) fn invalid_key() -> Self {
        Self::new(401, "authentication_error", "invalid_api_key", "Invalid API key")
    }

    pub(super) fn missing_key() -> Self {
        let message = "Neither authorization header nor xi-api-key received, please provide one.";
        Self::new(401, "authentication_error", "needs_authorization", message)
    }

    pub(super) fn voice_not_found(voice: &str) -> Self {
        Self::new(404, "not_found", "voice_not_found", format!("A voice with voice_id '{voice}' was not found."))
    }

    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(400, "validation_error", "invalid_parameters", message) }
    }

    /// A body that lacks or misuses a field.
    pub(super) fn unprocessable(field: &'static str, code: &str, message: &str) -> Self {
        Self { unprocessable: Some(field), ..Self::new(422, "validation_error", code, message) }
    }

    pub(super) fn too_long(most: usize) -> Self {
        let message = format!("The text is longer than the {most} characters a request may have.");
        Self::new(400, "validation_error", "max_character_limit_exceeded", message)
    }

    /// What ElevenLabs says with `status`. A 429 with a time to wait is the rate limit; without, it is the limit of concurrent
    /// requests, which is waited out by finishing one's own.
    pub(super) fn refusal(status: u16, retry_after: Option<u32>) -> Self {
        let (kind, code, message) = match (status, retry_after) {
            (401, _) => return Self::invalid_key(),
            (402 | 403, _) => ("authorization_error", "only_for_creator+", "Your plan does not include this."),
            (404, _) => ("not_found", "voice_not_found", "The voice was not found."),
            (429, Some(_)) => ("rate_limit_error", "rate_limit_exceeded", "Too many requests. Please try again later."),
            (429, None) => {
                ("rate_limit_error", "concurrent_limit_exceeded", "Too many concurrent requests for your plan.")
            }
            (400..500, _) => ("validation_error", "invalid_parameters", "The request was refused."),
            _ => ("server_error", "internal_server_error", "Something went wrong. Please try again later."),
        };
        Self { retry_after, ..Self::new(status, kind, code, message) }
    }

    /// An error of the account's that a script asks for by its code.
    pub(super) fn of_account(code: &str) -> Self {
        let (status, kind, message) = match code {
            "missing_permissions" => {
                (401, "authentication_error", "The API key you used is missing a permission to execute this operation.")
            }
            "quota_exceeded" => (401, "authentication_error", "This request exceeds your quota."),
            _ => (400, "validation_error", "The request could not be completed."),
        };
        Self::new(status, kind, code, message)
    }

    pub(super) fn internal() -> Self {
        Self::refusal(500, None)
    }

    fn new(status: u16, kind: &'static str, code: &str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            status,
            kind,
            code: code.into(),
            message: message.into(),
            param: None,
            retry_after: None,
            unprocessable: None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(field) = self.unprocessable {
            let body = json!({"detail": [{"loc": ["body", field], "msg": self.message, "type": self.code}]});
            return (self.status, Json(body)).into_response();
        }
        let mut detail = json!({
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "status": self.code,
            "request_id": uuid::Uuid::new_v4().simple().to_string(),
        });
        if let Some(param) = self.param {
            detail["param"] = param.into();
        }
        let mut response = (self.status, Json(json!({"detail": detail}))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Failure {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_input_message", message)
    }

    pub(super) fn timed_out(seconds: u64) -> Self {
        let message = format!(
            "Have not received a new text input within the timeout of {seconds} seconds. Streaming input terminated. Please make \
             sure to send a new text input in time."
        );
        Self::new("input_timeout_exceeded", message)
    }

    /// A failure a script asks for by its code.
    pub(super) fn scripted(code: &str) -> Self {
        let message = match code {
            "quota_exceeded" => "This request exceeds your quota. You have 0 credits remaining.",
            _ => "The request could not be completed.",
        };
        Self::new(code, message)
    }

    pub(super) fn frame(&self) -> Value {
        json!({"message": self.message, "error": self.code, "code": CLOSE_POLICY})
    }

    /// The close frame's reason, which may have 123 bytes.
    pub(super) fn reason(&self) -> &str {
        let mut end = self.message.len().min(123);
        while !self.message.is_char_boundary(end) {
            end -= 1;
        }
        &self.message[..end]
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { code: error.code, message: error.message }
    }
}
