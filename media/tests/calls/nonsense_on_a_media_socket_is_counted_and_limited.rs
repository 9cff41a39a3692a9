//! Half a JSON, an unknown event, another stream's message: counted, ignored, and the call goes on. A hundred of them in ten seconds close
//! the socket, and only that: the call may come back with another.

use trunkline_media::event::EndReason;

use crate::world::{Sent, World, ms};

const STORY: &str =
    "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little.";

#[tokio::test(start_paused = true)]
async fn nonsense_is_counted_and_ignored() {
    let mut world = World::builder().greeting(STORY).start();
    world.until_speaking(1).await;
    for text in ["{", "[]", r#"{"event":"dance","streamSid":"MZ1"}"#, r#"{"event":"stop","streamSid":"MZ9"}"#] {
        world.phone().send_text(text);
        world.run_for(ms(50)).await;
    }
    world.until_replies_ended(1).await;
    assert_eq!(world.samples_heard(1), 400 * STORY.len() as u64);
    world.phone().hang_up();
    let summary = world.until_ended().await;
    assert_eq!((summary.bad_messages, summary.reason), (4, Some(EndReason::CallerHangup)));
}

#[tokio::test(start_paused = true)]
async fn too_much_of_it_closes_the_socket_and_not_the_call() {
    let mut world = World::builder().greeting(STORY).start();
    world.until_speaking(1).await;
    for _ in 0..100 {
        world.phone().send_text("nonsense");
        world.run_for(ms(20)).await;
    }
    assert_eq!(world.sent().last().unwrap().1, Sent::Close(Some(1008)));
    world.phones[0].break_connection();
    world.connect_again().await;
    world.until_replies_ended(1).await;
    assert_eq!(world.replies()[0].heard, STORY);
    world.phone().hang_up();
    let summary = world.until_ended().await;
    assert_eq!((summary.bad_messages, summary.reattached), (100, 1));
}
