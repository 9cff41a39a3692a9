//! Keys that the agent presses reach the carrier in order, even if it takes the stream away for them; nothing of a reply is lost.

use serde_json::json;
use trunkline_media::{
    call::CallCommand,
    event::{CallEventKind, Direction, ToolOutcome},
    testing::FakeReply,
};

use crate::world::{World, ms};

fn press(keys: &str) -> CallCommand {
    CallCommand::SendKeys { keys: keys.parse().unwrap() }
}

fn pressed(kind: &CallEventKind) -> bool {
    matches!(kind, CallEventKind::Dtmf { direction: Direction::Outbound, .. })
}

/// The carrier ends the stream, and what it had not played is gone.
fn take_away(world: &mut World) {
    world.phone().send("stop", json!({ "callSid": "CA1", "accountSid": "AC1" }));
    world.phones.last_mut().unwrap().break_connection();
}

#[tokio::test(start_paused = true)]
async fn keys_are_pressed_one_sequence_after_the_other() {
    let mut world = World::builder().greeting("Hello, this is the agent of the Smith family.").start();
    world.carrier.end_the_stream_for_keys();
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.command(press("w12#")).await;
    world.command(press("9")).await;
    assert_eq!(world.carrier.keys(), ["w12#"]);
    take_away(&mut world);
    world.run_for(ms(1_500)).await;
    assert_eq!(world.carrier.keys(), ["w12#"], "the next ones would end what presses these");
    world.connect_again().await;
    world.run_for(ms(10)).await;
    assert_eq!(world.carrier.keys(), ["w12#", "9"]);
    take_away(&mut world);
    world.run_for(ms(300)).await;
    world.connect_again().await;
    world.until_replies_ended(1).await;
    let reply = &world.replies()[0];
    assert!(!reply.interrupted && reply.heard == reply.generated, "{reply:?}");
    assert_eq!(world.samples_heard(1), 400 * reply.generated.len() as u64, "every sample once");
    assert_eq!(world.count(pressed), 4);
    let told = world.log().iter().filter(|event| pressed(&event.kind));
    let told: Vec<_> = told.map(|event| serde_json::to_value(&event.kind).unwrap()["digit"].clone()).collect();
    assert_eq!(told, ["x"; 4], "which they were is kept nowhere");
    let lost = |kind: &CallEventKind| matches!(kind, CallEventKind::StreamAttached { reattached: true, .. });
    assert_eq!(world.count(lost), 0);
    world.phone().hang_up();
    assert_eq!(world.until_ended().await.reattached, 0);
}

#[tokio::test(start_paused = true)]
async fn the_model_presses_keys_and_hears_of_it() {
    let call = |keys: &str| FakeReply::text("").then_call("k", "press", json!({ "keys": keys }));
    let mut world = World::builder()
        .turn(|turn| turn.keys_tool = Some("press".into()))
        .answer(call("1 2"))
        .answer(call("12").then_call("k2", "press", json!({ "keys": "3" })))
        .says("I have chosen the third option.")
        .start();
    world.caller_says("Press one for sales.").await;
    world.until_replies_ended(1).await;
    assert_eq!(world.carrier.keys(), ["12", "3"]);
    let outcomes = world.log().iter().filter_map(|event| match &event.kind {
        CallEventKind::ToolFinished { outcome, .. } => Some(outcome.expose().clone()),
        _ => None,
    });
    let done = ToolOutcome::Result(json!({ "status": "pressed" }));
    let outcomes: Vec<_> = outcomes.collect();
    assert!(matches!(&outcomes[0], ToolOutcome::Error(why) if why.contains("1 to 32")), "{outcomes:?}");
    assert_eq!(outcomes[1..], [done.clone(), done]);
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_refuses_keys_leaves_the_stream_as_it_is() {
    let mut world = World::builder().greeting("Hello.").start();
    world.carrier.end_the_stream_for_keys();
    world.carrier.refuse_keys();
    world.until_replies_ended(1).await;
    world.command(press("1")).await;
    world.run_for(ms(100)).await;
    assert_eq!(
        world.count(|kind| matches!(kind, CallEventKind::VendorFault { provider, .. } if provider == "carrier")),
        1
    );
    // A stream that ends now was ended by the caller.
    world.phone().hang_up();
    world.until_ended().await;
}
