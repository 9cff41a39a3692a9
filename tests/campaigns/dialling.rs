//! A server that dials for campaigns itself: it is paused, people do not want to be called, and the carrier refuses the account.

use std::time::{Duration, Instant};

use serde_json::json;
use trunkline_sim::{
    phone::{Answer, Callee},
    twilio::{CreateFault, phone::PhoneConfig},
};

use crate::{
    carrier::most_at_once,
    scene::{LIMIT, Scene, refusal},
};

fn numbers(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("+1415555{:04}", 1000 + n)).collect()
}

fn busy() -> Callee {
    Callee::fails(Answer::Busy).after(Duration::from_millis(100))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_new_calls_until_it_goes_on() {
    let scene = Scene::set("campaign-pause", true).await;
    scene.callees.set_others(busy(), PhoneConfig::default());
    let once = json!({ "busy": { "max_attempts": 1, "delay_s": 0 } });
    let numbers = numbers(20);
    let campaign = scene.campaign(json!({ "concurrency": 2, "retry": once }), &numbers).await;
    scene.tell(&campaign, "start").await;
    scene.record.placed(5, LIMIT).await;
    scene.tell(&campaign, "pause").await;
    let paused_at = Instant::now();
    let paused = scene.until(&campaign, LIMIT, |it| it["contacts"]["calling"] == 0).await;
    let (status, left) = (&paused["status"], paused["contacts"]["pending"].as_i64().unwrap());
    assert!(status == "paused" && left > 0, "{paused:#}");
    // Somebody says in the meantime that they do not want to be called, and nobody who asks for it may.
    let contacts = scene.contacts(&campaign).await;
    let waits = contacts.iter().find(|(_, it)| it["status"] == "pending").map(|(number, _)| number.clone()).unwrap();
    scene.api.post("/v1/do-not-call", &json!({ "phone_number": waits })).await.unwrap();
    let path = format!("/v1/voice-agents/{}/calls", scene.agent.as_str().unwrap());
    let (status, message) = refusal(scene.api.post(&path, &json!({ "phone_number": waits })).await);
    assert!(status == 409 && message.contains("do-not-call list"), "{status}: {message}");
    let resumed_at = Instant::now();
    scene.tell(&campaign, "start").await;
    let done = scene.until(&campaign, LIMIT, |it| it["status"] == "completed").await;
    assert_eq!(done["contacts"]["outcomes"], json!({ "busy": 19, "do_not_call": 1 }));
    let seen = scene.record.all(LIMIT).await;
    assert_eq!((seen.len(), scene.record.count()), (19, 19));
    assert!(seen.iter().all(|call| call.to != waits));
    // Each call is a conversation, which tells of whom and for which campaign.
    let contacts = scene.contacts(&campaign).await;
    let called = contacts.values().find(|it| it["outcome"] == "busy").unwrap();
    let path = format!("/v1/conversations/{}", called["attempts"][0]["conversation_id"].as_str().unwrap());
    let conversation = scene.api.get(&path).await.unwrap();
    assert_eq!((&conversation["direction"], &conversation["end_reason"]), (&"outbound".into(), &"busy".into()));
    assert_eq!(conversation["customer_phone"], called["phone_number"]);
    assert_eq!(conversation["metadata"]["campaign_contact_id"], called["id"]);
    assert!(campaign.ends_with(conversation["metadata"]["campaign_id"].as_str().unwrap()));
    // What was on its way to the carrier when the pause was answered may have come then.
    let margin = Duration::from_millis(100);
    assert!(!seen.iter().any(|call| call.began > paused_at + margin && call.began < resumed_at), "{seen:#?}");
    scene.counted("slots", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_calls_would_fail_for_pauses_the_campaign() {
    let scene = Scene::set("campaign-hold", true).await;
    scene.callees.set_others(busy(), PhoneConfig::default());
    scene.faults.push(Some(CreateFault::Refuse { status: 401, code: 20_003 }));
    let retry = json!({ "busy": { "max_attempts": 1, "delay_s": 0 }, "failed": { "max_attempts": 2, "delay_s": 0 } });
    let campaign = scene.campaign(json!({ "concurrency": 1, "retry": retry }), &numbers(3)).await;
    scene.tell(&campaign, "start").await;
    let paused = scene.until(&campaign, LIMIT, |it| it["status"] == "paused").await;
    assert!(paused["paused_reason"].as_str().unwrap().contains("Twilio"), "{paused:#}");
    let contacts = scene.contacts(&campaign).await;
    let refused = contacts.values().find(|it| it["attempts"][0]["outcome"] == "failed").unwrap();
    assert!(refused["attempts"][0]["error"].as_str().unwrap().contains("Twilio"), "{refused:#}");
    assert!(refused["attempts"][0]["conversation_id"].is_string());
    scene.tell(&campaign, "start").await;
    // So does an agent that may not call.
    scene.until(&campaign, LIMIT, |it| it["contacts"]["done"].as_i64().unwrap() >= 1).await;
    let agent = format!("/v1/voice-agents/{}", scene.agent.as_str().unwrap());
    scene.api.patch(&agent, &json!({ "is_active": false })).await.unwrap();
    let ended = |it: &serde_json::Value| it["status"] == "paused" || it["status"] == "completed";
    let stopped = scene.until(&campaign, LIMIT, ended).await;
    // It may have been done by then.
    if stopped["status"] == "paused" {
        assert!(stopped["paused_reason"].as_str().unwrap().contains("not active"), "{stopped:#}");
        scene.api.patch(&agent, &json!({ "is_active": true })).await.unwrap();
        scene.tell(&campaign, "start").await;
    }
    let done = scene.until(&campaign, LIMIT, |it| it["status"] == "completed").await;
    assert_eq!(done["contacts"]["outcomes"], json!({ "busy": 3 }));
    scene.counted("slots", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_has_no_more_calls_at_once_than_its_tenant() {
    let scene = Scene::set("campaign-tenant", true).await;
    scene.callees.set_others(busy(), PhoneConfig::default());
    scene.api.patch("/v1/tenant", &json!({ "settings": { "max_concurrent_calls": 1 } })).await.unwrap();
    let retry = json!({ "busy": { "max_attempts": 1, "delay_s": 0 } });
    let campaign = scene.campaign(json!({ "concurrency": 10, "retry": retry }), &numbers(6)).await;
    scene.tell(&campaign, "start").await;
    let done = scene.until(&campaign, LIMIT, |it| it["status"] == "completed").await;
    assert_eq!(done["contacts"]["outcomes"], json!({ "busy": 6 }));
    assert_eq!(most_at_once(&scene.record.all(LIMIT).await), 1);
}
