//! Errors as Vonage writes them, in the three forms that its services have.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// An error for the client.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    status: u16,
    form: Form,
    retry_after: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// The documented one: an anchor in the vendor's list, a title and the details.
    Problem { anchor: String, title: &'static str, detail: String },
    /// What the voice service has answered an invalid field with: the status as a number, and which fields.
    Parameters(Vec<(String, String)>),
    /// What the older API of the account answers.
    Account(&'static str),
}

impl ApiError {
    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::problem(401, "unauthorized", "Unauthorized", detail)
    }

    pub(super) fn not_found() -> Self {
        Self::problem(
            404,
            "not-found",
            "Not Found",
            "The requested resource does not exist, or you do not have access to it.",
        )
    }

    pub(super) fn rate() -> Self {
        Self::problem(429, "rate-limit", "Rate Limit Hit", "Please wait, then retry your request")
    }

    /// Fields that are not valid, in the documented form or in the one that the voice service has been seen to use.
    pub(super) fn invalid(fields: Vec<(String, String)>, observed: bool) -> Self {
        if observed {
            return Self { status: 400, form: Form::Parameters(fields), retry_after: None };
        }
        let detail: Vec<String> = fields.into_iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        Self::problem(400, "bad-request", "Bad Request", &detail.join("; "))
    }

    /// The account's older API does not know the key or its secret.
    pub(super) fn account_unauthorized() -> Self {
        Self { status: 401, form: Form::Account("authentication failed"), retry_after: None }
    }

    pub(super) fn account_invalid() -> Self {
        Self { status: 420, form: Form::Account("method failed"), retry_after: None }
    }

    /// What Vonage says with `status`.
    pub(super) fn refusal(status: u16, retry_after: Option<u32>) -> Self {
        let error = match status {
            401 => Self::unauthorized("You did not provide correct credentials."),
            403 => Self::of_anchor("forbidden"),
            404 => Self::not_found(),
            429 => Self::rate(),
            400..500 => Self::problem(status, "bad-request", "Bad Request", "The request was refused."),
            _ => Self::problem(status, "internal-error", "Internal Error", ""),
        };
        Self { retry_after, ..error }
    }

    /// The error with this anchor, as a script asks for it.
    pub(super) fn of_anchor(anchor: &str) -> Self {
        match anchor {
            "unauthorized" => Self::refusal(401, None),
            "not-found" => Self::not_found(),
            "rate-limit" => Self::rate(),
            "low-balance" | "out-of-credit" => Self::problem(
                403,
                anchor,
                "Low balance",
                "This request could not be performed due to your account balance being low.",
            ),
            "forbidden" => {
                Self::problem(403, anchor, "Forbidden", "Your account does not have permission to perform this action.")
            }
            other => Self::problem(400, other, "Bad Request", "The request was refused."),
        }
    }

    fn problem(status: u16, anchor: &str, title: &'static str, detail: &str) -> Self {
        Self { status, form: Form::Problem { anchor: anchor.into(), title, detail: detail.into() }, retry_after: None }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut kind = "application/json";
        let body: Value = match self.form {
            Form::Problem { anchor, title, detail } => {
                kind = "application/problem+json";
                let mut body = json!({
                    "type": format!("https://developer.vonage.com/api-errors#{anchor}"),
                    "title": title,
                    "instance": instance,
                });
                if !detail.is_empty() {
                    body["detail"] = detail.into();
                }
                body
            }
            Form::Parameters(fields) => {
                let fields: Vec<_> =
                    fields.into_iter().map(|(name, reason)| json!({"name": name, "reason": reason})).collect();
                json!({"type": self.status, "title": "Bad Request", "invalid_parameters": fields})
            }
            Form::Account(label) => json!({"error-code": self.status.to_string(), "error-code-label": label}),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(trace) = HeaderValue::try_from(instance) {
            headers.insert("x-nexmo-trace-id", trace);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
