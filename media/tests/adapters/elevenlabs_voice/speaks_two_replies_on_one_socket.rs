//! A call has one socket; each reply is a context on it, heard to its end and aligned to its last character.

use trunkline_sim::elevenlabs::Happened;

use super::support::{ONE, Rig, TWO, said, vendor};

#[tokio::test]
async fn in_the_clear() {
    speak(Rig::new(vendor([])).await).await;
}

#[tokio::test]
async fn over_tls() {
    speak(Rig::over_tls(vendor([])).await).await;
}

async fn speak(mut rig: Rig) {
    let mut sent = 0;
    for (reply, clauses) in
        [(ONE, ["Good morning, ", "how can I help? "]), (TWO, ["Your table is booked ", "for seven. "])]
    {
        for clause in clauses {
            rig.speak(reply, clause).await;
        }
        rig.finish(reply).await;
        rig.until_done(reply).await;
        let text = clauses.concat();
        sent += text.chars().count() as u64;
        assert_eq!(rig.heard(reply), said(&text));
        assert_eq!(rig.spelled(reply), text);
    }
    let entries = rig.sim.log().entries();
    assert_eq!(entries.iter().filter(|entry| entry.what == Happened::Connected).count(), 1);
    let opened: Vec<_> =
        entries.iter().filter(|entry| entry.what == Happened::Opened).map(|entry| entry.context.as_str()).collect();
    assert_eq!(opened, ["call-1-1", "call-2-1"]);
    assert_eq!(rig.usage(), (sent, 0));
    assert_eq!(rig.faults(), []);
}
