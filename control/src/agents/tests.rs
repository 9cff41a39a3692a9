use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::Role,
    testing::{Answer, Api, User, agent_body},
    vendors::Provider,
};

const PATH: &str = "/v1/voice-agents";

/// Without what differs every time.
fn steady(data: &Value) -> Value {
    let mut data = data.clone();
    assert!(data["created_at"].is_string() && data["updated_at"].is_string());
    data.as_object_mut().unwrap().retain(|key, _| !["id", "created_at", "updated_at"].contains(&key.as_str()));
    data
}

async fn if_match(api: &Api, user: &User, path: &str, version: &str, body: Value) -> Answer {
    api.send_with(user, Method::PATCH, path, &[("if-match", version)], body).await
}

#[tokio::test]
async fn an_agent_shows_its_keys_flat_with_their_defaults() {
    let api = Api::new().await;
    let ada = api.owner();
    let created = api.post(&ada, PATH, agent_body("Support")).await;
    assert_eq!((created.status.as_u16(), &created.body["message"]), (201, &json!("Voice agent created successfully")));
    assert_eq!(
        steady(created.data()),
        json!({
            "tenant_id": ada.tenant, "version": 1, "warnings": [],
            "name": "Support", "description": null, "is_active": true, "mode": "pipeline", "integrations": [],
            "voice_config": {
                "provider": "elevenlabs", "voice_id": "v1", "language": "en-US", "model": "eleven_flash_v2_5",
                "settings": {"stability": null, "similarity_boost": null, "style": null, "use_speaker_boost": null, "speed": null},
                "pronunciations": [], "fallbacks": [], "background": null
            },
            "ai_config": {
                "provider": "openai", "model": "gpt-4", "instructions": "Help {{customer_name}}.", "temperature": null,
                "max_output_tokens": null, "reasoning_effort": null, "first_token_timeout_ms": 4000, "context_tokens": null,
                "fallbacks": [], "variables": {}
            },
            "speech_config": {"provider": "deepgram", "model": "nova-3", "language": null, "keyterms": [], "fallbacks": []},
            "turn_config": {
                "min_endpoint_ms": 500, "max_endpoint_ms": 3000, "eager": true, "profiles": {},
                "interruptions": {
                    "enabled": true, "min_speech_ms": 500, "min_words": 0, "false_after_ms": 2000, "backchannels": []
                }
            },
            "call_config": {
                "greeting": {"text": null, "interruptible": true},
                "idle": {"after_s": 10, "prompts": ["Are you still there?"], "hang_up_after": 2},
                "goodbye": null, "max_duration_s": 1800, "voicemail": {"action": "hang_up", "message": null},
                "recording": {"enabled": null, "consent_text": null}, "dtmf": {"collect_ms": 2000, "terminator": "#"},
                "transfer_targets": []
            },
            "tools": [], "knowledge": {"document_ids": [], "top_k": 4},
            "analysis_config": {"enabled": true, "outcomes": [], "tags": [], "extraction_schema": null, "model": null},
            "metadata": {}
        })
    );
    let path = format!("{PATH}/{}", created.data()["id"].as_str().unwrap());
    assert_eq!(api.get(&ada, &path).await.data(), created.data());
    let listed = api.get(&ada, PATH).await;
    assert_eq!(listed.data()["voice_agents"], json!([created.data()]));
    assert_eq!(listed.data()["pagination"], json!({ "page": 1, "limit": 50, "total": 1, "total_pages": 1 }));
}

