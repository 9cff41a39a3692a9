//! Who may do what: each route that the description of the API has is tried as everybody.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::json;
use uuid::Uuid;

use super::Role;
use crate::testing::{Api, User};

/// What changes something, by what it changes. Of two that fit, the longer counts.
const CHANGES: [(&str, Role); 16] = [
    ("/v1/voice-agents", Role::Member),
    ("/v1/voices/preview", Role::Member),
    ("/v1/conversations", Role::Member),
    ("/v1/campaigns", Role::Member),
    ("/v1/do-not-call", Role::Member),
    ("/v1/live/tickets", Role::Viewer),
    ("/v1/integrations/credentials", Role::Admin),
    ("/v1/integrations/test-credential", Role::Admin),
    ("/v1/integrations/install", Role::Admin),
    ("/v1/integrations/installed", Role::Admin),
    ("/v1/phone-numbers", Role::Admin),
    ("/v1/tenant", Role::Admin),
    ("/v1/members", Role::Admin),
    ("/v1/api-keys", Role::Admin),
    ("/v1/webhooks", Role::Admin),
    ("/v1/jobs", Role::Admin),
];

/// What only administrators read; all else is for every member.
const CONFIDENTIAL: [&str; 6] =
    ["/v1/members", "/v1/api-keys", "/v1/audit-log", "/v1/usage", "/v1/jobs", "/v1/webhooks"];

/// The least role for an operation.
fn least(method: &Method, path: &str) -> Role {
    // Erasing is for those who answer for the tenant's data.
    if *method == Method::DELETE && path == "/v1/conversations/{conversation_id}" {
        return Role::Admin;
    }
    let under = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if *method == Method::GET {
        return if CONFIDENTIAL.iter().any(|prefix| under(prefix)) { Role::Admin } else { Role::Viewer };
    }
    let fitting = CHANGES.iter().filter(|(prefix, _)| under(prefix));
    match fitting.max_by_key(|(prefix, _)| prefix.len()) {
        Some((_, role)) => *role,
        None => panic!("{method} {path}: say in `CHANGES` who may do this"),
    }
}

/// Every operation of the description under `/v1`.
fn operations() -> Vec<(Method, String)> {
    let api = serde_json::to_value(crate::router().into_openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if path.starts_with("/v1/") {
                operations.push((method.to_uppercase().parse().unwrap(), path.clone()));
            }
        }
    }
    assert!(operations.len() >= 30, "{} operations", operations.len());
    operations
}

/// With ids that name nothing and a body that says nothing: whoever is let in is told so.
fn request(method: &Method, path: &str, credential: &str) -> Request<Body> {
    let mut filled = String::new();
    for (n, part) in path.split(['{', '}']).enumerate() {
        filled += &if n % 2 == 0 { part.to_owned() } else { Uuid::now_v7().to_string() };
    }
    let builder = Request::builder().method(method).uri(filled);
    let builder = builder.header(header::AUTHORIZATION, format!("Bearer {credential}"));
    let body = if *method == Method::GET { Body::empty() } else { Body::from("{}") };
    builder.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

async fn key_of(api: &Api, owner: &User, role: Role) -> String {
    let made = api.post(owner, "/v1/api-keys", json!({ "name": "k", "role": role })).await;
    made.data()["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_operation_asks_for_its_role_and_no_more() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, "/v1/tenant").await.data();
    let mut callers = vec![(Role::Owner, ada.token.expose().to_owned())];
    for role in [Role::Viewer, Role::Member, Role::Admin, Role::Owner] {
        if role < Role::Owner {
            callers.push((role, api.user(ada.tenant, role).token.expose().to_owned()));
        }
        callers.push((role, key_of(&api, &ada, role).await));
    }
    let mut tried = 0;
    for (method, path) in operations() {
        let needed = least(&method, &path);
        for (role, credential) in &callers {
            let status = api.status(request(&method, &path, credential)).await;
            let expected = if *role < needed { "403" } else { "anything but 401 and 403" };
            let refused = status == 403;
            assert!(
                status != 401 && refused == (*role < needed),
                "{method} {path} as {role}: {status}, not {expected}"
            );
            tried += 1;
        }
        let nobody = api.status(request(&method, &path, "x.y.z")).await;
        assert_eq!(nobody, 401, "{method} {path}");
    }
    println!("{tried} operations as somebody, roles as the table says");
}
