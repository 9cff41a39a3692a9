//! The server at the other end of a simulated call: the test takes its media sockets and webhooks one by one and answers them.

#![allow(unreachable_pub, reason = "it is part of each test binary")]

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use trunkline_sim::{
    server::{SimServer, TlsIdentity},
    twilio::{Account, TwilioConfig, signature},
};

/// How long a test waits for anything: far longer than it takes.
pub const LIMIT: Duration = Duration::from_secs(20);
/// Loud µ-law.
pub const LOUD: u8 = 0x9f;

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("it happens in time")
}

pub const TOKEN: &str = "2f6a1e5d9c8b7a6f5e4d3c2b1a098765";
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub const NUMBER: &str = "+15005550006";

/// A vendor with one customer.
pub fn vendor() -> TwilioConfig {
    TwilioConfig::new(Account { sid: ACCOUNT.into(), auth_token: TOKEN.into(), numbers: vec![NUMBER.into()] })
}

#[derive(Clone)]
struct Doors {
    sockets: mpsc::UnboundedSender<Peer>,
    webhooks: mpsc::UnboundedSender<Webhook>,
}

pub struct World {
    pub server: SimServer,
    sockets: mpsc::UnboundedReceiver<Peer>,
    webhooks: mpsc::UnboundedReceiver<Webhook>,
}

impl World {
    pub async fn start() -> Self {
        Self::with_tls(None).await
    }

    pub async fn with_tls(tls: Option<&TlsIdentity>) -> Self {
        let (socket_sender, sockets) = mpsc::unbounded_channel();
        let (webhook_sender, webhooks) = mpsc::unbounded_channel();
        let router = Router::new()
            .route("/media/{*rest}", any(media))
            .route("/refused", get(async || StatusCode::FORBIDDEN))
            .fallback(webhook)
            .with_state(Doors { sockets: socket_sender, webhooks: webhook_sender });
        let server = SimServer::start(loopback(), router, tls).await.unwrap();
        Self { server, sockets, webhooks }
    }

    pub fn ws_url(&self, path: &str) -> String {
        format!("{}{path}", self.server.ws_url())
    }

    pub fn http_url(&self, path: &str) -> String {
        format!("{}{path}", self.server.http_url())
    }

    /// The next media socket, upgraded.
    pub async fn socket(&mut self) -> Peer {
        soon(self.sockets.recv()).await.unwrap()
    }

    /// The next webhook, not yet answered.
    pub async fn webhook(&mut self) -> Webhook {
        soon(self.webhooks.recv()).await.unwrap()
    }

    pub fn try_webhook(&mut self) -> Option<Webhook> {
        self.webhooks.try_recv().ok()
    }
}

async fn media(State(doors): State<Doors>, uri: Uri, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| {
        let _ = doors.sockets.send(Peer { uri, headers, socket, stream_sid: String::new() });
    })
}

async fn webhook(State(doors): State<Doors>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (answer, answered) = oneshot::channel();
    let _ = doors.webhooks.send(Webhook { uri, headers, body, answer });
    answered.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

pub struct Webhook {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    answer: oneshot::Sender<Response>,
}

impl Webhook {
    pub fn fields(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    pub fn field(&self, name: &str) -> String {
        let found = self.fields().into_iter().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("{name} is sent")).1
    }

    pub fn signature(&self) -> &str {
        self.headers["x-twilio-signature"].to_str().unwrap()
    }

    /// The signature is that of the form for this address.
    pub fn is_signed(&self, auth_token: &str, url: &str) -> bool {
        self.signature() == signature::sign_form(auth_token, url, &self.fields())
    }

    pub fn answer(self, response: impl IntoResponse) {
        let _ = self.answer.send(response.into_response());
    }

    pub fn twiml(self, verbs: &str) {
        let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{verbs}</Response>");
        self.answer(([(header::CONTENT_TYPE, "text/xml")], document));
    }
}

pub struct Peer {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub socket: WebSocket,
    pub stream_sid: String,
}

impl Peer {
    /// The next message; `None` once the socket is closed or broken.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match soon(self.socket.recv()).await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                // Once more, which sends our half of the close.
                Some(Ok(Message::Close(_))) => drop(soon(self.socket.recv()).await),
                Some(Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads `connected` and `start`, and returns `start`.
    pub async fn begin(&mut self) -> Value {
        let connected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
        assert_eq!(self.next().await.unwrap(), connected);
        let start = self.next().await.unwrap();
        assert_eq!(start["event"], "start");
        self.stream_sid = start["streamSid"].as_str().unwrap().to_owned();
        start
    }

    /// The next message of this event, whatever comes before it.
    pub async fn until(&mut self, event: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("{event} comes before the end"));
            if message["event"] == event {
                return message;
            }
        }
    }

    /// Reads on until 20 ms of the caller are loud.
    pub async fn until_loud(&mut self) {
        while payload(&self.until("media").await)[0] == 0xff {}
    }

    /// Everything that still comes.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }

    pub async fn text(&mut self, text: String) {
        self.socket.send(Message::Text(text.into())).await.unwrap();
    }

    pub async fn media(&mut self, audio: &[u8]) {
        let payload = STANDARD.encode(audio);
        let message = json!({"event": "media", "streamSid": self.stream_sid, "media": {"payload": payload}});
        self.text(message.to_string()).await;
    }

    pub async fn mark(&mut self, name: &str) {
        let message = json!({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}});
        self.text(message.to_string()).await;
    }

    pub async fn clear(&mut self) {
        self.text(json!({"event": "clear", "streamSid": self.stream_sid}).to_string()).await;
    }

    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: reason.into() };
        self.socket.send(Message::Close(Some(frame))).await.unwrap();
    }
}

pub fn payload(media: &Value) -> Vec<u8> {
    STANDARD.decode(media["media"]["payload"].as_str().unwrap()).unwrap()
}
