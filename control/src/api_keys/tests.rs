use axum::{
    body::Body,
    http::{Method, Request, header},
};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::Role,
    http::now,
    testing::{Answer, Api, Log, User, agent_body},
};

const PATH: &str = "/v1/api-keys";
const EARLIER: &str = "update api_keys set last_used_at = last_used_at - interval '2 minutes'";
const AGENTS: &str = "/v1/voice-agents";

async fn make(api: &Api, user: &User, role: &str) -> (String, Uuid) {
    let made = api.post(user, PATH, json!({ "name": "Sync", "role": role })).await;
    let data = made.data();
    (data["key"].as_str().unwrap().to_owned(), data["id"].as_str().unwrap().parse().unwrap())
}

/// A request with these headers.
async fn with(api: &Api, method: Method, path: &str, headers: &[(&str, String)], body: Value) -> Answer {
    let mut builder = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    api.request(builder.body(body).unwrap()).await
}

fn bearer(credential: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {credential}"))
}

async fn read(api: &Api, key: &str) -> Answer {
    with(api, Method::GET, AGENTS, &[bearer(key)], Value::Null).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_only_its_hash_is_kept() {
    let api = Api::new().await;
    let ada = api.owner();
    let log = Log::capture();
    let expires = now() + TimeDelta::days(1);
    let body = json!({ "name": "Sync", "role": "member", "expires_at": expires });
    let made = api.post(&ada, PATH, body).await;
    assert_eq!(made.status, 201);
    let key = made.data()["key"].as_str().unwrap().to_owned();
    let key_id = made.data()["key_id"].as_str().unwrap().to_owned();
    assert!(key.starts_with(&format!("tlk_{key_id}_")) && key.len() == 81);
    assert_eq!(made.data()["role"], "member");
    assert_eq!(made.data()["created_by"], format!("user:{}", ada.id));

    for headers in [[bearer(&key)], [("x-api-key", key.clone())], [("authorization", format!("bearer  {key}"))]] {
        with(&api, Method::GET, AGENTS, &headers, Value::Null).await.data();
    }
    // What it makes bears its name.
    let agent = with(&api, Method::POST, AGENTS, &[bearer(&key)], agent_body("a")).await;
    let path = format!("{AGENTS}/{}/versions", agent.data()["id"].as_str().unwrap());
    let versions = api.get(&ada, &path).await;
    let actor = format!("key:{}", made.data()["id"].as_str().unwrap());
    assert_eq!(versions.data()["versions"][0]["created_by"], *actor);

    let listed = api.get(&ada, PATH).await;
    assert_eq!(listed.data()["pagination"]["total"], 1);
    let secret = &key[17..];
    assert!(!listed.body.to_string().contains(secret));
    assert!(!log.text().contains(secret));
    let owner = api.scratch.superuser().await;
    let (row, bytes): (String, i32) = sqlx::query_as("select to_jsonb(k)::text, length(key_hash) from api_keys k")
        .fetch_one(owner.pool())
        .await
        .unwrap();
    assert!(!row.contains(secret) && bytes == 32);
    let log: String = sqlx::query_scalar("select jsonb_agg(to_jsonb(a))::text from audit_log a")
        .fetch_one(owner.pool())
        .await
        .unwrap();
    assert!(log.contains("api_key.created") && !log.contains(secret));
}

#[tokio::test]
async fn a_key_ends_with_its_time_and_when_it_is_revoked() {
    let api = Api::new().await;
    let ada = api.owner();
    let (short, short_id) = make(&api, &ada, "viewer").await;
    let (long, long_id) = make(&api, &ada, "viewer").await;
    read(&api, &short).await.data();
    let owner = api.scratch.superuser().await;
    sqlx::query("update api_keys set expires_at = now() - interval '1 second' where id = $1")
        .bind(short_id)
        .execute(owner.pool())
        .await
        .unwrap();
    let ended = read(&api, &short).await;
    assert_eq!((ended.error(), &ended.body["message"]), ((401, "AUTH_INVALID"), &json!("The API key has expired")));

    api.delete(&ada, &format!("{PATH}/{long_id}")).await.data();
    let revoked = read(&api, &long).await;
    assert_eq!(revoked.error(), (401, "AUTH_INVALID"));
    assert_eq!(revoked.body["message"], "The API key has been revoked");
    assert_eq!(api.delete(&ada, &format!("{PATH}/{long_id}")).await.error(), (404, "API_KEY_NOT_FOUND"));
    let listed = api.get(&ada, PATH).await;
    assert_eq!(listed.data()["pagination"]["total"], 1);
    // Its name does not come back with the secret of another.
    let (other, _) = make(&api, &ada, "viewer").await;
    for forged in [format!("{}{}", &other[..17], &long[17..]), format!("{}{}", &long[..17], &other[17..])] {
        let answer = read(&api, &forged).await;
        assert_eq!(answer.error(), (401, "AUTH_INVALID"));
        assert_eq!(answer.body["message"], "The API key is not valid");
    }
    sqlx::query("update tenants set status = 'suspended'").execute(owner.pool()).await.unwrap();
    assert_eq!(read(&api, &other).await.error(), (403, "TENANT_ACCESS_DENIED"));
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_of_two_credentials_none_counts() {
    let api = Api::new().await;
    let ada = api.owner();
    let (key, _) = make(&api, &ada, "viewer").await;
    let token = ada.token.expose();
    let upper = key.to_uppercase();
    let unknown = format!("tlk_{}_{}", "0".repeat(12), &key[17..]);
    for wrong in ["tlk_", "tlk_x_y", &key[..80], &format!("{key}0"), &upper, &unknown, "", "tlk_ x"] {
        for headers in [[bearer(wrong)], [("x-api-key", wrong.to_owned())]] {
            let answer = with(&api, Method::GET, AGENTS, &headers, Value::Null).await;
            assert_eq!(answer.error(), (401, "AUTH_INVALID"), "{headers:?}");
        }
    }
    let by_name = |value: &str| ("x-api-key", value.to_owned());
    let several = [
        vec![bearer(&key), by_name(&key)],
        vec![bearer(token), by_name(&key)],
        vec![bearer(token), by_name("")],
        vec![bearer(token), bearer(token)],
        vec![bearer(token), bearer(&key)],
        vec![by_name(&key), by_name(&key)],
        vec![("authorization", "Basic dTpw".to_owned()), by_name(&key)],
        // A user's token is no API key.
        vec![by_name(token)],
    ];
    for headers in several {
        let answer = with(&api, Method::GET, AGENTS, &headers, Value::Null).await;
        assert_eq!(answer.error(), (401, "AUTH_INVALID"), "{headers:?}");
        assert!(!answer.body.to_string().contains(&key[17..]));
    }
    // Nor does a URL carry one.
    let answer = with(&api, Method::GET, &format!("{AGENTS}?api_key={key}&apikey={key}"), &[], Value::Null).await;
    assert_eq!(answer.error(), (401, "AUTH_INVALID"));
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_more_than_they() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, AGENTS).await.data();
    let admin = api.user(ada.tenant, Role::Admin);
    let body = |role: &str| json!({ "name": "k", "role": role });
    assert_eq!(api.post(&admin, PATH, body("owner")).await.error(), (403, "TENANT_ACCESS_DENIED"));
    let (key, _) = make(&api, &admin, "admin").await;
    let by_key = |role: &str| body(role);
    let answer = with(&api, Method::POST, PATH, &[bearer(&key)], by_key("owner")).await;
    assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"));
    with(&api, Method::POST, PATH, &[bearer(&key)], by_key("viewer")).await.data();
    make(&api, &ada, "owner").await;

    let wrong = [
        (json!({ "name": "", "role": "viewer" }), "name"),
        (json!({ "name": "x".repeat(101), "role": "viewer" }), "name"),
        (json!({ "name": "x", "role": "king" }), "role"),
        (json!({ "name": "x", "role": "viewer", "expires_at": Utc::now() - TimeDelta::days(1) }), "expires_at"),
        (json!({ "name": "x", "role": "viewer", "expires_at": "soon" }), "expires_at"),
        (json!({ "name": "x", "role": "viewer", "scopes": [] }), ""),
        (json!({ "name": "x" }), ""),
    ];
    for (body, field) in wrong {
        let answer = api.post(&ada, PATH, body.clone()).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{body}");
        let told = answer.body["details"]["fields"][0]["field"].as_str().unwrap();
        assert!(field.is_empty() || told == field, "{body}: {told}");
    }
}

#[tokio::test]
async fn a_keys_use_is_written_once_a_minute() {
    let api = Api::new().await;
    let ada = api.owner();
    let (key, id) = make(&api, &ada, "viewer").await;
    let owner = api.scratch.superuser().await;
    let last = async || -> Option<String> {
        api.control.auth.api_keys.settled().await;
        sqlx::query_scalar("select last_used_at::text from api_keys").fetch_one(owner.pool()).await.unwrap()
    };
    assert_eq!(last().await, None);
    read(&api, &key).await.data();
    let first = last().await;
    assert!(first.is_some());
    assert!(api.get(&ada, PATH).await.data()["api_keys"][0]["last_used_at"].is_string());
    read(&api, &key).await.data();
    assert_eq!(last().await, first);
    sqlx::query(EARLIER).execute(owner.pool()).await.unwrap();
    let earlier = last().await;
    // What is refused is no use.
    let forged = format!("{}{}", &key[..17], "0".repeat(64));
    assert_eq!(read(&api, &forged).await.error(), (401, "AUTH_INVALID"));
    assert_eq!(last().await, earlier);
    read(&api, &key).await.data();
    let again = last().await;
    assert!(again > first, "{again:?} {first:?}");
    // Nor is what is used once it has ended.
    sqlx::query(EARLIER).execute(owner.pool()).await.unwrap();
    let earlier = last().await;
    api.delete(&ada, &format!("{PATH}/{id}")).await.data();
    read(&api, &key).await;
    assert_eq!(last().await, earlier);
}
