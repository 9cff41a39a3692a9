//! Workers as processes, killed in the middle of their work: nothing is lost, and nothing has its effect twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use trunkline_sim::{
    openai::{OpenAiConfig, Rule, Rules},
    webhooks::{Received, WebhookConfig},
};

use crate::scene::{KEY, LIMIT, Scene};

const CALLS: usize = 60;
const EVENTS: [&str; 4] = ["call.started", "call.answered", "call.ended", "call.analyzed"];

/// `trunkline worker` on the scene's database.
async fn worker(scene: &Scene) -> Child {
    let service = &scene.api.scratch.service;
    let database = format!(
        "postgres://{}@localhost/{}?host={}",
        service.get_username(),
        service.get_database().unwrap(),
        service.get_socket().unwrap().display()
    );
    let keep = ["PATH", "HOME", "TMPDIR"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .arg("worker")
        .env_clear()
        .envs(keep.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .env("TRUNKLINE_ENV", "development")
        .env("TRUNKLINE_DATA", &scene.settings.data)
        .env("DATABASE_URL", database)
        .env("SUPABASE_JWT_SECRET", "a secret of more than thirty-two bytes, for tests")
        .env("API_KEY_SECRET", "another secret of more than thirty-two bytes")
        .env("ENCRYPTION_KEY", scene.ring.expose())
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_BASE_URL", scene.openai.base_url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let working = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("\"working\"") {
                return true;
            }
            said.push(line);
        }
        false
    };
    assert!(timeout(LIMIT, working).await.unwrap(), "the worker does not work: {said:#?}");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}

async fn received(scene: &Scene, n: usize) {
    let come = scene.hooks.received().wait_for(LIMIT, |all| (all.len() >= n).then_some(())).await;
    come.unwrap_or_else(|| panic!("{n} requests come"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_lose_nothing_and_double_no_effect() {
    let answer = json!({
        "summary": "Nothing.", "sentiment": "neutral", "outcome": "resolved", "tags": [], "satisfaction_score": null
    });
    let slow = Rule { ttft_ms: Some(400), ..Rule::reply("conversation", &answer.to_string()) };
    let rules = Rules { rules: vec![slow], ..Rules::default() };
    let scene = Scene::set(OpenAiConfig { rules, ..OpenAiConfig::default() }).await;
    scene.hooks.behave(WebhookConfig { delay: Duration::from_millis(150), ..WebhookConfig::default() });
    let agent = scene.agent(json!({})).await;
    let id = scene.webhook(&EVENTS).await;
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(scene.call(agent, &[("customer", "Hello?")]).await);
    }
    // Two at a time; three of them are killed on the way, as by the kernel when memory is short.
    let mut first = worker(&scene).await;
    let mut second = worker(&scene).await;
    received(&scene, 15).await;
    first.kill().await.unwrap();
    let mut third = worker(&scene).await;
    received(&scene, 60).await;
    second.kill().await.unwrap();
    third.kill().await.unwrap();
    assert_ne!(scene.count("jobs where state = 'running'").await, 0, "they were killed at work");
    let fourth = worker(&scene).await;
    scene.counted("jobs", 0).await;

    // Every call is analysed, and has paid for one analysis.
    assert_eq!(scene.count("conversations where analyzed_at is not null").await, CALLS as i64);
    assert_eq!(scene.count("usage_entries").await, 2 * CALLS as i64);
    // Everything is told, once or more often with the same id, and in order.
    assert_eq!(scene.count("webhook_deliveries where status = 'delivered'").await, (EVENTS.len() * CALLS) as i64);
    let all = scene.hooks.received().entries();
    assert!(all.iter().all(|it| it.verified));
    let mut by_call: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
    for one in &all {
        by_call.entry(one.conversation()).or_default().push(one);
    }
    assert_eq!(by_call.len(), CALLS);
    for (call, told) in &by_call {
        let ids: BTreeSet<&str> = told.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids.len(), EVENTS.len(), "{call}");
        let mut events: Vec<&str> = told.iter().map(|it| it.event()).collect();
        events.dedup();
        assert_eq!(events, EVENTS, "{call}");
    }
    let repeated = all.len() - EVENTS.len() * CALLS;
    println!("{CALLS} calls, {} jobs, 3 of 4 workers killed: {repeated} deliveries came again", 5 * CALLS);
    let log = scene.api.get(&scene.ada, &format!("/v1/webhooks/{id}/deliveries")).await;
    assert_eq!(log.data()["pagination"]["total"], EVENTS.len() * CALLS);

    // Told to stop, a worker stops in good order.
    let pid = rustix::process::Pid::from_raw(i32::try_from(fourth.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut fourth = fourth;
    assert!(timeout(LIMIT, fourth.wait()).await.unwrap().unwrap().success());
}
