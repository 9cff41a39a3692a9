//! What a tenant sets for itself holds for its calls.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline_sim::twilio::{
    CallReport,
    phone::{Step, StreamEnd},
};

use crate::world::{Scene, World, id_of, ms, report};

fn rejected(report: &CallReport) -> bool {
    report.streams.is_empty() && report.answered.is_none()
}

/// Waits until the agent has been heard in so many calls.
async fn up(world: &World, calls: usize) {
    let waiting = async {
        while world.elevenlabs.contexts() < calls {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::world::LIMIT, waiting).await.expect("the calls are up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_as_many_calls_as_it_allows_itself() {
    let world = Scene::default().start().await;
    let allow = |most: Value| {
        let settings = json!({ "settings": { "max_concurrent_calls": most } });
        let api = &world.api;
        async move { api.patch("/v1/tenant", &settings).await.unwrap() }
    };
    allow(json!(1)).await;
    let first = world.ring([Step::WaitForAgentToSpeak, Step::Silence(ms(2500)), Step::HangUp]);
    up(&world, 1).await;
    assert!(rejected(&world.call([Step::WaitForAgentToSpeak]).await), "one is all that there is room for");
    let first = report(first).await;
    assert!(!rejected(&first));
    world.settled().await;
    world.server.stored().await;
    // What was refused takes no room.
    let (one, other) = {
        allow(json!(2)).await;
        let steps = || [Step::WaitForAgentToSpeak, Step::Silence(ms(500)), Step::HangUp];
        tokio::join!(world.call(steps()), world.call(steps()))
    };
    assert!(!rejected(&one) && !rejected(&other));
    world.server.stored().await;
    let list = world.api.get("/v1/conversations?status=failed").await.unwrap();
    let [refused] = list["conversations"].as_array().unwrap().as_slice() else { panic!("{list:#}") };
    assert_eq!(refused["end_reason"], "overloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_recorded_as_the_tenant_says_where_the_agent_does_not() {
    for (agent, tenant, recorded) in
        [(Value::Null, json!(true), true), (json!(false), json!(true), false), (Value::Null, Value::Null, false)]
    {
        let world = Scene::default().agent("/call_config/recording/enabled", agent).start().await;
        let settings = json!({ "settings": { "recording_enabled": tenant } });
        world.api.patch("/v1/tenant", &settings).await.unwrap();
        let call = world.call([Step::WaitForAgentToSpeak, Step::Silence(ms(300)), Step::HangUp]).await;
        assert_eq!(call.streams[0].ended, StreamEnd::HungUp);
        world.settled().await;
        world.server.stored().await;
        let id = id_of(&call);
        let stored = world.api.get(&format!("/v1/conversations/{id}")).await.unwrap();
        let url = if recorded { json!(format!("/v1/conversations/{id}/recording")) } else { Value::Null };
        assert_eq!(stored["recording_url"], url, "{settings}");
    }
}
