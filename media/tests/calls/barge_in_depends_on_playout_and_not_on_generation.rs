//! A caller interrupts what is being *heard*. Generation and voice are over seconds before that, so "is something being generated" is the
//! wrong question.

use trunkline_media::event::{CallEventKind, InterruptionCause};

use crate::world::{World, ms};

const STORY: &str =
    "It was a bright cold day in April and the clocks were striking thirteen when he slipped through the doors.";

#[tokio::test(start_paused = true)]
async fn barge_in_depends_on_playout_and_not_on_generation() {
    let mut world = World::builder().lead(ms(60_000)).says(STORY).says("Of course.").start();
    world.caller_says("Tell me a story, will you?").await;
    // The last mark follows the last frame: nothing is left to be generated, spoken or sent.
    world
        .run_until("all of it is sent", |world| {
            matches!(world.sent().last(), Some((_, crate::world::Sent::Mark(_))))
                && world.phone().state().playback.buffered() > 0
        })
        .await;
    world.run_for(ms(1_500)).await;
    world.caller_says_slowly("Stop that now.").await;
    world
        .until("the agent is interrupted", |kind| {
            matches!(kind, CallEventKind::Interruption { cause: InterruptionCause::BargeIn, .. })
        })
        .await;
    assert_eq!(world.clears(), 1);
    let reply = &world.replies()[0];
    assert!(reply.interrupted && !reply.heard.is_empty() && reply.heard.len() < STORY.len(), "{reply:?}");
}
