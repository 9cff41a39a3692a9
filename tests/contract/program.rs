//! The program itself, as processes.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Settings, by their names.
pub(crate) type Environment = Vec<(String, String)>;

/// The program doing one of its commands, until this is dropped.
pub(crate) struct Program {
    /// Where it listens, if it serves.
    pub(crate) url: String,
    /// What it says that others are to be told.
    pub(crate) environment: Environment,
    faults: Arc<Mutex<Vec<String>>>,
    _child: Child,
}

impl Program {
    /// The vendors' simulators.
    pub(crate) async fn simulators() -> Self {
        let mut child = command(&["simulate", "--port", "0", "--voice", "coded"], &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut environment = Environment::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                match line.strip_prefix("export ").and_then(|setting| setting.split_once('=')) {
                    Some((name, value)) => environment.push((name.to_owned(), value.to_owned())),
                    None if environment.is_empty() => {}
                    None => return,
                }
            }
        };
        timeout(LIMIT, told).await.expect("the simulators start in time");
        assert!(!environment.is_empty(), "the simulators do not start");
        drain(lines.into_inner());
        Self { url: String::new(), environment, faults: Arc::default(), _child: child }
    }

    /// The server.
    pub(crate) async fn server(settings: &[(String, String)]) -> Self {
        let mut child = command(&["serve"], settings).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let address = line.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
                if let Some(address) = address {
                    return Some(format!("http://{address}"));
                }
                said.push(line);
            }
            None
        };
        let url = timeout(LIMIT, listening).await.expect("the server listens in time");
        let url = url.unwrap_or_else(|| panic!("the server does not listen: {said:#?}"));
        let faults = Arc::new(Mutex::new(Vec::new()));
        let found = faults.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("\"level\":\"ERROR\"") {
                    found.lock().unwrap().push(line);
                }
            }
        });
        Self { url, environment: Environment::new(), faults, _child: child }
    }

    /// What it logged as errors.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }
}

/// What a command prints.
pub(crate) async fn output(arguments: &[&str], settings: &[(String, String)]) -> String {
    let output = command(arguments, settings).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn command(arguments: &[&str], settings: &[(String, String)]) -> Command {
    let keep = ["PATH", "HOME", "TMPDIR"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .args(arguments)
        .env_clear()
        .envs(keep.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Whoever is not read stops when the pipe is full.
fn drain(reader: BufReader<impl AsyncRead + Unpin + Send + 'static>) {
    let mut lines = reader.lines();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
}
