use std::{collections::BTreeSet, time::Duration};

use axum::http::Method;
use serde_json::{Value, json};
use trunkline_base::Secret;

use super::{
    HEADER, LEASE, NOT_KEPT, keeps, remove_expired,
    store::{Claim, Key, claim, finish, release},
};
use crate::{
    Control,
    auth::Role,
    testing::{Answer, Api, User, agent_body},
    vault::Vault,
};

const AGENTS: &str = "/v1/voice-agents";
const LIMIT: Duration = Duration::from_secs(20);

async fn post(api: &Api, user: &User, key: &str, body: Value) -> Answer {
    api.send_with(user, Method::POST, AGENTS, &[(HEADER, key)], body).await
}

async fn agents(api: &Api, user: &User) -> i64 {
    api.get(user, AGENTS).await.data()["pagination"]["total"].as_i64().unwrap()
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

/// What the only key there is looks like.
async fn row(api: &Api) -> (String, Option<i32>, Option<String>) {
    let owner = api.scratch.superuser().await;
    sqlx::query_as("select state, status, response from idempotency_keys").fetch_one(owner.pool()).await.unwrap()
}

async fn age(api: &Api, by: &str) {
    let owner = api.scratch.superuser().await;
    sqlx::query("update idempotency_keys set expires_at = expires_at - $1::interval")
        .bind(by)
        .execute(owner.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_done_once_and_answered_the_same() {
    let api = Api::new().await;
    let ada = api.owner();
    let first = post(&api, &ada, "k", agent_body("Ada")).await;
    assert_eq!(first.status, 201);
    assert!(!is_replayed(&first));
    let second = post(&api, &ada, "k", agent_body("Ada")).await;
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert!(is_replayed(&second));
    assert_eq!(second.headers["content-type"], first.headers["content-type"]);
    assert_ne!(second.headers["x-request-id"], first.headers["x-request-id"]);
    assert_eq!(agents(&api, &ada).await, 1);
    // Another key, or none, is another request.
    assert_eq!(post(&api, &ada, "l", agent_body("Ada")).await.status, 201);
    assert_eq!(api.post(&ada, AGENTS, agent_body("Ada")).await.status, 201);
    assert_eq!(agents(&api, &ada).await, 3);
}

#[tokio::test]
async fn a_key_is_one_requests_of_one_tenant_on_one_route() {
    let api = Api::new().await;
    let (ada, eve) = (api.owner(), api.owner());
    let first = post(&api, &ada, "k", agent_body("Ada")).await;
    let other = post(&api, &ada, "k", agent_body("Bob")).await;
    assert_eq!(other.error(), (409, "CONFLICT"));
    let query = api.send_with(&ada, Method::POST, "/v1/voice-agents?x=1", &[(HEADER, "k")], agent_body("Ada")).await;
    assert_eq!(query.error(), (409, "CONFLICT"));
    let theirs = post(&api, &eve, "k", agent_body("Ada")).await;
    assert_eq!(theirs.status, 201);
    assert_ne!(theirs.body["data"]["id"], first.body["data"]["id"]);
    let elsewhere = api.send_with(&ada, Method::POST, "/v1/integrations/install", &[(HEADER, "k")], json!({})).await;
    assert_eq!(elsewhere.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(agents(&api, &ada).await, 1);
}

#[tokio::test]
async fn an_answer_is_given_again_only_to_whom_the_route_lets_through() {
    let api = Api::new().await;
    let ada = api.owner();
    let first = post(&api, &ada, "k", agent_body("Ada")).await;
    let viewer = api.user(ada.tenant, Role::Viewer);
    let refused = post(&api, &viewer, "k", agent_body("Ada")).await;
    assert_eq!(refused.error(), (403, "TENANT_ACCESS_DENIED"));
    assert_eq!(refused.body["message"], post(&api, &viewer, "new", agent_body("Ada")).await.body["message"]);
    // The route asks for a member, though an owner came first.
    let member = api.user(ada.tenant, Role::Member);
    assert_eq!(post(&api, &member, "k", agent_body("Ada")).await.body, first.body);
    // Who was refused has taken nobody's key.
    assert_eq!(post(&api, &member, "new", agent_body("Ada")).await.status, 201);
    let nobody = axum::http::Request::post(AGENTS).header(HEADER, "k").body(axum::body::Body::empty()).unwrap();
    assert_eq!(api.request(nobody).await.error(), (401, "AUTH_INVALID"));
}

#[tokio::test]
async fn an_answer_is_kept_encrypted_under_whichever_key_of_the_ring() {
    let api = Api::new().await;
    let ada = api.owner();
    let old = Vault::generate_key();
    let with_ring = |api: Api, ring: String| {
        let vault = Vault::new(&Secret::new(ring)).unwrap();
        let control = Control { vault: vault.into(), ..api.control.clone() };
        api.with_control(control)
    };
    let api = with_ring(api, old.expose().to_owned());
    let mut body = agent_body("Ada");
    body["description"] = json!("shown-once");
    let first = post(&api, &ada, "k", body.clone()).await;
    assert!(first.body.to_string().contains("shown-once"), "{:#}", first.body);
    let (state, status, response) = row(&api).await;
    assert_eq!((state.as_str(), status), ("done", Some(201)));
    assert!(!response.unwrap().contains("shown-once"));
    let new = Vault::generate_key();
    let api = with_ring(api, format!("{},{}", new.expose(), old.expose()));
    assert_eq!(post(&api, &ada, "k", body.clone()).await.body, first.body);
    let api = with_ring(api, new.expose().to_owned());
    assert_eq!(post(&api, &ada, "k", body).await.error(), (409, "CONFLICT"));
    assert_eq!(agents(&api, &ada).await, 1);
}

#[tokio::test]
async fn refusals_are_kept_and_errors_of_ours_are_not() {
    let api = Api::new().await;
    let ada = api.owner();
    let wrong = post(&api, &ada, "wrong", json!({ "name": "" })).await;
    assert_eq!(wrong.error(), (422, "VALIDATION_ERROR"));
    let again = post(&api, &ada, "wrong", json!({ "name": "" })).await;
    assert_eq!(again.body, wrong.body);
    assert!(is_replayed(&again));

    let owner = api.scratch.superuser().await;
    sqlx::query("alter table agents rename to elsewhere").execute(owner.pool()).await.unwrap();
    let failed = post(&api, &ada, "k", agent_body("Ada")).await;
    assert_eq!(failed.error(), (500, "SERVER_ERROR"));
    assert_eq!(failed.body["details"]["request_id"], failed.headers["x-request-id"].to_str().unwrap());
    sqlx::query("alter table elsewhere rename to agents").execute(owner.pool()).await.unwrap();
    let done = post(&api, &ada, "k", agent_body("Ada")).await;
    assert_eq!(done.status, 201);
    assert!(!is_replayed(&done));
}

#[tokio::test]
async fn a_key_is_printable_and_not_too_long() {
    let api = Api::new().await;
    let ada = api.owner();
    for bad in ["", &"k".repeat(256), "k\u{e9}"] {
        let answer = post(&api, &ada, bad, agent_body("Ada")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{bad:?}");
        assert_eq!(answer.body["details"]["fields"][0]["field"], "Idempotency-Key");
    }
    let twice = [(HEADER, "a"), (HEADER, "b")];
    assert_eq!(api.send_with(&ada, Method::POST, AGENTS, &twice, agent_body("Ada")).await.status, 422);
    for good in ["k", &"k".repeat(255), "a key: {with} \"all\" sorts~"] {
        assert_eq!(post(&api, &ada, good, agent_body("Ada")).await.status, 201, "{good:?}");
    }
    let large = post(&api, &ada, "large", json!("x".repeat(1024 * 1024))).await;
    assert_eq!(large.error(), (413, "PAYLOAD_TOO_LARGE"));
}

#[tokio::test]
async fn a_request_whose_client_is_gone_is_done_and_its_answer_is_there_when_it_is_back() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, AGENTS).await.data();
    let owner = api.scratch.superuser().await;
    let mut held = owner.pool().begin().await.unwrap();
    sqlx::query("lock table agents in access exclusive mode").execute(&mut *held).await.unwrap();
    {
        let mut request = std::pin::pin!(post(&api, &ada, "k", agent_body("Ada")));
        let claimed = async {
            while sqlx::query("select from idempotency_keys").fetch_optional(owner.pool()).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = &mut request => panic!("it waits for the table: {:#}", answer.body),
            () = claimed => {}
        }
        // Meanwhile it runs: whoever asks again is told to wait.
        let running = tokio::select! {
            answer = &mut request => panic!("it waits for the table: {:#}", answer.body),
            running = post(&api, &ada, "k", agent_body("Ada")) => running,
        };
        assert_eq!(running.error(), (409, "CONFLICT"));
        assert_eq!(running.headers["retry-after"], "1");
        // The client goes.
    }
    held.rollback().await.unwrap();
    let answered = async {
        loop {
            let answer = post(&api, &ada, "k", agent_body("Ada")).await;
            if answer.status != 409 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(LIMIT, answered).await.expect("it is done in time");
    assert_eq!(answer.status, 201);
    assert!(is_replayed(&answer));
    assert_eq!(agents(&api, &ada).await, 1);
}

#[tokio::test]
async fn what_a_crash_has_interrupted_is_free_after_its_lease_and_its_late_answer_counts_for_nothing() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, AGENTS).await.data();
    let db = &api.control.db;
    let key = Key { route: AGENTS.into(), key: "k".into() };
    let digest = api.control.vault.digest([AGENTS.as_bytes(), agent_body("Ada").to_string().as_bytes()]);
    let Claim::Ours(crashed) = claim(db, ada.tenant, &key, &digest, LEASE).await.unwrap() else { panic!("it is free") };
    assert_eq!(post(&api, &ada, "k", agent_body("Ada")).await.error(), (409, "CONFLICT"));
    age(&api, "59 s").await;
    assert_eq!(post(&api, &ada, "k", agent_body("Ada")).await.error(), (409, "CONFLICT"));
    age(&api, "2 s").await;
    let done = post(&api, &ada, "k", agent_body("Ada")).await;
    assert_eq!(done.status, 201);
    finish(db, ada.tenant, &key, crashed, (200, "late"), LEASE).await.unwrap();
    release(db, ada.tenant, &key, crashed).await.unwrap();
    assert_eq!(post(&api, &ada, "k", agent_body("Ada")).await.body, done.body);
}

#[tokio::test]
async fn answers_are_forgotten_after_a_day() {
    let api = Api::new().await;
    let users = [api.owner(), api.owner()];
    for user in &users {
        post(&api, user, "k", agent_body("Ada")).await.data();
    }
    age(&api, "23 h").await;
    assert_eq!(remove_expired(&api.control).await.unwrap(), 0);
    assert!(is_replayed(&post(&api, &users[0], "k", agent_body("Ada")).await));
    age(&api, "1 h").await;
    assert!(!is_replayed(&post(&api, &users[0], "k", agent_body("Ada")).await));
    assert_eq!(remove_expired(&api.control).await.unwrap(), 1);
    let owner = api.scratch.superuser().await;
    let left: i64 = sqlx::query_scalar("select count(*) from idempotency_keys").fetch_one(owner.pool()).await.unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn two_at_once_are_one() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, AGENTS).await.data();
    let (one, two) = tokio::join!(post(&api, &ada, "k", agent_body("Ada")), post(&api, &ada, "k", agent_body("Ada")));
    let statuses = BTreeSet::from([one.status.as_u16(), two.status.as_u16()]);
    assert!(statuses == BTreeSet::from([201]) || statuses == BTreeSet::from([201, 409]), "{statuses:?}");
    assert_eq!(agents(&api, &ada).await, 1);
}

/// Every POST that makes something keeps its answer, and is described so; what is left out is left out by name.
#[test]
fn every_post_of_the_api_keeps_its_answer_and_says_so() {
    let mut api = crate::router().into_openapi();
    crate::http::describe(&mut api);
    let api = serde_json::to_value(api).unwrap();
    let mut kept = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let described = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
            let post = method == "post" && path.starts_with("/v1/") && !NOT_KEPT.contains(&path.as_str());
            assert_eq!(described, post, "{method} {path}");
            assert_eq!(keeps(&method.to_uppercase().parse().unwrap(), path), post, "{method} {path}");
            kept += usize::from(post);
            let api_path = path.starts_with("/v1/");
            for status in ["406", "414", "429", "431"] {
                assert_eq!(operation["responses"].get(status).is_some(), api_path, "{method} {path} {status}");
            }
        }
    }
    assert!(kept >= 4, "{kept}");
}
