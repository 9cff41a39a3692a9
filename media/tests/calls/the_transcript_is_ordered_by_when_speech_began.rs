//! A transcript arrives when it arrives. What was said first stands first, even if its words came after the reply had begun.

use trunkline_media::event::{CallEventKind, Speaker};

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn the_transcript_is_ordered_by_when_speech_began() {
    let mut world = World::builder().says("Gladly.").start();
    world.run_for(ms(1_000)).await;
    let start = world.now();
    world.voice(ms(800));
    world.run_for(ms(900)).await;
    // The outside has something said; then the slow recogniser comes with what the caller said before.
    world.say("This call may be recorded for training purposes.", false).await;
    world.until_speaking(1).await;
    world.stt.says_final("Can you help me?", start, start + ms(800)).await;
    world.until_replies_ended(2).await;

    let texts: Vec<_> = world.transcript().into_iter().map(|(speaker, text, _)| (speaker, text)).collect();
    assert_eq!(texts[0], (Speaker::Caller, "Can you help me?".into()));
    assert_eq!(texts[1], (Speaker::Agent, "This call may be recorded for training purposes.".into()));
    assert_eq!(texts[2], (Speaker::Agent, "Gladly.".into()));
    let heard_of =
        world.at(|kind| matches!(kind, CallEventKind::TurnStarted { speaker: Speaker::Caller, .. })).unwrap();
    let agent = world.at(|kind| matches!(kind, CallEventKind::TurnStarted { speaker: Speaker::Agent, .. })).unwrap();
    assert!(heard_of > agent, "its words came later than the agent's first sample");
}
