//! What the tests of the ElevenLabs simulator share.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::Response},
};
use trunkline_sim::{
    audio::mulaw_decode,
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim, Happened, LogEntry},
    fault::{Fault, Script},
    voice::CodedVoice,
};

pub(crate) const KEY: &str = "xi-test";
pub(crate) const VOICE: &str = "21m00Tcm4TlvDq8ikWAM";
/// Longer than anything here takes, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn config() -> ElevenLabsConfig {
    ElevenLabsConfig {
        api_key: KEY.into(),
        first_byte_delay: Duration::from_millis(5),
        chunk_interval: Duration::from_millis(1),
        ..ElevenLabsConfig::default()
    }
}

pub(crate) fn with_fault(fault: Fault) -> ElevenLabsConfig {
    ElevenLabsConfig { script: Script::new([Some(fault)]), ..config() }
}

pub(crate) async fn start(config: ElevenLabsConfig) -> ElevenLabsSim {
    ElevenLabsSim::start("127.0.0.1:0".parse().unwrap(), config, None).await.unwrap()
}

/// A client's socket.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a socket receives.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Json(Value),
    /// Text that is no JSON.
    Garbage(String),
    /// A close frame's code and reason.
    Closed(u16, String),
    /// The connection ended without a close frame.
    Cut,
}

impl Socket {
    /// Opens `kind` (such as `stream-input`) with `query`; the handshake's response if it is refused.
    pub(crate) async fn open(
        sim: &ElevenLabsSim,
        kind: &str,
        query: &str,
        key: Option<&str>,
    ) -> Result<Self, Response<Value>> {
        let url = format!("{}/v1/text-to-speech/{VOICE}/{kind}?output_format=ulaw_8000{query}", sim.server().ws_url());
        Self::open_url(&url, key).await
    }

    pub(crate) async fn open_url(url: &str, key: Option<&str>) -> Result<Self, Response<Value>> {
        let mut request = url.into_client_request().unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("xi-api-key", key.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => {
                Err(response.map(|body| serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default()))
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn multi(sim: &ElevenLabsSim, query: &str) -> Self {
        Self::open(sim, "multi-stream-input", query, Some(KEY)).await.unwrap()
    }

    pub(crate) async fn stream(sim: &ElevenLabsSim, query: &str) -> Self {
        Self::open(sim, "stream-input", query, Some(KEY)).await.unwrap()
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.0.send(Message::Text(message.to_string().into())).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Received {
        match timeout(LIMIT, self.0.next()).await.expect("something is received in time") {
            Some(Ok(Message::Text(text))) => {
                serde_json::from_str(&text).map_or_else(|_| Received::Garbage(text.to_string()), Received::Json)
            }
            Some(Ok(Message::Close(Some(frame)))) => Received::Closed(frame.code.into(), frame.reason.to_string()),
            Some(Ok(other)) => panic!("unexpected: {other:?}"),
            Some(Err(_)) | None => Received::Cut,
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        match self.receive().await {
            Received::Json(value) => value,
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// All messages until one with `isFinal` or until the socket ends, that included.
    pub(crate) async fn until_final(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            let received = self.receive().await;
            let last = match &received {
                Received::Json(value) => value["isFinal"] == true,
                Received::Garbage(_) => false,
                Received::Closed(..) | Received::Cut => true,
            };
            all.push(received);
            if last {
                return all;
            }
        }
    }
}

pub(crate) fn initialise() -> Value {
    json!({"text": " ", "voice_settings": {"stability": 0.5, "similarity_boost": 0.75, "speed": 1.0}})
}

pub(crate) fn jsons(received: &[Received]) -> Vec<Value> {
    let json = |received: &Received| if let Received::Json(value) = received { Some(value.clone()) } else { None };
    received.iter().filter_map(json).collect()
}

/// The µ-law bytes of messages.
pub(crate) fn audio(messages: &[Value]) -> Vec<u8> {
    messages
        .iter()
        .filter_map(|message| message["audio"].as_str())
        .flat_map(|audio| STANDARD.decode(audio).unwrap())
        .collect()
}

/// What messages of µ-law say.
pub(crate) fn heard(messages: &[Value]) -> String {
    let samples: Vec<i16> = audio(messages).into_iter().map(mulaw_decode).collect();
    CodedVoice::default().read(&samples, 8_000)
}

pub(crate) async fn logged(sim: &ElevenLabsSim, accept: impl Fn(&LogEntry) -> bool) -> LogEntry {
    let found = sim.log().wait_for(LIMIT, |entries| entries.iter().find(|entry| accept(entry)).cloned());
    found.await.expect("it is in the log in time")
}

/// Waits until nothing is open any more.
pub(crate) async fn disconnected(sim: &ElevenLabsSim) {
    let none_open = sim.log().wait_for(LIMIT, |entries| {
        let ended = entries.last().is_some_and(|entry| entry.what == Happened::Disconnected);
        (ended && sim.connections() == 0 && sim.contexts() == 0).then_some(())
    });
    none_open.await.expect("every connection ends in time");
}

/// The error frame and the close frame after it.
pub(crate) async fn failure(socket: &mut Socket) -> (String, u16, String) {
    loop {
        let frame = socket.json().await;
        if frame.get("error").is_none() {
            continue;
        }
        assert!(frame["message"].is_string() && frame["code"] == 1_008);
        let Received::Closed(code, reason) = socket.receive().await else { panic!("a close frame follows the error") };
        assert!(frame["message"].as_str().unwrap().starts_with(&reason));
        // Reading on answers the close frame.
        assert_eq!(socket.receive().await, Received::Cut);
        return (frame["error"].as_str().unwrap().into(), code, reason);
    }
}
