//! Tearing a call down when its last words were *submitted* cuts them off. The carrier is told to hang up when the last mark has come back;
//! and if that mark is lost, a little later, but not never.

use serde_json::json;
use trunkline_media::{
    event::{EndReason, TurnSource},
    testing::FakeReply,
};

use crate::world::{World, ms};

const GOODBYE: &str = "Thank you for calling, it was a pleasure to talk to you, have a wonderful evening, and goodbye!";

async fn call_that_ends(lose_marks: bool) {
    let mut world = World::builder().answer(FakeReply::text(GOODBYE).then_call("c1", "end_call", json!({}))).start();
    world.phone().state().lose_marks = lose_marks;
    world.caller_says("That is all, thank you.").await;
    world.until_speaking(1).await;
    let spoke_at = world.now();
    // Nobody can cut a goodbye, and talking over it is no reason to begin another answer.
    world.run_for(ms(1_000)).await;
    world.caller_says_slowly("Goodbye then!").await;
    let summary = world.until_ended().await;

    assert_eq!(world.samples_heard(1), 400 * GOODBYE.len() as u64, "to its last sample");
    assert_eq!(summary.reason, Some(EndReason::AgentHangup));
    assert_eq!(world.carrier.hang_ups(), [EndReason::AgentHangup]);
    let heard_at = spoke_at + ms(50 * GOODBYE.len() as u64);
    let ended = world.log().last().unwrap().at;
    let waited = ended.saturating_since(heard_at);
    assert!(ended >= heard_at && waited < if lose_marks { ms(2_500) } else { ms(200) }, "{waited:?}");
    let reply = &world.replies()[0];
    assert_eq!((reply.heard.as_str(), reply.interrupted), (GOODBYE, false));
    assert_eq!(world.clears(), 0);
    assert!(world.phone().state().closed);
    assert_eq!(world.transcript().last().unwrap().2, TurnSource::Speech, "what the caller said has its entry");
}

#[tokio::test(start_paused = true)]
async fn the_goodbye_is_heard_before_the_hang_up() {
    call_that_ends(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_last_mark_delays_the_hang_up_and_no_more() {
    call_that_ends(true).await;
}
