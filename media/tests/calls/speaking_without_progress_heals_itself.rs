//! A voice that never says that it is done leaves an agent that "speaks" in silence, for ever in some systems. Here it is noticed, counted,
//! and the caller can go on.

use trunkline_media::event::CallEventKind;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn speaking_without_progress_heals_itself() {
    let mut world = World::builder()
        .tts(|tts| {
            tts.stalls.insert(1);
        })
        .says("One moment, please!!")
        .says("Here I am again.")
        .start();
    world.caller_says("Can you hear me?").await;
    world.until_speaking(1).await;
    let since = world.now();
    world.until_replies_ended(1).await;
    let waited = world.now().saturating_since(since);
    assert!(waited.as_secs() >= 8 && waited.as_secs() < 11, "{waited:?}");
    assert_eq!(world.replies()[0].heard, "One moment, please!!");
    let counted = |kind: &CallEventKind| matches!(kind, CallEventKind::VendorFault { provider, cause, .. } if provider == "engine" && cause == "no progress");
    assert_eq!(world.count(counted), 1);
    world.caller_says("Hello? Are you there?").await;
    world.until_replies_ended(2).await;
    assert_eq!(world.replies()[1].heard, "Here I am again.");
}
