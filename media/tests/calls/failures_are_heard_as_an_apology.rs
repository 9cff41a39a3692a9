//! When thinking or speaking fails, a caller who hears nothing hangs up. The agent says that something went wrong, and after too many failures
//! in a row it leaves.

use trunkline_media::{
    event::{CallEventKind, EndReason, TurnSource},
    testing::FakeReply,
};

use crate::world::{World, ms};

const APOLOGY: &str = "Sorry, I did not get that. Could you say it again?";

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_is_apologised_for() {
    let mut world =
        World::builder().answer(FakeReply::text("").then_fail("no model answers")).says("Here I am.").start();
    world.caller_says("Can you hear me?").await;
    world.until_replies_ended(1).await;
    assert_eq!(world.replies()[0].heard, APOLOGY);
    assert_eq!(world.transcript()[1].2, TurnSource::Apology);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::VendorFault { recovered: false, .. })), 1);
    world.caller_says("Once more, please.").await;
    world.until_replies_ended(2).await;
    assert_eq!(world.replies()[1].heard, "Here I am.");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_three_times_in_a_row_ends_the_call() {
    let fails = || FakeReply::text("").then_fail("no model answers");
    let mut world = World::builder().answer(fails()).answer(fails()).answer(fails()).start();
    for n in 1..=3 {
        world.caller_says("Can you hear me?").await;
        world.until_replies_ended(n).await;
    }
    assert_eq!(world.until_ended().await.reason, Some(EndReason::VendorFailed));
    assert_eq!(world.replies()[2].heard, APOLOGY, "the last apology is heard, too");
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_fails_is_apologised_for() {
    let mut world = World::builder()
        .tts(|tts| {
            tts.fails.insert(1);
        })
        .says("You will not hear this.")
        .says("Here I am.")
        .start();
    world.caller_says("Can you hear me?").await;
    let asked = world.now();
    world.until_replies_ended(2).await;
    let replies = world.replies();
    assert_eq!((replies[0].heard.as_str(), replies[0].interrupted), ("", true));
    assert_eq!(replies[1].heard, APOLOGY);
    assert!(world.now().saturating_since(asked) < ms(6_000), "and not only when the idle prompt is due");
    world.caller_says("Once more, please.").await;
    world.until_replies_ended(3).await;
    assert_eq!(world.replies()[2].heard, "Here I am.");
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_is_gone_for_good_ends_the_call() {
    let mut world = World::builder().tts(|tts| tts.fails.extend(1..100)).greeting("Hello!").start();
    assert_eq!(world.until_ended().await.reason, Some(EndReason::VendorFailed));
    assert!(world.now().as_millis() < 5_000, "{}", world.now());
    assert_eq!(world.carrier.hang_ups(), [EndReason::VendorFailed]);
}
