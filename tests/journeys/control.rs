//! Calls that are told what to do while they go on: by the API, from the node that has them or another, and by the agent's own tools.

use serde_json::{Value, json};
use trunkline::cli::api::{Api, ApiFailure};
use trunkline_control::testing::RedisServer;
use trunkline_media::{
    event::{CallEventKind, EndReason, Speaker, TransferState, TurnSource},
    telephony::TransferOutcome,
};
use trunkline_sim::{
    openai::{Rule, ScriptedToolCall},
    phone::{Answer, Answerer, Callee},
    twilio::{
        CallStatus, OngoingCall,
        phone::{PhoneConfig, Step},
    },
};

use crate::{
    hearing,
    watch::Told,
    world::{ANSWER, GREETING, Scene, World, clip, id_of, ms, report},
};

/// Somebody whom calls are handed to.
pub(crate) const DESK: &str = "+14155550123";

/// A caller who listens until somebody ends the call.
pub(crate) fn patient() -> [Step; 1] {
    [Step::WaitForEnd { timeout: ms(40_000) }]
}

/// A call whose greeting has been heard, and its conversation's id.
async fn greeted(world: &World, steps: impl IntoIterator<Item = Step>) -> (OngoingCall, String) {
    let before = world.watch.ids();
    let call = world.ring(steps);
    let id = world.watch.next_id(&before).await;
    world.watch.until(&id, "the greeting is heard", |told| (!told.replies().is_empty()).then_some(())).await;
    (call, id)
}

pub(crate) async fn tell(api: &Api, id: &str, what: &str, body: Value) {
    let accepted = api.post(&format!("/v1/conversations/{id}/{what}"), &body).await.unwrap();
    assert_eq!((&accepted["conversation_id"], &accepted["status"]), (&json!(id), &json!("accepted")));
}

