//! A vendor that accepts text and then falls silent is left after a limit, and the rest is asked of another socket.

use std::time::Duration;

use trunkline_sim::fault::Fault;

use super::support::{ONE, Rig, said, vendor};

const TEXT: &str = "Let me look that up for you, one moment please. ";

async fn speak(stalls: impl IntoIterator<Item = u64>) -> Rig {
    let faults = stalls.into_iter().map(|ms| Some(Fault::StallAfter(Duration::from_millis(ms))));
    let limit = Duration::from_millis(400);
    let rig = Rig::with(vendor(faults), |config| {
        config.limits.first_byte = limit;
        config.limits.idle = limit;
    })
    .await;
    rig.speak(ONE, TEXT).await;
    rig.finish(ONE).await;
    rig
}

#[tokio::test]
async fn before_the_first_byte() {
    let mut rig = speak([0]).await;
    rig.until_done(ONE).await;
    assert_eq!(rig.heard(ONE), said(TEXT));
    assert!(rig.faults()[0].1.starts_with("first_byte"), "{:?}", rig.faults());
}

#[tokio::test]
async fn in_the_middle() {
    let mut rig = speak([1_000]).await;
    rig.until_done(ONE).await;
    assert_eq!(rig.heard(ONE), said(TEXT));
    assert!(rig.faults()[0].1.starts_with("idle"), "{:?}", rig.faults());
}

#[tokio::test]
async fn but_not_for_ever() {
    let mut rig = speak([0, 0, 0, 0]).await;
    let cause = rig.until_failed(ONE).await;
    assert!(cause.starts_with("first_byte"), "{cause}");
    assert_eq!(rig.texts().len(), 3, "the text was sent once and tried again twice");
}
