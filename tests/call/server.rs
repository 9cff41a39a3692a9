//! A server to be called: a voice webhook and a media stream, made by hand, with an agent that beeps.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Form, Router,
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use trunkline_sim::{
    audio::{mulaw_decode, mulaw_encode},
    twilio::signature::{HEADER, sign_form, sign_url},
};

pub(crate) const TOKEN: &str = "the-token-of-this-test";
pub(crate) const ACCOUNT: &str = "AC000000000000000000000000000000aa";

/// 20 ms.
const FRAME: usize = 160;
/// Quiet frames after which the caller has finished: 400 ms.
const QUIET: u32 = 20;

/// How the server behaves.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// The answer to the voice webhook, if it is not the document that opens the stream.
    pub(crate) voice: Option<(StatusCode, &'static str)>,
    /// The media stream is refused.
    pub(crate) refuses_stream: bool,
    /// How long the agent's beep is that opens the call.
    pub(crate) greeting: Duration,
    /// How long the beep is that answers the caller.
    pub(crate) answer: Duration,
    /// A beep is cleared as soon as the caller is heard.
    pub(crate) stops_for_caller: bool,
    /// This key ends the call.
    pub(crate) closes_on: Option<char>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            voice: None,
            refuses_stream: false,
            greeting: Duration::from_millis(600),
            answer: Duration::from_millis(400),
            stops_for_caller: false,
            closes_on: None,
        }
    }
}

/// What the server was sent.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The form of the voice webhook, and whether its signature was right.
    pub(crate) voice: Option<(Vec<(String, String)>, bool)>,
    /// Whether the upgrade's signature was right.
    pub(crate) stream_signed: Option<bool>,
    /// The stream's `start`.
    pub(crate) start: Value,
    /// The caller's audio.
    pub(crate) caller: Vec<i16>,
    pub(crate) keys: String,
    pub(crate) stopped: bool,
}

#[derive(Clone)]
struct Shared {
    address: SocketAddr,
    behaviour: Behaviour,
    heard: Arc<Mutex<Heard>>,
}

/// The server, running until it is dropped.
pub(crate) struct Server {
    shared: Shared,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let shared = Shared { address: listener.local_addr().unwrap(), behaviour, heard: Arc::default() };
        let router = Router::new().route("/voice", post(voice)).route("/media", get(media)).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, task }
    }

    pub(crate) fn voice_url(&self) -> String {
        format!("http://{}/voice", self.shared.address)
    }

    pub(crate) fn stream_url(&self) -> String {
        self.shared.stream_url()
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.shared.heard()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn stream_url(&self) -> String {
        format!("ws://{}/media", self.address)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_signed(headers: &HeaderMap, signature: &str) -> bool {
    headers.get(HEADER).is_some_and(|given| given.as_bytes() == signature.as_bytes())
}

async fn voice(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<Vec<(String, String)>>,
) -> impl IntoResponse {
    let url = format!("http://{}/voice", shared.address);
    let signed = is_signed(&headers, &sign_form(TOKEN, &url, &form));
    shared.heard().voice = Some((form, signed));
    match shared.behaviour.voice {
        Some((status, body)) => (status, [("content-type", "text/xml")], body.to_owned()),
        None => {
            let parameter = r#"<Parameter name="token" value="t1"/>"#;
            let stream = format!(r#"<Stream url="{}">{parameter}</Stream>"#, shared.stream_url());
            let document = format!("<Response><Connect>{stream}</Connect><Hangup/></Response>");
            (StatusCode::OK, [("content-type", "text/xml")], document)
        }
    }
}

async fn media(State(shared): State<Shared>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    shared.heard().stream_signed = Some(is_signed(&headers, &sign_url(TOKEN, &shared.stream_url())));
    if shared.behaviour.refuses_stream {
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.on_upgrade(|socket| async move {
        // A caller who is gone does not need to be told anything more.
        let _ = Agent { socket, shared, stream: String::new(), speaking: false, quiet: 0 }.run().await;
    })
}

struct Agent {
    socket: WebSocket,
    shared: Shared,
    stream: String,
    /// The caller is speaking.
    speaking: bool,
    quiet: u32,
}

impl Agent {
    async fn run(mut self) -> Result<(), axum::Error> {
        while let Some(message) = self.socket.recv().await {
            let Message::Text(text) = message? else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["event"].as_str() {
                Some("start") => {
                    self.stream = message["streamSid"].as_str().unwrap().to_owned();
                    self.shared.heard().start = message["start"].clone();
                    self.beep(self.shared.behaviour.greeting).await?;
                }
                Some("media") => {
                    let payload = BASE64_STANDARD.decode(message["media"]["payload"].as_str().unwrap()).unwrap();
                    let samples: Vec<i16> = payload.iter().map(|byte| mulaw_decode(*byte)).collect();
                    self.hear(&samples).await?;
                }
                Some("dtmf") => {
                    let key = message["dtmf"]["digit"].as_str().unwrap().to_owned();
                    self.shared.heard().keys.push_str(&key);
                    if self.shared.behaviour.closes_on.is_some_and(|last| key == last.to_string()) {
                        return self.socket.send(Message::Close(None)).await;
                    }
                }
                Some("stop") => self.shared.heard().stopped = true,
                _ => {}
            }
        }
        Ok(())
    }

    async fn hear(&mut self, samples: &[i16]) -> Result<(), axum::Error> {
        self.shared.heard().caller.extend_from_slice(samples);
        let loud = samples.iter().any(|sample| sample.unsigned_abs() > 1_000);
        self.quiet = if loud { 0 } else { self.quiet + 1 };
        if loud && !std::mem::replace(&mut self.speaking, true) && self.shared.behaviour.stops_for_caller {
            self.send(json!({ "event": "clear", "streamSid": self.stream })).await?;
        }
        if self.speaking && self.quiet == QUIET {
            self.speaking = false;
            self.beep(self.shared.behaviour.answer).await?;
        }
        Ok(())
    }

    async fn beep(&mut self, length: Duration) -> Result<(), axum::Error> {
        for sound in tone(8_000, length).chunks(FRAME) {
            let sound: Vec<u8> = sound.iter().map(|sample| mulaw_encode(*sample)).collect();
            let payload = BASE64_STANDARD.encode(sound);
            self.send(json!({ "event": "media", "streamSid": self.stream, "media": { "payload": payload } })).await?;
        }
        self.send(json!({ "event": "mark", "streamSid": self.stream, "mark": { "name": "beep" } })).await
    }

    async fn send(&mut self, message: Value) -> Result<(), axum::Error> {
        self.socket.send(Message::text(message.to_string())).await
    }
}

/// A sound that nobody misses.
pub(crate) fn tone(rate: u32, length: Duration) -> Vec<i16> {
    let samples = (length.as_secs_f64() * f64::from(rate)) as u32;
    let wave = |n: u32| (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin();
    (0..samples).map(|n| (wave(n) * 12_000.0) as i16).collect()
}
