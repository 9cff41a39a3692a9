//! What stands before a vendor's REST API: every request is recorded, and may be made to wait.

use std::time::{Duration, Instant};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::time::sleep;

use crate::log::Log;

/// How many requests are remembered.
const KEPT: usize = 2_000;
/// The largest body that is read, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// A request and what it was answered with. Its headers, and so its credentials, are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// When it came.
    pub at: Instant,
    /// Such as `GET`.
    pub method: String,
    /// Its path with the query.
    pub path: String,
    /// The body, where it is JSON and holds no credentials; else null.
    pub body: Value,
    /// HTTP status of the answer; 0 as long as there is none.
    pub status: u16,
}

/// The door of one simulator. Cloning shares the log.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) log: Log<Exchange>,
    latency: Duration,
    /// Which paths' bodies hold credentials.
    private: fn(&str) -> bool,
}

impl Front {
    /// Every answer takes `latency` at least. The bodies of paths that are `private` are not kept.
    pub(crate) fn new(latency: Duration, private: fn(&str) -> bool) -> Self {
        Self { log: Log::new(KEPT), latency, private }
    }
}

/// Runs before everything else.
pub(crate) async fn enter(State(front): State<Front>, request: Request, next: Next) -> Response {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let seen =
        if (front.private)(parts.uri.path()) { Value::Null } else { serde_json::from_slice(&body).unwrap_or_default() };
    let exchange = Exchange { at, method: parts.method.to_string(), path, body: seen, status: 0 };
    // Recorded before it is answered: a client that gives up takes this task with it.
    let number = front.log.push(exchange);
    sleep(front.latency).await;
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let status = response.status().as_u16();
    front.log.update(number, |exchange| exchange.status = status);
    response
}
