//! Sound on the line pauses the agent at most: only an accepted interruption may clear what the carrier holds. Systems that clear on the
//! first sign of voice lose their greeting to a crackle, and the caller hears silence.

use crate::world::{World, crackle, ms};

const GREETING: &str = "Good morning, this is the front desk, how can I help you today?";

#[tokio::test(start_paused = true)]
async fn line_noise_does_not_wipe_the_greeting() {
    let mut world = World::builder().greeting(GREETING).start();
    world.until_speaking(1).await;
    world.run_for(ms(500)).await;
    // Something that voice activity takes for speech, twice, and something that is none.
    world.voice(ms(200));
    world.run_for(ms(1_000)).await;
    world.voice(ms(300));
    world.run_for(ms(1_000)).await;
    world.phone().sound(crackle(), ms(1_000));
    world.until_replies_ended(1).await;

    let reply = &world.replies()[0];
    assert_eq!((reply.heard.as_str(), reply.interrupted), (GREETING, false));
    assert_eq!(world.samples_heard(1), 400 * GREETING.len() as u64);
    assert_eq!(world.clears(), 0);
    let false_alarms =
        world.count(|kind| matches!(kind, trunkline_media::event::CallEventKind::FalseInterruption { .. }));
    assert!(false_alarms >= 2, "it was noticed, and overruled: {false_alarms}");
}
