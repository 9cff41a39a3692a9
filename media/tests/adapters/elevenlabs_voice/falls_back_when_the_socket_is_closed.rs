//! A vendor may accept the upgrade of `multi-stream-input` and refuse it only then, by closing with a policy violation that names it.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use trunkline_media::tts::{TtsCommand, TtsEvent};

use super::support::{ONE, PATIENCE, config, open};

const AUDIO: &str =
    r#"{"audio":"/////w==","alignment":{"chars":["O","k"],"charStartTimesMs":[0,1],"charsDurationsMs":[1,1]}}"#;

/// Closes `multi-stream-input`, and on `stream-input` says "Ok" when the text has ended.
async fn vendor(listener: TcpListener, paths: mpsc::UnboundedSender<String>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut path = String::new();
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            path = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(response)
        };
        let mut socket = accept_hdr_async(stream, note).await.unwrap();
        paths.send(path.clone()).unwrap();
        if path == "multi-stream-input" {
            let reason = "multi-stream-input is not part of this plan".into();
            let _ = socket.close(Some(CloseFrame { code: CloseCode::Policy, reason })).await;
        }
        while let Some(Ok(message)) = socket.next().await {
            if message == Message::text(r#"{"text":""}"#) {
                socket.send(Message::text(AUDIO)).await.unwrap();
                socket.send(Message::text(r#"{"isFinal":true,"audio":null}"#)).await.unwrap();
                let _ = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).await;
            }
        }
    }
}

#[tokio::test]
async fn falls_back_when_the_socket_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, mut paths) = mpsc::unbounded_channel();
    tokio::spawn(vendor(listener, seen));
    let mut session = open(config(&url));
    for command in [TtsCommand::Speak { reply: ONE, text: "Ok".into() }, TtsCommand::Finish { reply: ONE }] {
        session.commands.send(command).await.unwrap();
    }
    let mut audio = 0;
    loop {
        let next =
            tokio::time::timeout(PATIENCE, session.events.recv()).await.expect("in time").expect("the session lives");
        match next {
            TtsEvent::Audio { audio: piece, .. } => audio += piece.len(),
            TtsEvent::Done { reply: ONE } => break,
            TtsEvent::Failed { cause, .. } => panic!("{cause}"),
            _ => {}
        }
    }
    assert_eq!(audio, 4);
    assert_eq!([paths.recv().await.unwrap(), paths.recv().await.unwrap()], ["multi-stream-input", "stream-input"]);
}
