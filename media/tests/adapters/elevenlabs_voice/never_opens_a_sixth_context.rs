//! Contexts that are closing count among the five that the vendor allows. Whoever interrupts six times quickly still gets an answer.

use std::time::Duration;

use trunkline_media::ids::ReplyId;
use trunkline_sim::elevenlabs::{Happened, LogEntry};

use super::support::{Rig, said, vendor};

/// The most contexts that were open on one connection at once.
fn most_open(entries: &[LogEntry]) -> usize {
    let mut open = std::collections::BTreeMap::<u64, usize>::new();
    let mut most = 0;
    for entry in entries {
        let count = open.entry(entry.connection).or_default();
        match entry.what {
            Happened::Opened => *count += 1,
            Happened::Final => *count -= 1,
            _ => {}
        }
        most = most.max(*count);
    }
    most
}

#[tokio::test]
async fn never_opens_a_sixth_context() {
    let mut vendor = vendor([]);
    // So long that no cancelled context ends while the others are begun, nor while the last one waits for its end.
    vendor.first_byte_delay = Duration::from_secs(3);
    let mut rig = Rig::with(vendor, |config| config.limits.first_byte = Duration::from_secs(5)).await;
    for id in 1..=6 {
        rig.speak(ReplyId(id), "Never to be heard. ").await;
        if id <= 5 {
            let context = format!("call-{id}-1");
            rig.vendor_saw(|entries| entries.iter().any(|one| one.context == context && one.what == Happened::Opened))
                .await;
        }
        rig.cancel(ReplyId(id)).await;
    }
    let last = ReplyId(7);
    rig.speak(last, "At last. ").await;
    rig.finish(last).await;
    rig.until_done(last).await;
    assert_eq!(rig.heard(last), said("At last. "));
    assert!((1..=6).all(|id| rig.pieces(ReplyId(id)).next().is_none()));
    let entries = rig.sim.log().entries();
    assert_eq!(most_open(&entries), 5, "{entries:#?}");
    assert_eq!(entries.iter().filter(|entry| entry.what == Happened::Connected).count(), 2);
    assert_eq!(rig.faults(), [], "replacing the socket is no fault");
    assert!(!entries.iter().any(|entry| matches!(entry.what, Happened::Failed(_))), "{entries:#?}");
}
