//! "Yes" in the middle of an explanation means "go on". Over the last words of a question it is the answer, and an agent that takes it for a
//! sign of listening waits for ever.

use trunkline_media::event::{Speaker, TurnSource};

use crate::world::{World, ms};

const QUESTION: &str = "I have a table for two at eight this evening, shall I take it for you?";

#[tokio::test(start_paused = true)]
async fn a_yes_over_the_end_of_a_question_is_its_answer() {
    let mut world = World::builder().says(QUESTION).says("It is yours.").start();
    world.caller_says("Is there a table for two?").await;
    world.until_speaking(1).await;
    world.run_for(ms(50 * QUESTION.len() as u64 - 600)).await;
    world.caller_says("Yes.").await;
    world.until_replies_ended(2).await;
    let replies = world.replies();
    assert_eq!((replies[0].heard.as_str(), replies[0].interrupted), (QUESTION, false));
    assert_eq!(replies[1].heard, "It is yours.");
    assert!(world.transcript().contains(&(Speaker::Caller, "Yes.".into(), TurnSource::Speech)));
    assert_eq!(world.clears(), 0);
}
