use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, atomic::AtomicBool},
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, header},
};
use serde_json::Value;
use trunkline_base::{Clock, SystemClock};

use crate::{
    Control,
    auth::Role,
    health::Dependency,
    http::{Edge, Origin},
    limits::{Limiter, Rates},
    testing::{Answer, Api, RedisServer, agent_body},
    vendors::BoxFuture,
};

const AGENTS: &str = "/v1/voice-agents";

fn rates(tenant: u32, address: u32) -> Rates {
    let rate = |rate| NonZeroU32::new(rate).unwrap();
    Rates { tenant: rate(tenant), address: rate(address) }
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers[name].to_str().unwrap().parse().unwrap()
}

/// Nobody's request, over a socket from an address.
async fn from(api: &Api, peer: &str, forwarded: Option<&str>, path: &str) -> Answer {
    let mut request = Request::builder().uri(path);
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let peer: SocketAddr = peer.parse().unwrap();
    api.request(request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_tenant_has_a_budget_and_every_answer_says_what_is_left_of_it() {
    let api = Api::new().await.with_rates(rates(3, 60));
    let (ada, eve) = (api.owner(), api.owner());
    let first = api.get(&ada, AGENTS).await;
    assert_eq!(first.status, 200);
    let headers = &first.headers;
    assert_eq!((number(headers, "ratelimit-limit"), number(headers, "ratelimit-remaining")), (3, 2));
    assert!((1..=20).contains(&number(headers, "ratelimit-reset")));
    // Errors count, and say so too: of the route, of the body, of a path that is none.
    assert_eq!(number(&api.get(&ada, "/v1/nowhere").await.headers, "ratelimit-remaining"), 1);
    // Whoever belongs to the tenant uses the same budget.
    let member = api.user(ada.tenant, Role::Viewer);
    let refused = api.post(&member, AGENTS, agent_body("Ada")).await;
    assert_eq!((refused.status.as_u16(), number(&refused.headers, "ratelimit-remaining")), (403, 0));
    let over = api.get(&ada, AGENTS).await;
    assert_eq!(over.error(), (429, "RATE_LIMITED"));
    assert!((1..=20).contains(&number(&over.headers, "retry-after")));
    assert_eq!(number(&over.headers, "ratelimit-remaining"), 0);
    assert_eq!(api.get(&eve, AGENTS).await.status, 200);
}

#[tokio::test]
async fn whoever_is_not_known_is_counted_by_address_and_what_is_not_the_api_is_not_counted() {
    let api = Api::new().await.with_rates(rates(1000, 2));
    for _ in 0..2 {
        assert_eq!(from(&api, "203.0.113.1:1", None, AGENTS).await.error(), (401, "AUTH_INVALID"));
    }
    assert_eq!(from(&api, "203.0.113.1:2", None, AGENTS).await.error(), (429, "RATE_LIMITED"));
    assert_eq!(from(&api, "203.0.113.1:2", None, "/v1/nowhere").await.error(), (429, "RATE_LIMITED"));
    assert_eq!(from(&api, "203.0.113.2:1", None, AGENTS).await.error(), (401, "AUTH_INVALID"));
    // No proxy is trusted, so whatever one claims changes nothing.
    assert_eq!(from(&api, "203.0.113.1:3", Some("198.51.100.1"), AGENTS).await.error(), (429, "RATE_LIMITED"));
    for path in ["/health/live", "/nowhere", "/v1/webhooks/twilio", "/v1/webhooks/vonage/x"] {
        for _ in 0..3 {
            let answer = from(&api, "203.0.113.1:4", None, path).await;
            assert_ne!(answer.status, 429, "{path}");
            assert!(!answer.headers.contains_key("ratelimit-limit"), "{path}");
        }
    }
    // Who is known is not kept out by those who share the address.
    let ada = api.owner();
    assert_eq!(api.get(&ada, AGENTS).await.status, 200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_the_client_that_counts() {
    let api = Api::new().await;
    let edge = Edge {
        limiter: Limiter::new(rates(1000, 1), None),
        trusted_proxies: "10.0.0.0/8".parse().unwrap(),
        cors_origins: Vec::new(),
    };
    let control = Control { edge: Arc::new(edge), ..api.control.clone() };
    let api = api.with_control(control);
    for client in ["198.51.100.1", "198.51.100.2"] {
        assert_eq!(from(&api, "10.0.0.1:1", Some(client), AGENTS).await.status, 401);
        assert_eq!(from(&api, "10.0.0.2:1", Some(&format!("1.2.3.4, {client}")), AGENTS).await.status, 429);
    }
}

#[tokio::test]
async fn a_database_that_is_down_is_not_held_against_the_client() {
    let api = Api::new().await.with_rates(rates(1, 1));
    let ada = api.owner();
    api.control.db.close().await;
    for _ in 0..3 {
        assert_eq!(api.get(&ada, AGENTS).await.error(), (503, "OVERLOADED"));
    }
}

#[tokio::test]
async fn pages_of_origins_that_are_named_may_ask_and_no_others() {
    let api = Api::new().await;
    let edge = Edge {
        limiter: Limiter::new(rates(1, 1), None),
        trusted_proxies: "".parse().unwrap(),
        cors_origins: Origin::list("https://app.example.com,http://localhost:5173").unwrap(),
    };
    let control = Control { edge: Arc::new(edge), ..api.control.clone() };
    let api = api.with_control(control);
    let ada = api.owner();
    let preflight = async |origin: &str| {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(AGENTS)
            .header(header::ORIGIN, origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,idempotency-key,content-type");
        api.request(request.body(Body::empty()).unwrap()).await
    };
    // A browser's question is no request of anybody's: it is not counted.
    for origin in ["https://app.example.com", "http://localhost:5173", "https://app.example.com"] {
        let answer = preflight(origin).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
        let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap().to_owned();
        let names = [
            "authorization",
            "x-api-key",
            "idempotency-key",
            "if-match",
            "content-type",
            "last-event-id",
            "x-request-id",
        ];
        for name in names {
            assert!(allowed.split(',').any(|each| each == name), "{name} is not in {allowed}");
        }
        assert!(answer.headers.contains_key("x-request-id"));
    }
    for origin in ["https://evil.example", "http://app.example.com", "https://app.example.com.evil.example", "null"] {
        assert!(!preflight(origin).await.headers.contains_key("access-control-allow-origin"), "{origin}");
    }
    // Errors, too, have to be read by the page that asked.
    for status in [200, 429] {
        let origin = [("origin", "https://app.example.com")];
        let answer = api.send_with(&ada, Method::GET, AGENTS, &origin, Value::Null).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example.com");
        let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap().to_owned();
        for name in ["ratelimit-remaining", "x-request-id", "retry-after", "allow"] {
            assert!(exposed.split(',').any(|each| each == name), "{name} is not in {exposed}");
        }
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
}

#[tokio::test]
async fn what_is_too_large_or_accepts_nothing_is_refused_in_words() {
    let api = Api::new().await;
    let ada = api.owner();
    let long = api.get(&ada, &format!("{AGENTS}?q={}", "x".repeat(8 * 1024))).await;
    assert_eq!(long.error(), (414, "VALIDATION_ERROR"));
    let large = "x".repeat(16 * 1024);
    let headers = api.send_with(&ada, Method::GET, AGENTS, &[("x-large", &large)], Value::Null).await;
    assert_eq!(headers.error(), (431, "VALIDATION_ERROR"));
    let html = api.send_with(&ada, Method::GET, AGENTS, &[("accept", "text/html")], Value::Null).await;
    assert_eq!(html.error(), (406, "NOT_ACCEPTABLE"));
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    assert_eq!(api.send_with(&ada, Method::GET, AGENTS, &browser, Value::Null).await.status, 200);
}

#[tokio::test]
async fn answers_are_not_kept_by_anybody_on_the_way() {
    let api = Api::new().await;
    let ada = api.owner();
    for path in [AGENTS, "/v1/nowhere"] {
        let answer = api.get(&ada, path).await;
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
    }
}

/// Answers as it is told.
#[derive(Debug, Default)]
struct Told(AtomicBool);

impl Dependency for Told {
    fn is_alive(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.0.load(std::sync::atomic::Ordering::Relaxed) })
    }
}

/// Never answers.
#[derive(Debug)]
struct Silent;

impl Dependency for Silent {
    fn is_alive(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::pending())
    }
}

async fn health(api: &Api) -> (u16, Value, Value) {
    let answer = from(api, "203.0.113.1:1", None, "/health").await;
    assert!(answer.body["timestamp"].is_string());
    (answer.status.as_u16(), answer.body["status"].clone(), answer.body["checks"].clone())
}

#[tokio::test]
async fn health_asks_what_is_configured_and_is_bad_only_if_something_does_not_answer() {
    let api = Api::new().await;
    let checks = |database: bool, supabase: Option<bool>, redis: Option<bool>| serde_json::json!({ "database": database, "supabase": supabase, "redis": redis });
    assert_eq!(health(&api).await, (200, "healthy".into(), checks(true, None, None)));

    let mut server = RedisServer::start().await;
    let told = Arc::new(Told::default());
    let (redis, supabase) = (Some(server.open().await), Some(told.clone() as Arc<dyn Dependency>));
    let control = Control { redis, supabase, ..api.control.clone() };
    let api = api.with_control(control);
    assert_eq!(health(&api).await, (503, "unhealthy".into(), checks(true, Some(false), Some(true))));
    told.0.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(health(&api).await, (200, "healthy".into(), checks(true, Some(true), Some(true))));
    server.kill();
    assert_eq!(health(&api).await, (503, "unhealthy".into(), checks(true, Some(true), Some(false))));

    // All that does not answer is waited for at once, and not for long.
    let control = Control { supabase: Some(Arc::new(Silent)), ..api.control.clone() };
    let api = api.with_control(control);
    let started = SystemClock.now();
    assert_eq!(health(&api).await, (503, "unhealthy".into(), checks(true, Some(false), Some(false))));
    assert!(started.elapsed() < std::time::Duration::from_millis(3500), "{:?}", started.elapsed());
}
