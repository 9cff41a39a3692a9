use serde_json::{Value, json};
use uuid::Uuid;

use super::store;
use crate::{
    auth::Role,
    testing::{Api, User},
    vendors::Provider,
};

const PATH: &str = "/v1/audit-log";

async fn entries(api: &Api, user: &User, query: &str) -> Vec<Value> {
    let answer = api.get(user, &format!("{PATH}{query}")).await;
    let data = answer.data();
    let entries = data["entries"].as_array().unwrap().clone();
    assert_eq!(data["pagination"]["total"], entries.len());
    entries
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn everything_that_changes_something_leaves_an_entry() {
    let api = Api::new().await;
    let ada = api.owner();
    let credential = api.credential(&ada, Provider::Openai, "sk-secret-one").await;
    let path = format!("/v1/integrations/credentials/{credential}");
    api.patch(&ada, &path, json!({ "credentials": { "api_key": "sk-secret-two" }, "credential_name": "Bob's" }))
        .await
        .data();
    api.vendors.accept("sk-secret-two");
    let installation = api.installation(&ada, Provider::Openai, credential).await;
    let agent = api.agent(&ada, &[]).await;
    let agent_path = format!("/v1/voice-agents/{agent}");
    api.patch(&ada, &agent_path, json!({ "description": "Sells", "metadata": { "a": 1 } })).await.data();
    // What changes nothing leaves none.
    api.patch(&ada, &agent_path, json!({ "description": "Sells" })).await.data();
    let number = api.phone_number(&ada, "+14155550100", "twilio-secret", Some(agent)).await;
    let number_path = format!("/v1/phone-numbers/{number}");
    api.patch(&ada, &number_path, json!({ "agent_id": null })).await.data();
    api.patch(&ada, &number_path, json!({})).await.data();
    api.delete(&ada, &number_path).await.data();
    api.delete(&ada, &agent_path).await.data();
    api.delete(&ada, &format!("/v1/integrations/installed/{installation}")).await.data();
    api.delete(&ada, &path).await.data();
    let bob = api.user(ada.tenant, Role::Viewer);
    api.get(&bob, "/v1/tenant").await.data();
    api.get(&bob, "/v1/tenant").await.data();
    let member = format!("/v1/members/{}", bob.id);
    api.patch(&ada, &member, json!({ "role": "member" })).await.data();
    api.delete(&ada, &member).await.data();
    let body = json!({ "user_id": bob.id, "email": "bob@example.com", "role": "viewer" });
    api.post(&ada, "/v1/members", body).await.data();
    api.patch(&ada, "/v1/tenant", json!({ "name": "Acme", "settings": { "max_concurrent_calls": 3 } })).await.data();
    let key = api.post(&ada, "/v1/api-keys", json!({ "name": "Sync", "role": "viewer" })).await;
    api.delete(&ada, &format!("/v1/api-keys/{}", key.data()["id"].as_str().unwrap())).await.data();
    // What is refused leaves none either.
    api.delete(&ada, &agent_path).await;
    api.post(&ada, "/v1/api-keys", json!({ "name": "", "role": "viewer" })).await;

    let all = entries(&api, &ada, "").await;
    let expected = [
        "tenant.created",
        "credential.created",
        "credential.changed",
        "installation.created",
        "agent.created",
        "agent.changed",
        "credential.created",
        "phone_number.created",
        "phone_number.changed",
        "phone_number.removed",
        "agent.removed",
        "installation.removed",
        "credential.removed",
        "member.joined",
        "member.changed",
        "member.removed",
        "member.added",
        "tenant.changed",
        "api_key.created",
        "api_key.revoked",
    ];
    assert_eq!(actions(&all), expected);
    let text = json!(all).to_string();
    for private in ["sk-secret", "twilio-secret", "4155550100", "bob@example", "Bob", "developer@", "Acme", "Sells"] {
        assert!(!text.contains(private), "{private} is in the log");
    }
    assert!(!text.contains(&key.data()["key"].as_str().unwrap()[17..]));
    let entry = |action: &str| all.iter().find(|entry| entry["action"] == action).unwrap();
    let mut changed = entry("agent.changed").clone();
    let at = changed.as_object_mut().unwrap().remove("at").unwrap();
    assert!(at.is_string() && changed.as_object_mut().unwrap().remove("id").unwrap().is_string());
    assert_eq!(
        changed,
        json!({
            "actor": format!("user:{}", ada.id), "action": "agent.changed", "target_kind": "agent", "target_id": agent,
            "details": { "version": 2, "changed": ["description", "metadata"] }
        })
    );
    assert_eq!(entry("tenant.changed")["details"], json!({ "changed": ["max_concurrent_calls", "name"] }));
    assert_eq!(entry("credential.changed")["details"], json!({ "renamed": true, "fields_set": ["api_key"] }));
    assert_eq!(entry("member.joined")["actor"], format!("user:{}", bob.id));
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let api = Api::new().await;
    let ada = api.owner();
    api.agent(&ada, &[]).await;
    let bob = api.user(ada.tenant, Role::Member);
    let agent = api.agent(&bob, &[]).await;
    api.delete(&bob, &format!("/v1/voice-agents/{agent}")).await.data();
    let of_bob = entries(&api, &ada, &format!("?actor=user:{}", bob.id)).await;
    assert_eq!(actions(&of_bob), ["member.joined", "agent.created", "agent.removed"]);
    assert_eq!(entries(&api, &ada, "?action=agent.created").await.len(), 2);
    assert_eq!(entries(&api, &ada, "?target_kind=agent&action=").await.len(), 3);
    assert_eq!(entries(&api, &ada, "?target_kind=nothing").await.len(), 0);
    let at = of_bob[0]["at"].as_str().unwrap();
    let (today, day) = (&at[..10], |day: &str| format!("?date_from={day}&date_to={day}"));
    assert_eq!(entries(&api, &ada, &day(today)).await.len(), 5);
    assert_eq!(entries(&api, &ada, &day("2020-01-01")).await.len(), 0);
    assert_eq!(actions(&entries(&api, &ada, &format!("?date_from={at}")).await), ["agent.removed"]);

    let page = api.get(&ada, &format!("{PATH}?limit=2&page=2")).await;
    assert_eq!(page.data()["pagination"], json!({ "page": 2, "limit": 2, "total": 5, "total_pages": 3 }));
    assert_eq!(actions(page.data()["entries"].as_array().unwrap()), ["agent.created", "member.joined"]);
    for wrong in ["?date_from=yesterday", "?limit=0", "?page=0", &format!("?actor={}", "x".repeat(101)), "?action=%00"]
    {
        assert_eq!(api.get(&ada, &format!("{PATH}{wrong}")).await.error(), (422, "VALIDATION_ERROR"), "{wrong}");
    }
}

#[tokio::test]
async fn an_entry_is_undone_with_what_it_tells_and_otherwise_stays() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, "/v1/tenant").await.data();
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    let target = Some(Uuid::now_v7());
    store::record(&mut tx, ada.tenant, "user:x", "agent.created", "agent", target, json!({})).await.unwrap();
    drop(tx);
    assert_eq!(actions(&entries(&api, &ada, "").await), ["tenant.created"]);
    for statement in ["delete from audit_log", "update audit_log set actor = 'user:y'"] {
        let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
        let done = sqlx::query(statement).execute(tx.connection()).await;
        assert!(done.unwrap_err().to_string().contains("permission denied"), "{statement}");
    }
}
