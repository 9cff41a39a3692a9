//! After a cancel no more of the reply reaches the call, although the vendor sends on; the next reply speaks on the same socket.

use std::time::Duration;

use trunkline_media::tts::{EVENT_BACKLOG, TtsEvent};
use trunkline_sim::elevenlabs::Happened;

use super::support::{ONE, Rig, TWO, said, vendor};

#[tokio::test]
async fn drops_what_was_cancelled() {
    let mut vendor = vendor([]);
    vendor.chunk_interval = Duration::from_millis(20);
    let mut rig = Rig::new(vendor).await;
    let long = "This is a long story that nobody wants to hear to its very end, is it not? ";
    rig.speak(ONE, long).await;
    rig.until(|event| matches!(event, TtsEvent::Audio { .. })).await;
    rig.cancel(ONE).await;
    rig.speak(TWO, "Of course. ").await;
    rig.finish(TWO).await;
    rig.until_done(TWO).await;
    assert_eq!(rig.heard(TWO), said("Of course. "));
    // What was on its way when the cancel was taken is all that may follow it.
    let late = rig.pieces(ONE).count();
    assert!(late <= 1 + EVENT_BACKLOG, "{late} pieces of a cancelled reply");
    assert!(rig.spelled(ONE).len() < long.len() / 2, "heard {:?}", rig.spelled(ONE));
    let (used, wasted) = rig.usage();
    assert_eq!(used + wasted, (long.len() + "Of course. ".len()) as u64);
    assert!((40..long.len() as u64).contains(&wasted), "{wasted} wasted");
    rig.vendor_saw(|entries| entries.iter().any(|one| one.context == "call-1-1" && one.what == Happened::Closing))
        .await;
    assert_eq!(rig.faults(), []);
}
