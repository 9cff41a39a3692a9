use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::Role,
    credentials::store::{by_account, for_call},
    testing::{Api, integration_id},
    vendors::Provider,
};

const INSTALL: &str = "/v1/integrations/install";
const INSTALLED: &str = "/v1/integrations/installed";

#[tokio::test]
async fn the_catalogue_says_what_a_credential_needs_and_what_is_installed() {
    let api = Api::new().await;
    let ada = api.owner();
    let credential = api.credential(&ada, Provider::Twilio, "token").await;
    api.installation(&ada, Provider::Twilio, credential).await;
    let answer = api.get(&ada, "/v1/integrations").await;
    let entries = answer.data()["integrations"].as_array().unwrap().clone();
    let installed: Vec<(&str, bool)> = entries
        .iter()
        .map(|entry| (entry["provider"].as_str().unwrap(), entry["installed"].as_bool().unwrap()))
        .collect();
    let expected = ["openai", "claude", "deepgram", "elevenlabs", "twilio", "vonage", "salesforce"];
    assert_eq!(installed, expected.map(|provider| (provider, provider == "twilio")));
    assert_eq!(answer.data()["pagination"], json!({ "page": 1, "limit": 50, "total": 7, "total_pages": 1 }));

    let openai = api.get(&ada, &format!("/v1/integrations/{}", integration_id(Provider::Openai))).await;
    let text = |about: &str| json!({ "type": "string", "description": about, "writeOnly": true, "maxLength": 16384 });
    let with = |mut schema: Value, key: &str, value: Value| {
        schema[key] = value;
        schema
    };
    assert_eq!(
        openai.data(),
        &json!({
            "id": integration_id(Provider::Openai), "provider": "openai", "name": "OpenAI", "category": "ai", "installed": false,
            "credential_schemas": { "api_key": {
                "type": "object", "required": ["api_key"], "additionalProperties": false,
                "properties": {
                    "api_key": with(with(text("The key"), "minLength", 1.into()), "format", "password".into()),
                    "endpoint_url": with(
                        text("A compatible server, or a proxy, instead of the vendor's own address"), "format", "uri".into()
                    ),
                    "organization": text("The organization that is billed"),
                }
            } }
        })
    );
    let answer = api.get(&ada, &format!("/v1/integrations/{}", Uuid::now_v7())).await;
    assert_eq!(answer.error(), (404, "INTEGRATION_NOT_FOUND"));
}

#[tokio::test]
async fn what_is_installed_was_tested_first() {
    let api = Api::new().await;
    let ada = api.owner();
    let credential = api.credential(&ada, Provider::Twilio, "token").await;
    let body = json!({
        "integration_id": integration_id(Provider::Twilio), "credential_id": credential,
        "config": { "webhook_url": "https://example.com", "custom_settings": { "a": [1, null] } }
    });
    api.vendors.revoke("token");
    let failed = api.post(&ada, INSTALL, body.clone()).await;
    assert_eq!(failed.error(), (409, "INTEGRATION_TEST_FAILED"));
    assert_eq!(failed.body["message"], "twilio: the key is not valid");
    assert_eq!(failed.body["details"], json!({ "vendor": "twilio", "status": 401, "code": null }));
    let path = format!("/v1/integrations/credentials/{credential}");
    let tested = api.get(&ada, &path).await;
    assert_eq!(tested.data()["last_test_status"], "failed");
    assert_eq!(tested.data()["last_test_error"], "twilio: the key is not valid");
    assert!(tested.data()["last_tested_at"].is_string());
    assert_eq!(api.get(&ada, INSTALLED).await.data()["installations"], json!([]));

    api.vendors.accept("token");
    let done = api.post(&ada, INSTALL, body.clone()).await;
    assert_eq!(done.status, 201);
    let id = done.data()["installation_id"].clone();
    assert_eq!(
        done.data(),
        &json!({
            "installation_id": id, "integration_id": integration_id(Provider::Twilio), "credential_id": credential,
            "status": "installed", "webhook_url": "https://voice.example.com/webhooks/twilio?kind=voice",
        })
    );
    let tested = api.get(&ada, &path).await;
    assert_eq!(
        (&tested.data()["last_test_status"], &tested.data()["last_test_error"]),
        (&json!("success"), &Value::Null)
    );
    assert_eq!(api.post(&ada, INSTALL, body.clone()).await.error(), (409, "CONFLICT"));
    let listed = api.get(&ada, INSTALLED).await;
    let mut entry = listed.data()["installations"][0].clone();
    assert!(entry["created_at"].is_string());
    entry["created_at"] = Value::Null;
    assert_eq!(
        entry,
        json!({
            "id": id, "integration_id": integration_id(Provider::Twilio), "provider": "twilio", "credential_id": credential,
            "config": body["config"], "is_default": true, "created_at": null,
            "webhook_url": "https://voice.example.com/webhooks/twilio?kind=voice",
        })
    );
}

