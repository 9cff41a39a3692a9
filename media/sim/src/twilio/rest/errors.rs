//! The REST API's error bodies.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An error as the vendor answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: &'static str,
    pub(crate) retry_after: Option<u32>,
}

impl ApiError {
    pub(crate) const AUTHENTICATE: Self = Self::new(401, 20003, "Authenticate");
    pub(crate) const TEST_CREDENTIALS: Self =
        Self::new(403, 20008, "Resource not accessible with Test Account Credentials");
    pub(crate) const NOT_FOUND: Self = Self::new(404, 20404, "The requested resource was not found");
    pub(crate) const METHOD: Self = Self::new(405, 20004, "Method not allowed");
    pub(crate) const FROM: Self =
        Self::new(400, 21210, "The source phone number provided is not yet verified for your account");
    pub(crate) const TO: Self = Self::new(400, 21211, "The phone number you are attempting to call is not valid.");
    pub(crate) const NO_SUCH_TO: Self = Self::new(400, 21217, "Phone number does not appear to be valid");
    pub(crate) const NO_TO: Self = Self::new(400, 21201, "No 'To' number is specified");
    pub(crate) const NO_URL: Self = Self::new(400, 21205, "Url parameter is required.");
    pub(crate) const NOT_IN_PROGRESS: Self = Self::new(400, 21220, "Call is not in-progress. Cannot redirect.");
    pub(crate) const TWIML_TOO_LONG: Self = Self::new(400, 32018, "Twiml parameter is longer than 4000 characters");
    pub(crate) const NOTHING_TO_DO: Self = Self::new(400, 20001, "No valid parameters were given");

    pub(crate) const fn new(status: u16, code: u32, message: &'static str) -> Self {
        Self { status, code, message, retry_after: None }
    }

    /// The error that goes with an HTTP status.
    pub(crate) fn of_status(status: u16, retry_after: Option<u32>) -> Self {
        let known = match status {
            401 => Self::AUTHENTICATE,
            403 => Self::TEST_CREDENTIALS,
            404 => Self::NOT_FOUND,
            429 => Self::new(429, 20429, "Too Many Requests"),
            400..=499 => Self::new(status, 20001, "Bad request"),
            _ => Self::new(status, 20500, "Internal Server Error"),
        };
        Self { retry_after, ..known }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status,
        });
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
