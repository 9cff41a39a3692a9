//! The server at the other end of a simulated call of Vonage's: it answers webhooks with what the test has told it to, keeps them all, and
//! hands over its media sockets.

#![allow(unreachable_pub, reason = "it is part of each test binary")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::any,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, time::timeout};
use trunkline_sim::{
    keys::RSA_PRIVATE,
    log::Log,
    server::SimServer,
    vonage::{Application, VonageConfig, VonageSim},
};

/// How long a test waits for anything: far longer than it takes.
pub const LIMIT: Duration = Duration::from_secs(20);
pub const APPLICATION: &str = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
pub const NUMBER: &str = "14155550101";
pub const CALLER: &str = "447700900123";
pub const SECRET: &str = "vonage-test-signature-secret-0123456789abcdef";

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("it happens in time")
}

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Hook {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    /// The body, or the query as an object of texts.
    pub fields: Value,
    raw: Vec<u8>,
    query: Vec<(String, String)>,
}

impl Hook {
    pub fn text(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }

    /// The claims of its token, which is good for what it came with.
    pub fn claims(&self) -> Value {
        let claims = claims(&self.headers);
        let text = if self.method == "POST" {
            String::from_utf8(self.raw.clone()).unwrap()
        } else {
            let pairs: Vec<String> =
                self.query.iter().map(|(name, value)| format!("{}:{}", json!(name), json!(value))).collect();
            format!("{{{}}}", pairs.join(","))
        };
        let hash: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(claims["payload_hash"], hash, "{self:?}");
        claims
    }
}

/// The claims of a token that the account's secret signs.
pub fn claims(headers: &HeaderMap) -> Value {
    let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let mut rules = Validation::new(Algorithm::HS256);
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    decode(token, &DecodingKey::from_secret(SECRET.as_bytes()), &rules).unwrap().claims
}

/// What is answered, by path.
type Answers = Arc<Mutex<BTreeMap<String, Vec<(u16, String)>>>>;

#[derive(Clone)]
struct Doors {
    hooks: Log<Hook>,
    /// What is answered, by path: documents first, then statuses.
    answers: Answers,
    sockets: mpsc::UnboundedSender<Peer>,
}

pub struct World {
    pub server: SimServer,
    pub hooks: Log<Hook>,
    answers: Answers,
    sockets: mpsc::UnboundedReceiver<Peer>,
}

impl World {
    pub async fn start() -> Self {
        let (sender, sockets) = mpsc::unbounded_channel();
        let (hooks, answers) = (Log::new(1_000), Arc::default());
        let doors = Doors { hooks: hooks.clone(), answers: Arc::clone(&answers), sockets: sender };
        let router = Router::new()
            .route("/media/{*rest}", any(media))
            .route("/refused", any(async || StatusCode::FORBIDDEN))
            .fallback(webhook)
            .with_state(doors);
        let server = SimServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), router, None).await.unwrap();
        Self { server, hooks, answers, sockets }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.http_url())
    }

    /// What requests to a path are answered with, one after the other; the last one again and again. Without any: 204.
    pub fn answers(&self, path: &str, answers: impl IntoIterator<Item = (u16, String)>) {
        self.answers.lock().unwrap().insert(path.into(), answers.into_iter().collect());
    }

    pub fn ncco(&self, path: &str, ncco: Value) {
        self.answers(path, [(200, ncco.to_string())]);
    }

    /// A `connect` to a media socket.
    pub fn connect(&self, rate: u32) -> Value {
        json!({
            "action": "connect", "eventType": "synchronous", "eventUrl": [self.url("/socket")], "from": NUMBER,
            "endpoint": [{
                "type": "websocket", "uri": format!("{}/media/1?x=y", self.server.ws_url()),
                "content-type": format!("audio/l16;rate={rate}"), "headers": {"token": "abc"},
                "authorization": {"type": "vonage"},
            }],
        })
    }

    /// The next media socket, upgraded.
    pub async fn socket(&mut self) -> Peer {
        soon(self.sockets.recv()).await.unwrap()
    }

    /// Waits for a webhook to a path with this status.
    pub async fn hook(&self, path: &str, status: &str) -> Hook {
        let of_it = |hook: &&Hook| hook.path == path && hook.text("status") == status;
        let found = self.hooks.wait_for(LIMIT, |hooks| hooks.iter().find(of_it).cloned()).await;
        found.unwrap_or_else(|| panic!("{status} comes to {path}: {:?}", self.statuses(path)))
    }

    /// The statuses that came to a path.
    pub fn statuses(&self, path: &str) -> Vec<String> {
        self.hooks
            .entries()
            .iter()
            .filter(|hook| hook.path == path)
            .map(|hook| hook.text("status").to_owned())
            .collect()
    }
}