#[tokio::test]
async fn what_cannot_be_installed_is_named() {
    let api = Api::new().await;
    let ada = api.owner();
    let credential = api.credential(&ada, Provider::Openai, "good").await;
    let body =
        |integration: Uuid, credential: Uuid| json!({ "integration_id": integration, "credential_id": credential });
    let unknown = Uuid::now_v7();
    let answer = api.post(&ada, INSTALL, body(unknown, credential)).await;
    assert_eq!(answer.error(), (404, "INTEGRATION_NOT_FOUND"));
    let answer = api.post(&ada, INSTALL, body(integration_id(Provider::Openai), unknown)).await;
    assert_eq!(answer.error(), (404, "CREDENTIAL_NOT_FOUND"));
    let answer = api.post(&ada, INSTALL, body(integration_id(Provider::Claude), credential)).await;
    assert_eq!(answer.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(answer.body["details"]["fields"][0]["field"], "credential_id");
    let member = api.user(ada.tenant, Role::Member);
    let answer = api.post(&member, INSTALL, body(integration_id(Provider::Openai), credential)).await;
    assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"));
    let answer = api.delete(&ada, &format!("{INSTALLED}/{unknown}")).await;
    assert_eq!(answer.error(), (404, "INSTALLATION_NOT_FOUND"));
}

#[tokio::test]
async fn the_first_of_a_provider_is_its_default_and_is_succeeded() {
    let api = Api::new().await;
    let ada = api.owner();
    let mut installations = Vec::new();
    for n in 0..3 {
        let credential = api.credential(&ada, Provider::Openai, &format!("k{n}")).await;
        installations.push(api.installation(&ada, Provider::Openai, credential).await);
    }
    let defaults = async || {
        let listed = api.get(&ada, INSTALLED).await;
        let all = listed.data()["installations"].as_array().unwrap().clone();
        all.iter().filter(|it| it["is_default"] == true).map(|it| it["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(defaults().await, [json!(installations[0])]);
    assert_eq!(api.delete(&ada, &format!("{INSTALLED}/{}", installations[0])).await.status, 200);
    assert_eq!(defaults().await, [json!(installations[1])]);
    assert_eq!(api.delete(&ada, &format!("{INSTALLED}/{}", installations[2])).await.status, 200);
    assert_eq!(api.delete(&ada, &format!("{INSTALLED}/{}", installations[1])).await.status, 200);
    assert!(defaults().await.is_empty());
}

#[tokio::test]
async fn of_many_that_install_at_once_one_is_the_default() {
    let api = Api::new().await;
    let ada = api.owner();
    let mut credentials = Vec::new();
    for n in 0..4 {
        credentials.push(api.credential(&ada, Provider::Openai, &format!("k{n}")).await);
    }
    let [a, b, c, d] = [0, 1, 2, 3].map(|n| api.installation(&ada, Provider::Openai, credentials[n]));
    tokio::join!(a, b, c, d);
    let listed = api.get(&ada, INSTALLED).await;
    let all = listed.data()["installations"].as_array().unwrap().clone();
    assert_eq!((all.len(), all.iter().filter(|it| it["is_default"] == true).count()), (4, 1));
    let same = json!({ "integration_id": integration_id(Provider::Openai), "credential_id": credentials[0] });
    for installation in all {
        let _ = api.delete(&ada, &format!("{INSTALLED}/{}", installation["id"].as_str().unwrap())).await;
    }
    let (first, second) = tokio::join!(api.post(&ada, INSTALL, same.clone()), api.post(&ada, INSTALL, same.clone()));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn a_call_uses_the_agents_installations_in_their_order_and_then_the_defaults() {
    let api = Api::new().await;
    let ada = api.owner();
    let (mut credentials, mut installations) = (Vec::new(), Vec::new());
    for (n, provider) in
        [Provider::Openai, Provider::Openai, Provider::Openai, Provider::Deepgram].into_iter().enumerate()
    {
        credentials.push(api.credential(&ada, provider, &format!("k{n}")).await);
        installations.push(api.installation(&ada, provider, credentials[n]).await);
    }
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    let mut chosen = async |listed: &[Uuid]| {
        let found = for_call(&mut tx, ada.tenant, listed).await.unwrap();
        found.into_iter().map(|(provider, credential)| (provider, credential.id)).collect::<Vec<_>>()
    };
    let deepgram = (Provider::Deepgram, credentials[3]);
    assert_eq!(chosen(&[]).await, [(Provider::Openai, credentials[0]), deepgram]);
    assert_eq!(chosen(&[installations[2], installations[1]]).await, [(Provider::Openai, credentials[2]), deepgram]);
    assert_eq!(chosen(&[installations[1], installations[3]]).await, [(Provider::Openai, credentials[1]), deepgram]);
    assert_eq!(chosen(&[Uuid::now_v7()]).await, [(Provider::Openai, credentials[0]), deepgram]);
}

#[tokio::test]
async fn a_carriers_account_is_found() {
    let api = Api::new().await;
    let ada = api.owner();
    let body = json!({
        "integration_id": integration_id(Provider::Twilio), "credential_name": "Ours", "credential_type": "basic_auth",
        "credentials": { "account_sid": "AC1", "auth_token": "token" }
    });
    let created = api.post(&ada, "/v1/integrations/credentials", body).await;
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    let found = by_account(&mut tx, ada.tenant, Provider::Twilio, "AC1").await.unwrap();
    assert_eq!(json!(found[0].id), created.data()["credential_id"]);
    assert_eq!(found[0].fields_set, ["account_sid", "auth_token"]);
    assert!(by_account(&mut tx, ada.tenant, Provider::Vonage, "AC1").await.unwrap().is_empty());
    let shared = crate::lookup::account_secrets(&api.control.db, Provider::Twilio, "AC1").await.unwrap();
    assert_eq!((shared.len(), shared[0].tenant), (1, ada.tenant));
}
