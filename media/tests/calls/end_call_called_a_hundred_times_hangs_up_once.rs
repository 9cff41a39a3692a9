//! A model may call a tool again and again because nothing seems to happen. Ending a call is a command: the first one counts, the line is
//! hung up once.

use serde_json::json;
use trunkline_media::{
    event::{CallEventKind, EndReason},
    testing::FakeReply,
};

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn end_call_called_a_hundred_times_hangs_up_once() {
    let mut reply = FakeReply::text("Goodbye.");
    for n in 0..100 {
        reply = reply.then_call(&format!("call-{n}"), "end_call", json!({}));
    }
    let mut world = World::builder().answer(reply).start();
    world.caller_says("That is all.").await;
    let summary = world.until_ended().await;
    assert_eq!(summary.reason, Some(EndReason::AgentHangup));
    assert_eq!(world.carrier.hang_ups(), [EndReason::AgentHangup]);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::ToolCalled { .. })), 1);
    assert_eq!(world.samples_heard(1), 400 * 8);
    assert_eq!(world.llm.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_farewell_is_spoken_when_the_answer_has_no_words() {
    let reply = FakeReply::text("").then_call("c", "end_call", json!({ "farewell": "Take care!" }));
    let mut world = World::builder().answer(reply).start();
    world.caller_says("That is all.").await;
    world.until_ended().await;
    assert_eq!(world.replies()[0].heard, "Take care!");
}
