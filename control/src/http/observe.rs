//! Around every request: its id, who asks, its lines in the log, and its figures.
//!
//! Nothing in a request is for the log but what is known to be harmless. A path is written as its route's template, with the ids in it
//! that are UUIDs: others may be numbers of people, and a query may hold a ticket.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;
use trunkline_base::{Clock, SystemClock};
use uuid::Uuid;

use super::gate;
use crate::Control;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// As much of a client's name as is written, in characters.
const LONGEST_AGENT: usize = 200;

/// A request's id: its client's, if that is a sane value, or a new one.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

pub(super) async fn observe(State(control): State<Control>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = known(request.method());
    let is_api = gate::is_api(request.uri().path());
    // Ids in labels would grow without end.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = route.as_deref().map_or_else(|| "unmatched".to_owned(), |route| shown(route, request.uri().path()));
    let user_agent = user_agent(request.headers());
    let quiet = matches!(route.as_deref(), Some("/metrics" | "/health" | "/health/live" | "/health/ready"));
    // Outside of the API, whoever finds out the tenant records it.
    let span = tracing::info_span!("request", request_id = %id, tenant_id = tracing::field::Empty);
    let started = SystemClock.now();
    let mut response = async {
        let mut tenant = None;
        // A browser's question whether it may ask has no token.
        if is_api && request.method() != Method::OPTIONS {
            tenant = gate::identify(&control, &mut request).await;
        }
        let tenant_id = tenant.map(tracing::field::display);
        if let Some(tenant) = tenant {
            tracing::Span::current().record("tenant_id", tracing::field::display(tenant));
        }
        if !quiet {
            tracing::info!(method, path, tenant_id, user_agent, "api_request");
        }
        let response = next.run(request).await;
        if !quiet {
            let (status_code, elapsed_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
            tracing::info!(method, path, status_code, tenant_id, user_agent, elapsed_ms, "api_response");
        }
        response
    }
    .instrument(span)
    .await;
    let labels = [
        ("method", method.to_owned()),
        ("endpoint", route.unwrap_or_else(|| "unmatched".to_owned())),
        ("status", response.status().as_u16().to_string()),
    ];
    metrics::counter!("api_requests_total", &labels).increment(1);
    metrics::histogram!("request_duration_seconds").record(started.elapsed().as_secs_f64());
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
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

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// A method's name. Clients can make up others, each of which would be a label for ever.
fn known(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// A path as it may be written down.
fn shown(route: &str, path: &str) -> String {
    let segments = route.split('/').zip(path.split('/').map(Some).chain(std::iter::repeat(None)));
    let shown = segments.map(|(template, given)| {
        let id = given.and_then(|given| Uuid::try_parse(given).ok()).filter(|_| template.starts_with('{'));
        id.map_or_else(|| template.to_owned(), |id| id.to_string())
    });
    shown.collect::<Vec<_>>().join("/")
}

/// A client's name as it may be written down: what is unusual in one is left out.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let usual = |c: &char| c.is_ascii_alphanumeric() || " ./;:,()_+-".contains(*c);
    Some(agent.chars().filter(usual).take(LONGEST_AGENT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_with_its_ids_and_nothing_else_of_what_was_sent() {
        let id = "01900000-0000-7000-8000-000000000001";
        let agent = "/v1/voice-agents/{agent_id}/versions";
        assert_eq!(shown(agent, &format!("/v1/voice-agents/{id}/versions")), format!("/v1/voice-agents/{id}/versions"));
        assert_eq!(shown(agent, "/v1/voice-agents/ada@example.com/versions"), agent);
        assert_eq!(shown("/v1/do-not-call/{number}", "/v1/do-not-call/+14155550100"), "/v1/do-not-call/{number}");
        assert_eq!(shown("/docs/{*rest}", "/docs/a/b"), "/docs/{*rest}");
        assert_eq!(shown("/health", "/health"), "/health");
    }

    #[test]
    fn a_clients_name_is_bounded_in_length_and_in_what_it_holds() {
        let shown = |agent: &str| user_agent(&HeaderMap::from_iter([(header::USER_AGENT, agent.parse().unwrap())]));
        assert_eq!(shown("curl/8.5.0"), Some("curl/8.5.0".into()));
        assert_eq!(shown("bot (ada@example.com) \"x\"=1"), Some("bot (adaexample.com) x1".into()));
        assert_eq!(shown(&"x".repeat(1000)), Some("x".repeat(LONGEST_AGENT)));
    }

    #[test]
    fn what_clients_make_up_is_no_label() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"GET1").unwrap()), "other");
    }
}
