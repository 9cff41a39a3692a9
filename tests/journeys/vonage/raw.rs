//! Vonage by hand: its webhooks, its tokens and its media sockets, for what a simulator would not do.

use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::{API_KEY, APPLICATION, MSISDN, SIGNATURE_SECRET};
use crate::{
    hearing,
    world::{LIMIT, World, ms},
};

/// Samples a second.
const RATE: u32 = 16_000;
/// Bytes of 20 ms.
const FRAME: usize = 640;

/// HMAC-SHA256 (RFC 2104), by hand: what is tested must not be what tests.
fn hmac(secret: &str, message: &str) -> Vec<u8> {
    let mut key = [0u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let pad = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// A text's characters without what parts its words: where one reply ends and the next begins, nothing need have been sent.
pub(crate) fn squeezed(text: &str) -> String {
    hearing::words(text).concat()
}

fn hex_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a token says; a test changes what it is about.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: &'static str,
    pub(crate) claims: Value,
    pub(crate) algorithm: &'static str,
}

impl Token {
    /// A good one, for something whose hash is to be this.
    pub(crate) fn of(hashed: Option<&[u8]>) -> Self {
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iat": iat, "jti": uuid::Uuid::now_v7().to_string(), "iss": "Vonage",
            "api_key": API_KEY, "application_id": APPLICATION,
        });
        if let Some(hashed) = hashed {
            claims["payload_hash"] = hex_of(hashed).into();
        }
        Self { secret: SIGNATURE_SECRET, claims, algorithm: "HS256" }
    }

    pub(crate) fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.claims[claim] = value.into();
        self
    }

    pub(crate) fn header(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": self.algorithm, "typ": "JWT" })), part(&self.claims));
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(hmac(self.secret, &signed)))
    }
}

/// A status and what was answered.
pub(crate) type Reply = (u16, String);

