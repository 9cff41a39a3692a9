//! A recogniser's start of speech, its words, their finality and its pauses are independent of each other: any of them may be missing.

use trunkline_media::{
    event::{CallEventKind, Speaker, TurnSource},
    stt::{SttCommand, SttEvent},
};

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn words_without_a_start_event_are_a_turn() {
    // Nothing that voice activity heard, and no event of the recogniser's before the words.
    let mut world = World::builder().says("Hello to you.").start();
    world.run_for(ms(1_000)).await;
    let now = world.now();
    world.stt.says_final("Hello there.", now, now + ms(500)).await;
    world.until_replies_ended(1).await;
    let transcript = world.transcript();
    assert_eq!(transcript[0], (Speaker::Caller, "Hello there.".to_owned(), TurnSource::Speech));
    assert_eq!(transcript[1].1, "Hello to you.");
}

#[tokio::test(start_paused = true)]
async fn a_hint_without_a_final_ends_the_turn_too() {
    let mut world = World::builder().says("Hello to you.").start();
    world.run_for(ms(1_000)).await;
    let now = world.now();
    world.voice(ms(500));
    world.run_for(ms(600)).await;
    world.stt.says_interim("Hello there", now, now + ms(500)).await;
    world.hint(Some(now + ms(500))).await;
    world.until_replies_ended(1).await;
    assert_eq!(world.transcript()[0].1, "Hello there");
    let mut asked = Vec::new();
    while let Ok(command) = world.stt.commands.try_recv() {
        asked.push(command);
    }
    assert_eq!(asked, [SttCommand::Finalize], "the recogniser was asked for what it has, once");
}

#[tokio::test(start_paused = true)]
async fn a_start_event_without_words_is_no_turn() {
    let mut world = World::builder().start();
    world.run_for(ms(1_000)).await;
    let now = world.now();
    world.stt.say(SttEvent::SpeechStarted { at: now }).await;
    // The caller is asked whether they are still there, no later than if nothing had been heard but the start.
    world.until("the idle prompt", |kind| matches!(kind, CallEventKind::CallerIdle { n: 1 })).await;
    assert!(world.now() <= now + ms(10_100), "{}", world.now());
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::TurnStarted { speaker: Speaker::Caller, .. })), 0);
}
