//! An agent that cannot hear must not keep a caller on the line, whether the recogniser said that it gave up or is just gone.

use trunkline_media::{
    event::{CallEventKind, EndReason, TurnSource},
    stt::SttEvent,
};

use crate::world::{World, ms};

async fn call_whose_recogniser_ends(says_so: bool) {
    let mut world = World::builder().greeting("Hello, how can I help you this fine morning?").start();
    world.until_speaking(1).await;
    world.run_for(ms(500)).await;
    if says_so {
        world.stt.say(SttEvent::Failed { cause: "it hangs up on every attempt".into() }).await;
    }
    world.stt.vanish();
    let summary = world.until_ended().await;
    assert_eq!(summary.reason, Some(EndReason::VendorFailed));
    let transcript = world.transcript();
    assert_eq!(transcript.last().unwrap().2, TurnSource::Apology, "the caller is told");
    assert!(!world.replies().last().unwrap().interrupted, "to the end");
    assert_eq!(world.replies().len(), 2);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::VendorFault { provider, .. } if provider == "stt")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_gives_up_ends_the_call() {
    call_whose_recogniser_ends(true).await;
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_is_gone_ends_the_call() {
    call_whose_recogniser_ends(false).await;
}
