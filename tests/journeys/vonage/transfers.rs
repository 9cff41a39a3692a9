//! Callers at Vonage who are handed over, and keys that are pressed towards them.

use serde_json::{Value, json};
use trunkline_control::testing::RedisServer;
use trunkline_media::{
    event::{CallEventKind, EndReason, Speaker, TurnSource},
    telephony::TransferOutcome,
};
use trunkline_sim::{
    openai::{Rule, ScriptedToolCall},
    phone::{Answer, Answerer, Callee, PhoneConfig, Step},
    vonage::{CallReport, ConversationRecord, LegRecord, LegStatus, OngoingCall},
};

use super::{
    MSISDN,
    line::{id_of, report},
    raw::{Token, squeezed},
};
use crate::{
    control::{DESK, outcomes, patient, tell, with_desk},
    hearing,
    watch::Told,
    world::{ANSWER, GREETING, Scene, World, clip, ms},
};

/// A call whose greeting has been heard, and its conversation's id.
async fn greeted(world: &World, steps: impl IntoIterator<Item = Step>) -> (OngoingCall, String) {
    let before = world.watch.ids();
    let call = world.ring_vonage(steps);
    let id = world.watch.next_id(&before).await;
    world.watch.until(&id, "the greeting is heard", |told| (!told.replies().is_empty()).then_some(())).await;
    (call, id)
}

fn desk(world: &World, callee: Callee, steps: impl IntoIterator<Item = Step>) {
    world.vonage_callees.set(
        DESK,
        callee,
        PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() },
    );
}

async fn to_desk(world: &World, id: &str) {
    tell(&world.api, id, "transfer", json!({ "target": "Front desk" })).await;
}

/// The agent has told a caller who is back, or still there, how it went.
async fn told_by_agent(world: &World, id: &str) {
    let back = |told: &Told| told.replies().iter().any(|reply| reply.heard.ends_with(ANSWER)).then_some(());
    world.watch.until(id, "the agent tells the caller", back).await;
}

/// The leg to the front desk.
fn leg_to_desk(report: &CallReport) -> &LegRecord {
    report.legs.iter().find(|leg| leg.to == DESK[1..]).expect("a leg to the desk")
}

/// How a conversation is stored in the end.
async fn stored(world: &World, id: &str) -> (Value, Value) {
    let stored = world.until_over(id).await;
    (stored["status"].clone(), stored["end_reason"].clone())
}

fn words(status: &str, reason: &str) -> (Value, Value) {
    (json!(status), json!(reason))
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
    desk(&world, Callee::answers(Answerer::Human).after(ms(300)), [Step::Silence(ms(1_500)), Step::HangUp]);
    let quiet = || Step::WaitForAgentToFinish { quiet: ms(500) };
    let call = world.ring_vonage([quiet(), Step::Say(clip("cards_001")), Step::WaitForEnd { timeout: ms(40_000) }]);
    let report = report(call).await;
    let id = id_of(&report);
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::Transferred], vec![TransferOutcome::Connected]));
    assert_eq!(told.replies().last().unwrap().heard, "I am putting you through to the front desk.");
    assert_eq!((report.errors.as_slice(), report.streams.len()), (&[][..], 1));
    assert_eq!((leg_to_desk(&report).status, report.status), (LegStatus::Completed, LegStatus::Completed));
    // The two had time to speak with each other: all that was asked of the caller's leg is the transfer.
    let asked: Vec<&Value> = report.legs[0].commands.iter().map(|command| &command["action"]).collect();
    assert_eq!(asked, ["transfer"]);
    let connect = &report.legs[0].commands[0]["destination"]["ncco"][0];
    assert_eq!((&connect["action"], &connect["from"]), (&json!("connect"), &json!(MSISDN)));
    // What comes late changes nothing: not what the caller's leg, nor what the socket's came to.
    assert_eq!(stored(&world, &id).await, words("completed", "transferred"));
    assert_eq!(world.watch.calls(), 1);
    world.settled().await;
}

