//! Some first words must be heard ("this call is recorded"). Nobody cuts them; what the caller says meanwhile is answered afterwards.

use trunkline_media::turn::Greeting;

use crate::world::{World, ms};

const GREETING: &str = "This call is recorded, for your safety and for ours. How can I help you?";

#[tokio::test(start_paused = true)]
async fn an_uninterruptible_greeting_is_heard_whole() {
    let mut world = World::builder()
        .turn(|turn| turn.greeting = Some(Greeting { text: GREETING.into(), interruptible: false }))
        .says("At eight.")
        .start();
    world.until_speaking(1).await;
    world.run_for(ms(500)).await;
    world.caller_says_slowly("When do you open tomorrow?").await;
    world.until_replies_ended(2).await;
    let replies = world.replies();
    assert_eq!((replies[0].heard.as_str(), replies[0].interrupted), (GREETING, false));
    assert_eq!(replies[1].heard, "At eight.");
    let state = world.phone().state();
    assert_eq!(state.playback.runs.iter().filter(|run| run.value == 2).count(), 1, "without a pause");
}
