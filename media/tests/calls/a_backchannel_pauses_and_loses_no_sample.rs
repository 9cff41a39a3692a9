//! "Mm-hm" means "I am listening". The agent may pause for it, and then goes on from the same sample: nothing is lost, nothing is doubled,
//! and no turn of the caller's wants an answer.

use trunkline_media::event::{CallEventKind, TurnSource};

use crate::world::{World, ms};

const STORY: &str = "Take the second street on the left, go on to the bridge, and the hotel is just behind the church.";

#[tokio::test(start_paused = true)]
async fn a_backchannel_pauses_and_loses_no_sample() {
    let mut world = World::builder().tts(|tts| tts.counted = true).says(STORY).start();
    world.caller_says("How do I get there?").await;
    world.until_speaking(1).await;
    for _ in 0..2 {
        world.run_for(ms(800)).await;
        world.caller_says("Mm-hm.").await;
    }
    world.until_replies_ended(1).await;
    world.run_for(ms(500)).await;

    let mut heard = world.phone().state().playback.heard.clone();
    let spoken = 400 * STORY.len();
    assert!(heard.split_off(spoken).iter().all(|byte| *byte == 0xFF), "only silence fills the last frame");
    let wrong = heard.iter().enumerate().find(|(n, byte)| usize::from(**byte) != n % 251);
    assert_eq!(wrong, None, "of {spoken} samples");
    assert_eq!(world.clears(), 0);
    let paused: Vec<_> = world
        .log()
        .iter()
        .filter_map(|event| match event.kind {
            CallEventKind::FalseInterruption { paused_for, .. } => Some(paused_for),
            _ => None,
        })
        .collect();
    assert_eq!(paused.len(), 2);
    assert!(paused.iter().all(|pause| *pause > ms(100) && *pause < ms(1_500)), "{paused:?}");
    let backchannels = world.transcript().into_iter().filter(|turn| turn.2 == TurnSource::Backchannel).count();
    assert_eq!(backchannels, 2, "they have their entries");
    assert_eq!(world.llm.requests().len(), 1, "and ask for no answer");
    assert_eq!(world.replies()[0].heard, STORY);
}
