//! The model must not believe that it said what nobody heard: an interrupted answer is cut to what was *played*, not to what was generated,
//! spoken by the voice or queued. The same clock gives the transcript.

use trunkline_media::{event::Speaker, llm::Message};

use crate::world::{World, ms};

const STORY: &str =
    "Once upon a time there was a king who had three daughters. The eldest was clever, and the youngest was kind.";

#[tokio::test(start_paused = true)]
async fn history_is_cut_to_what_was_played() {
    let mut world = World::builder().says(STORY).says("Sure.").start();
    world.caller_says("Tell me a story.").await;
    world.until_speaking(1).await;
    world.run_for(ms(1_700)).await;
    world.caller_says_slowly("A different one, please.").await;
    world.until_replies_ended(2).await;

    let heard = world.words_in(STORY, world.samples_heard(1));
    assert!(heard.len() > 20 && heard.len() < 70, "{heard:?}");
    let requests = world.llm.requests();
    let said: Vec<_> = requests
        .last()
        .unwrap()
        .messages
        .iter()
        .map(|message| match message {
            Message::System { .. } => "system".to_owned(),
            Message::Caller { text } => format!("caller: {}", text.expose()),
            Message::Agent { text, .. } => format!("agent: {}", text.expose()),
            Message::Tool { content, .. } => format!("tool: {}", content.expose()),
        })
        .collect();
    let expected = [
        "system".into(),
        "caller: Tell me a story.".into(),
        format!("agent: {heard}"),
        "caller: A different one, please.".into(),
    ];
    assert_eq!(said, expected);
    assert_eq!(world.replies()[0].heard, heard);
    let transcript = world.transcript();
    assert!(transcript.iter().any(|(speaker, text, _)| *speaker == Speaker::Agent && *text == heard), "{transcript:?}");
}