#[tokio::test]
async fn a_change_replaces_whole_keys_and_makes_a_version() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.agent(&ada, &[]).await;
    let path = format!("{PATH}/{id}");
    let body = json!({ "description": "Sells", "turn_config": { "eager": false }, "metadata": { "a": null, "b": { "c": [1] } } });
    let first = api.patch(&ada, &path, body).await;
    assert_eq!(first.data()["version"], 2);
    assert_eq!(first.data()["metadata"], json!({ "a": null, "b": { "c": [1] } }));
    let body = json!({ "turn_config": { "min_endpoint_ms": 300 }, "description": null, "metadata": { "d": 1 } });
    let second = api.patch(&ada, &path, body).await;
    let data = second.data();
    assert_eq!(
        (&data["version"], &data["description"], &data["metadata"]),
        (&json!(3), &Value::Null, &json!({ "d": 1 }))
    );
    assert_eq!((&data["turn_config"]["eager"], &data["turn_config"]["min_endpoint_ms"]), (&json!(true), &json!(300)));
    assert_eq!(data["created_at"], first.data()["created_at"]);

    assert_eq!(api.patch(&ada, &path, json!({})).await.data()["version"], 3);
    assert_eq!(api.patch(&ada, &path, json!({ "metadata": { "d": 1 } })).await.data()["version"], 3);
    for (body, field) in [
        (json!({ "name": null }), ""),
        (json!({ "nome": "x" }), "nome"),
        (json!({ "voice_config": { "voice_id": "v", "settings": { "speed": 3 } } }), "voice_config.settings.speed"),
        (json!({ "metadata": { "x": ["\u{0}"] } }), "metadata.x[0]"),
    ] {
        let refused = api.patch(&ada, &path, body).await;
        assert_eq!(refused.error(), (422, "VALIDATION_ERROR"));
        assert_eq!(refused.body["details"]["fields"][0]["field"], field, "{:#}", refused.body);
    }

    let versions = api.get(&ada, &format!("{path}/versions?limit=2")).await;
    assert_eq!(versions.data()["pagination"], json!({ "page": 1, "limit": 2, "total": 3, "total_pages": 2 }));
    let rows = versions.data()["versions"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["version"], &rows[1]["version"]), (2, &json!(3), &json!(2)));
    assert_eq!(rows[1]["config"]["description"], "Sells");
    assert_eq!(rows[1]["created_by"], format!("user:{}", ada.id));
    assert!(rows[1]["created_at"].is_string());
}

#[tokio::test]
async fn a_change_may_name_the_version_that_it_is_for() {
    let api = Api::new().await;
    let ada = api.owner();
    let path = format!("{PATH}/{}", api.agent(&ada, &[]).await);
    for (n, version) in ["1", "\"2\"", "W/\"3\"", "*"].into_iter().enumerate() {
        let answer = if_match(&api, &ada, &path, version, json!({ "description": version })).await;
        assert_eq!(answer.data()["version"], n + 2);
    }
    let stale = if_match(&api, &ada, &path, "2", json!({ "description": "late" })).await;
    assert_eq!(stale.error(), (409, "CONFLICT"));
    assert_eq!(stale.body["details"], json!({ "version": 5 }));
    let garbage = if_match(&api, &ada, &path, "\"abc\"", json!({ "description": "x" })).await;
    assert_eq!(garbage.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(garbage.body["details"]["fields"][0]["field"], "If-Match");
    assert_eq!(api.get(&ada, &path).await.data()["description"], "*");
}

#[tokio::test]
async fn no_change_is_lost_when_many_come_at_once() {
    let api = Api::new().await;
    let ada = api.owner();
    let path = format!("{PATH}/{}", api.agent(&ada, &[]).await);
    let change = |body| api.patch(&ada, &path, body);
    let (a, b, c, d) = tokio::join!(
        change(json!({ "description": "d" })),
        change(json!({ "metadata": { "m": 1 } })),
        change(json!({ "knowledge": { "top_k": 7 } })),
        change(json!({ "is_active": false })),
    );
    let mut versions: Vec<i64> = [a, b, c, d].iter().map(|answer| answer.data()["version"].as_i64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5]);
    let after = api.get(&ada, &path).await;
    let data = after.data();
    let kept =
        json!([data["description"], data["metadata"], data["knowledge"]["top_k"], data["is_active"], data["version"]]);
    assert_eq!(kept, json!(["d", { "m": 1 }, 7, false, 5]));
    assert_eq!(api.get(&ada, &format!("{path}/versions")).await.data()["pagination"]["total"], 5);

    let claim = |name| if_match(&api, &ada, &path, "5", json!({ "description": name }));
    let (a, b, c) = tokio::join!(claim("a"), claim("b"), claim("c"));
    let mut statuses = [a.status.as_u16(), b.status.as_u16(), c.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409]);
}

