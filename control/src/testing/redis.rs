//! A Redis of one's own, which can be lost and come back.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use trunkline_base::Secret;
use uuid::Uuid;

use crate::redis::Redis;

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(20);

/// A server in a folder of its own, on a socket there. Dropping it ends it and removes the folder.
#[derive(Debug)]
pub struct RedisServer {
    folder: PathBuf,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one.
    pub async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-redis-{}", Uuid::now_v7().simple()));
        fs::create_dir(&folder).expect("the temporary folder can be written");
        let mut server = Self { folder, child: None };
        server.run().await;
        server
    }

    /// Starts it again, with nothing in it.
    pub async fn run(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.folder)
            .arg("--unixsocket")
            .arg(self.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed: `.ci/setup test` does that"));
        let answers = async {
            while UnixStream::connect(self.socket()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, answers).await.expect("redis-server listens in time");
    }

    /// Ends it as by the kernel.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.socket());
    }

    /// Keeps it from answering, without ending it.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it answer again.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Its address.
    pub fn url(&self) -> Secret {
        Secret::new(format!("redis+unix://{}", self.socket().display()))
    }

    /// Connects.
    pub async fn open(&self) -> Redis {
        let redis = Redis::open("REDIS_URL", &self.url()).expect("its address is one");
        assert!(redis.connected(LIMIT).await, "Redis answers");
        redis
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("it runs"), signal).expect("it is ours");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
