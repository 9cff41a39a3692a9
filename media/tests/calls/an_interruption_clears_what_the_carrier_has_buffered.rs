//! What the carrier holds is part of our playout queue: without a `clear` the caller goes on hearing what was sent ahead.

use crate::world::{World, ms};

const STORY: &str =
    "It was a bright cold day in April and the clocks were striking thirteen when he slipped through the doors.";

#[tokio::test(start_paused = true)]
async fn an_interruption_clears_what_the_carrier_has_buffered() {
    // This carrier has been given all of the reply long before it is heard.
    let mut world = World::builder().lead(ms(60_000)).says(STORY).says("Of course.").start();
    world.caller_says("Tell me a story, will you?").await;
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    let buffered = world.phone().state().playback.buffered();
    assert!(buffered > 8 * 2_000, "more than two seconds of it are with the carrier: {buffered}");

    world.caller_says_slowly("Wait, please, another one.").await;
    world.run_until("the buffer is gone", |world| world.clears() == 1).await;
    assert_eq!(world.phone().state().playback.buffered(), 0);
    let heard = world.samples_heard(1);
    world.until_replies_ended(2).await;
    assert_eq!(world.samples_heard(1), heard, "nothing more of it was heard");
    assert_eq!(world.replies()[0].heard, world.words_in(STORY, heard));
    assert_eq!(world.clears(), 1);
    world.assert_no_stale_frame();
}
