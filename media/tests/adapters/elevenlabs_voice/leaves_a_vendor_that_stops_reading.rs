//! A vendor that accepts a socket and then reads nothing from it blocks the call for the write limit and no longer.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use trunkline_media::tts::{TtsCommand, TtsEvent};

use super::support::{ONE, PATIENCE, config, open};

#[tokio::test]
async fn leaves_a_vendor_that_stops_reading() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.limits.write = Duration::from_millis(300);
    let vendor = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // Held open, never read.
        (accept_async(stream).await.unwrap(), listener)
    });
    let mut session = open(config);
    let held = vendor.await.unwrap();
    let clause = "All work and no play. ".repeat(20_000);
    let speaking = session.commands.clone();
    let speaker = tokio::spawn(async move {
        // More than the buffers of both ends hold.
        for _ in 0..40 {
            let _ = speaking.send(TtsCommand::Speak { reply: ONE, text: clause.clone() }).await;
        }
    });
    let cause = loop {
        let next =
            tokio::time::timeout(PATIENCE, session.events.recv()).await.expect("in time").expect("the session lives");
        if let TtsEvent::Fault { cause, .. } = next {
            break cause;
        }
    };
    assert!(cause.starts_with("write"), "{cause}");
    speaker.abort();
    drop(held);
}
