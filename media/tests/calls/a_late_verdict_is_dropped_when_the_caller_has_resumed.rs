//! "That turn is complete" may arrive when the caller has gone on. It is about words that are dealt with, and says nothing about those that
//! came since.

use trunkline_base::Personal;
use trunkline_media::{
    event::{CallEventKind, Speaker},
    stt::{SttEvent, TurnDetection},
    time::MediaTime,
};

use crate::world::{World, ms};

fn at(millis: u64) -> MediaTime {
    MediaTime::from_millis(millis)
}

fn end_of_turn(text: &str, start: u64, end: u64) -> SttEvent {
    SttEvent::EndOfTurn { text: Personal::new(text.into()), start: at(start), end: at(end) }
}

#[tokio::test(start_paused = true)]
async fn a_late_verdict_is_dropped_when_the_caller_has_resumed() {
    let mut world = World::builder().says("A table for two, at eight.").start();
    world.run_for(ms(1_000)).await;
    world.voice(ms(3_000));
    world.run_for(ms(800)).await;
    world.stt.says_final("I would like a table", at(1_000), at(1_600)).await;
    world.run_for(ms(600)).await;
    world.stt.says_interim("for two", at(2_000), at(2_400)).await;
    // About the first words, and late.
    world.hint(Some(at(1_600))).await;
    world.run_for(ms(1_500)).await;
    assert_eq!(world.llm.requests().len(), 0, "nobody thought that this was all");
    world.stt.says_final("for two people.", at(2_000), at(4_000)).await;
    world.until_replies_ended(1).await;
    assert_eq!(world.transcript()[0].1, "I would like a table for two people.");
    assert_eq!(world.llm.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_models_late_verdict_does_not_end_the_next_turn() {
    let mut world = World::builder()
        .turn(|turn| turn.turn_detection = TurnDetection::Recogniser)
        .says("Let me see what there is this evening, one moment please.")
        .says("Eight it is.")
        .start();
    world.run_for(ms(1_000)).await;
    world.stt.say(end_of_turn("I would like a table.", 200, 900)).await;
    world.until_speaking(1).await;
    world.stt.says_interim("At eight", at(2_000), at(2_400)).await;
    world.until("the agent is interrupted", |kind| matches!(kind, CallEventKind::Interruption { .. })).await;
    // The first verdict again, in other punctuation.
    world.stt.say(end_of_turn("I would like a table", 200, 900)).await;
    world.run_for(ms(500)).await;
    let over =
        |world: &World| world.count(|kind| matches!(kind, CallEventKind::TurnEnded { speaker: Speaker::Caller, .. }));
    assert_eq!(over(&world), 1, "the second turn goes on");
    world.stt.say(end_of_turn("At eight, please.", 2_000, 3_500)).await;
    world.until_replies_ended(2).await;
    let caller: Vec<_> =
        world.transcript().into_iter().filter(|turn| turn.0 == Speaker::Caller).map(|turn| turn.1).collect();
    assert_eq!(caller, ["I would like a table.", "At eight, please."]);
}
