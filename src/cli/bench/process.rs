//! The server as a process of its own: started, measured from outside, stopped.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

use trunkline_base::Secret;

use super::{super::Failure, load::Vendors};

/// How long the server may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long calls may take to be forgotten after they have ended.
const SETTLE: Duration = Duration::from_secs(20);

/// A server in a process of its own. Dropping it kills it.
pub(super) struct ServerProcess {
    child: Child,
    pid: u32,
    /// Its database's server.
    store: u32,
    pub(super) url: String,
    http: reqwest::Client,
}

/// What the process uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// CPU time since it started.
    pub(super) cpu_seconds: f64,
    /// CPU time of its database since that started.
    pub(super) store_cpu_seconds: f64,
    /// Resident memory.
    pub(super) rss_kib: u64,
    /// Open file descriptors.
    pub(super) descriptors: usize,
    /// Tasks of the runtime.
    pub(super) tasks: u64,
    /// Calls alive.
    pub(super) live_calls: u64,
    /// Frames sent.
    pub(super) frames: u64,
    /// Those that left at most 2 ms after their deadline.
    pub(super) frames_in_time: u64,
}

impl ServerProcess {
    pub(super) async fn start(
        vendors: &Vendors,
        data: &Path,
        (database, store): (Secret, u32),
        core: Option<usize>,
        record: bool,
    ) -> Result<Self, Failure> {
        let binary = std::env::current_exe()?;
        let mut command = match core {
            Some(core) => {
                let mut taskset = Command::new("taskset");
                taskset.arg("-c").arg(core.to_string()).arg(&binary);
                taskset
            }
            None => Command::new(&binary),
        };
        command
            .arg("serve")
            .args(["--bind", "127.0.0.1:0", "--max-calls", "10000", "--drain-seconds", "5", "--record"])
            .arg(record.to_string())
            .arg("--data")
            .arg(data)
            // Whatever else is set where the bench runs.
            .env_clear()
            .envs(
                ["PATH", "HOME", "TMPDIR", "PG_BIN"]
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("LOG_LEVEL", "warn,trunkline::cli=info")
            .env("TRUNKLINE_ENV", "development")
            .env("DATABASE_URL", database.expose())
            .envs(vendors.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("cannot start the server: {error}"))?;
        let stderr = child.stderr.take().ok_or("the server has no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.split("\"public_url\":\"").nth(1).and_then(|rest| rest.split('"').next()) {
                    return Ok::<_, Failure>(url.to_owned());
                }
                forward(&line);
            }
            Err("the server ended before it listened".into())
        };
        let url = timeout(START, listening).await.map_err(|_| "the server does not listen")??;
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                forward(&line);
            }
        });
        let pid = child.id().ok_or("the server has ended")?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { child, pid, store, url, http })
    }

    /// Tells it to stop, and waits until it has: its database stops with it.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let pid =
            i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).ok_or("the server has no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        timeout(START, self.child.wait()).await.map_err(|_| "the server does not stop")??;
        Ok(())
    }

    /// What it uses now.
    pub(super) async fn sample(&self) -> Result<Sample, Failure> {
        let metrics = self.http.get(format!("{}/metrics", self.url)).send().await?.text().await?;
        let gauge = |name: &str| -> u64 {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            value.unwrap_or(0.0) as u64
        };
        Ok(Sample {
            tasks: gauge("trunkline_tasks_alive "),
            live_calls: gauge("trunkline_calls_live "),
            frames: gauge("trunkline_pacing_lateness_seconds_count "),
            frames_in_time: gauge("trunkline_pacing_lateness_seconds_bucket{le=\"0.002\"} "),
            ..self.usage()?
        })
    }

    /// CPU and memory, without asking the process.
    pub(super) fn usage(&self) -> Result<Sample, Failure> {
        let own = Stat::read(self.pid).ok_or("the server is gone")?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        Ok(Sample {
            cpu_seconds: own.cpu_seconds,
            store_cpu_seconds: store_cpu_seconds(self.store),
            rss_kib: rss.ok_or("no VmRSS in /proc")?,
            descriptors: std::fs::read_dir(format!("/proc/{}/fd", self.pid))?.count(),
            ..Sample::default()
        })
    }

    /// Waits until all calls are forgotten and their tasks are gone.
    pub(super) async fn settled(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + SETTLE;
        let mut last = u64::MAX;
        loop {
            let sample = self.sample().await?;
            if sample.live_calls == 0 && sample.tasks >= last {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{} calls are still alive", sample.live_calls).into());
            }
            last = if sample.live_calls == 0 { sample.tasks } else { u64::MAX };
            sleep(Duration::from_millis(500)).await;
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
    }
}

/// A line of /proc.
struct Stat {
    pid: u32,
    parent: u32,
    cpu_seconds: f64,
    /// The same with those of its children that have ended.
    with_ended: f64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything: state is field 3, the parent is 4, user and system time are 14 and 15, those of
        // ended children 16 and 17, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let own = number(14) + number(15);
        Some(Self {
            pid,
            parent: number(4) as u32,
            cpu_seconds: own / 100.0,
            with_ended: (own + number(16) + number(17)) / 100.0,
        })
    }
}

/// CPU time of a process, of all that it has started, and of what that has started.
fn store_cpu_seconds(server: u32) -> f64 {
    let pids = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<Stat> = pids.filter_map(Stat::read).collect();
    let own = all.iter().find(|stat| stat.pid == server).map_or(0.0, |stat| stat.cpu_seconds);
    let (mut seconds, mut parents) = (own, vec![server]);
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|stat| stat.parent == parent) {
            seconds += child.with_ended;
            parents.push(child.pid);
        }
    }
    seconds
}

#[expect(clippy::print_stderr, reason = "what the server complains of is part of the result")]
fn forward(line: &str) {
    eprintln!("server: {line}");
}