/// Whatever order the carrier tells it in, and how often.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_answers_and_is_gone_before_that_is_told_has_had_the_caller() {
    let mut scene = with_desk(Scene::default(), "cold");
    scene.vonage.events.duplicate = true;
    scene.vonage.events.lose = vec!["answered".into()];
    let world = scene.start().await;
    desk(&world, Callee::answers(Answerer::Human), [Step::HangUp]);
    let (call, id) = greeted(&world, patient()).await;
    to_desk(&world, &id).await;
    let report = report(call).await;
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::Transferred], vec![TransferOutcome::Connected]));
    assert_eq!(report.streams.len(), 1);
    assert_eq!(stored(&world, &id).await, words("completed", "transferred"));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_target_is_not_reached_is_back_with_the_agent() {
    let tried = async |answer: Answer, status, outcome| {
        let world = with_desk(Scene::default(), "cold").start().await;
        desk(&world, Callee::fails(answer).after(ms(300)), []);
        let (call, id) = greeted(&world, patient()).await;
        to_desk(&world, &id).await;
        told_by_agent(&world, &id).await;
        tell(&world.api, &id, "hangup", json!({})).await;
        let report = report(call).await;
        let told = world.watch.ended(&id).await;
        assert_eq!(outcomes(&told), [outcome]);
        assert_eq!((leg_to_desk(&report).status, report.streams.len()), (status, 2));
        hearing::assert_heard(&report.streams[1], &[ANSWER]);
        assert!(told.said(Speaker::Agent).contains(&"One moment, please, I am connecting you.".to_owned()));
        assert_eq!(world.watch.summary(&id).await.reattached, 0, "it was no lost stream");
        assert_eq!(stored(&world, &id).await, words("completed", "api_hangup"));
        world.settled().await;
    };
    tokio::join!(
        tried(Answer::Busy, LegStatus::Busy, TransferOutcome::Busy),
        tried(Answer::Rejects, LegStatus::Rejected, TransferOutcome::Declined),
        tried(Answer::Fails, LegStatus::Failed, TransferOutcome::failed("the carrier could not connect the call")),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_while_it_rings_takes_the_target_with_them() {
    let world = with_desk(Scene::default(), "cold").start().await;
    desk(&world, Callee::answers(Answerer::Human).after(ms(20_000)), []);
    let (call, id) = greeted(&world, patient()).await;
    to_desk(&world, &id).await;
    world.vonage_rings(&DESK[1..]).await;
    call.hang_up();
    let report = report(call).await;
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::CallerHangup], vec![TransferOutcome::CallerHungUp]));
    assert_eq!(leg_to_desk(&report).status, LegStatus::Cancelled);
    assert_eq!(stored(&world, &id).await, words("completed", "caller_hangup"));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_takes_the_call_is_connected_with_the_caller() {
    let world = with_desk(Scene::default(), "warm").start().await;
    let takes = [Step::Silence(ms(500)), Step::Dtmf("1".into()), Step::Silence(ms(1_500)), Step::HangUp];
    desk(&world, Callee::answers(Answerer::Human).after(ms(300)), takes);
    let (call, id) = greeted(&world, patient()).await;
    to_desk(&world, &id).await;
    let consult = world.placed_at_vonage().await;
    let (report, consult) = tokio::join!(report(call), report(consult));
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::Transferred], vec![TransferOutcome::Connected]));
    assert_eq!((consult.from.as_str(), consult.to.as_str()), (MSISDN, &DESK[1..]));
    assert!(consult.said[0].contains("Press any key"), "{:?}", consult.said);
    for leg in [&report, &consult] {
        assert_eq!(leg.conversations, [ConversationRecord { name: id.clone(), met: true }], "both are in the room");
        assert_eq!(leg.errors, [""; 0]);
    }
    assert_eq!(world.consult_legs(&id).await, ["completed"]);
    assert_eq!(stored(&world, &id).await, words("completed", "transferred"));
    world.settled().await;
}

/// A caller who is held while somebody is asked is still on their stream: one that is lost meanwhile comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_lost_during_the_consultation_comes_back() {
    let world = with_desk(Scene::default(), "warm").start().await;
    let takes = [Step::Silence(ms(300)), Step::Dtmf("1".into()), Step::Silence(ms(500)), Step::HangUp];
    desk(&world, Callee::answers(Answerer::Human).after(ms(8_000)), takes);
    // It is lost while the desk rings, which is long after the agent's last words.
    let quiet = Step::WaitForAgentToFinish { quiet: ms(500) };
    let steps = [quiet, Step::Silence(ms(3_000)), Step::Drop, Step::WaitForEnd { timeout: ms(40_000) }];
    let (call, id) = greeted(&world, steps).await;
    to_desk(&world, &id).await;
    let consult = world.placed_at_vonage().await;
    let (report, consult) = tokio::join!(report(call), report(consult));
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::Transferred], vec![TransferOutcome::Connected]));
    assert_eq!((report.streams.len(), consult.conversations.len()), (2, 1));
    assert_eq!(report.conversations, [ConversationRecord { name: id.clone(), met: true }]);
    assert_eq!(stored(&world, &id).await, words("completed", "transferred"));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_take_the_call_leaves_the_caller_with_the_agent() {
    let tried = async |callee: Callee, steps: Vec<Step>, outcome, leg: &str| {
        let world = with_desk(Scene::default(), "warm").start().await;
        desk(&world, callee, steps);
        let (call, id) = greeted(&world, patient()).await;
        to_desk(&world, &id).await;
        let consult = world.placed_at_vonage().await;
        told_by_agent(&world, &id).await;
        call.hang_up();
        let (report, consult) = tokio::join!(report(call), report(consult));
        let told = world.watch.ended(&id).await;
        assert_eq!(outcomes(&told), [outcome]);
        assert!(told.sources().contains(&TurnSource::Llm), "{:?}", told.sources());
        assert_eq!((report.streams.len(), consult.conversations.len()), (1, 0), "the caller was never moved");
        let heard = squeezed(&hearing::heard(&report.streams[0]));
        assert_eq!(heard, squeezed(&format!("{GREETING} One moment, please, I am connecting you. {ANSWER}")));
        assert_eq!(world.consult_legs(&id).await, [leg]);
        assert_eq!(stored(&world, &id).await, words("completed", "caller_hangup"));
        world.settled().await;
    };
    let answers = || Callee::answers(Answerer::Human);
    tokio::join!(
        tried(answers(), vec![Step::Silence(ms(500)), Step::HangUp], TransferOutcome::Declined, "completed"),
        // Nobody presses a key, as a machine does not.
        tried(answers(), Vec::new(), TransferOutcome::Declined, "completed"),
        tried(Callee::fails(Answer::Busy), Vec::new(), TransferOutcome::Busy, "busy"),
        tried(Callee::fails(Answer::None), Vec::new(), TransferOutcome::NoAnswer, "no_answer"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_during_the_consultation_takes_it_with_them() {
    let world = with_desk(Scene::default(), "warm").start().await;
    desk(&world, Callee::answers(Answerer::Human).after(ms(20_000)), []);
    let (call, id) = greeted(&world, patient()).await;
    to_desk(&world, &id).await;
    let consult = world.placed_at_vonage().await;
    call.hang_up();
    let (_, consult) = tokio::join!(report(call), report(consult));
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::CallerHangup], vec![TransferOutcome::CallerHungUp]));
    assert!(consult.answered.is_none() && consult.conversations.is_empty(), "nobody is rung for a caller who is gone");
    assert_eq!(stored(&world, &id).await, words("completed", "caller_hangup"));
    world.settled().await;
}

