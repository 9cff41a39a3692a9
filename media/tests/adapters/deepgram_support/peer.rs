//! The vendor's end of the socket, with a fate for each connection.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::recogniser::Recogniser;

/// What befalls a connection.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Nothing.
    Serve,
    /// The upgrade is answered with this status, headers and body.
    Refuse(u16, &'static str, &'static str),
    /// Never answered.
    Hang,
    /// TCP is cut after so many samples were received.
    Drop(usize),
    /// Closed with 1011 after so many samples.
    Close(usize),
    /// Silent after so many samples.
    Stall(usize),
    /// Not read any more once it is open.
    StopReading,
    /// Says hello and a fatal error, then closes.
    Error,
    /// Sends what is no message at the first audio, then goes on.
    Garbage(&'static [&'static str]),
}

/// What one connection saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub path: String,
    pub authorization: String,
    pub texts: Vec<String>,
    pub audio: Vec<u8>,
    /// Lengths of the audio messages.
    pub sizes: Vec<usize>,
}

pub struct Peer {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Peer {
    /// Listens; connection `n` has the fate `fates[n]`, later ones are served.
    pub async fn start(fates: impl IntoIterator<Item = Fate>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a peer that doesn't read is noticed soon.
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut fates: VecDeque<Fate> = fates.into_iter().collect();
        let log = seen.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let fate = fates.pop_front().unwrap_or(Fate::Serve);
                let index = {
                    let mut log = log.lock().unwrap();
                    log.push(Seen::default());
                    log.len() - 1
                };
                let log = log.clone();
                connections.spawn(async move { serve(stream, fate, |f| f(&mut log.lock().unwrap()[index])).await });
            }
        });
        Self { addr, seen, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the connections are as wanted.
    pub async fn until(&self, wanted: impl Fn(&[Seen]) -> bool) {
        let reached = async {
            while !wanted(&self.seen()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = tokio::time::timeout(super::PATIENCE, reached).await;
        assert!(
            outcome.is_ok(),
            "{:?}",
            self.seen().iter().map(|seen| (&seen.path, &seen.texts, seen.audio.len())).collect::<Vec<_>>()
        );
    }
}

async fn refuse(mut stream: TcpStream, status: u16, headers: &str, body: &str) {
    let mut head = vec![0; 8192];
    let mut length = 0;
    while !head[..length].ends_with(b"\r\n\r\n") {
        let Ok(read @ 1..) = stream.read(&mut head[length..]).await else { return };
        length += read;
    }
    let answer =
        format!("HTTP/1.1 {status} No\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn serve(stream: TcpStream, fate: Fate, note: impl Fn(&dyn Fn(&mut Seen))) {
    match fate {
        Fate::Refuse(status, headers, body) => return refuse(stream, status, headers, body).await,
        Fate::Hang => return std::future::pending().await,
        _ => {}
    }
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let upgrade = |request: &Request, response: Response| {
        note(&|seen| {
            seen.path = request.uri().to_string();
            let value = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            seen.authorization = value.unwrap_or_default();
        });
        Ok(response)
    };
    let path = std::cell::RefCell::new(String::new());
    let Ok(mut socket) = accept_hdr_async(stream, upgrade).await else { return };
    note(&|seen| path.borrow_mut().clone_from(&seen.path));
    let mut recogniser = Recogniser::new(&path.into_inner());
    if let Some(hello) = recogniser.greeting() {
        say(&mut socket, &hello.to_string()).await;
    }
    if matches!(fate, Fate::StopReading) {
        return std::future::pending().await;
    }
    if matches!(fate, Fate::Error) {
        say(&mut socket, r#"{"type":"Error","sequence_id":1,"code":"INTERNAL_SERVER_ERROR","description":"oh"}"#).await;
        let _ = socket.close(None).await;
    }
    let mut samples = 0;
    while let Some(Ok(message)) = socket.next().await {
        let answers = match message {
            Message::Binary(data) if data.is_empty() => return,
            Message::Binary(data) => {
                note(&|seen| {
                    seen.audio.extend_from_slice(&data);
                    seen.sizes.push(data.len());
                });
                if let (0, Fate::Garbage(garbage)) = (samples, &fate) {
                    for text in *garbage {
                        say(&mut socket, text).await;
                    }
                    let _ = socket.send(Message::Binary(vec![1, 2, 3].into())).await;
                }
                samples += data.len();
                match fate {
                    Fate::Drop(limit) if samples >= limit => return,
                    Fate::Close(limit) if samples >= limit => {
                        let reason = Utf8Bytes::from_static("NET-0001");
                        let _ = socket.close(Some(CloseFrame { code: CloseCode::Error, reason })).await;
                        vec![]
                    }
                    Fate::Stall(limit) if samples >= limit => vec![],
                    _ => recogniser.heard(&data),
                }
            }
            Message::Text(text) => {
                note(&|seen| seen.texts.push(text.to_string()));
                let kind: serde_json::Value = serde_json::from_str(&text).unwrap();
                let kind = kind["type"].as_str().unwrap();
                if matches!(fate, Fate::Stall(limit) if samples >= limit) {
                    continue;
                }
                for answer in recogniser.command(kind) {
                    say(&mut socket, &answer.to_string()).await;
                }
                if kind == "CloseStream" {
                    let _ = socket.close(None).await;
                }
                vec![]
            }
            _ => vec![],
        };
        for answer in answers {
            say(&mut socket, &answer.to_string()).await;
        }
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    let _ = socket.send(Message::text(text)).await;
}
