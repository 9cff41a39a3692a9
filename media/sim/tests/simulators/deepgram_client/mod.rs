//! A client of the simulated Deepgram, and its calls: what the tests share.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{self, Message, client::IntoClientRequest, handshake::client::Response, http::HeaderValue},
};
use trunkline_sim::{
    audio::{mulaw_decode, mulaw_encode},
    deepgram::{DeepgramConfig, DeepgramSim},
    recogniser::Library,
};

pub(crate) const KEY: &str = "dg-test-key";
/// No message takes this long, however busy the machine is.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn library() -> Arc<Library> {
    Arc::new(Library::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/audio")).unwrap())
}

pub(crate) fn config() -> DeepgramConfig {
    DeepgramConfig::new(KEY, library())
}

pub(crate) async fn start(config: DeepgramConfig) -> DeepgramSim {
    DeepgramSim::start(([127, 0, 0, 1], 0).into(), config, None).await.unwrap()
}

/// `lead` seconds of silence, the recording, `tail` seconds of silence; µ-law.
pub(crate) fn spoken(name: &str, lead: f64, tail: f64) -> Vec<u8> {
    let library = library();
    let silence = |seconds: f64| std::iter::repeat_n(0xff, (seconds * 8_000.0) as usize);
    let speech = library.get(name).unwrap().samples().iter().map(|&sample| mulaw_encode(sample));
    silence(lead).chain(speech).chain(silence(tail)).collect()
}

/// µ-law as 16-bit samples at `times` the rate.
pub(crate) fn linear(mulaw: &[u8], times: usize) -> Vec<u8> {
    mulaw.iter().flat_map(|&byte| std::iter::repeat_n(mulaw_decode(byte), times)).flat_map(i16::to_le_bytes).collect()
}

/// How a conversation ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame: its code and reason, if it had them.
    Closed(Option<(u16, String)>),
    /// Without one.
    Cut,
}

pub(crate) struct Client {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    reader: JoinHandle<()>,
    messages: mpsc::UnboundedReceiver<Result<String, End>>,
    pub(crate) response: Response,
}

impl Client {
    pub(crate) async fn connect(sim: &DeepgramSim, path: &str) -> Result<Self, Box<tungstenite::Error>> {
        let header = ("authorization", format!("Token {KEY}"));
        Self::connect_with(&format!("{}{path}", sim.ws_url()), Some(header), None).await
    }

    pub(crate) async fn connect_with(
        url: &str,
        header: Option<(&'static str, String)>,
        tls: Option<Connector>,
    ) -> Result<Self, Box<tungstenite::Error>> {
        let mut request = url.into_client_request()?;
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
        }
        let (ws, response) = connect_async_tls_with_config(request, None, true, tls).await?;
        let (sink, mut stream) = ws.split();
        let (sender, messages) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            loop {
                let message = match stream.next().await {
                    Some(Ok(Message::Text(text))) => Ok(text.to_string()),
                    Some(Ok(Message::Close(frame))) => {
                        Err(End::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string()))))
                    }
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => Err(End::Cut),
                };
                let ended = message.is_err();
                if sender.send(message).is_err() || ended {
                    break;
                }
            }
        });
        Ok(Self { sink, reader, messages, response })
    }

    /// Sends audio in messages of 20 ms (of µ-law), as fast as it is taken.
    pub(crate) async fn audio(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(160) {
            // A connection that was cut is noticed when reading.
            let _ = self.sink.send(Message::binary(chunk.to_vec())).await;
        }
    }

    pub(crate) async fn text(&mut self, text: &str) {
        let _ = self.sink.send(Message::text(text)).await;
    }

    pub(crate) async fn binary(&mut self, bytes: Vec<u8>) {
        let _ = self.sink.send(Message::binary(bytes)).await;
    }

    /// The next message, as text.
    pub(crate) async fn raw(&mut self) -> Result<String, End> {
        tokio::time::timeout(LIMIT, self.messages.recv()).await.expect("a message in time").unwrap_or(Err(End::Cut))
    }

    /// The next message, which must be JSON.
    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_str(&self.raw().await.unwrap()).unwrap()
    }

    /// All messages to the end.
    pub(crate) async fn rest(&mut self) -> (Vec<Value>, End) {
        let mut messages = Vec::new();
        loop {
            match self.raw().await {
                Ok(text) => messages.push(serde_json::from_str(&text).unwrap()),
                Err(end) => return (messages, end),
            }
        }
    }

    /// Sends `CloseStream` and returns all messages.
    pub(crate) async fn close_stream(&mut self) -> (Vec<Value>, End) {
        self.text(r#"{"type":"CloseStream"}"#).await;
        self.rest().await
    }
}

impl Drop for Client {
    /// The reader holds half of the socket.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Nova's transcript of a `Results`.
pub(crate) fn nova_transcript(message: &Value) -> &str {
    message["channel"]["alternatives"][0]["transcript"].as_str().unwrap()
}

/// Waits until the simulator has no connection left.
pub(crate) async fn all_closed(sim: &DeepgramSim) {
    let closed = async {
        while sim.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LIMIT, closed).await.expect("all connections closed");
}
