//! The process died while the agent was thinking, or in the middle of its answer. The caller has said it once, and does not have to say it
//! again: once the line is back, the agent answers.

use trunkline_media::event::{CallEventKind, Speaker, TurnSource};

use super::a_call_that_comes_back_is_taken_up::{after, asked};
use crate::world::{World, ms};

const HISTORY: [(Speaker, &str); 3] =
    [(Speaker::Agent, "For how many?"), (Speaker::Caller, "For four of us,"), (Speaker::Caller, "at seven.")];

#[tokio::test(start_paused = true)]
async fn a_turn_without_an_answer_gets_one_when_the_call_comes_back() {
    let mut world = World::builder().resumed(after(&HISTORY)).says("Done.").start();
    world.until_replies_ended(2).await;
    let sources: Vec<_> = world.transcript().into_iter().map(|turn| (turn.1, turn.2)).collect();
    let sorry = "Sorry, we were cut off for a moment.".to_owned();
    assert_eq!(sources, [(sorry.clone(), TurnSource::Resume), ("Done.".into(), TurnSource::Llm)]);
    assert_eq!(
        asked(&world),
        ["system", "agent: For how many?", &format!("agent: {sorry}"), "caller: For four of us, at seven."],
        "the request ends with what is to be answered"
    );
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::Latency(_))), 0, "nobody was there to be slow");
}

#[tokio::test(start_paused = true)]
async fn without_words_about_it_the_answer_comes_at_once() {
    let mut world = World::builder().turn(|turn| turn.resume = None).resumed(after(&HISTORY)).says("Done.").start();
    world.until_replies_ended(1).await;
    assert_eq!(asked(&world), ["system", "agent: For how many?", "caller: For four of us, at seven."]);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_over_it_belongs_to_the_same_turn() {
    let mut world = World::builder().resumed(after(&HISTORY)).says("Done.").start();
    world.until_speaking(1).await;
    world.run_for(ms(400)).await;
    world.caller_says_slowly("And by the window, please.").await;
    world.until_replies_ended(2).await;
    let heard = world.replies()[0].heard.clone();
    assert!(world.replies()[0].interrupted && heard.starts_with("Sorry"), "{heard:?}");
    assert_eq!(
        asked(&world),
        [
            "system",
            "agent: For how many?",
            &format!("agent: {heard}"),
            "caller: For four of us, at seven. And by the window, please.",
        ]
    );
    assert_eq!(world.replies()[1].heard, "Done.");
    world.run_for(ms(3_000)).await;
    assert_eq!(
        world.llm.requests().iter().filter(|request| request.messages.len() < 4).count(),
        0,
        "one answer to both"
    );
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_fails_at_these_words_costs_no_answer() {
    let mut world = World::builder().resumed(after(&HISTORY)).tts(|tts| tts.fails = [9].into()).says("Done.").start();
    world.until_replies_ended(3).await;
    assert_eq!(world.transcript().last().unwrap().1, "Done.");
}