#[tokio::test]
async fn what_an_agent_lists_is_installed_and_stays_so() {
    let api = Api::new().await;
    let (ada, eve) = (api.owner(), api.owner());
    let credential = api.credential(&ada, Provider::Openai, "good").await;
    let ours = api.installation(&ada, Provider::Openai, credential).await;
    let credential = api.credential(&eve, Provider::Openai, "good").await;
    let theirs = api.installation(&eve, Provider::Openai, credential).await;
    for other in [theirs, Uuid::now_v7()] {
        let mut body = agent_body("Ada");
        body["integrations"] = json!([ours, other]);
        let refused = api.post(&ada, PATH, body).await;
        assert_eq!(refused.error(), (422, "VALIDATION_ERROR"));
        let fields = json!([{ "field": "integrations[1]", "message": "is not the id of an installed integration" }]);
        assert_eq!(refused.body["details"]["fields"], fields);
    }
    let path = format!("{PATH}/{}", api.agent(&ada, &[ours]).await);
    let uninstall = format!("/v1/integrations/installed/{ours}");
    let refused = api.patch(&ada, &path, json!({ "integrations": [theirs] })).await;
    assert_eq!(refused.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(api.delete(&ada, &uninstall).await.error(), (409, "CONFLICT"));
    api.patch(&ada, &path, json!({ "integrations": null })).await.data();
    assert_eq!(api.delete(&ada, &uninstall).await.status, 200);
}

#[tokio::test]
async fn an_agent_that_a_number_rings_is_not_removed() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.agent(&ada, &[]).await;
    let path = format!("{PATH}/{id}");
    let number = api.phone_number(&ada, "+14155550100", "token", Some(id)).await;
    assert_eq!(api.delete(&ada, &path).await.error(), (409, "CONFLICT"));
    api.patch(&ada, &format!("/v1/phone-numbers/{number}"), json!({ "agent_id": null })).await.data();
    let removed = api.delete(&ada, &path).await;
    assert_eq!((removed.status.as_u16(), removed.data()), (200, &Value::Null));
    let answers = [
        api.get(&ada, &path).await,
        api.get(&ada, &format!("{path}/versions")).await,
        api.patch(&ada, &path, json!({ "name": "x" })).await,
        api.delete(&ada, &path).await,
        api.patch(&ada, &format!("/v1/phone-numbers/{number}"), json!({ "agent_id": id })).await,
    ];
    for answer in answers {
        assert_eq!(answer.error(), (404, "AGENT_NOT_FOUND"));
    }
    assert_eq!(api.get(&ada, PATH).await.data()["voice_agents"], json!([]));
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    let kept = super::store::get_version(&mut tx, ada.tenant, id, 1).await.unwrap().unwrap();
    assert_eq!(kept.config.name, "Ada");
}

#[tokio::test]
async fn a_model_that_nobody_knows_is_a_warning() {
    let api = Api::new().await;
    let ada = api.owner();
    let mut body = agent_body("Ada");
    body["ai_config"]["model"] = json!("llama-3.3-70b");
    body["ai_config"]["fallbacks"] = json!([{ "provider": "claude", "model": "claude-haiku-4-5-20251001" }, { "provider": "openai", "model": "gpt-4x" }]);
    let created = api.post(&ada, PATH, body).await;
    let message = "is not a model that OpenAI is known to have; a compatible server may have it";
    assert_eq!(
        created.data()["warnings"],
        json!([
            { "field": "ai_config.model", "message": message },
            { "field": "ai_config.fallbacks[1].model", "message": message },
        ])
    );
}

#[tokio::test]
async fn members_write_and_viewers_read() {
    let api = Api::new().await;
    let ada = api.owner();
    let path = format!("{PATH}/{}", api.agent(&ada, &[]).await);
    let viewer = api.user(ada.tenant, Role::Viewer);
    assert_eq!(api.get(&viewer, &path).await.status, 200);
    let denied = [
        api.post(&viewer, PATH, agent_body("x")).await,
        api.patch(&viewer, &path, json!({ "name": "x" })).await,
        api.delete(&viewer, &path).await,
    ];
    for answer in denied {
        assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"));
    }
    let member = api.user(ada.tenant, Role::Member);
    assert_eq!(api.post(&member, PATH, agent_body("x")).await.status, 201);
    assert_eq!(api.delete(&member, &path).await.status, 200);
}