/// Posts a webhook with this token.
pub(crate) async fn post_with(world: &World, query: &str, body: &Value, authorization: Option<&str>) -> Reply {
    let url = format!("{}/webhooks/vonage{query}", world.url);
    let mut request = world.http.post(url).header("Content-Type", "application/json").body(body.to_string());
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Posts a webhook as the carrier does.
pub(crate) async fn post(world: &World, query: &str, body: &Value) -> Reply {
    let token = Token::of(Some(body.to_string().as_bytes()));
    post_with(world, query, body, Some(&token.header())).await
}

/// Announces a call by GET, as the carrier does where nothing else is set: what is hashed is the query as JSON.
pub(crate) async fn get(world: &World, ours: &[(&str, &str)], uuid: &str, hash_ours: bool) -> Reply {
    let theirs = [("to", MSISDN), ("from", "14155550100"), ("conversation_uuid", "CON-1"), ("uuid", uuid)];
    let member = |(name, value): &(&str, &str)| format!("{}:{}", json!(name), json!(value));
    let hashed: Vec<String> = ours.iter().filter(|_| hash_ours).chain(&theirs).map(member).collect();
    let token = Token::of(Some(format!("{{{}}}", hashed.join(",")).as_bytes()));
    let query: Vec<String> = ours.iter().chain(&theirs).map(|(name, value)| format!("{name}={value}")).collect();
    let url = format!("{}/v1/webhooks/vonage?{}", world.url, query.join("&"));
    let answer = world.http.get(url).header("Authorization", token.header()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The fields that a call is announced with.
pub(crate) fn ringing(uuid: &str) -> Value {
    json!({ "to": MSISDN, "from": "14155550100", "uuid": uuid, "conversation_uuid": format!("CON-{uuid}") })
}

/// What became of the caller's leg.
pub(crate) fn event(uuid: &str, status: &str) -> Value {
    json!({
        "from": "14155550100", "to": MSISDN, "uuid": uuid, "conversation_uuid": format!("CON-{uuid}"),
        "status": status, "direction": "inbound", "timestamp": "2026-01-01T00:00:00.000Z",
    })
}

/// What became of the leg to our media socket.
pub(crate) fn socket_event(call: &Announced, status: &str) -> Value {
    json!({
        "from": MSISDN, "to": call.uri, "uuid": uuid::Uuid::now_v7().to_string(),
        "conversation_uuid": format!("CON-{}", call.uuid), "status": status, "direction": "outbound",
        "headers": call.headers, "timestamp": "2026-01-01T00:00:00.000Z",
    })
}

/// A call that was announced, and what the answer says of its media socket.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub(crate) uuid: String,
    pub(crate) id: String,
    pub(crate) uri: String,
    pub(crate) headers: Value,
    /// Where the socket's leg tells what becomes of it: the part behind the path.
    pub(crate) event_query: String,
}

impl Announced {
    /// Announces a call by its answer webhook.
    pub(crate) async fn ring(world: &World, uuid: &str) -> Self {
        let (status, body) = post(world, "", &ringing(uuid)).await;
        assert_eq!(status, 200, "{body}");
        Self::of(uuid, &body).unwrap_or_else(|| panic!("no socket: {body}"))
    }

    /// The socket that a document asks for, if it asks for one.
    pub(crate) fn of(uuid: &str, ncco: &str) -> Option<Self> {
        let ncco: Value = serde_json::from_str(ncco).unwrap();
        let [connect] = ncco.as_array().unwrap().as_slice() else { return None };
        assert_eq!((&connect["action"], &connect["eventType"]), (&json!("connect"), &json!("synchronous")));
        let [endpoint] = connect["endpoint"].as_array().unwrap().as_slice() else { panic!("{connect:#}") };
        assert_eq!(endpoint["content-type"], "audio/l16;rate=16000");
        assert_eq!(endpoint["authorization"], json!({ "type": "vonage" }));
        assert!(endpoint["headers"].to_string().len() <= 512);
        let uri = endpoint["uri"].as_str().unwrap().to_owned();
        let [event_url] = connect["eventUrl"].as_array().unwrap().as_slice() else { panic!("{connect:#}") };
        let (_, event_query) = event_url.as_str().unwrap().split_once("/webhooks/vonage").unwrap();
        Some(Self {
            uuid: uuid.into(),
            id: uri.rsplit('/').next().unwrap().into(),
            headers: endpoint["headers"].clone(),
            event_query: event_query.into(),
            uri,
        })
    }

    /// Opens the socket and begins its stream.
    pub(crate) async fn stream(&self) -> Socket {
        let mut socket = Socket::open(&self.uri, Some(&Token::of(None).header())).await.unwrap();
        socket.connected(&self.headers).await;
        socket
    }
}

/// A media socket.
pub(crate) struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What is said next: silence, where there is nothing.
    mouth: VecDeque<Vec<u8>>,
    /// Every sample that came, in order.
    pub(crate) samples: Vec<i16>,
    /// How often playing was to stop.
    pub(crate) clears: usize,
    /// The close frame: its code.
    pub(crate) closed: Option<Option<u16>>,
}

impl Socket {
    /// Upgrades; the error is the status with which the server refuses.
    pub(crate) async fn open(uri: &str, authorization: Option<&str>) -> Result<Self, u16> {
        let mut request = uri.into_client_request().unwrap();
        if let Some(authorization) = authorization {
            request.headers_mut().insert("Authorization", authorization.parse().unwrap());
        }
        match timeout(LIMIT, connect_async(request)).await.unwrap() {
            Ok((socket, _)) => {
                Ok(Self { socket, mouth: VecDeque::new(), samples: Vec::new(), clears: 0, closed: None })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no upgrade: {error}"),
        }
    }

    /// The first message: our endpoint's headers at its top.
    pub(crate) async fn connected(&mut self, headers: &Value) {
        let mut message = json!({ "event": "websocket:connected", "content-type": "audio/l16;rate=16000" });
        for (name, value) in headers.as_object().unwrap() {
            message[name] = value.clone();
        }
        self.send(Message::text(message.to_string())).await;
    }

    /// What is said into a socket that the server has closed is lost, as it is for a carrier.
    pub(crate) async fn send(&mut self, message: Message) {
        let _ = timeout(LIMIT, self.socket.send(message)).await.unwrap();
    }

    /// Says something that was recorded at 8 kHz, while it is listened from now on.
    pub(crate) fn say(&mut self, samples: &[i16]) {
        let mut last = 0;
        let wide: Vec<u8> = samples
            .iter()
            .flat_map(|&sample| {
                let between = i16::midpoint(last, sample);
                last = sample;
                [between, sample].map(i16::to_le_bytes).concat()
            })
            .collect();
        self.mouth.extend(wide.chunks(FRAME).map(|frame| {
            let mut frame = frame.to_vec();
            frame.resize(FRAME, 0);
            frame
        }));
    }

    /// Presses a key.
    pub(crate) async fn press(&mut self, digit: char) {
        let key = json!({ "event": "websocket:dtmf", "digit": digit.to_string(), "duration": 260 });
        self.send(Message::text(key.to_string())).await;
    }

    /// Sends what is said, else silence, and listens, in real time, until `enough` or the close.
    pub(crate) async fn listen(&mut self, enough: impl Fn(&Self) -> bool) {
        let listening = async {
            let mut tick = interval(ms(20));
            while self.closed.is_none() && !enough(self) {
                tokio::select! {
                    message = self.socket.next() => self.take(message).await,
                    _ = tick.tick() => {
                        let frame = self.mouth.pop_front().unwrap_or_else(|| vec![0; FRAME]);
                        self.send(Message::binary(frame)).await;
                    }
                }
            }
        };
        timeout(LIMIT, listening).await.unwrap_or_else(|_| panic!("heard only {:?}", self.heard()));
    }

    /// Listens until this text has been heard whole.
    pub(crate) async fn hear(&mut self, text: &str) {
        let wanted = squeezed(text);
        // Below that there is nothing to read yet. A byte of µ-law is two samples here.
        let least = 2 * hearing::SYMBOL_BYTES * wanted.chars().count();
        self.listen(|socket| socket.samples.len() >= least && squeezed(&socket.heard()) == wanted).await;
    }

    pub(crate) fn heard(&self) -> String {
        hearing::read_samples(&self.samples, RATE)
    }

    /// What was heard from a sample on.
    pub(crate) fn heard_from(&self, from: usize) -> String {
        hearing::read_samples(&self.samples[from..], RATE)
    }

    /// Listens, in silence, until the server closes, and gives its code.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        let closing = async {
            while self.closed.is_none() {
                let message = self.socket.next().await;
                self.take(message).await;
            }
        };
        timeout(LIMIT, closing).await.expect("the server closes the socket");
        self.closed.flatten()
    }

    async fn take(&mut self, message: Option<Result<Message, Error>>) {
        match message {
            Some(Ok(Message::Binary(frame))) => {
                // On any other size the carrier drops the socket.
                assert_eq!(frame.len(), FRAME);
                self.samples.extend(frame.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
            }
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                match message["action"].as_str() {
                    Some("notify") => {
                        let notify = json!({ "event": "websocket:notify", "payload": message["payload"] });
                        self.send(Message::text(notify.to_string())).await;
                    }
                    Some("clear") => {
                        self.clears += 1;
                        self.send(Message::text(json!({ "event": "websocket:cleared" }).to_string())).await;
                    }
                    _ => panic!("{message}"),
                }
            }
            Some(Ok(Message::Close(frame))) => self.closed = Some(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                self.closed.get_or_insert(None);
            }
        }
    }
}
