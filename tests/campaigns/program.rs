//! `trunkline` as processes: one that serves, and others that dial.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    time::timeout,
};

/// How long a process may take to be there.
const LIMIT: Duration = Duration::from_secs(60);

/// What all processes are told.
pub(crate) struct Program {
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) data: PathBuf,
}

/// One that runs. It is killed when this is dropped.
pub(crate) struct Running(Child);

impl Program {
    /// A server at this address.
    pub(crate) async fn serve(&self, bind: SocketAddr, dials: bool) -> Running {
        let own = [("BIND", bind.to_string()), ("RUN_JOBS", dials.to_string())];
        self.run("serve", &own, "\"listening\"").await
    }

    /// A worker.
    pub(crate) async fn worker(&self) -> Running {
        self.run("worker", &[], "\"working\"").await
    }

    async fn run(&self, role: &str, own: &[(&'static str, String)], ready: &str) -> Running {
        let keep = ["PATH", "HOME", "TMPDIR"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .arg(role)
            .env_clear()
            .envs(keep.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(self.environment.iter().chain(own).map(|(name, value)| (*name, value.as_str())))
            .env("TRUNKLINE_DATA", &self.data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let running = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(ready) {
                    return true;
                }
                said.push(line);
            }
            false
        };
        assert!(timeout(LIMIT, running).await.unwrap(), "{role} does not run: {said:#?}");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Running(child)
    }
}

impl Running {
    /// As by the kernel when memory is short.
    pub(crate) async fn kill(mut self) {
        self.0.kill().await.unwrap();
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(timeout(LIMIT, self.0.wait()).await.unwrap().unwrap().success());
    }
}

/// An address of this machine that nobody has just now.
pub(crate) async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
