//! The server as a process that can be killed, and the balancer in front of it, which waits for it to come back.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, copy},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};
use trunkline::{cli::api::Api, secrets::Secrets, storage::Storage};

use crate::world::{LIMIT, Sims, ms};

/// A server with a data folder of its own, behind a balancer.
pub(crate) struct Process {
    data: PathBuf,
    environment: Vec<(&'static str, String)>,
    balancer: Balancer,
    child: Option<Child>,
}

impl Process {
    pub(crate) async fn start(sims: &Sims, name: &str) -> Self {
        let data = std::env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id()));
        let balancer = Balancer::start().await;
        let vendors = &sims.vendors;
        let environment = vec![
            ("BIND", "127.0.0.1:0".into()),
            ("PUBLIC_URL", format!("http://{}", balancer.addr)),
            ("TRUNKLINE_DATA", data.display().to_string()),
            ("RECORD_CALLS", "false".into()),
            // Its requests would stand among those of calls.
            ("RUN_JOBS", "false".into()),
            ("LEAD_MS", "200".into()),
            ("DRAIN_SECONDS", "5".into()),
            ("LOG_LEVEL", "info".into()),
            ("DEEPGRAM_BASE_URL", vendors.deepgram_base_url.clone()),
            ("DEEPGRAM_API_KEY", vendors.deepgram_api_key.expose().to_owned()),
            ("OPENAI_BASE_URL", vendors.openai_base_url.clone()),
            ("OPENAI_API_KEY", vendors.openai_api_key.expose().to_owned()),
            ("ELEVENLABS_BASE_URL", vendors.elevenlabs_base_url.clone()),
            ("ELEVENLABS_API_KEY", vendors.elevenlabs_api_key.expose().to_owned()),
            ("TWILIO_BASE_URL", vendors.twilio_base_url.clone()),
        ];
        let mut process = Self { data, environment, balancer, child: None };
        process.run().await;
        process
    }

    /// Starts the program, and lets the balancer lead to it.
    pub(crate) async fn run(&mut self) {
        let keep = ["PATH", "HOME", "TMPDIR", "PG_BIN"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .arg("serve")
            .env_clear()
            .envs(keep.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
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
                    return address.parse::<SocketAddr>().ok();
                }
                said.push(line);
            }
            None
        };
        let address = timeout(LIMIT, listening).await.expect("the server listens in time");
        let address = address.unwrap_or_else(|| panic!("the server does not listen: {said:#?}"));
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.child = Some(child);
        *self.balancer.to.lock().unwrap() = To::Lead(address);
    }

    /// As by the kernel when memory is short. Says what becomes of those who come before it runs again.
    pub(crate) async fn kill(&mut self, meanwhile: To) {
        *self.balancer.to.lock().unwrap() = meanwhile;
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    /// The address in front.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.balancer.addr)
    }

    /// The API, as a new tenant's owner.
    pub(crate) fn api(&self) -> Api {
        let secrets = Secrets::load_or_make(&self.data).unwrap();
        Api::of_new_owner(&self.url(), &secrets.jwt_secret)
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            let status = timeout(LIMIT, child.wait()).await.expect("it stops in time").unwrap();
            assert!(status.success(), "{status}");
        }
    }
}

impl Drop for Process {
    /// What it has stored goes too, with the database's server that a killed one has left, whether or not the test has passed.
    fn drop(&mut self) {
        drop(self.child.take());
        let data = std::mem::take(&mut self.data);
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let removed = runtime.block_on(Storage::remove(&data)).map_err(std::io::Error::other);
            removed.and(std::fs::remove_dir_all(&data))
        });
        if !matches!(removed.join(), Ok(Ok(()))) && !std::thread::panicking() {
            panic!("what the server has stored cannot be removed");
        }
    }
}

/// Where a balancer's connections lead.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To {
    /// Nowhere yet: they wait.
    Hold,
    /// Nowhere.
    Refuse,
    /// To a server.
    Lead(SocketAddr),
}

/// Hands connections on.
struct Balancer {
    addr: SocketAddr,
    to: Arc<Mutex<To>>,
    task: JoinHandle<()>,
}

impl Balancer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let to = Arc::new(Mutex::new(To::Hold));
        let behind = to.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let behind = behind.clone();
                tokio::spawn(async move {
                    if let Ok(Some(mut server)) = timeout(Duration::from_secs(14), connect(&behind)).await {
                        let _ = client.set_nodelay(true);
                        let _ = server.set_nodelay(true);
                        let (mut from_client, mut to_client) = client.split();
                        let (mut from_server, mut to_server) = server.split();
                        // What one side has closed is of no use to the other, which would keep it for its next request.
                        tokio::select! {
                            _ = copy(&mut from_client, &mut to_server) => {}
                            _ = copy(&mut from_server, &mut to_client) => {}
                        }
                    }
                });
            }
        });
        Self { addr, to, task }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(to: &Mutex<To>) -> Option<TcpStream> {
    loop {
        let to = *to.lock().unwrap();
        match to {
            To::Hold => {}
            To::Refuse => return None,
            To::Lead(addr) => {
                if let Ok(server) = TcpStream::connect(addr).await {
                    return Some(server);
                }
            }
        }
        sleep(ms(20)).await;
    }
}