async fn media(State(doors): State<Doors>, uri: Uri, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| {
        let _ = doors.sockets.send(Peer { uri, headers, socket });
    })
}

async fn webhook(State(doors): State<Doors>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let fields = match method {
        Method::POST => serde_json::from_slice(&body).unwrap(),
        _ => Value::Object(query.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()),
    };
    let path = uri.path().to_owned();
    doors.hooks.push(Hook {
        method: method.to_string(),
        path: path.clone(),
        headers,
        fields,
        raw: body.to_vec(),
        query,
    });
    let answer = {
        let mut answers = doors.answers.lock().unwrap();
        answers
            .get_mut(&path)
            .and_then(|list| if list.len() > 1 { Some(list.remove(0)) } else { list.first().cloned() })
    };
    match answer {
        None => StatusCode::NO_CONTENT.into_response(),
        Some((status, body)) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}

/// The server's end of a media socket.
pub struct Peer {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub socket: WebSocket,
}

/// What comes in.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Text(Value),
    Frame(Vec<u8>),
}

impl Peer {
    /// The next message; `None` once the socket is closed or broken.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            match soon(self.socket.recv()).await {
                Some(Ok(Message::Text(text))) => return Some(Heard::Text(serde_json::from_str(&text).unwrap())),
                Some(Ok(Message::Binary(bytes))) => return Some(Heard::Frame(bytes.to_vec())),
                Some(Ok(Message::Close(_))) => drop(soon(self.socket.recv()).await),
                Some(Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next text, whatever audio comes before it.
    pub async fn text(&mut self) -> Value {
        loop {
            match self.next().await.expect("the socket is open") {
                Heard::Text(text) => return text,
                Heard::Frame(_) => {}
            }
        }
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Vec<u8> {
        loop {
            match self.next().await.expect("the socket is open") {
                Heard::Frame(frame) => return frame,
                Heard::Text(_) => {}
            }
        }
    }

    /// Reads to the end; says whether the socket was closed as it should be.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut texts = Vec::new();
        while let Some(heard) = self.next().await {
            if let Heard::Text(text) = heard {
                texts.push(text);
            }
        }
        texts
    }

    pub async fn send(&mut self, frame: Vec<u8>) {
        self.socket.send(Message::Binary(frame.into())).await.unwrap();
    }

    pub async fn command(&mut self, command: Value) {
        self.socket.send(Message::Text(command.to_string().into())).await.unwrap();
    }

    pub async fn close(mut self) {
        let _ = self.socket.send(Message::Close(None)).await;
        while let Some(Ok(_)) = self.socket.recv().await {}
    }
}

/// 20 ms of a loud tone.
pub fn loud(rate: u32) -> Vec<u8> {
    let samples = rate / 50;
    (0..samples)
        .flat_map(|n| {
            (((f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() * 8_000.0) as i16).to_le_bytes()
        })
        .collect()
}

/// A vendor whose application is the world.
pub fn vendor(world: &World) -> VonageConfig {
    let application = Application {
        answer_url: world.url("/answer"),
        event_url: world.url("/event"),
        ..Application::new(APPLICATION)
    };
    VonageConfig::new("a1b2c3d4", "a-secret", application, NUMBER)
}

pub async fn start(config: VonageConfig) -> VonageSim {
    VonageSim::start(SocketAddr::from(([127, 0, 0, 1], 0)), config, None).await.unwrap()
}

/// A request to the voice API.
pub async fn voice(base: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"application_id": APPLICATION, "iat": now, "jti": "7", "exp": now + 900});
    let key = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let token = encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap();
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    let mut request = client.request(method.parse().unwrap(), format!("{base}{path}")).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}
