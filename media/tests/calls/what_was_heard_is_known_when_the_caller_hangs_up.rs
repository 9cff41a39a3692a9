//! A caller who hangs up in mid-sentence has heard a part of it. That part has its entry; the rest has not.

use trunkline_media::event::{EndReason, Speaker, TurnSource};

use crate::world::{World, ms};

const STORY: &str =
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do.";

#[tokio::test(start_paused = true)]
async fn what_was_heard_is_known_when_the_caller_hangs_up() {
    let mut world = World::builder().says(STORY).start();
    world.caller_says("Read to me.").await;
    world.until_speaking(1).await;
    world.run_for(ms(2_000)).await;
    let now = world.now();
    world.stt.says_interim("mm", now.saturating_sub(ms(500)), now).await;
    world.run_for(ms(10)).await;
    world.phone().hang_up();
    let summary = world.until_ended().await;
    assert_eq!(summary.reason, Some(EndReason::CallerHangup));
    assert_eq!(world.carrier.hang_ups(), [], "there is nobody to hang up on");
    let reply = world.replies()[0].clone();
    assert_eq!((reply.generated.as_str(), reply.interrupted), (STORY, true));
    assert!(reply.heard.len() > 30 && STORY.starts_with(&reply.heard), "{reply:?}");
    let transcript = world.transcript();
    assert!(transcript.contains(&(Speaker::Agent, reply.heard, TurnSource::Llm)), "{transcript:?}");
    assert!(
        transcript.contains(&(Speaker::Caller, "mm".into(), TurnSource::Speech)),
        "and so has what the caller said last"
    );
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_answered_have_their_entry_too() {
    let mut world = World::builder().start();
    world.run_for(ms(1_000)).await;
    for digit in ["4", "2"] {
        world.phone().send("dtmf", serde_json::json!({ "track": "inbound_track", "digit": digit }));
    }
    world.run_for(ms(100)).await;
    world.phone().hang_up();
    world.until_ended().await;
    assert_eq!(world.transcript(), [(Speaker::Caller, "[pressed 42]".into(), TurnSource::Dtmf)]);
}
