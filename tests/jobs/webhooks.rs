//! Endpoints are told what happened: signed, in order, again if need be, and never at an address inside.

use std::time::Duration;

use serde_json::json;
use trunkline_sim::{
    fault::{Fault, Script},
    openai::OpenAiConfig,
    webhooks::{Received, WebhookConfig},
};
use uuid::Uuid;

use crate::scene::{self, LIMIT, Scene};

const SAID: [(&str, &str); 1] = [("agent", "Hello.")];
const EVENTS: [&str; 3] = ["call.started", "call.answered", "call.ended"];

async fn received(scene: &Scene, n: usize) -> Vec<Received> {
    let all = scene.hooks.received().wait_for(LIMIT, |all| (all.len() >= n).then(|| all.to_vec())).await;
    all.unwrap_or_else(|| panic!("{n} requests: {:#?}", scene.hooks.received().entries()))
}

/// What was told of a conversation, repetitions left out.
fn story<'a>(all: &'a [Received], conversation: &str) -> Vec<&'a str> {
    let mut events: Vec<&str> =
        all.iter().filter(|it| it.conversation() == conversation).map(Received::event).collect();
    events.dedup();
    events
}

async fn log(scene: &Scene, id: Uuid) -> String {
    let answer = scene.api.get(&scene.ada, &format!("/v1/webhooks/{id}/deliveries")).await;
    answer.data().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_in_order_while_an_earlier_event_is_retried() {
    let scene = Scene::set(OpenAiConfig::default()).await;
    let refuse = |status| Some(Fault::Refuse { status, retry_after: None });
    let script = Script::new([refuse(503), refuse(302)]);
    scene.hooks.behave(WebhookConfig { script, body: "thanks".into(), status: 200, ..WebhookConfig::default() });
    let agent = scene.agent(json!({})).await;
    let id = scene.webhook(&EVENTS).await;
    let call = scene.call(agent, &SAID).await.to_string();
    let jobs = scene.work();
    received(&scene, 1).await;
    // Others are not held up by it.
    let other = scene.call(agent, &SAID).await.to_string();
    let all = received(&scene, 8).await;
    scene.counted("jobs", 0).await;
    assert!(all.iter().all(|it| it.verified), "{all:#?}");
    assert_eq!((story(&all, &call), story(&all, &other)), (EVENTS.to_vec(), EVENTS.to_vec()));
    // An attempt that is repeated has the id of the first, by which its receiver knows it.
    let ids: Vec<&str> = all.iter().filter(|it| it.event() == "call.started").map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), 4);
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 2);
    let deliveries = scene.api.get(&scene.ada, &format!("/v1/webhooks/{id}/deliveries")).await;
    for delivery in deliveries.data()["deliveries"].as_array().unwrap() {
        assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("delivered"), &json!(200)));
        assert_eq!((&delivery["response_body"], &delivery["error"]), (&json!("thanks"), &json!(null)));
    }
    jobs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_says_why_and_is_told_once_it_can() {
    let scene = Scene::set(OpenAiConfig::default()).await;
    let later = |retry_after| Some(Fault::Refuse { status: 429, retry_after });
    let script =
        Script::new([Some(Fault::Refuse { status: 302, retry_after: None }), Some(Fault::Hang), later(Some(900))]);
    scene.hooks.behave(WebhookConfig { script, ..WebhookConfig::default() });
    let agent = scene.agent(json!({})).await;
    let id = scene.webhook(&["call.ended"]).await;
    let jobs = scene.work();
    scene.call(agent, &SAID).await;
    for (n, why) in [
        (1, "it was answered with 302: redirects are not followed"),
        (2, "no answer within 10 s"),
        (3, "it was answered with 429"),
    ] {
        scene.counted(&format!("jobs where state = 'queued' and attempts = {n} and error = '{why}'"), 1).await;
        assert!(log(&scene, id).await.contains(why));
        if n < 3 {
            scene.run("update jobs set run_at = now()").await;
        }
    }
    assert_eq!(scene.count("jobs where run_at > now() + interval '14 minutes'").await, 1, "it asked for 15 minutes");
    // Where the name or the address leads inside, nobody is connected to, whatever was saved.
    scene.run("update webhook_endpoints set url = 'http://10.0.0.1/hook'").await;
    scene.run("update jobs set run_at = now()").await;
    scene.counted("jobs where attempts = 4 and state = 'queued' and error like 'the address is refused: %'", 1).await;
    let url = scene.hooks.url();
    let path = format!("/v1/webhooks/{id}");
    scene.api.patch(&scene.ada, &path, json!({ "url": url })).await.data();
    scene.run("update jobs set run_at = now()").await;
    scene.counted("jobs", 0).await;
    assert!(received(&scene, 4).await.iter().all(|it| it.verified));
    jobs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tried_for_a_day_gives_up_and_is_told_when_somebody_asks() {
    let scene = Scene::set(OpenAiConfig::default()).await;
    scene.hooks.behave(WebhookConfig { status: 500, body: "x".repeat(100_000), ..WebhookConfig::default() });
    let agent = scene.agent(json!({})).await;
    let id = scene.webhook(&["call.started", "call.ended"]).await;
    let jobs = scene.work();
    let call = scene.call(agent, &SAID).await.to_string();
    for attempt in 1..12 {
        scene.counted(&format!("jobs where state = 'queued' and attempts = {attempt}"), 1).await;
        assert_eq!(scene.count("jobs where state = 'queued' and attempts = 0").await, 1, "the later one waits");
        scene.run("update jobs set run_at = now()").await;
    }
    let dead = scene.dead().await;
    assert_eq!((&dead["kind"], &dead["attempts"]), (&json!("webhook"), &json!(12)));
    // The later one's turn has come.
    scene.counted("jobs where state = 'queued' and attempts = 1", 1).await;
    let all = received(&scene, 13).await;
    assert_eq!(story(&all, &call), ["call.started", "call.ended"]);
    let delivery = dead["subject_id"].as_str().unwrap();
    let shown = scene.api.get(&scene.ada, &format!("/v1/webhooks/{id}/deliveries")).await;
    let shown = shown.data()["deliveries"].as_array().unwrap().iter().find(|it| it["id"] == delivery).unwrap().clone();
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("failed"), &json!(12)));
    assert_eq!(shown["response_body"].as_str().unwrap().len(), 1024);
    scene.hooks.behave(WebhookConfig::default());
    let path = format!("/v1/webhooks/{id}/deliveries/{delivery}/redeliver");
    assert_eq!(scene.api.post(&scene.ada, &path, json!(null)).await.status, 202);
    scene.run("update jobs set run_at = now()").await;
    scene.counted("jobs", 0).await;
    scene.counted("webhook_deliveries where status = 'delivered'", 2).await;
    jobs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_hears_nothing_more() {
    let scene = Scene::set(OpenAiConfig::default()).await;
    scene.hooks.behave(WebhookConfig { status: 410, ..WebhookConfig::default() });
    let agent = scene.agent(json!({})).await;
    let id = scene.webhook(&EVENTS).await;
    let jobs = scene.work();
    scene.call(agent, &SAID).await;
    scene.counted("jobs", 0).await;
    scene.call(agent, &SAID).await;
    assert_eq!(scene.count("jobs").await, 0);
    let listed = scene.api.get(&scene.ada, "/v1/webhooks").await;
    let hook = &listed.data()["webhooks"][0];
    assert_eq!((&hook["id"], &hook["enabled"]), (&json!(id), &json!(false)));
    assert_eq!(hook["disabled_reason"], "it answered 410 Gone");
    assert_eq!(scene.hooks.received().entries().len(), 1);
    assert_eq!(scene.count("webhook_deliveries where status = 'failed'").await, 3);
    jobs.stop().await;
}

/// One whose endpoints all hang has its share of the attempts, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_endpoint_hangs_does_not_hold_up_another() {
    let scene = Scene::set(OpenAiConfig::default()).await;
    let agent = scene.agent(json!({})).await;
    scene.webhook(&["call.ended"]).await;
    scene.hooks.behave(WebhookConfig { delay: Duration::from_secs(3600), ..WebhookConfig::default() });
    for _ in 0..40 {
        scene.call(agent, &SAID).await;
    }
    let quick = scene::receiver().await;
    let bob = scene.api.owner();
    let body = json!({ "url": quick.url(), "events": ["call.ended"] });
    let made = scene.api.post(&bob, "/v1/webhooks", body).await;
    quick.trust(made.data()["secret"].as_str().unwrap());
    let bobs = scene.api.agent(&bob, &[]).await;
    let jobs = scene.work();
    received(&scene, 8).await;
    let call = scene.call_of(&bob, bobs, &SAID).await;
    let heard = quick.received().wait_for(LIMIT, |all| all.first().cloned()).await.unwrap();
    assert!(heard.verified && heard.conversation() == call.to_string());
    assert_eq!(scene.hooks.received().entries().len(), 8, "those eight still hang");
    jobs.stop().await;
}
