//! What a request that was not done is answered with.
//!
//! Every error has one body, whoever made it: a handler, an extractor, the router or a panic. An [`ApiError`] becomes a response that
//! only carries it; the outermost layer ([`crate::http`]) writes the body, for it knows the request's id.

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    check::{FieldError, FieldErrors},
    db::DbError,
    vendors::{VendorError, VendorErrorKind},
};

/// The contract's `error_code`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// Token or key missing, malformed, expired, of the wrong signature or audience.
    AuthInvalid,
    /// No tenant in the token, not a member of it, or the role may not do this.
    TenantAccessDenied,
    /// A carrier's or vendor's proof is missing or wrong.
    WebhookSignatureInvalid,
    /// No such credential of this tenant.
    CredentialNotFound,
    /// No such agent of this tenant.
    AgentNotFound,
    /// No such conversation of this tenant.
    ConversationNotFound,
    /// No such integration in the catalogue.
    IntegrationNotFound,
    /// No such installation of this tenant.
    InstallationNotFound,
    /// No such phone number of this tenant.
    PhoneNumberNotFound,
    /// No such API key of this tenant, or it has been revoked.
    ApiKeyNotFound,
    /// No such member of this tenant.
    MemberNotFound,
    /// Nothing is there.
    NotFound,
    /// A unique name is taken, the state does not allow it, or a version has moved on.
    Conflict,
    /// The request is not what it must be.
    ValidationError,
    /// Too many requests.
    RateLimited,
    /// An action needs a working credential, and its test failed.
    IntegrationTestFailed,
    /// A vendor failed.
    ExternalApiError,
    /// No capacity, draining, or a dependency is down.
    Overloaded,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Nothing that the client accepts can be given.
    NotAcceptable,
    /// The path has no such method.
    MethodNotAllowed,
    /// The request took too long.
    RequestTimeout,
    /// The body is too large.
    PayloadTooLarge,
    /// Anything else; `details.request_id` finds it in the log.
    ServerError,
}

impl ErrorCode {
    /// The status that goes with it, where the case doesn't say another.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::AuthInvalid => StatusCode::UNAUTHORIZED,
            Self::TenantAccessDenied | Self::WebhookSignatureInvalid => StatusCode::FORBIDDEN,
            Self::CredentialNotFound
            | Self::AgentNotFound
            | Self::ConversationNotFound
            | Self::IntegrationNotFound
            | Self::InstallationNotFound
            | Self::PhoneNumberNotFound
            | Self::ApiKeyNotFound
            | Self::MemberNotFound
            | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict | Self::IntegrationTestFailed => StatusCode::CONFLICT,
            Self::ValidationError => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::ExternalApiError => StatusCode::BAD_GATEWAY,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What an error looks like to a client.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// Always false.
    pub success: bool,
    /// For people.
    pub message: String,
    /// For programs.
    pub error_code: ErrorCode,
    /// What more there is to say: `fields` of a request that is not valid, `request_id` of an error of ours, `vendor`, `status` and
    /// `code` of a vendor's.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    pub details: Option<Value>,
    /// When it was written.
    pub timestamp: DateTime<Utc>,
}

/// A request that was not done.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// What kind.
    pub code: ErrorCode,
    /// Its status, which is the code's own except for JSON that cannot be read.
    pub status: StatusCode,
    /// For people. Holds nothing secret and nothing personal.
    pub message: String,
    /// What more there is to say.
    pub details: Option<Value>,
    /// `Retry-After`, `Allow` and the like; boxed, for a map is most of an error's size.
    pub headers: Box<HeaderMap>,
}

impl ApiError {
    /// An error with no more to it than a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, status: code.status(), message: message.into(), details: None, headers: Box::default() }
    }

    /// The path names something that is not there, or is another tenant's: nobody can tell which.
    pub fn not_found(code: ErrorCode) -> Self {
        let what = match code {
            ErrorCode::CredentialNotFound => "Integration credential",
            ErrorCode::AgentNotFound => "Voice agent",
            ErrorCode::ConversationNotFound => "Conversation",
            ErrorCode::IntegrationNotFound => "Integration",
            ErrorCode::InstallationNotFound => "Installed integration",
            ErrorCode::PhoneNumberNotFound => "Phone number",
            ErrorCode::ApiKeyNotFound => "API key",
            ErrorCode::MemberNotFound => "Member",
            _ => "Resource",
        };
        Self::new(code, format!("{what} not found"))
    }

    /// The token is no good. The message says how, without repeating it.
    pub fn auth(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorCode::AuthInvalid, message);
        error.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        error
    }

    /// The token is good, and may not do this.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TenantAccessDenied, message)
    }

    /// The state does not allow it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// Fields are wrong.
    pub fn validation(errors: &FieldErrors) -> Self {
        Self::fields(errors.iter())
    }

    /// One field is wrong.
    pub fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(std::iter::once(&FieldError { path: path.into(), message: message.into() }))
    }

    fn fields<'a>(errors: impl Iterator<Item = &'a FieldError>) -> Self {
        let fields: Vec<Value> = errors.map(|error| json!({ "field": error.path, "message": error.message })).collect();
        Self::new(ErrorCode::ValidationError, "Request validation failed").details(json!({ "fields": fields }))
    }

    /// Try again later.
    pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(ErrorCode::Overloaded, message).retry_after(retry_after)
    }

    /// An error of ours. `cause` goes to the log and to nobody else.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        // The request's span has its id.
        tracing::error!(%cause, "request failed");
        Self::new(ErrorCode::ServerError, "Internal server error")
    }

    /// With more to say.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With a time to wait, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(cause) => {
                tracing::warn!(%cause, "the database is unavailable");
                Self::overloaded("The database is unavailable; try again", Duration::from_secs(2))
            }
            // Whoever expects a name to be taken, or a row to be gone, says so before it comes here.
            other => Self::internal(&other),
        }
    }
}

impl From<VendorError> for ApiError {
    fn from(error: VendorError) -> Self {
        let details = json!({ "vendor": error.provider, "status": error.status, "code": error.code });
        let code = match error.kind {
            VendorErrorKind::AddressRefused | VendorErrorKind::MissingField | VendorErrorKind::Unsupported => {
                ErrorCode::IntegrationTestFailed
            }
            _ => ErrorCode::ExternalApiError,
        };
        Self::new(code, error.to_string()).details(details)
    }
}
