//! A reply that was begun on a guess may want to call a tool, or to hang up. Until the caller's turn is committed nothing of that happens,
//! and if the guess was wrong it never does.

use std::time::Duration;

use serde_json::json;
use trunkline_base::Personal;
use trunkline_media::{
    event::{CallEventKind, ToolOutcome},
    stt::{SttEvent, TurnDetection},
    testing::{FakeReply, FakeTools},
    time::MediaTime,
};

use crate::world::{World, ms};

fn eager(text: &str, end: u64) -> SttEvent {
    SttEvent::EagerEndOfTurn {
        text: Personal::new(text.into()),
        start: MediaTime::from_millis(1_000),
        end: MediaTime::from_millis(end),
    }
}

#[tokio::test(start_paused = true)]
async fn a_discarded_generations_tool_never_runs() {
    let tools = FakeTools::default().with("cancel_booking", Duration::ZERO, ToolOutcome::Result(json!("done")));
    let mut world = World::builder()
        .turn(|turn| turn.turn_detection = TurnDetection::Recogniser)
        .tools(tools)
        .answer(FakeReply::text("Bye.").then_call("c1", "cancel_booking", json!({})).then_call(
            "c2",
            "end_call",
            json!({}),
        ))
        .says("I have moved it.")
        .start();
    world.run_for(ms(2_000)).await;
    world.stt.say(eager("Cancel my booking", 1_900)).await;
    // Long enough for the guess to be thought through to its end.
    world.run_for(ms(1_000)).await;
    world.stt.say(SttEvent::TurnResumed).await;
    world.run_for(ms(100)).await;
    let whole = Personal::new("Cancel my booking … no, move it.".into());
    let (start, end) = (MediaTime::from_millis(1_000), MediaTime::from_millis(3_000));
    world.stt.say(SttEvent::EndOfTurn { text: whole, start, end }).await;
    world.until_replies_ended(1).await;
    world.run_for(ms(2_000)).await;

    assert_eq!(world.tools.log(), [""; 0]);
    assert_eq!(world.carrier.hang_ups(), []);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::ToolCalled { .. })), 0);
    assert_eq!(world.replies()[0].heard, "I have moved it.");
    let wasted =
        world.count(|kind| matches!(kind, CallEventKind::Usage { wasted: true, quantity, .. } if *quantity > 0));
    assert_eq!(wasted, 1, "what the guess cost is counted");
    world.assert_one_generation_at_a_time();
}
