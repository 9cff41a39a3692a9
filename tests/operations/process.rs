//! The program on a database of its own.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};
use trunkline::cli::api::Api;
use trunkline_base::Secret;
use trunkline_control::{testing::ScratchDb, vault::Vault};
use uuid::Uuid;

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

const SECRET: &str = "a secret of more than thirty-two bytes, for tests";

pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    child: Child,
    data: PathBuf,
    _scratch: ScratchDb,
}

impl Process {
    /// Starts it with these settings beside those that it needs, and waits until it listens.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let scratch = ScratchDb::new().await;
        let data = std::env::temp_dir().join(format!("trunkline-operations-{}", Uuid::now_v7().simple()));
        let service = &scratch.service;
        let database = format!(
            "postgres://{}@localhost/{}?host={}",
            service.get_username(),
            service.get_database().unwrap(),
            service.get_socket().unwrap().display()
        );
        let keep = ["PATH", "HOME", "TMPDIR"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .arg("serve")
            .env_clear()
            .envs(keep.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("TRUNKLINE_ENV", "development")
            .env("BIND", "127.0.0.1:0")
            .env("TRUNKLINE_DATA", &data)
            .env("DATABASE_URL", database)
            .env("SUPABASE_JWT_SECRET", SECRET)
            .env("ENCRYPTION_KEY", Vault::generate_key().expose())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let address = line.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
                if let Some(address) = address {
                    return address.parse().ok();
                }
                said.push(line);
            }
            None
        };
        let addr = timeout(LIMIT, listening).await.expect("the server listens in time");
        let addr = addr.unwrap_or_else(|| panic!("the server does not listen: {said:#?}"));
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { addr, child, data, _scratch: scratch }
    }

    /// The API, as a new tenant's owner.
    pub(crate) fn api(&self) -> Api {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Api::of_new_owner(&format!("http://{}", self.addr), &Secret::new(SECRET))
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits until it has.
    pub(crate) async fn ended(mut self) {
        let status = timeout(LIMIT, self.child.wait()).await.expect("it stops in time").unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Sends bytes, and gives what comes back until the other side has no more to say.
pub(crate) async fn exchange(addr: SocketAddr, request: &str) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A server that has refused a request need not read the rest of it.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(LIMIT, talk).await.expect("it answers in time")
}

/// A server that hands each request it gets, head and body, to the test, and answers when it is told with what.
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) requests: mpsc::UnboundedReceiver<Asked>,
}

pub(crate) struct Asked {
    pub(crate) bytes: Vec<u8>,
    stream: TcpStream,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Some(asked) = read(stream).await {
                        let _ = sender.send(asked);
                    }
                });
            }
        });
        Self { addr, requests }
    }

    pub(crate) async fn asked(&mut self) -> Asked {
        timeout(LIMIT, self.requests.recv()).await.expect("it is asked in time").unwrap()
    }
}

impl Asked {
    pub(crate) fn head(&self) -> String {
        let end = self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        String::from_utf8_lossy(&self.bytes[..end]).into_owned()
    }

    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        self.bytes.windows(bytes.len()).any(|found| found == bytes)
    }

    pub(crate) async fn answer(mut self, status: &str, kind: &str, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// One request, as its `Content-Length` says.
async fn read(mut stream: TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|found| found == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            return Some(Asked { bytes, stream });
        }
    }
}
