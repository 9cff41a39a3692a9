//! A carrier gives pending marks back when its buffer is cleared, so a mark is not always proof that the caller heard what was before it.

use crate::world::{Sent, World, ms};

const STORY: &str =
    "One. Two. Three. Four. Five. Six. Seven. Eight. Nine. Ten. Eleven. Twelve. Thirteen. Fourteen. Fifteen.";

#[tokio::test(start_paused = true)]
async fn marks_after_a_clear_prove_nothing() {
    // A long lead, so that marks are on their way when the caller interrupts.
    let mut world = World::builder().lead(ms(2_000)).says(STORY).says("Sure.").start();
    world.caller_says("Count for me, please.").await;
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.caller_says_slowly("No, that is enough, thank you.").await;
    world.until_replies_ended(1).await;

    let cleared_at = world.sent().iter().find(|(_, sent)| *sent == Sent::Clear).expect("it was cleared").0;
    let marks = world.sent().iter().filter(|(at, sent)| *at <= cleared_at && matches!(sent, Sent::Mark(_))).count();
    let reply = world.replies()[0].clone();
    let heard = world.words_in(STORY, world.samples_heard(1));
    assert!(marks > heard.matches('.').count() + 2, "marks were on their way: {marks} for {heard:?}");
    assert_eq!(reply.heard, heard);
    assert!(reply.interrupted && reply.heard.len() < STORY.len());
    // They came back, and changed nothing afterwards.
    world.until_replies_ended(2).await;
    assert_eq!(world.replies()[0].heard, heard);
    world.assert_no_stale_frame();
}
