//! A greeting, a text that the outside wants said, a prompt to a silent caller, a goodbye: whatever produced it, what was spoken is in the
//! transcript, and the model knows of it. A caller who stays silent is asked, and after that the agent leaves.

use trunkline_media::{
    event::{CallEventKind, EndReason, Speaker, TurnSource},
    llm::Message,
};

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn everything_spoken_has_an_entry() {
    let mut world = World::builder()
        .greeting("Hello, this is Anna.")
        .turn(|turn| {
            turn.goodbye = Some("I hang up now, goodbye.".into());
            turn.idle.after = ms(4_000);
        })
        .says("I am well, thank you.")
        .start();
    world.until_replies_ended(1).await;
    world.say("The office closes in ten minutes.", true).await;
    world.until_replies_ended(2).await;
    world.caller_says("How are you?").await;
    world.until_replies_ended(3).await;
    let silent_since = world.now();
    let summary = world.until_ended().await;

    assert_eq!(summary.reason, Some(EndReason::Idle));
    assert_eq!(world.carrier.hang_ups(), [EndReason::Idle]);
    let expected = [
        (Speaker::Agent, "Hello, this is Anna.", TurnSource::Greeting),
        (Speaker::Agent, "The office closes in ten minutes.", TurnSource::Say),
        (Speaker::Caller, "How are you?", TurnSource::Speech),
        (Speaker::Agent, "I am well, thank you.", TurnSource::Llm),
        (Speaker::Agent, "Are you still there?", TurnSource::Idle),
        (Speaker::Agent, "Are you still there?", TurnSource::Idle),
        (Speaker::Agent, "I hang up now, goodbye.", TurnSource::Goodbye),
    ];
    assert_eq!(world.transcript(), expected.map(|(speaker, text, source)| (speaker, text.to_owned(), source)));
    // Two prompts of four seconds' patience each, and a third silence.
    let asked = world.count(|kind| matches!(kind, CallEventKind::CallerIdle { .. }));
    assert_eq!(asked, 3);
    let waited = world.now().saturating_since(silent_since);
    assert!(waited > ms(14_000) && waited < ms(17_000), "{waited:?}");
    // What was spoken before the question was known to the model.
    let said: Vec<_> = world.llm.requests()[0]
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Agent { text, .. } => Some(text.expose().clone()),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["Hello, this is Anna.", "The office closes in ten minutes."]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_speaks_is_not_idle() {
    let mut world = World::builder().turn(|turn| turn.idle.after = ms(3_000)).says("I see, go on.").start();
    world.run_for(ms(1_000)).await;
    // Ten seconds of speech, of which the recogniser reports nothing until its end.
    let start = world.now();
    world.voice(ms(10_000));
    for _ in 0..4 {
        world.run_for(ms(2_500)).await;
        world.stt.says_interim("well", start, world.now()).await;
    }
    world.stt.says_final("Well, it is a long story.", start, world.now()).await;
    world.until_replies_ended(1).await;
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::CallerIdle { .. })), 0);
}
