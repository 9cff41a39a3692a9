//! The vendor's HTTP errors: a status, a JSON body, and the headers `dg-error` and `dg-request-id`.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;
use uuid::Uuid;

pub(super) const DG_REQUEST_ID: HeaderName = HeaderName::from_static("dg-request-id");
const DG_ERROR: HeaderName = HeaderName::from_static("dg-error");

/// An error as the vendor reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VendorError {
    pub(super) status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    retry_after: Option<u32>,
}

impl VendorError {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::of_status(400, None) }
    }

    pub(super) fn unauthorised() -> Self {
        Self::of_status(401, None)
    }

    pub(super) fn too_many() -> Self {
        Self::of_status(429, None)
    }

    pub(super) fn not_for_tokens() -> Self {
        Self { message: "User does not have sufficient permissions.".into(), ..Self::of_status(403, None) }
    }

    /// An internal error with a code of its own.
    pub(super) fn of_code(code: &str) -> Self {
        Self { code: Cow::Owned(code.to_owned()), ..Self::of_status(500, None) }
    }

    /// What the vendor says with `status`.
    pub(super) fn of_status(status: u16, retry_after: Option<u32>) -> Self {
        let (code, message) = match status {
            400 => ("Bad Request", "Bad Request."),
            401 => ("INVALID_AUTH", "Invalid credentials."),
            402 => ("ASR_PAYMENT_REQUIRED", "Project does not have enough credits for an ASR request."),
            403 => ("INSUFFICIENT_PERMISSIONS", "Project does not have access to the requested model."),
            404 => ("PROJECT_NOT_FOUND", "Project not found."),
            429 => ("TOO_MANY_REQUESTS", "Too many requests. Please try again later"),
            502..=504 => ("SERVICE_UNAVAILABLE", "The service is temporarily unavailable."),
            _ => ("INTERNAL_SERVER_ERROR", "An unexpected error occurred."),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code: code.into(), message: message.into(), retry_after }
    }
}

impl IntoResponse for VendorError {
    fn into_response(self) -> Response {
        let id = Uuid::new_v4();
        let body = json!({ "err_code": self.code, "err_msg": self.message, "request_id": id });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(DG_REQUEST_ID, request_id_header(id));
        if let Ok(reason) = HeaderValue::from_str(&self.message) {
            headers.insert(DG_ERROR, reason);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(super) fn request_id_header(id: Uuid) -> HeaderValue {
    HeaderValue::from_str(&id.to_string()).expect("a UUID is digits, letters and hyphens")
}