/// The carrier's webhooks come to any node: one that does not have the call leaves it where it is while its caller is on their way.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_stream_that_another_node_is_told_of_takes_nobody_back() {
    let redis = RedisServer::start().await;
    let world = with_desk(Scene { redis: Some(redis.url()), ..Scene::default() }, "cold").start().await;
    let other = world.another_node().await;
    desk(&world, Callee::answers(Answerer::Human).after(ms(3_000)), [Step::Silence(ms(500)), Step::HangUp]);
    let (call, id) = greeted(&world, patient()).await;
    to_desk(&world, &id).await;
    world.vonage_rings(&DESK[1..]).await;
    let body = json!({
        "from": MSISDN, "to": format!("{}/media/vonage/{id}", world.url), "uuid": uuid::Uuid::now_v7().to_string(),
        "conversation_uuid": "CON-elsewhere", "status": "disconnected", "direction": "outbound",
        "timestamp": "2026-01-01T00:00:00.000Z",
    });
    let token = Token::of(Some(body.to_string().as_bytes()));
    let url = format!("{}/webhooks/vonage?kind=stream&conversation={id}", other.public_url());
    let request = world.http.post(url).header("Content-Type", "application/json").body(body.to_string());
    let answer = request.header("Authorization", token.header()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, ""));
    let report = report(call).await;
    let told = world.watch.ended(&id).await;
    assert_eq!((told.ended(), outcomes(&told)), (vec![EndReason::Transferred], vec![TransferOutcome::Connected]));
    assert_eq!(report.streams.len(), 1);
    assert_eq!(stored(&world, &id).await, words("completed", "transferred"));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_pressed_towards_the_caller_and_the_stream_goes_on() {
    let press = Rule {
        when: Some("ten of clubs".into()),
        reply: "One moment.".into(),
        tool_calls: vec![ScriptedToolCall { name: "press".into(), arguments: json!({ "keys": "42#" }) }],
        ..Rule::default()
    };
    let scene = Scene::default().rules([press]).agent("/tools", json!([{ "kind": "dtmf", "name": "press" }]));
    let world = scene.start().await;
    let quiet = || Step::WaitForAgentToFinish { quiet: ms(500) };
    let steps = [quiet(), Step::Say(clip("cards_001")), Step::WaitForEnd { timeout: ms(40_000) }];
    let (call, id) = greeted(&world, steps).await;
    told_by_agent(&world, &id).await;
    tell(&world.api, &id, "dtmf", json!({ "keys": "w12#" })).await;
    let pressed = |told: &Told| {
        let keys = told.kinds().filter(|kind| matches!(kind, CallEventKind::Dtmf { .. })).count();
        (keys == 6).then_some(())
    };
    world.watch.until(&id, "the keys are pressed", pressed).await;
    tell(&world.api, &id, "say", json!({ "text": "Done." })).await;
    let said = |told: &Told| told.replies().iter().any(|reply| reply.heard == "Done.").then_some(());
    world.watch.until(&id, "the agent goes on", said).await;
    // A key that Vonage does not have is the call's to tell, and not its end.
    tell(&world.api, &id, "dtmf", json!({ "keys": "A" })).await;
    let fault = |told: &Told| (told.faults("carrier") == [true]).then_some(());
    world.watch.until(&id, "it cannot be pressed", fault).await;
    tell(&world.api, &id, "hangup", json!({})).await;
    let report = report(call).await;
    assert_eq!((report.legs[0].keys.as_str(), report.streams.len()), ("42#p12#", 1));
    assert_eq!(stored(&world, &id).await, words("completed", "api_hangup"));
    world.settled().await;
}
