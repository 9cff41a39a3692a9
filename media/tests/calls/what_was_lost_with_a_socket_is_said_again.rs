//! A media socket may be lost in mid-sentence, with what the carrier had not played. The call waits for another stream, and goes on from the
//! first sample that was not heard.

use trunkline_media::event::{CallEventKind, EndReason};

use crate::world::{World, ms};

const STORY: &str =
    "The sun shone, having no alternative, on the nothing new, and I sat out of it as though I were free.";

fn assert_all_heard_in_order(world: &World) {
    let heard: Vec<u8> = world
        .phones
        .iter()
        .flat_map(|phone| phone.state().playback.heard.clone())
        .filter(|byte| *byte != 0xFF)
        .collect();
    let spoken = 400 * STORY.len();
    let order: Vec<usize> = (0..spoken).map(|n| n % 251).collect();
    assert_eq!(heard.len(), spoken);
    assert!(heard.iter().zip(order).all(|(byte, n)| usize::from(*byte) == n), "every sample once, in order");
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_with_a_socket_is_said_again() {
    let mut world = World::builder().tts(|tts| tts.counted = true).greeting(STORY).start();
    world.until_speaking(1).await;
    world.run_for(ms(1_500)).await;
    world.phones[0].break_connection();
    world.run_for(ms(3_000)).await;
    world.connect_again().await;
    world.until_replies_ended(1).await;
    world.run_for(ms(100)).await;
    assert_all_heard_in_order(&world);
    assert_eq!(world.replies()[0].heard, STORY);
    assert!(!world.replies()[0].interrupted);
}

#[tokio::test(start_paused = true)]
async fn a_reply_whose_last_mark_was_lost_with_the_socket_is_over_soon_after() {
    let mut world = World::builder().tts(|tts| tts.counted = true).greeting(STORY).start();
    world.phone().state().lose_marks = true;
    world.until_speaking(1).await;
    // Just after the last sample was heard, and before its mark is given up for lost.
    world.run_for(ms(50 * STORY.len() as u64 + 300)).await;
    assert_eq!(world.replies(), []);
    world.phones[0].break_connection();
    world.run_for(ms(5_000)).await;
    world.connect_again().await;
    let since = world.now();
    world.until_replies_ended(1).await;
    assert!(world.now().saturating_since(since) < ms(2_500), "{}", world.now());
    assert_all_heard_in_order(&world);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::VendorFault { .. })), 0, "nobody failed");
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_mid_turn_is_answered_when_the_stream_is_back() {
    let mut world = World::builder().says("Certainly.").start();
    world.run_for(ms(1_000)).await;
    let start = world.now();
    world.voice(ms(5_000));
    world.run_for(ms(1_000)).await;
    world.stt.says_final("I would like a table", start, start + ms(900)).await;
    world.run_for(ms(100)).await;
    world.phones[0].break_connection();
    world.run_for(ms(1_000)).await;
    world.connect_again().await;
    world.until_replies_ended(1).await;
    assert_eq!(world.samples_heard(1), 400 * "Certainly.".len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_does_not_come_back_is_media_lost() {
    let mut world = World::builder().greeting(STORY).start();
    world.until_speaking(1).await;
    world.run_for(ms(1_500)).await;
    world.phones[0].break_connection();
    world.run_for(ms(100)).await;
    let since = world.now();
    let summary = world.until_ended().await;
    assert_eq!(summary.reason, Some(EndReason::MediaLost));
    assert_eq!(
        world.carrier.hang_ups(),
        [EndReason::MediaLost],
        "a caller who is on the line still does not pay for silence"
    );
    let waited = world.now().saturating_since(since);
    assert!(waited > ms(19_000) && waited < ms(21_000), "{waited:?}");
    assert_eq!(world.replies()[0].heard, world.words_in(STORY, world.samples_heard(1)), "what was heard is known");
}
