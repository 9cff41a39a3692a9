//! Nothing that was sent is in the log but what is known to be harmless.

use axum::{
    body::Body,
    http::{HeaderName, Method, Request, header},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Api, Log};

/// Stands for a key, a token, a number or a name: wherever it was sent, it must not come back.
const SECRET: &str = "hush-hush-5550100";

/// Headers that hold secrets, or could.
const HEADERS: [&str; 8] = [
    "x-api-key",
    "cookie",
    "x-forwarded-for",
    "referer",
    "idempotency-key",
    "if-match",
    "last-event-id",
    "x-twilio-signature",
];

fn operations() -> Vec<(Method, String, bool)> {
    let api = serde_json::to_value(crate::router().into_openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push((method, path.clone(), operation.get("requestBody").is_some()));
        }
    }
    operations
}

/// A path with something for each of its parameters.
fn fill(template: &str, with: &str) -> String {
    let segments = template.split('/').map(|segment| if segment.starts_with('{') { with } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn request(method: &Method, path: &str, authorization: &str, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, authorization);
    for name in HEADERS {
        request = request.header(HeaderName::from_static(name), SECRET);
    }
    match body {
        Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    }
    .unwrap()
}

#[tokio::test]
async fn no_route_logs_what_it_was_sent() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, "/v1/voice-agents").await.data();
    let token = ada.token.expose().to_owned();
    let bodies = [
        json!({ "api_key": SECRET, "name": SECRET, "credentials": { "api_key": SECRET } }),
        json!({ SECRET: SECRET }),
        json!([SECRET]),
        json!(SECRET),
    ];
    let operations = operations();
    assert!(operations.len() >= 20, "{}", operations.len());
    let log = Log::capture();
    for (method, template, has_body) in &operations {
        let query = format!("?ticket={SECRET}&q={SECRET}&limit={SECRET}&status={SECRET}");
        let paths = [
            fill(template, &Uuid::now_v7().to_string()),
            fill(template, SECRET) + &query,
            fill(template, SECRET) + "/" + SECRET,
        ];
        for path in &paths {
            for authorization in [format!("Bearer {token}"), format!("Bearer {SECRET}"), SECRET.to_owned()] {
                for body in bodies.iter().filter(|_| *has_body).map(Some).chain([None]) {
                    api.request(request(method, path, &authorization, body)).await;
                }
            }
        }
    }
    let text = log.text();
    for line in text.lines() {
        assert!(!line.contains("hush") && !line.contains("5550100"), "{line}");
        assert!(!line.contains(&token) && !line.contains(token.rsplit('.').next().unwrap()), "{line}");
    }
    // The log was not empty because nothing was logged.
    let requests = operations.iter().filter(|(_, path, _)| !path.starts_with("/health")).count();
    assert!(text.matches("api_request").count() >= requests * 9, "{}", text.matches("api_request").count());
}

#[tokio::test]
async fn a_request_is_two_lines_that_say_who_what_and_how_it_went() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = Uuid::now_v7();
    let log = Log::capture();
    let headers = [("user-agent", "curl/8.5.0"), ("x-request-id", "find-me")];
    api.send_with(&ada, Method::GET, &format!("/v1/voice-agents/{id}?x=1"), &headers, Value::Null).await;
    let text = log.text();
    let line =
        |message: &str| text.lines().find(|line| line.contains(message)).unwrap_or_else(|| panic!("{text}")).to_owned();
    let common = [
        "method=\"GET\"",
        &format!("path=\"/v1/voice-agents/{id}\""),
        &format!("tenant_id={}", ada.tenant),
        "user_agent=\"curl/8.5.0\"",
    ];
    for part in common {
        assert!(line("api_request").contains(part), "{part} is not in {text}");
        assert!(line("api_response").contains(part), "{part} is not in {text}");
    }
    assert!(line("api_response").contains("status_code=404"), "{text}");
    assert!(line("request request_id").contains("find-me"), "{text}");
}
