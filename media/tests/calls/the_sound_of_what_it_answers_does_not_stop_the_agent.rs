//! A recogniser with a turn model may end a turn before voice activity has seen the end of its sound. The answer to it must not pause for
//! that: it would stop in its first word, for as long as a false interruption lasts.

use trunkline_base::Personal;
use trunkline_media::{
    event::CallEventKind,
    stt::{SttEvent, TurnDetection},
};

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn the_sound_of_what_it_answers_does_not_stop_the_agent() {
    let mut world = World::builder()
        .turn(|turn| turn.turn_detection = TurnDetection::Recogniser)
        .says("Let me see what there is this evening.")
        .start();
    world.run_for(ms(1_000)).await;
    let start = world.now();
    // A breath and a rustle after the last word are sound too.
    world.voice(ms(3_000));
    world.run_for(ms(1_200)).await;
    let text = Personal::new("I would like a table.".to_owned());
    world.stt.say(SttEvent::EndOfTurn { text, start, end: start + ms(1_000) }).await;
    world.until_replies_ended(1).await;
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::FalseInterruption { .. })), 0);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::Interruption { .. })), 0);
}
