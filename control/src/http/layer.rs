//! Around every request: its id, its lines in the log, its limits, and the body of whatever error came of it.

use std::{any::Any, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use trunkline_base::{Clock, SystemClock};
use uuid::Uuid;

use super::reply::now;
use crate::error::{ApiError, ErrorBody, ErrorCode};

/// The largest body of JSON that is read.
const MAX_BODY: usize = 1024 * 1024;
/// How long a request may take. Media sockets are upgraded long before.
const LIMIT: Duration = Duration::from_secs(30);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: its client's, if that is a sane value, or a new one.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Puts the layers around all routes. It must be the last thing done to the router: what is added later is outside.
pub fn finish<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(async || ApiError::new(ErrorCode::NotFound, "There is nothing at this path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(ErrorCode::MethodNotAllowed, "This path does not have this method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(around))
}

async fn around(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    // The route's template: ids in labels would grow without end.
    let endpoint = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let path = request.uri().path().to_owned();
    let user_agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
    let quiet = matches!(endpoint.as_str(), "/metrics" | "/health" | "/health/live" | "/health/ready");
    // Whoever finds out the tenant records it.
    let span = tracing::info_span!("request", request_id = %id, tenant_id = tracing::field::Empty);
    let started = SystemClock.now();
    let mut response = async {
        if !quiet {
            tracing::info!(method = %method, path, user_agent, "api_request");
        }
        let response = match tokio::time::timeout(LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::new(ErrorCode::RequestTimeout, "The request took too long").into_response(),
        };
        if !quiet {
            let (status, elapsed_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
            tracing::info!(method = %method, path, status, user_agent, elapsed_ms, "api_response");
        }
        render(response, &id, &method)
    }
    .instrument(span)
    .await;
    let labels =
        [("method", method.to_string()), ("endpoint", endpoint), ("status", response.status().as_u16().to_string())];
    metrics::counter!("api_requests_total", &labels).increment(1);
    metrics::histogram!("request_duration_seconds").record(started.elapsed().as_secs_f64());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    response
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let sane = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    given.filter(sane).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Writes the body of an error, whoever made it.
fn render(mut response: Response, request_id: &str, method: &Method) -> Response {
    let status = response.status();
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None if is_bare_error(&response) => {
            let mut error = made_by_a_library(status);
            // Such as `Allow`.
            for (name, value) in response.headers() {
                if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
                    error.headers.append(name, value.clone());
                }
            }
            error
        }
        None => return response,
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut details = error.details;
    if error.status.is_server_error() && error.code == ErrorCode::ServerError {
        details.get_or_insert_with(|| json!({}))["request_id"] = request_id.into();
    }
    let body = ErrorBody { success: false, message: error.message, error_code: error.code, details, timestamp: now() };
    let mut rendered =
        if method == Method::HEAD { error.status.into_response() } else { (error.status, Json(body)).into_response() };
    rendered.headers_mut().extend(*error.headers);
    if let Some(allow) = allow {
        rendered.headers_mut().insert(header::ALLOW, allow);
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

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let cause = cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    ApiError::internal(&format_args!("panic: {}", cause.unwrap_or("no message"))).into_response()
}
