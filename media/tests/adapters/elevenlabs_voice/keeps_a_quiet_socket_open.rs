//! A call may be quiet for longer than the vendor waits. The socket is kept open by messages that open no context, on virtual time;
//! the vendor here is a bare socket that writes down what it gets.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::Instant};
use tokio_tungstenite::{accept_async, tungstenite::Message};
use trunkline_media::tts::TtsCommand;

use super::support::{ONE, PATIENCE, config, open};

/// A vendor that accepts one socket and reports each message with the time it came.
async fn listener() -> (String, mpsc::UnboundedReceiver<(Instant, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            #[expect(clippy::disallowed_methods, reason = "the test's own clock is what it tests")]
            let now = Instant::now();
            seen.send((now, serde_json::from_str(&text).unwrap())).unwrap();
        }
    });
    (url, messages)
}

#[tokio::test]
async fn keeps_a_quiet_socket_open() {
    let (url, mut messages) = listener().await;
    let mut config = config(&url);
    // Nothing ever answers here, and nothing shall be missed.
    (config.limits.first_byte, config.limits.idle) = (Duration::from_secs(600), Duration::from_secs(600));
    let session = open(config);
    // Connecting needs real time; from the first message on, time may be virtual.
    session.commands.send(TtsCommand::Speak { reply: ONE, text: "Hello. ".into() }).await.unwrap();
    let mut next = async || tokio::time::timeout(PATIENCE, messages.recv()).await.expect("in time").unwrap();
    assert_eq!(next().await.1["context_id"], "call-1-1");
    let (mut before, text) = next().await;
    assert_eq!(text["text"], "Hello. ");
    tokio::time::pause();
    for _ in 0..3 {
        let (at, message) = next().await;
        assert_eq!(message, json!({"text": "", "context_id": "call-1-1"}));
        assert!(at - before < Duration::from_secs(20), "the vendor's default is 20 s");
        before = at;
    }
    session.commands.send(TtsCommand::Cancel { reply: ONE }).await.unwrap();
    assert_eq!(next().await.1, json!({"context_id": "call-1-1", "close_context": true}));
    for _ in 0..3 {
        assert_eq!(next().await.1, json!({"text": ""}), "nothing that would open a context");
    }
}
