//! Where the vendor refuses `multi-stream-input`, every reply has a `stream-input` socket of its own, and the call sees no difference.

use std::time::Duration;

use trunkline_media::{ids::ReplyId, tts::TtsEvent};
use trunkline_sim::{elevenlabs::Happened, fault::Fault};

use super::support::{ONE, Rig, TWO, said, vendor};

const REFUSED: Option<Fault> = Some(Fault::Refuse { status: 403, retry_after: None });

#[tokio::test]
async fn speaks_a_reply_a_socket() {
    let mut rig = Rig::new(vendor([REFUSED])).await;
    for (reply, text) in [(ONE, "Good morning. "), (TWO, "How can I help you? ")] {
        rig.speak(reply, text).await;
        rig.finish(reply).await;
        rig.until_done(reply).await;
        assert_eq!((rig.heard(reply), rig.spelled(reply)), (said(text), text.to_owned()));
    }
    assert!(rig.faults().iter().all(|(phase, _, _)| *phase == "connect"), "{:?}", rig.faults());
    assert!(rig.faults().iter().any(|(_, _, mended)| *mended));
}

#[tokio::test]
async fn cancels_by_dropping_the_socket() {
    let mut vendor = vendor([REFUSED]);
    vendor.chunk_interval = Duration::from_millis(20);
    let mut rig = Rig::new(vendor).await;
    rig.speak(ONE, "This is a long story that nobody wants to hear to its end. ").await;
    rig.until(|event| matches!(event, TtsEvent::Audio { .. })).await;
    rig.cancel(ONE).await;
    rig.speak(TWO, "Of course. ").await;
    rig.finish(TWO).await;
    rig.until_done(TWO).await;
    assert_eq!(rig.heard(TWO), said("Of course. "));
    rig.vendor_saw(|entries| entries.iter().any(|entry| entry.what == Happened::Disconnected)).await;
}

#[tokio::test]
async fn speaks_the_rest_after_a_lost_socket() {
    let mut rig = Rig::new(vendor([REFUSED, Some(Fault::DropAfter(Duration::from_millis(800)))])).await;
    let text = "This will be heard once, whatever happens on the way. ";
    rig.speak(ONE, text).await;
    rig.finish(ONE).await;
    rig.until_done(ONE).await;
    assert_eq!((rig.heard(ONE), rig.spelled(ONE)), (said(text), text.to_owned()));
}

#[tokio::test]
async fn replies_wait_for_each_other() {
    let mut rig = Rig::new(vendor([REFUSED])).await;
    for id in 1..=3 {
        rig.speak(ReplyId(id), "One after the other. ").await;
        rig.finish(ReplyId(id)).await;
    }
    for id in 1..=3 {
        rig.until_done(ReplyId(id)).await;
        assert_eq!(rig.heard(ReplyId(id)), said("One after the other. "));
    }
}
