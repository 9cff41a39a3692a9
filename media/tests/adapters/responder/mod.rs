//! A tiny HTTP/1.1 server that answers from a list and notes what it was asked: for what a simulator would not do, such as half an
//! answer, or nothing.

pub(crate) mod chat;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// What is answered to one request.
pub(crate) enum Answer {
    /// All at once.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Piece by piece, as an event stream.
    Stream(Vec<Piece>),
    /// Nothing, ever.
    Hang,
    /// The connection is closed.
    Drop,
}

pub(crate) enum Piece {
    Data(String),
    Wait(Duration),
    /// The rest never comes.
    Hang,
    /// The connection is closed in the middle.
    Cut,
}

impl Answer {
    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self::Whole { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

pub(crate) struct Responder {
    addr: SocketAddr,
    shared: Arc<Shared>,
    closed: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
    /// How many connections the client has closed.
    closed: watch::Sender<usize>,
}

impl Responder {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, closed) = watch::channel(0);
        let answers = Mutex::new(answers.into_iter().collect());
        let shared = Arc::new(Shared { answers, seen: Mutex::default(), closed: sender });
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let shared = shared.clone();
            async move {
                let mut connections = JoinSet::new();
                for connection in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    let shared = shared.clone();
                    connections.spawn(async move {
                        if serve(stream, connection, &shared).await {
                            shared.closed.send_modify(|closed| *closed += 1);
                        }
                    });
                }
            }
        });
        Self { addr, shared, closed, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until the client has closed so many connections.
    pub(crate) async fn closed(&mut self, count: usize) {
        let closed = self.closed.wait_for(|closed| *closed >= count);
        timeout(Duration::from_secs(10), closed).await.expect("the connection stays open").unwrap();
    }

    /// Waits until so many requests have come.
    pub(crate) async fn asked(&self, count: usize) {
        let asked = async {
            while self.seen().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), asked).await.expect("the request does not come");
    }
}

/// Whether it was the client that closed.
async fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> bool {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    loop {
        let Some(seen) = read_request(&mut stream, connection).await else { return true };
        shared.seen.lock().unwrap().push(seen);
        let answer = shared.answers.lock().unwrap().pop_front();
        let Some(answer) = answer else { panic!("more requests than answers") };
        match answer {
            Answer::Hang => return until_closed(&mut stream).await,
            Answer::Drop => return false,
            Answer::Whole { status, headers, body } => {
                let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return true;
                }
            }
            Answer::Stream(pieces) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                for piece in pieces {
                    let written = match piece {
                        Piece::Data(data) => {
                            stream.write_all(format!("{:x}\r\n{data}\r\n", data.len()).as_bytes()).await
                        }
                        Piece::Wait(pause) => {
                            sleep(pause).await;
                            Ok(())
                        }
                        Piece::Hang => return until_closed(&mut stream).await,
                        Piece::Cut => return false,
                    };
                    if written.is_err() {
                        return true;
                    }
                }
                if stream.write_all(b"0\r\n\r\n").await.is_err() {
                    return true;
                }
            }
        }
    }
}

async fn until_closed(stream: &mut BufReader<TcpStream>) -> bool {
    let mut buf = [0; 256];
    loop {
        if let Ok(0) | Err(_) = stream.read(&mut buf).await {
            return true;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Seen> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { connection, method, path, headers, body: String::from_utf8(body).unwrap() })
}
