//! A call that doesn't take its audio slows the vendor down instead of filling memory, and its cancel gets through all the same.

use std::time::Duration;

use trunkline_media::tts::{EVENT_BACKLOG, TtsEvent};
use trunkline_sim::elevenlabs::Happened;

use super::support::{ONE, Rig, TWO, said, vendor};

#[tokio::test]
async fn a_jam_ends_with_a_cancel() {
    let mut rig = Rig::new(vendor([])).await;
    rig.speak(ONE, &"This goes on and on. ".repeat(20)).await;
    let long = |entries: &[trunkline_sim::elevenlabs::LogEntry]| {
        entries.iter().filter(|entry| matches!(entry.what, Happened::Audio { .. })).count() > 3 * EVENT_BACKLOG
    };
    rig.vendor_saw(long).await;
    assert_eq!(rig.session.events.len(), EVENT_BACKLOG, "what waits is bounded");
    tokio::time::timeout(Duration::from_secs(5), rig.cancel(ONE)).await.expect("a command is taken during a jam");
    rig.vendor_saw(|entries| entries.iter().any(|one| one.context == "call-1-1" && one.what == Happened::Closing))
        .await;
    rig.speak(TWO, "Sorry. ").await;
    rig.finish(TWO).await;
    rig.until_done(TWO).await;
    assert_eq!(rig.heard(TWO), said("Sorry. "));
    assert!(rig.pieces(ONE).count() <= EVENT_BACKLOG, "only what waited already");
}

#[tokio::test]
async fn a_jam_loses_nothing_and_is_no_stall() {
    let mut rig = Rig::with(vendor([]), |config| config.limits.idle = Duration::from_millis(300)).await;
    let text = "Everything of this will be heard. ".repeat(3);
    rig.speak(ONE, &text).await;
    rig.finish(ONE).await;
    rig.vendor_saw(|entries| entries.iter().any(|entry| entry.what == Happened::Final)).await;
    // Longer than the limit for idle, with the vendor's audio waiting unread: time is what is tested here.
    tokio::time::sleep(Duration::from_millis(500)).await;
    rig.until(|event| matches!(event, TtsEvent::Done { .. })).await;
    assert_eq!(rig.heard(ONE), said(&text));
    assert_eq!(rig.faults(), []);
}
