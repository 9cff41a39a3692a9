use serde_json::{Value, json};
use uuid::Uuid;

use super::World;
use crate::{auth::Role, testing::Api};

#[tokio::test]
async fn a_campaign_has_defaults_and_is_changed_in_part() {
    let api = Api::new().await;
    let ada = api.owner();
    let agent = api.agent(&ada, &[]).await;
    let made = api.post(&ada, "/v1/campaigns", json!({ "name": "Renewals", "agent_id": agent })).await;
    assert_eq!(made.status, 201);
    let campaign = made.data();
    assert_eq!(
        (&campaign["status"], &campaign["concurrency"], &campaign["timezone"], &campaign["from_number"]),
        (&"draft".into(), &10.into(), &"UTC".into(), &Value::Null)
    );
    assert_eq!(campaign["calling_hours"]["start"], "09:00");
    assert_eq!(campaign["retry"]["no_answer"], json!({ "max_attempts": 3, "delay_s": 3600 }));
    assert_eq!((&campaign["contacts"]["total"], &campaign["contacts"]["outcomes"]), (&0.into(), &json!({})));
    let path = format!("/v1/campaigns/{}", campaign["id"].as_str().unwrap());
    let patch =
        json!({ "from_number": "+14155550100", "timezone": "Asia/Tokyo", "calling_hours": { "days": ["monday"] } });
    api.patch(&ada, &path, patch).await.data();
    let changed = api.patch(&ada, &path, json!({ "name": "Others", "from_number": null })).await;
    let changed = changed.data();
    assert_eq!((&changed["name"], &changed["from_number"]), (&"Others".into(), &Value::Null));
    assert_eq!((&changed["timezone"], &changed["calling_hours"]["days"]), (&"Asia/Tokyo".into(), &json!(["monday"])));
    let list = api.get(&ada, "/v1/campaigns").await;
    assert_eq!(&list.data()["campaigns"][0], changed);
    assert_eq!(api.delete(&ada, &path).await.status, 200);
    assert_eq!(api.get(&ada, &path).await.error(), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn what_is_wrong_is_said_by_field() {
    let world = World::new(json!({})).await;
    for (patch, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "concurrency": 0 }), "concurrency"),
        (json!({ "calls_per_second": 0 }), "calls_per_second"),
        (json!({ "ring_timeout_s": 4 }), "ring_timeout_s"),
        (json!({ "timezone": "Mars/Olympus" }), "timezone"),
        (json!({ "calling_hours": { "days": [] } }), "calling_hours.days"),
        (json!({ "calling_hours": { "start": "9:00" } }), "calling_hours.start"),
        (json!({ "calling_hours": { "start": "24:00" } }), "calling_hours.start"),
        (json!({ "retry": { "busy": { "max_attempts": 21, "delay_s": 0 } } }), "retry.busy.max_attempts"),
        (json!({ "from_number": "0123" }), "from_number"),
    ] {
        let answer = world.api.patch(&world.ada, &world.path(""), patch.clone()).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{patch}");
        assert_eq!(answer.body["details"]["fields"][0]["field"], field, "{patch}");
    }
    let unknown = json!({ "name": "x", "agent_id": Uuid::now_v7() });
    assert_eq!(world.api.post(&world.ada, "/v1/campaigns", unknown).await.error(), (404, "AGENT_NOT_FOUND"));
}

#[tokio::test]
async fn it_is_started_and_paused_when_that_makes_sense() {
    let world = World::new(json!({})).await;
    // It has nobody to call.
    assert_eq!(world.post("/start").await.error(), (409, "CONFLICT"));
    assert_eq!(world.post("/pause").await.error(), (409, "CONFLICT"));
    world.started_with(&["+14155550111"]).await;
    assert_eq!(world.post("/start").await.error(), (409, "CONFLICT"));
    assert_eq!(world.api.delete(&world.ada, &world.path("")).await.error(), (409, "CONFLICT"));
    let agent = format!("/v1/voice-agents/{}", world.agent);
    assert_eq!(world.api.delete(&world.ada, &agent).await.error(), (409, "CONFLICT"));
    let paused = world.post("/pause").await;
    assert_eq!((paused.status.as_u16(), &paused.data()["status"]), (202, &"paused".into()));
    assert_eq!(world.post("/pause").await.error(), (409, "CONFLICT"));
    assert!(world.look().await.is_none());
    assert_eq!(world.post("/start").await.data()["status"], "running");
    let (_, id) = world.claim().await.unwrap();
    world.placed(id).await;
    world.ends(id, "completed", "caller_hangup").await;
    assert!(world.claim().await.is_none());
    let done = world.get().await;
    assert_eq!((&done["status"], &done["contacts"]["outcomes"]), (&"completed".into(), &json!({ "answered": 1 })));
    assert!(done["completed_at"].is_string() && done["started_at"].is_string());
    // Everybody has been called; somebody else may be.
    assert_eq!(world.post("/start").await.error(), (409, "CONFLICT"));
    world.started_with(&["+14155550112"]).await;
    assert_eq!(world.get().await["status"], "running");
}

#[tokio::test]
async fn a_member_runs_campaigns_and_a_viewer_watches_them() {
    let world = World::new(json!({})).await;
    let (member, viewer) =
        (world.api.user(world.ada.tenant, Role::Member), world.api.user(world.ada.tenant, Role::Viewer));
    let contacts = json!({ "contacts": [{ "phone_number": "+14155550111" }] });
    for (path, body) in [("/contacts", contacts), ("/start", Value::Null), ("/pause", Value::Null)] {
        let refused = world.api.post(&viewer, &world.path(path), body.clone()).await;
        assert_eq!(refused.error(), (403, "TENANT_ACCESS_DENIED"), "{path}");
        world.api.post(&member, &world.path(path), body).await.data();
    }
    assert_eq!(world.api.get(&viewer, &world.path("/contacts")).await.data()["pagination"]["total"], 1);
    // To another tenant there is none of it.
    let eve = world.api.owner();
    assert_eq!(world.api.get(&eve, &world.path("/contacts")).await.error(), (404, "NOT_FOUND"));
    assert_eq!(world.api.get(&eve, "/v1/campaigns").await.data()["pagination"]["total"], 0);
}