async fn refusal(api: &Api, id: &str, what: &str, body: Value) -> (u16, Value) {
    match api.post(&format!("/v1/conversations/{id}/{what}"), &body).await {
        Err(ApiFailure::Refused { status, body, .. }) => (status, body["error_code"].clone()),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn outcomes(told: &Told) -> Vec<TransferOutcome> {
    let outcome = |kind: &CallEventKind| match kind {
        CallEventKind::Transfer { state: TransferState::Over, outcome, .. } => outcome.clone(),
        _ => None,
    };
    told.kinds().filter_map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_does_what_the_api_says() {
    let world = Scene::default().start().await;
    let quiet = || Step::WaitForAgentToFinish { quiet: ms(500) };
    let steps = [quiet(), quiet(), Step::WaitForEnd { timeout: ms(40_000) }];
    let (call, id) = greeted(&world, steps).await;
    let words = "The workshop closes in ten minutes.";
    tell(&world.api, &id, "say", json!({ "text": words })).await;
    world.watch.until(&id, "it is said", |told| (told.replies().len() == 2).then_some(())).await;
    tell(&world.api, &id, "hold", json!({ "on": true })).await;
    tell(&world.api, &id, "hold", json!({ "on": false })).await;
    world.watch.until(&id, "the caller is back", |told| (told.replies().len() == 3).then_some(())).await;
    tell(&world.api, &id, "dtmf", json!({ "keys": "w12#" })).await;
    let streams = |told: &Told| {
        let attached = told.kinds().filter(|kind| matches!(kind, CallEventKind::StreamAttached { .. })).count();
        (attached == 2).then_some(())
    };
    world.watch.until(&id, "the stream is back", streams).await;
    tell(&world.api, &id, "hangup", json!({})).await;
    let report = report(call).await;
    assert_eq!(report.status, CallStatus::Completed);
    assert_eq!(report.errors, []);
    assert_eq!(report.keys, ["w12#"]);
    let told = world.watch.ended(&id).await;
    assert_eq!(told.ended(), [EndReason::ApiHangup]);
    assert_eq!(told.sources(), [TurnSource::Greeting, TurnSource::Say, TurnSource::Hold]);
    assert_eq!(told.said(Speaker::Agent), [GREETING, words, "Thank you for waiting."]);

    // It is over, and says so.
    world.server.stored().await;
    let stored = world.api.get(&format!("/v1/conversations/{id}")).await.unwrap();
    assert_eq!((&stored["status"], &stored["end_reason"]), (&"completed".into(), &"api_hangup".into()));
    for (what, body) in bodies() {
        assert_eq!(refusal(&world.api, &id, what, body).await, (409, "CONFLICT".into()), "{what}");
    }
    world.settled().await;
}

fn bodies() -> [(&'static str, Value); 5] {
    [
        ("hangup", json!({})),
        ("say", json!({ "text": "Hello." })),
        ("hold", json!({ "on": true })),
        ("dtmf", json!({ "keys": "1" })),
        ("transfer", json!({ "target": DESK })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_elses_call_and_no_nonsense() {
    let world = Scene::default().start().await;
    let (call, id) = greeted(&world, patient()).await;
    let stranger = world.another_tenant();
    for (what, body) in bodies() {
        let unknown = "019acb5e-5b40-7000-8000-000000000000";
        for (api, id) in [(&stranger, id.as_str()), (&world.api, unknown), (&world.api, "nonsense")] {
            assert_eq!(refusal(api, id, what, body.clone()).await, (404, "CONVERSATION_NOT_FOUND".into()), "{what}");
        }
    }
    for (what, body) in [
        ("say", json!({ "text": " " })),
        ("say", json!({ "text": "x".repeat(1001) })),
        ("hold", json!({})),
        ("dtmf", json!({ "keys": "12a" })),
        ("dtmf", json!({ "keys": "w" })),
        ("dtmf", json!({ "keys": "1".repeat(33) })),
        ("transfer", json!({ "target": "nobody" })),
        ("transfer", json!({ "target": DESK, "mode": "lukewarm" })),
    ] {
        assert_eq!(refusal(&world.api, &id, what, body.clone()).await, (422, "VALIDATION_ERROR".into()), "{body}");
    }
    call.hang_up();
    report(call).await;
    assert_eq!(world.watch.ended(&id).await.ended(), [EndReason::CallerHangup]);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_reached_from_another_node() {
    let redis = RedisServer::start().await;
    let world = Scene { redis: Some(redis.url()), ..Scene::default() }.start().await;
    let other = world.another_node().await;
    let there = world.api.at(other.public_url());
    let (call, id) = greeted(&world, patient()).await;
    tell(&there, &id, "say", json!({ "text": "I am far away." })).await;
    world.watch.until(&id, "it is said", |told| (told.replies().len() == 2).then_some(())).await;
    let stranger = world.another_tenant().at(other.public_url());
    assert_eq!(refusal(&stranger, &id, "hangup", json!({})).await, (404, "CONVERSATION_NOT_FOUND".into()));
    tell(&there, &id, "hangup", json!({})).await;
    report(call).await;
    assert_eq!(world.watch.ended(&id).await.ended(), [EndReason::ApiHangup]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_another_node_can_only_hang_up() {
    let world = Scene::default().start().await;
    let other = world.another_node().await;
    let there = world.api.at(other.public_url());
    let (call, id) = greeted(&world, patient()).await;
    assert_eq!(refusal(&there, &id, "say", json!({ "text": "Hello." })).await, (503, "OVERLOADED".into()));
    tell(&there, &id, "hangup", json!({})).await;
    let report = report(call).await;
    assert_eq!(report.status, CallStatus::Completed);
    assert!(report.requests.iter().any(|request| request.field("Status") == Some("completed")));
    // To the node that had the call, its stream has ended; what is stored is why.
    assert_eq!(world.watch.ended(&id).await.ended(), [EndReason::CallerHangup]);
    let stored = world.until_over(&id).await;
    assert_eq!((&stored["status"], &stored["end_reason"]), (&"completed".into(), &"api_hangup".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_hands_a_caller_over_and_is_gone() {
    let rule = Rule {
        when: Some("ten of clubs".into()),
        reply: "I am putting you through to the front desk.".into(),
        tool_calls: vec![ScriptedToolCall { name: "hand_over".into(), arguments: json!({ "target": "Front desk" }) }],
        ..Rule::default()
    };
    let world = with_desk(Scene::default().rules([rule]), "cold").start().await;
    let stays = [Step::Silence(ms(1_500)), Step::HangUp];
    desk(&world, Callee::answers(Answerer::Human).after(ms(300)), stays.to_vec());
    let quiet = || Step::WaitForAgentToFinish { quiet: ms(500) };
    let call = world.ring([quiet(), Step::Say(clip("cards_001")), Step::WaitForEnd { timeout: ms(40_000) }]);
    let report = report(call).await;
    let id = id_of(&report);
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::Transferred], vec![TransferOutcome::Connected]));
    assert_eq!(told.replies().last().unwrap().heard, "I am putting you through to the front desk.");
    assert_eq!(report.dials.len(), 1);
    assert_eq!((report.dials[0].to.as_str(), report.dials[0].status), (DESK, Some(CallStatus::Completed)));
    assert_eq!(report.errors, []);
    let hung_up = report.requests.iter().any(|request| request.field("Status").is_some());
    assert!(!hung_up, "the two had time to speak with each other");
    world.server.stored().await;
    let stored = world.api.get(&format!("/v1/conversations/{id}")).await.unwrap();
    assert_eq!((&stored["status"], &stored["end_reason"]), (&"completed".into(), &"transferred".into()));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_target_is_busy_is_back_with_the_agent() {
    let world = with_desk(Scene::default(), "cold").start().await;
    desk(&world, Callee::fails(Answer::Busy).after(ms(300)), Vec::new());
    let (call, id) = greeted(&world, patient()).await;
    tell(&world.api, &id, "transfer", json!({ "target": "front desk" })).await;
    let back = |told: &Told| told.replies().iter().any(|reply| reply.heard == ANSWER).then_some(());
    world.watch.until(&id, "the agent tells the caller", back).await;
    tell(&world.api, &id, "hangup", json!({})).await;
    let report = report(call).await;
    let told = world.watch.ended(&id).await;
    assert_eq!(outcomes(&told), [TransferOutcome::Busy]);
    assert_eq!(report.dials[0].status, Some(CallStatus::Busy));
    assert_eq!(report.streams.len(), 2);
    hearing::assert_heard(&report.streams[1], &[ANSWER]);
    assert!(told.said(Speaker::Agent).contains(&"One moment, please, I am connecting you.".to_owned()));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_takes_the_call_is_connected_with_the_caller() {
    let world = with_desk(Scene::default(), "warm").start().await;
    let takes = [Step::Silence(ms(500)), Step::Dtmf("1".into()), Step::Silence(ms(1_500)), Step::HangUp];
    desk(&world, Callee::answers(Answerer::Human).after(ms(300)), takes.to_vec());
    let (call, id) = greeted(&world, patient()).await;
    tell(&world.api, &id, "transfer", json!({ "target": "Front desk" })).await;
    let consult = world.twilio.next_placed().await;
    let (report, consult) = tokio::join!(report(call), report(consult));
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::Transferred], vec![TransferOutcome::Connected]));
    assert_eq!(consult.to, DESK);
    assert!(consult.said[0].contains("Press any key"), "{:?}", consult.said);
    for leg in [&report, &consult] {
        let [room] = leg.dials.as_slice() else { panic!("{:?}", leg.dials) };
        assert!(room.to == id && room.joined.is_some(), "both are in the room");
        assert_eq!(leg.errors, []);
    }
    assert_eq!(world.consult_legs(&id).await, ["completed"]);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_declines_leaves_the_caller_with_the_agent() {
    let world = with_desk(Scene::default(), "warm").start().await;
    desk(&world, Callee::answers(Answerer::Human), vec![Step::Silence(ms(500)), Step::HangUp]);
    let (call, id) = greeted(&world, patient()).await;
    tell(&world.api, &id, "transfer", json!({ "target": "Front desk" })).await;
    let back = |told: &Told| told.replies().iter().any(|reply| reply.heard == ANSWER).then_some(());
    world.watch.until(&id, "the agent tells the caller", back).await;
    call.hang_up();
    let report = report(call).await;
    assert_eq!(outcomes(&world.watch.ended(&id).await), [TransferOutcome::Declined]);
    assert_eq!(report.streams.len(), 1, "the caller was never moved");
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_during_the_consultation_takes_it_with_them() {
    let world = with_desk(Scene::default(), "warm").start().await;
    desk(&world, Callee::answers(Answerer::Human).after(ms(20_000)), Vec::new());
    let (call, id) = greeted(&world, patient()).await;
    tell(&world.api, &id, "transfer", json!({ "target": "Front desk" })).await;
    let consult = world.twilio.next_placed().await;
    call.hang_up();
    let (_, consult) = tokio::join!(report(call), report(consult));
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::CallerHangup], vec![TransferOutcome::CallerHungUp]));
    assert!(consult.answered.is_none() && consult.dials.is_empty(), "nobody is rung for a caller who is gone");
    world.settled().await;
}

/// An agent that may hand callers over to the front desk.
pub(crate) fn with_desk(scene: Scene, mode: &str) -> Scene {
    let target = json!({ "name": "Front desk", "number": DESK, "mode": mode });
    scene
        .agent("/call_config/transfer_targets", json!([target]))
        .agent("/tools", json!([{ "kind": "transfer", "name": "hand_over" }]))
}

fn desk(world: &World, callee: Callee, steps: Vec<Step>) {
    world.callees.set(DESK, callee, PhoneConfig { steps, ..PhoneConfig::default() });
}
