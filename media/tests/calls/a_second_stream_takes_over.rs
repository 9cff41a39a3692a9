//! A carrier sometimes opens a second media stream for the same call. There is one agent a call: the newest stream takes over, the older one
//! is closed, and what was not heard on it is heard on the new one.

use trunkline_media::event::CallEventKind;

use crate::world::{Sent, World, ms};

const STORY: &str = "There were four of us, and we sat in my room, smoking, and talking about how bad we were.";

#[tokio::test(start_paused = true)]
async fn a_second_stream_takes_over() {
    let mut world = World::builder().says(STORY).says("I am.").start();
    world.caller_says("Tell me a story.").await;
    world.until_speaking(1).await;
    world.run_for(ms(1_010)).await;
    world.connect_again().await;
    let over = world.now();
    let first = world.phones[0].state().sent.clone();
    assert_eq!(first.last().unwrap().1, Sent::Close(Some(1000)));
    // What the old stream's carrier still holds, nobody hears: its leg of the call is gone.
    let heard_before = world.samples_heard(1);
    world.phones[0].break_connection();
    world.until_replies_ended(1).await;

    assert!(world.phones[0].state().sent.iter().all(|(at, _)| *at <= over), "one agent, on one stream");
    let all = 400 * STORY.len() as u64;
    let heard = world.samples_heard(1);
    assert!(
        (all..=all + 160).contains(&heard),
        "all of it was heard, and no more than a frame twice: {heard} of {all}"
    );
    assert!(heard_before > 0 && heard_before < all);
    assert_eq!(world.replies()[0].heard, STORY);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::StreamAttached { reattached: true, .. })), 1);
    // And the new stream is heard.
    world.caller_says("Are you still there, my friend?").await;
    world.until_replies_ended(2).await;
    assert_eq!(world.replies()[1].heard, "I am.");
    world.phones[1].hang_up();
    assert_eq!(world.until_ended().await.reattached, 1);
}
