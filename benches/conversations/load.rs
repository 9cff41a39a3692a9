//! Asking when it is due, whatever became of the requests before.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until},
};
use trunkline_base::{Clock, SystemClock};
use trunkline_control::testing::User;

use super::{Error, data::Request, due};

/// Connections, which are as many requests as can be under way.
const CONNECTIONS: usize = 64;

/// Somebody to ask, and in whose names.
pub(super) struct Load {
    addr: SocketAddr,
    headers: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) all: Report,
    pub(super) by_kind: BTreeMap<&'static str, Report>,
    pub(super) failed: usize,
}

/// How long it took.
#[derive(Debug)]
pub(super) struct Report(Histogram<u64>);

impl Report {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds are in order"))
    }

    /// In milliseconds.
    pub(super) fn quantile(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }
}

impl Load {
    pub(super) fn new(addr: SocketAddr, users: &[User]) -> Self {
        let header =
            |user: &User| format!("HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {}\r\n\r\n", user.token.expose());
        Self { addr, headers: users.iter().map(header).collect() }
    }

    /// Sends these requests, so many a second.
    pub(super) async fn run(&self, requests: &[Request], rate: u32) -> Result<Reports, Error> {
        let next = Arc::new(AtomicUsize::new(0));
        let reports = Reports { all: Report::new(), by_kind: BTreeMap::new(), failed: 0 };
        let reports = Arc::new(Mutex::new(reports));
        let begun = SystemClock.now();
        let mut connections = tokio::task::JoinSet::new();
        let requests: Arc<[(Request, String)]> = requests
            .iter()
            .map(|request| {
                let text = format!("GET {} {}", request.path, self.headers[request.tenant]);
                (request.clone(), text)
            })
            .collect();
        for _ in 0..CONNECTIONS {
            let (next, reports, requests, addr) = (next.clone(), reports.clone(), requests.clone(), self.addr);
            connections.spawn(async move {
                let mut stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                let mut buffer = Vec::with_capacity(256 * 1024);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some((request, text)) = requests.get(n) else { return Ok::<(), std::io::Error>(()) };
                    let at: Instant = begun + due(n, rate);
                    sleep_until(at).await;
                    stream.write_all(text.as_bytes()).await?;
                    let status = answer(&mut stream, &mut buffer).await?;
                    let took = u64::try_from((SystemClock.now() - at).as_micros()).unwrap_or(u64::MAX).max(1);
                    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                    // The page behind the last is refused, which is an answer too.
                    if status != 200 {
                        reports.failed += 1;
                    }
                    reports.all.0.saturating_record(took);
                    reports.by_kind.entry(request.kind).or_insert_with(Report::new).0.saturating_record(took);
                }
            });
        }
        while let Some(done) = connections.join_next().await {
            done??;
        }
        let reports = Arc::into_inner(reports).ok_or("a connection is still open")?;
        Ok(reports.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads an answer to its end; gives back its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    buffer.clear();
    let wrong = |what| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let (mut head, mut length) = (None, 0);
    loop {
        if head.is_none()
            && let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&buffer[..end]).map_err(|_| wrong("the head is no text"))?;
            let field = text.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().to_owned())
            });
            length = field.and_then(|n| n.parse().ok()).ok_or_else(|| wrong("no length"))?;
            head = Some(end + 4);
        }
        if let Some(head) = head
            && buffer.len() >= head + length
        {
            let status = buffer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
            return status.and_then(|status| status.parse().ok()).ok_or_else(|| wrong("no status"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(wrong("the connection was closed"));
        }
    }
}
