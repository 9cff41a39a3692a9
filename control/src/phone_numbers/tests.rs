use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::Role,
    lookup,
    testing::{Api, Log},
    vendors::Provider,
};

const PATH: &str = "/v1/phone-numbers";
const NUMBER: &str = "+14155550123";

fn body(credential: Uuid) -> Value {
    json!({ "provider": "twilio", "phone_number": NUMBER, "credential_id": credential })
}

#[tokio::test]
async fn a_number_counts_once_its_carrier_confirms_it() {
    let api = Api::new().await;
    let log = Log::capture();
    let ada = api.owner();
    let agent = api.agent(&ada, &[]).await;
    let credential = api.credential(&ada, Provider::Twilio, "token").await;
    let not_owned = api.post(&ada, PATH, body(credential)).await;
    assert_eq!(not_owned.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(
        not_owned.body["details"]["fields"],
        json!([{ "field": "phone_number", "message": "is not a number that the credential's account owns" }])
    );
    assert_eq!(api.get(&ada, PATH).await.data()["phone_numbers"], json!([]));

    api.vendors.number(NUMBER, "token");
    let mut with_agent = body(credential);
    with_agent["agent_id"] = json!(agent);
    let added = api.post(&ada, PATH, with_agent).await;
    assert_eq!(added.status, 201);
    let mut data = added.data().clone();
    let id: Uuid = data["id"].as_str().unwrap().parse().unwrap();
    assert!(data["verified_at"].is_string() && data["created_at"].is_string());
    data.as_object_mut().unwrap().retain(|key, _| !["id", "verified_at", "created_at"].contains(&key.as_str()));
    assert_eq!(
        data,
        json!({
            "provider": "twilio", "phone_number": NUMBER, "provider_sid": "PN14155550123", "credential_id": credential,
            "agent_id": agent, "webhook_url": "https://voice.example.com/webhooks/twilio?kind=voice",
        })
    );
    assert_eq!(api.get(&ada, PATH).await.data()["phone_numbers"], json!([added.data()]));
    let found = lookup::number(&api.control.db, Provider::Twilio, NUMBER).await.unwrap().unwrap();
    assert_eq!(
        (found.tenant, found.id, found.agent, found.credential),
        (ada.tenant, id, Some(agent), Some(credential))
    );
    assert_eq!(
        api.delete(&ada, &format!("/v1/integrations/credentials/{credential}")).await.error(),
        (409, "CONFLICT")
    );
    assert!(!log.text().contains("4155550123"), "{}", log.text());

    let removed = api.delete(&ada, &format!("{PATH}/{id}")).await;
    assert_eq!((removed.status.as_u16(), removed.data()), (200, &Value::Null));
    assert!(lookup::number(&api.control.db, Provider::Twilio, NUMBER).await.unwrap().is_none());
    assert_eq!(api.delete(&ada, &format!("{PATH}/{id}")).await.error(), (404, "PHONE_NUMBER_NOT_FOUND"));
}

#[tokio::test]
async fn a_number_that_is_taken_does_not_say_by_whom() {
    let api = Api::new().await;
    let (ada, eve) = (api.owner(), api.owner());
    api.phone_number(&ada, NUMBER, "token", None).await;
    let mut answers = Vec::new();
    for user in [&ada, &eve] {
        let credential = api.credential(user, Provider::Twilio, "token").await;
        let answer = api.post(user, PATH, body(credential)).await;
        assert_eq!(answer.error(), (409, "CONFLICT"));
        answers.push((answer.body["message"].clone(), answer.body["details"].clone()));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[1].0.to_string().contains(&ada.tenant.to_string()));
}

#[tokio::test]
async fn what_cannot_be_confirmed_is_named() {
    let api = Api::new().await;
    let ada = api.owner();
    let twilio = api.credential(&ada, Provider::Twilio, "token").await;
    let openai = api.credential(&ada, Provider::Openai, "token").await;
    let with = |key: &str, value: Value| {
        let mut body = body(twilio);
        body[key] = value;
        body
    };
    for (body, field) in [
        (with("phone_number", json!("4155550123")), "phone_number"),
        (with("provider", json!("openai")), "provider"),
        (with("credential_id", json!(openai)), "credential_id"),
        (with("credential_id", Value::Null), "credential_id"),
        (with("label", json!("x")), "label"),
    ] {
        let answer = api.post(&ada, PATH, body).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{field}");
        assert_eq!(answer.body["details"]["fields"][0]["field"], field);
        assert!(!answer.body.to_string().contains("4155550123"));
    }
    let answer = api.post(&ada, PATH, with("credential_id", json!(Uuid::now_v7()))).await;
    assert_eq!(answer.error(), (404, "CREDENTIAL_NOT_FOUND"));
    let answer = api.post(&ada, PATH, with("agent_id", json!(Uuid::now_v7()))).await;
    assert_eq!(answer.error(), (404, "AGENT_NOT_FOUND"));
    api.vendors.revoke("token");
    let answer = api.post(&ada, PATH, body(twilio)).await;
    assert_eq!(answer.error(), (502, "EXTERNAL_API_ERROR"));
    assert_eq!(answer.body["details"], json!({ "vendor": "twilio", "status": 401, "code": null }));
}

#[tokio::test]
async fn a_number_changes_its_agent_and_its_credential() {
    let api = Api::new().await;
    let ada = api.owner();
    let agent = api.agent(&ada, &[]).await;
    let id = api.phone_number(&ada, NUMBER, "token", None).await;
    let path = format!("{PATH}/{id}");
    assert_eq!(api.patch(&ada, &path, json!({ "agent_id": agent })).await.data()["agent_id"], json!(agent));
    assert_eq!(api.patch(&ada, &path, json!({})).await.data()["agent_id"], json!(agent));
    assert_eq!(api.patch(&ada, &path, json!({ "agent_id": null })).await.data()["agent_id"], Value::Null);

    let other = api.credential(&ada, Provider::Twilio, "other").await;
    let refused = api.patch(&ada, &path, json!({ "credential_id": other })).await;
    assert_eq!(refused.error(), (422, "VALIDATION_ERROR"));
    api.vendors.number(NUMBER, "other");
    let moved = api.patch(&ada, &path, json!({ "credential_id": other, "agent_id": agent })).await;
    assert_eq!((&moved.data()["credential_id"], &moved.data()["agent_id"]), (&json!(other), &json!(agent)));

    let member = api.user(ada.tenant, Role::Member);
    assert_eq!(api.get(&member, PATH).await.status, 200);
    let denied = [
        api.patch(&member, &path, json!({ "agent_id": null })).await,
        api.delete(&member, &path).await,
        api.post(&member, PATH, body(other)).await,
    ];
    for answer in denied {
        assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"));
    }
}
