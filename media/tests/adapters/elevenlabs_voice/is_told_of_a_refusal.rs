//! Refusals: one that passes is waited out, one that doesn't fails the reply with the vendor's code and without the key.

use std::time::Duration;

use trunkline_base::Secret;
use trunkline_sim::{elevenlabs::Happened, fault::Fault};

use super::support::{KEY, ONE, Rig, TWO, said, vendor};

#[tokio::test]
async fn too_many_requests_pass() {
    let mut rig = Rig::new(vendor([Some(Fault::Refuse { status: 429, retry_after: Some(1) })])).await;
    rig.speak(ONE, "Hello there. ").await;
    rig.finish(ONE).await;
    rig.until_done(ONE).await;
    assert_eq!(rig.heard(ONE), said("Hello there. "));
    let cause = "refused with HTTP 429 (rate_limit_exceeded)";
    assert_eq!(rig.faults(), [("connect", cause, false), ("connect", cause, true)]);
}

#[tokio::test]
async fn a_wrong_key_does_not() {
    let mut rig = Rig::with(vendor([]), |config| config.api_key = Secret::new("sk_wrong_key")).await;
    rig.speak(ONE, "Hello there. ").await;
    assert_eq!(rig.until_failed(ONE).await, "refused with HTTP 401 (invalid_api_key)");
    rig.speak(TWO, "Anybody? ").await;
    assert_eq!(rig.until_failed(TWO).await, "refused with HTTP 401 (invalid_api_key)");
    assert_eq!(rig.faults().len(), 1);
    assert!(!format!("{:?}", rig.events).contains("sk_"), "{:?}", rig.events);
}

#[tokio::test]
async fn nor_does_an_empty_account() {
    let fault = Fault::ErrorAfter(Duration::from_millis(600), "quota_exceeded".into());
    let mut rig = Rig::new(vendor([Some(fault)])).await;
    rig.speak(ONE, "Hello there, this is too long for the credit that is left. ").await;
    rig.finish(ONE).await;
    assert_eq!(rig.until_failed(ONE).await, "vendor's error: quota_exceeded");
    assert!("Hello there, this is too long".starts_with(rig.spelled(ONE).trim_end()), "{}", rig.spelled(ONE));
    let connections = rig.sim.log().entries().into_iter().filter(|one| one.what == Happened::Connected).count();
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn the_key_is_printed_nowhere() {
    let rig = Rig::new(vendor([])).await;
    let config = super::support::config(&rig.sim.server().http_url());
    assert!(!format!("{config:?} {:?}", rig.session).contains(KEY));
}
