//! A transfer goes on when its last words are heard, is given up with the call, and otherwise has one outcome: the caller is somebody
//! else's, or is back with an agent who knows why.

use serde_json::json;
use trunkline_base::Personal;
use trunkline_media::{
    call::CallCommand,
    event::{CallEventKind, EndReason, Speaker, ToolOutcome, TransferState, TurnSource},
    llm::Message,
    telephony::{Transfer, TransferMode, TransferOutcome, TransferStep},
    testing::FakeReply,
    turn::TransferTool,
};

use crate::world::{World, ms};

const TARGET: &str = "+14155550199";

fn transfer(mode: TransferMode) -> CallCommand {
    CallCommand::Transfer { target: Personal::new(TARGET.into()), mode }
}

fn states(world: &World) -> Vec<(TransferState, Option<TransferOutcome>)> {
    let state = |kind: &CallEventKind| match kind {
        CallEventKind::Transfer { state, outcome, .. } => Some((*state, outcome.clone())),
        _ => None,
    };
    world.log().iter().filter_map(|event| state(&event.kind)).collect()
}

/// The carrier takes the stream away.
fn stop(world: &World) {
    world.phone().send("stop", json!({ "callSid": "CA1", "accountSid": "AC1" }));
}

async fn until_asked(world: &mut World) {
    world.run_until("the carrier is asked", |world| !world.carrier.transfers().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_cold_one_ends_the_call_and_hangs_nobody_up() {
    let mut world = World::builder().greeting("Hello.").start();
    world.until_replies_ended(1).await;
    world.command(transfer(TransferMode::Cold)).await;
    assert!(world.carrier.transfers().is_empty(), "the caller hears what is about to happen first");
    until_asked(&mut world).await;
    assert_eq!(world.replies()[1].heard, "One moment, please, I am connecting you.");
    // Once is enough.
    world.command(transfer(TransferMode::Warm)).await;
    let asked = world.carrier.transfers();
    assert_eq!((asked.len(), &asked[0].transfer), (1, &Transfer::new(TARGET, TransferMode::Cold).unwrap()));
    asked[0].step(TransferStep::Moving);
    world.run_for(ms(10)).await;
    stop(&world);
    // Longer than a lost stream is waited for.
    world.run_for(ms(24_000)).await;
    assert_eq!(world.end_reason(), None, "it rings");
    asked[0].step(TransferStep::Over(TransferOutcome::Connected));
    assert_eq!(world.until_ended().await.reason, Some(EndReason::Transferred));
    assert!(world.carrier.hang_ups().is_empty(), "the caller is on the line still, with somebody else");
    let outcome = Some(TransferOutcome::Connected);
    assert_eq!(states(&world), [(TransferState::Started, None), (TransferState::Over, outcome)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_with_the_step_before_it_unread_is_no_caller_who_left() {
    let mut world = World::builder().greeting("Hello.").start();
    world.until_replies_ended(1).await;
    world.command(transfer(TransferMode::Cold)).await;
    until_asked(&mut world).await;
    let [asked] = world.carrier.transfers().try_into().unwrap();
    asked.step(TransferStep::Moving);
    stop(&world);
    world.run_for(ms(1_000)).await;
    assert_eq!(world.end_reason(), None);
    asked.step(TransferStep::Over(TransferOutcome::Connected));
    world.command(CallCommand::HangUp { reason: EndReason::CallerHangup }).await;
    assert_eq!(world.until_ended().await.reason, Some(EndReason::Transferred));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_was_not_connected_is_back_and_is_told_why() {
    for outcome in [
        TransferOutcome::Busy,
        TransferOutcome::NoAnswer,
        TransferOutcome::Declined,
        TransferOutcome::failed("scripted"),
    ] {
        let mut world = World::builder().greeting("Hello.").says("I could not reach anybody.").start();
        world.until_replies_ended(1).await;
        world.command(transfer(TransferMode::Cold)).await;
        until_asked(&mut world).await;
        let [asked] = world.carrier.transfers().try_into().unwrap();
        asked.step(TransferStep::Moving);
        world.run_for(ms(10)).await;
        stop(&world);
        world.run_for(ms(5_000)).await;
        asked.step(TransferStep::Over(outcome.clone()));
        world.run_for(ms(100)).await;
        world.connect_again().await;
        world.until_replies_ended(3).await;
        assert_eq!(world.replies()[2].heard, "I could not reach anybody.");
        let request = world.llm.requests().pop().unwrap();
        let Some(Message::Caller { text }) = request.messages.last() else { panic!("{:?}", request.messages) };
        assert_eq!(*text.expose(), format!("[The call could not be handed over: {outcome}.]"));
        assert_eq!(states(&world)[1..], [(TransferState::Over, Some(outcome))]);
        // It was taken away and not lost.
        let lost = |kind: &CallEventKind| matches!(kind, CallEventKind::StreamAttached { reattached: true, .. });
        assert_eq!(world.count(lost), 0);
        // And the call goes on as ever.
        world.caller_says("Never mind.").await;
        world.until_replies_ended(4).await;
        // Another one may be tried.
        world.command(transfer(TransferMode::Cold)).await;
        world.run_until("it is asked again", |world| world.carrier.transfers().len() == 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_gives_the_consultation_up() {
    let mut world = World::builder().greeting("Hello.").start();
    world.until_replies_ended(1).await;
    world.command(transfer(TransferMode::Warm)).await;
    until_asked(&mut world).await;
    let [asked] = world.carrier.transfers().try_into().unwrap();
    world.caller_says("How long will this take?").await;
    world.run_for(ms(5_000)).await;
    assert_eq!(world.llm.requests().len(), 0, "the caller is on hold");
    assert!(!asked.is_given_up());
    world.phone().hang_up();
    assert_eq!(world.until_ended().await.reason, Some(EndReason::CallerHangup));
    assert!(asked.is_given_up());
    assert_eq!(states(&world)[1..], [(TransferState::Over, Some(TransferOutcome::CallerHungUp))]);
}

#[tokio::test(start_paused = true)]
async fn a_warm_one_that_fails_leaves_the_caller_where_they_are() {
    let mut world = World::builder().greeting("Hello.").says("They do not answer.").start();
    world.until_replies_ended(1).await;
    world.command(transfer(TransferMode::Warm)).await;
    until_asked(&mut world).await;
    world.run_for(ms(10_000)).await;
    world.carrier.transfers()[0].step(TransferStep::Over(TransferOutcome::Declined));
    world.until_replies_ended(3).await;
    assert_eq!(world.replies()[2].heard, "They do not answer.");
    assert_eq!(world.phones.len(), 1, "by the same stream");
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_says_nothing_is_not_waited_for_for_ever() {
    let mut world = World::builder().greeting("Hello.").says("It did not work.").start();
    world.until_replies_ended(1).await;
    world.command(transfer(TransferMode::Cold)).await;
    until_asked(&mut world).await;
    let [asked] = world.carrier.transfers().try_into().unwrap();
    world.run_for(ms(89_000)).await;
    assert!(!asked.is_given_up());
    world.run_for(ms(2_000)).await;
    assert!(asked.is_given_up());
    world.until_replies_ended(3).await;
    assert_eq!(world.replies()[2].heard, "It did not work.");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_ended_takes_its_transfer_with_it() {
    let mut world = World::builder().greeting("Hello.").start();
    world.until_replies_ended(1).await;
    world.command(transfer(TransferMode::Warm)).await;
    until_asked(&mut world).await;
    world.command(CallCommand::HangUp { reason: EndReason::ApiHangup }).await;
    assert_eq!(world.until_ended().await.reason, Some(EndReason::ApiHangup));
    assert!(world.carrier.transfers()[0].is_given_up());
    assert_eq!(world.carrier.hang_ups(), [EndReason::ApiHangup]);
    assert_eq!(states(&world).len(), 2);
}

fn with_tool(reply: FakeReply) -> World {
    let tool = TransferTool {
        name: "hand_over".into(),
        targets: vec![("Front desk".into(), Transfer::new(TARGET, TransferMode::Warm).unwrap())],
    };
    World::builder().turn(|turn| turn.transfer_tool = Some(tool)).answer(reply).says("They are busy, sorry.").start()
}

#[tokio::test(start_paused = true)]
async fn the_model_hands_over_after_its_last_words_and_is_told_how_it_went() {
    let reply = FakeReply::text("I will put you through to the front desk.")
        .then_call("c1", "hand_over", json!({ "target": "front DESK" }))
        .then_call("c2", "hand_over", json!({ "target": "Front desk" }));
    let mut world = with_tool(reply);
    world.caller_says("I want to speak with a human.").await;
    world.until_speaking(1).await;
    // Nothing cuts last words.
    world.caller_says("Now, please.").await;
    until_asked(&mut world).await;
    assert_eq!(world.replies()[0].heard, "I will put you through to the front desk.");
    assert!(!world.replies()[0].interrupted);
    let [asked] = world.carrier.transfers().try_into().unwrap();
    assert_eq!(asked.transfer.mode, TransferMode::Warm);
    asked.step(TransferStep::Over(TransferOutcome::Busy));
    world.until_replies_ended(2).await;
    assert_eq!(world.replies()[1].heard, "They are busy, sorry.");
    let outcome = |id: &str| {
        world.log().iter().find_map(|event| match &event.kind {
            CallEventKind::ToolFinished { call, outcome, .. } if call == id => Some(outcome.expose().clone()),
            _ => None,
        })
    };
    assert_eq!(outcome("c1"), Some(ToolOutcome::Error("the line was busy".into())));
    assert!(matches!(outcome("c2"), Some(ToolOutcome::Error(_))), "two at once are one too many");
    let request = world.llm.requests().pop().unwrap();
    let told = request.messages.iter().any(
        |message| matches!(message, Message::Tool { call, content } if call == "c1" && content.expose().contains("busy")),
    );
    assert!(told, "{:?}", request.messages);
    let callers: Vec<_> = world.transcript().into_iter().filter(|turn| turn.0 == Speaker::Caller).collect();
    assert_eq!(callers.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_the_agent_does_not_have_is_refused() {
    let mut world = with_tool(FakeReply::text("").then_call("c1", "hand_over", json!({ "target": "the moon" })));
    world.caller_says("Connect me with the moon.").await;
    world.until_replies_ended(1).await;
    assert_eq!(world.replies()[0].heard, "They are busy, sorry.");
    assert!(world.carrier.transfers().is_empty());
    let refused = |kind: &CallEventKind| matches!(kind, CallEventKind::ToolFinished { outcome, .. } if matches!(outcome.expose(), ToolOutcome::Error(why) if why.contains("Front desk")));
    assert_eq!(world.count(refused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guess_that_is_thrown_away_hands_nobody_over() {
    let reply = FakeReply::text("Sure.").then_call("c1", "hand_over", json!({ "target": "Front desk" }));
    let mut world = with_tool(reply);
    let start = world.now();
    world.voice(ms(1_000));
    world.run_for(ms(1_300)).await;
    world.stt.says_final("Connect me", start, start + ms(900)).await;
    world.hint(Some(start + ms(900))).await;
    world.run_for(ms(100)).await;
    assert_eq!(world.llm.requests().len(), 1, "a guess is made");
    world.caller_says("No, wait.").await;
    world.until_replies_ended(1).await;
    assert_eq!(world.replies()[0].heard, "They are busy, sorry.");
    assert!(world.carrier.transfers().is_empty());
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::ToolCalled { .. })), 0);
    assert_eq!(world.transcript().last().unwrap().2, TurnSource::Llm);
}
