//! A carrier that stops reading must not hold a call up for ever: every write has a limit, then the socket counts as lost, and the call waits
//! for another as long as it does after any loss.

use trunkline_media::event::{CallEventKind, EndReason};

use crate::world::{World, ms};

const STORY: &str = "It is a truth universally acknowledged, that a single man in possession of a good fortune must be in want of a wife.";

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_is_a_lost_socket() {
    let mut world = World::builder().room(4).greeting(STORY).start();
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.phone().stop_reading(true);
    let since = world.now();
    let summary = world.until_ended().await;
    assert_eq!(summary.reason, Some(EndReason::MediaLost));
    let waited = world.now().saturating_since(since);
    // The write's two seconds, and twenty for another stream.
    assert!(waited > ms(21_500) && waited < ms(23_500), "{waited:?}");
    assert!(world.replies()[0].interrupted);
}

#[tokio::test(start_paused = true)]
async fn the_call_goes_on_when_it_comes_back_with_another_stream() {
    let mut world = World::builder().room(4).greeting(STORY).says("Very well.").start();
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.phone().stop_reading(true);
    world.run_for(ms(4_000)).await;
    world.connect_again().await;
    world.until_replies_ended(1).await;
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::VendorFault { .. })), 0, "nothing stalled");
    assert_eq!((world.replies()[0].heard.as_str(), world.replies()[0].interrupted), (STORY, false));
    // What had been written and was never read may be lost, and what it held may be heard twice; nothing else.
    let off = world.samples_heard(1).abs_diff(400 * STORY.len() as u64);
    assert!(off <= 160 * 8, "{off}");
    world.caller_says("How are you?").await;
    world.until_replies_ended(2).await;
}
