use serde_json::{Value, json};

use super::store;
use crate::{auth::Role, testing::Api};

const PATH: &str = "/v1/tenant";

fn defaults() -> Value {
    json!({
        "retention": { "transcripts_days": null, "recordings_days": null }, "redaction": { "numbers": false },
        "max_concurrent_calls": null, "recording_enabled": null
    })
}

#[tokio::test]
async fn a_tenant_begins_with_the_defaults_and_keeps_what_it_is_told() {
    let api = Api::new().await;
    let ada = api.owner();
    let first = api.get(&ada, PATH).await;
    let mut shown = first.data().clone();
    assert!(shown.as_object_mut().unwrap().remove("created_at").unwrap().is_string());
    assert_eq!(shown, json!({ "id": ada.tenant, "name": "", "settings": defaults(), "role": "owner" }));

    let body =
        json!({ "name": "Acme", "settings": { "retention": { "transcripts_days": 30 }, "max_concurrent_calls": 5 } });
    let changed = api.patch(&ada, PATH, body).await;
    let mut settings = defaults();
    settings["retention"]["transcripts_days"] = json!(30);
    settings["max_concurrent_calls"] = json!(5);
    assert_eq!((&changed.data()["name"], &changed.data()["settings"]), (&json!("Acme"), &settings));

    // Whole settings are replaced; null brings the default back; what is not named stays.
    let body = json!({ "settings": { "retention": { "recordings_days": 3650 }, "max_concurrent_calls": null, "recording_enabled": false, "redaction": { "numbers": true } } });
    let changed = api.patch(&ada, PATH, body).await;
    let settings = json!({
        "retention": { "transcripts_days": null, "recordings_days": 3650 }, "redaction": { "numbers": true },
        "max_concurrent_calls": null, "recording_enabled": false
    });
    assert_eq!((&changed.data()["name"], &changed.data()["settings"]), (&json!("Acme"), &settings));
    assert_eq!(api.get(&ada, PATH).await.data(), changed.data());
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    let stored = store::settings(&mut tx, ada.tenant).await.unwrap();
    assert_eq!((stored.retention.recordings_days, stored.recording_enabled), (Some(3650), Some(false)));
    drop(tx);

    for nothing in [json!({}), json!({ "settings": {} }), json!({ "name": "Acme" }), json!({ "name": null })] {
        assert_eq!(api.patch(&ada, PATH, nothing).await.body["message"], "Tenant unchanged");
    }
    let reset = json!({ "settings": { "retention": null, "redaction": null, "recording_enabled": null } });
    assert_eq!(api.patch(&ada, PATH, reset).await.data()["settings"], defaults());
    let viewer = api.user(ada.tenant, Role::Viewer);
    assert_eq!(api.get(&viewer, PATH).await.data()["role"], "viewer");
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_changes_nothing() {
    let api = Api::new().await;
    let ada = api.owner();
    api.patch(&ada, PATH, json!({ "name": "Acme" })).await.data();
    let long = "x".repeat(101);
    let wrong = [
        (json!({ "name": long }), "name"),
        (json!({ "name": 7 }), "name"),
        (json!({ "settings": { "retention": { "transcripts_days": 0 } } }), "settings.retention.transcripts_days"),
        (json!({ "settings": { "retention": { "recordings_days": 3651 } } }), "settings.retention.recordings_days"),
        (json!({ "settings": { "retention": { "transcripts_days": "a" } } }), "settings.retention.transcripts_days"),
        (json!({ "settings": { "max_concurrent_calls": 0 } }), "settings.max_concurrent_calls"),
        (json!({ "settings": { "max_concurrent_calls": 1.5 } }), "settings.max_concurrent_calls"),
        (json!({ "settings": { "recording_enabled": "yes" } }), "settings.recording_enabled"),
        (json!({ "settings": { "redaction": { "numbers": "some" } } }), "settings.redaction.numbers"),
        (json!({ "settings": { "colour": "blue" } }), "settings.colour"),
        (json!({ "settings": { "retention": { "forever": true } } }), "settings.retention.forever"),
        (json!({ "settings": 7 }), "settings"),
        (json!({ "status": "active" }), "status"),
        (json!({ "id": null }), "id"),
    ];
    for (body, field) in wrong {
        let answer = api.patch(&ada, PATH, body.clone()).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{body}");
        assert_eq!(answer.body["details"]["fields"][0]["field"], field, "{body}: {:#}", answer.body);
    }
    let after = api.get(&ada, PATH).await;
    assert_eq!((&after.data()["name"], &after.data()["settings"]), (&json!("Acme"), &defaults()));
}

#[tokio::test]
async fn two_who_change_it_at_once_both_do() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, PATH).await.data();
    let one = api.patch(&ada, PATH, json!({ "settings": { "max_concurrent_calls": 7 } }));
    let other = api.patch(&ada, PATH, json!({ "settings": { "recording_enabled": true } }));
    let (one, other) = tokio::join!(one, other);
    one.data();
    other.data();
    let settings = &api.get(&ada, PATH).await.data()["settings"].clone();
    assert_eq!((&settings["max_concurrent_calls"], &settings["recording_enabled"]), (&json!(7), &json!(true)));
}
