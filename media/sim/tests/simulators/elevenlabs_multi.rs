//! Many contexts on one socket: each its own utterance, five at a time, ended by its own final message.

use std::time::Duration;

use crate::elevenlabs_common::{
    Received, Socket, audio, config, disconnected, failure, heard, initialise, jsons, logged, start,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;
use trunkline_sim::{
    elevenlabs::{ContextKey, ElevenLabsConfig, Happened, KeyStyle},
    event::SimEventKind,
};

fn first(context: &str) -> Value {
    let mut message = initialise();
    message["context_id"] = context.into();
    message
}

fn say(context: &str, text: &str) -> Value {
    json!({"text": text, "context_id": context, "flush": true})
}

fn close(context: &str) -> Value {
    json!({"context_id": context, "close_context": true})
}

fn of(messages: &[Value], context: &str) -> Vec<Value> {
    messages.iter().filter(|message| message["contextId"] == context).cloned().collect()
}

#[tokio::test]
async fn contexts_speak_side_by_side_and_end_once_each() {
    let (events, mut seen) = unbounded_channel();
    let sim = start(ElevenLabsConfig { events: Some(events), ..config() }).await;
    let mut socket = Socket::multi(&sim, "").await;
    for context in ["a", "b"] {
        socket.send(first(context)).await;
        socket.send(say(context, &format!("This is {context}. "))).await;
    }
    for context in ["a", "b"] {
        socket.send(close(context)).await;
        // Once more changes nothing.
        socket.send(close(context)).await;
    }
    let mut messages = jsons(&socket.until_final().await);
    messages.extend(jsons(&socket.until_final().await));
    for context in ["a", "b"] {
        let own = of(&messages, context);
        assert_eq!(heard(&own), format!("this is {context}. "));
        assert_eq!(own.last().unwrap(), &json!({"isFinal": true, "contextId": context, "context_id": context}));
        assert_eq!(own.iter().filter(|message| message["isFinal"] == true).count(), 1);
    }
    assert_eq!((sim.contexts(), sim.connections()), (0, 1));
    socket.send(json!({"close_socket": true})).await;
    assert_eq!(socket.receive().await, Received::Closed(1_000, String::new()));
    disconnected(&sim).await;
    assert_eq!(sim.text("a"), " This is a. ");
    let mut kinds = Vec::new();
    while let Ok(event) = seen.try_recv() {
        kinds.push(event.kind);
    }
    assert_eq!(kinds[0], SimEventKind::TtsText { connection: 0, context: "a".into(), text: "This is a. ".into() });
    assert!(kinds.contains(&SimEventKind::TtsFinal { connection: 0, context: "b".into() }));
    let audio: Duration = (kinds.iter())
        .filter_map(|kind| if let SimEventKind::TtsAudio { length, .. } = kind { Some(*length) } else { None })
        .sum();
    assert_eq!(audio, Duration::from_millis(2 * 11 * 50));
}

#[tokio::test]
async fn a_flush_has_no_final_message() {
    let sim = start(config()).await;
    let mut socket = Socket::multi(&sim, "").await;
    socket.send(json!({"text": "No settings, at once. ", "context_id": "c", "flush": true})).await;
    let mut messages = Vec::new();
    while audio(&messages).len() < 22 * 400 {
        messages.push(socket.json().await);
    }
    // The next message is the next text's, not a final one.
    socket.send(say("c", "More. ")).await;
    assert!(socket.json().await["audio"].is_string());
    assert_eq!(sim.contexts(), 1);
}

#[tokio::test]
async fn closing_delivers_what_was_flushed_and_forgets_the_rest() {
    let sim = start(ElevenLabsConfig { chunk_interval: Duration::from_millis(30), ..config() }).await;
    let mut socket = Socket::multi(&sim, "").await;
    socket.send(first("c")).await;
    socket.send(say("c", "This was flushed. ")).await;
    socket.send(json!({"text": "This was not. ", "context_id": "c"})).await;
    socket.send(json!({"context_id": "c", "close_context": true, "text": "Nor this. "})).await;
    let messages = jsons(&socket.until_final().await);
    assert_eq!(heard(&messages), "this was flushed. ");
    // The same id again is another context.
    socket.send(first("c")).await;
    socket.send(say("c", "Again. ")).await;
    socket.send(close("c")).await;
    assert_eq!(heard(&jsons(&socket.until_final().await)), "again. ");
    assert_eq!(sim.log().entries().iter().filter(|entry| entry.what == Happened::Opened).count(), 2);
}

#[tokio::test]
async fn text_for_a_context_that_is_closing_opens_another() {
    let sim = start(ElevenLabsConfig { first_byte_delay: Duration::from_millis(150), ..config() }).await;
    let mut socket = Socket::multi(&sim, "").await;
    socket.send(say("c", "Old. ")).await;
    socket.send(close("c")).await;
    socket.send(first("c")).await;
    socket.send(say("c", "New. ")).await;
    socket.send(close("c")).await;
    let mut messages = jsons(&socket.until_final().await);
    messages.extend(jsons(&socket.until_final().await));
    assert_eq!(audio(&messages).len(), 10 * 400);
    assert_eq!(messages.iter().filter(|message| message["isFinal"] == true).count(), 2);
}

#[tokio::test]
async fn a_sixth_context_is_one_too_many() {
    let sim = start(ElevenLabsConfig { first_byte_delay: Duration::from_secs(60), ..config() }).await;
    let mut socket = Socket::multi(&sim, "").await;
    for context in ["1", "2", "3", "4", "5"] {
        socket.send(first(context)).await;
    }
    socket.send(say("1", "Never said. ")).await;
    // Closing, it still counts: its audio is due in a minute.
    socket.send(close("1")).await;
    logged(&sim, |entry| entry.what == Happened::Closing).await;
    assert_eq!(sim.contexts(), 5);
    socket.send(first("6")).await;
    let (code, close, _) = failure(&mut socket).await;
    assert_eq!((code.as_str(), close), ("max_active_conversations", 1_008));
    disconnected(&sim).await;
}

#[tokio::test]
async fn contexts_one_after_the_other_are_never_too_many() {
    let sim = start(config()).await;
    let mut socket = Socket::multi(&sim, "").await;
    for number in 0..30 {
        let context = format!("reply-{number}");
        socket.send(first(&context)).await;
        socket.send(say(&context, "Hi. ")).await;
        socket.send(close(&context)).await;
        assert_eq!(heard(&jsons(&socket.until_final().await)), "hi. ");
    }
    assert_eq!(sim.contexts(), 0);
}

#[tokio::test]
async fn a_keep_alive_opens_a_context_that_can_no_longer_be_initialised() {
    let sim = start(config()).await;
    let mut socket = Socket::multi(&sim, "").await;
    socket.send(json!({"text": ""})).await;
    socket.send(first("fine")).await;
    socket.send(json!({"text": "", "context_id": "fine"})).await;
    socket.send(say("fine", "Fine. ")).await;
    socket.send(close("fine")).await;
    assert_eq!(heard(&jsons(&socket.until_final().await)), "fine. ");
    socket.send(json!({"text": "", "context_id": "early"})).await;
    socket.send(first("early")).await;
    let (code, close, reason) = failure(&mut socket).await;
    assert_eq!((code.as_str(), close), ("invalid_input_message", 1_008));
    assert!(reason.contains("early"));
}

#[tokio::test]
async fn closing_the_socket_speaks_and_ends_all_contexts() {
    let sim = start(config()).await;
    let mut socket = Socket::multi(&sim, "").await;
    socket.send(json!({"text": "To the default. "})).await;
    socket.send(json!({"text": "To x. ", "context_id": "x"})).await;
    socket.send(json!({"close_socket": true})).await;
    let mut messages = jsons(&socket.until_final().await);
    messages.extend(jsons(&socket.until_final().await));
    assert_eq!(heard(&of(&messages, "default")), "to the default. ");
    assert_eq!(heard(&of(&messages, "x")), "to x. ");
    assert_eq!(socket.receive().await, Received::Closed(1_000, String::new()));
}

#[tokio::test]
async fn keys_are_spelt_as_configured() {
    for (context, expected, absent) in
        [(ContextKey::Camel, "contextId", "context_id"), (ContextKey::Snake, "context_id", "contextId")]
    {
        let sim = start(ElevenLabsConfig { key_style: KeyStyle { context, ..KeyStyle::default() }, ..config() }).await;
        let mut socket = Socket::multi(&sim, "").await;
        socket.send(say("k", "K. ")).await;
        socket.send(close("k")).await;
        let messages = jsons(&socket.until_final().await);
        assert!(messages.len() > 1);
        assert!(messages.iter().all(|message| message[expected] == "k" && message.get(absent).is_none()));
    }
}

#[tokio::test]
async fn a_quiet_context_ends_and_a_quiet_socket_closes() {
    let sim = start(config()).await;
    let mut socket = Socket::multi(&sim, "&inactivity_timeout=1").await;
    socket.send(first("quiet")).await;
    // The socket is kept alive, the context is not.
    let ended = loop {
        socket.send(json!({"text": ""})).await;
        if let Ok(received) = tokio::time::timeout(Duration::from_millis(200), socket.receive()).await {
            break received;
        }
    };
    assert_eq!(ended, Received::Json(json!({"isFinal": true, "contextId": "quiet", "context_id": "quiet"})));
    assert_eq!(failure(&mut socket).await.0, "input_timeout_exceeded");
    disconnected(&sim).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_contexts_along() {
    let sim = start(ElevenLabsConfig { first_byte_delay: Duration::from_secs(60), ..config() }).await;
    let mut socket = Socket::multi(&sim, "").await;
    socket.send(say("a", "Never said. ")).await;
    logged(&sim, |entry| entry.what == Happened::Opened).await;
    assert_eq!((sim.connections(), sim.contexts()), (1, 1));
    drop(socket);
    disconnected(&sim).await;
}
