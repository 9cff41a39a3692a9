//! That a call is recorded is heard whole, whatever the caller does; then they are greeted.

use trunkline_media::event::{Speaker, TurnSource};

use crate::world::{World, ms};

const CONSENT: &str = "This call is recorded, so that we can learn from it and do better next time.";

#[tokio::test(start_paused = true)]
async fn consent_is_heard_before_anything_else() {
    let mut world =
        World::builder().greeting("What can I do for you?").turn(|turn| turn.consent = Some(CONSENT.into())).start();
    world.until_speaking(1).await;
    world.run_for(ms(300)).await;
    world.caller_says("Stop, wait!").await;
    world.until_replies_ended(3).await;
    let replies = world.replies();
    assert_eq!((replies[0].heard.as_str(), replies[0].interrupted), (CONSENT, false));
    assert_eq!(replies[1].heard, "What can I do for you?");
    let agents: Vec<_> = world.transcript().into_iter().filter(|turn| turn.0 == Speaker::Agent).collect();
    let sources: Vec<_> = agents.iter().map(|turn| turn.2).collect();
    assert_eq!(sources, [TurnSource::Consent, TurnSource::Greeting, TurnSource::Llm]);
    // The greeting can be cut as ever.
    world.assert_no_stale_frame();
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_a_greeting_listens_after_it() {
    let mut world = World::builder().turn(|turn| turn.consent = Some(CONSENT.into())).start();
    world.until_replies_ended(1).await;
    world.caller_says("Hello?").await;
    world.until_replies_ended(2).await;
    assert_eq!(world.replies()[0].heard, CONSENT);
}
