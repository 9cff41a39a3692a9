//! The layers around all routes, and their order.

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, Method, header},
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};

use super::{
    answer::{answer, panicked},
    edge::Origin,
    gate, observe, shape,
};
use crate::{
    Control,
    error::{ApiError, ErrorCode},
    idempotency,
};

/// The largest body of JSON that is read.
const MAX_BODY: usize = 1024 * 1024;
/// How long a browser may remember what it may send.
const PREFLIGHT: Duration = Duration::from_secs(10 * 60);

/// Puts the layers around all routes. It must be the last thing done to the router: what is added later is outside.
///
/// From the outside in: who asks, and the lines in the log; browsers' questions; the time limit, and errors' bodies; panics; what a
/// request must be like; how often they may come; the size of bodies; keys of requests that are sent again; panics of handlers, which
/// then are answers like others.
pub fn finish<S: Clone + Send + Sync + 'static>(router: Router<S>, control: &Control) -> Router<S> {
    let router = router
        .fallback(async || ApiError::new(ErrorCode::NotFound, "There is nothing at this path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(ErrorCode::MethodNotAllowed, "This path does not have this method")
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(control.clone(), idempotency::layer))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(control.clone(), gate::count))
        .layer(from_fn(shape::check))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(answer));
    let origins = &control.edge.cors_origins;
    let router = if origins.is_empty() { router } else { router.layer(cors(origins)) };
    router.layer(from_fn_with_state(control.clone(), observe::observe))
}

/// Pages send their token in a header that they write themselves: cookies have no part in it.
fn cors(origins: &[Origin]) -> CorsLayer {
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(origins.iter().map(|origin| origin.value().clone()).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::RANGE,
            name("x-api-key"),
            name("idempotency-key"),
            name("last-event-id"),
            name("x-request-id"),
        ])
        .expose_headers([
            header::ALLOW,
            header::RETRY_AFTER,
            header::CONTENT_RANGE,
            header::ETAG,
            name("x-request-id"),
            name("idempotent-replayed"),
            name("ratelimit-limit"),
            name("ratelimit-remaining"),
            name("ratelimit-reset"),
        ])
        .max_age(PREFLIGHT)
}
