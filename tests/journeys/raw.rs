//! A carrier that can be told to misbehave: webhooks and media sockets by hand.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};
use trunkline_sim::twilio::{
    signature::{HEADER, sign_form, sign_url},
    twiml::{self, Verb},
};

use crate::{
    hearing,
    world::{ACCOUNT, LIMIT, NUMBER, TOKEN, World, ms},
};

/// A form of a webhook.
pub(crate) fn form(call_sid: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let common = [("AccountSid", ACCOUNT), ("CallSid", call_sid), ("From", "+14155550100"), ("To", NUMBER)];
    common.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl World {
    /// A webhook that is signed as the carrier signs it.
    pub(crate) async fn webhook(&self, query: &str, fields: &[(String, String)]) -> (u16, String) {
        let url = format!("{}/webhooks/twilio?{query}", self.url);
        self.post(&url, &sign_form(TOKEN, &url, fields), fields).await
    }

    pub(crate) async fn post(&self, url: &str, signature: &str, fields: &[(String, String)]) -> (u16, String) {
        let answer = self.http.post(url).header(HEADER, signature).form(fields).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// A call that was announced, and what the answer says of its stream.
pub(crate) struct RawCall {
    pub(crate) id: String,
    pub(crate) sid: String,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl RawCall {
    /// Announces a call by its voice webhook.
    pub(crate) async fn ring(world: &World, sid: &str) -> Self {
        let (status, body) = world.webhook("kind=voice", &form(sid, &[("CallStatus", "ringing")])).await;
        assert_eq!(status, 200, "{body}");
        Self::from_document(sid, &body).unwrap_or_else(|| panic!("no stream: {body}"))
    }

    /// The stream that a document asks for, if it asks for one.
    pub(crate) fn from_document(sid: &str, document: &str) -> Option<Self> {
        let document = twiml::parse(document).unwrap();
        let noun = document.verbs.into_iter().find_map(|verb| match verb {
            Verb::Connect(noun) => Some(noun),
            _ => None,
        })?;
        let token = noun.parameters.iter().find(|(name, _)| name == "token").unwrap().1.clone();
        let id = noun.url.rsplit('/').next().unwrap().to_owned();
        Some(Self { id, sid: sid.into(), url: noun.url, token })
    }

    /// Opens a socket and begins its stream.
    pub(crate) async fn stream(&self) -> RawSocket {
        let mut socket = self.open().await;
        socket.start(&self.sid, Some(&self.token)).await;
        socket
    }

    /// Opens a socket.
    pub(crate) async fn open(&self) -> RawSocket {
        RawSocket::open(&self.url, Some(&sign_url(TOKEN, &self.url))).await.unwrap()
    }
}

/// A media socket.
pub(crate) struct RawSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    stream: String,
    chunk: u64,
    /// Every byte of audio that came, in order.
    pub(crate) audio: Vec<u8>,
    /// When the first came.
    pub(crate) first_audio: Option<Instant>,
    /// The close frame: its code.
    pub(crate) closed: Option<Option<u16>>,
}

impl RawSocket {
    /// Upgrades; the error is the status with which the server refuses.
    pub(crate) async fn open(url: &str, signature: Option<&str>) -> Result<Self, u16> {
        let mut request = url.into_client_request().unwrap();
        if let Some(signature) = signature {
            request.headers_mut().insert(HEADER, signature.parse().unwrap());
        }
        match timeout(LIMIT, connect_async(request)).await.unwrap() {
            Ok((socket, _)) => {
                let stream = format!("MZ{}", uuid::Uuid::now_v7().simple());
                Ok(Self { socket, stream, chunk: 0, audio: Vec::new(), first_audio: None, closed: None })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no upgrade: {error}"),
        }
    }

    pub(crate) async fn start(&mut self, call_sid: &str, token: Option<&str>) {
        let parameters = token.map_or(json!({}), |token| json!({ "token": token }));
        self.send(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
        self.send(json!({
            "event": "start", "sequenceNumber": "1", "streamSid": self.stream,
            "start": {
                "accountSid": ACCOUNT, "streamSid": self.stream, "callSid": call_sid, "tracks": ["inbound"],
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                "customParameters": parameters,
            },
        }))
        .await;
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// What is said into a socket that the server has closed is lost, as it is for a carrier.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        let _ = timeout(LIMIT, self.socket.send(message)).await.unwrap();
    }

    /// A media message with this payload.
    pub(crate) fn media(&mut self, stream: Option<&str>, payload: &str) -> Value {
        let timestamp = (self.chunk * 20).to_string();
        self.chunk += 1;
        json!({
            "event": "media", "sequenceNumber": (self.chunk + 1).to_string(),
            "streamSid": stream.unwrap_or(&self.stream),
            "media": { "track": "inbound", "chunk": self.chunk.to_string(), "timestamp": timestamp, "payload": payload },
        })
    }

    pub(crate) async fn stop(&mut self, call_sid: &str) {
        let stop = json!({ "accountSid": ACCOUNT, "callSid": call_sid });
        self.send(json!({ "event": "stop", "sequenceNumber": "9", "streamSid": self.stream, "stop": stop })).await;
    }

    /// Sends silence and listens, in real time, until `enough` or the close.
    pub(crate) async fn listen(&mut self, enough: impl Fn(&Self) -> bool) {
        let silence = STANDARD.encode([0xff; 160]);
        let listening = async {
            let mut tick = interval(ms(20));
            while self.closed.is_none() && !enough(self) {
                tokio::select! {
                    message = self.socket.next() => self.take(message).await,
                    _ = tick.tick() => {
                        let frame = self.media(None, &silence);
                        self.send(frame).await;
                    }
                }
            }
        };
        timeout(LIMIT, listening).await.unwrap_or_else(|_| panic!("heard only {:?}", hearing::read(&self.audio)));
    }

    /// Listens until this text has been heard whole.
    pub(crate) async fn hear(&mut self, text: &str) {
        let wanted = hearing::words(text);
        // Below that there is nothing to read yet.
        let bytes = hearing::SYMBOL_BYTES * text.chars().count();
        self.listen(|socket| socket.audio.len() >= bytes && hearing::words(&hearing::read(&socket.audio)) == wanted)
            .await;
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
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(message["streamSid"], self.stream);
                match message["event"].as_str() {
                    Some("media") => {
                        self.first_audio.get_or_insert_with(Instant::now);
                        let payload = message["media"]["payload"].as_str().unwrap();
                        self.audio.extend(STANDARD.decode(payload).unwrap());
                    }
                    Some("mark") => {
                        let mark = json!({ "event": "mark", "sequenceNumber": "9", "streamSid": self.stream, "mark": message["mark"] });
                        self.send(mark).await;
                    }
                    _ => {}
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

/// How long something took.
pub(crate) fn since(from: Instant, to: Option<Instant>) -> Duration {
    to.expect("it happened").saturating_duration_since(from)
}
