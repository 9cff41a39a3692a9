//! What comes back: in time, and if it is an error, with the one body that all errors have, whoever made it.

use std::{any::Any, time::Duration};

use axum::{
    Json,
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{observe::RequestId, reply::now};
use crate::error::{ApiError, ErrorBody, ErrorCode};

/// How long a request may take until its answer begins. Media sockets are upgraded long before, and streams have begun.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn answer(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let method = request.method().clone();
    let response = match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(ErrorCode::RequestTimeout, "The request took too long").into_response(),
    };
    render(response, &id, &method)
}

/// Writes the body of an error, whoever made it.
pub(crate) fn render(mut response: Response, request_id: &str, method: &Method) -> Response {
    let status = response.status();
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None if is_bare_error(&response) => made_by_a_library(status),
        None => return response,
    };
    let mut details = error.details;
    if error.status.is_server_error() && error.code == ErrorCode::ServerError {
        details.get_or_insert_with(|| json!({}))["request_id"] = request_id.into();
    }
    let body = ErrorBody { success: false, message: error.message, error_code: error.code, details, timestamp: now() };
    let mut rendered =
        if method == Method::HEAD { error.status.into_response() } else { (error.status, Json(body)).into_response() };
    // Such as `Allow`, or what is left of a budget.
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    for (name, value) in error.headers.iter() {
        rendered.headers_mut().insert(name, value.clone());
    }
    rendered
}

/// An error that has no body of ours yet: a route's own error body is JSON or what its carrier wants.
fn is_bare_error(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let ours = kind.is_some_and(|kind| kind.starts_with("application/json") || kind.starts_with("text/xml"));
    (response.status().is_client_error() || response.status().is_server_error()) && !ours
}

fn made_by_a_library(status: StatusCode) -> ApiError {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => (ErrorCode::NotFound, "There is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => (ErrorCode::MethodNotAllowed, "This path does not have this method"),
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::PayloadTooLarge, "The body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (ErrorCode::UnsupportedMediaType, "The body is of a type that is not taken")
        }
        StatusCode::REQUEST_TIMEOUT => (ErrorCode::RequestTimeout, "The request took too long"),
        StatusCode::NOT_ACCEPTABLE => (ErrorCode::NotAcceptable, "What is accepted cannot be given"),
        status if status.is_client_error() => (ErrorCode::ValidationError, "The request could not be read"),
        _ => (ErrorCode::ServerError, "Internal server error"),
    };
    ApiError::new(code, message).status(status)
}

pub(super) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let cause = cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    ApiError::internal(&format_args!("panic: {}", cause.unwrap_or("no message"))).into_response()
}
