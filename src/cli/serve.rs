//! `trunkline serve`: the server, with one agent from a file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trunkline_control::agents::config::AgentConfig;
use trunkline_media::net::Net;

use crate::{
    calls::{Calls, Observer},
    compose::{ComposeError, Composer},
    config::{Settings, SettingsError},
    telemetry,
};

/// Answer calls with one agent.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The agent: a JSON file in the form that the API stores.
    #[arg(long)]
    agent: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot read the agent {path}: {cause}")]
    AgentFile { path: PathBuf, cause: std::io::Error },
    #[error("the agent {path} is not valid:\n{errors}")]
    Agent { path: PathBuf, errors: trunkline_control::agents::config::FieldErrors },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), ServeError> {
        telemetry::init_logs("info");
        let agent = load_agent(&self.agent)?;
        let drain = Duration::from_secs(self.settings.drain_seconds);
        let server = Server::start(agent, self.settings, None).await?;
        tracing::info!(address = %server.addr(), public_url = server.public_url(), "listening");
        tracing::info!(
            voice_webhook = format!("{}/webhooks/twilio?kind=voice", server.public_url()),
            "set this at the carrier"
        );
        terminated().await;
        tracing::info!("draining: no new calls; live ones may end");
        server.stop(drain).await;
        Ok(())
    }
}

/// Reads and checks an agent.
pub fn load_agent(path: &Path) -> Result<AgentConfig, ServeError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ServeError::AgentFile { path: path.to_owned(), cause })?;
    AgentConfig::from_json(&text).map_err(|errors| ServeError::Agent { path: path.to_owned(), errors })
}

/// A server that runs, in this process.
pub struct Server {
    addr: SocketAddr,
    public_url: String,
    calls: Calls,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _upkeep: AbortOnDropHandle<()>,
}

impl Server {
    /// Starts to listen. `observer` sees all that happens in calls.
    pub async fn start(
        agent: AgentConfig,
        settings: Settings,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, ServeError> {
        settings.check()?;
        telemetry::metrics();
        let net = Net::new(&extra_authorities(&settings)?).map_err(|error| ComposeError::Tls(error.to_string()))?;
        let settings = Arc::new(settings);
        let listener =
            TcpListener::bind(settings.bind).await.map_err(|cause| ServeError::Bind(settings.bind, cause))?;
        let addr = listener.local_addr().map_err(|cause| ServeError::Bind(settings.bind, cause))?;
        let public_url = settings.public_url(addr);
        let composer = Composer::new(agent, settings.clone(), net)?;
        let calls = Calls::new(settings, composer, public_url.clone(), observer);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let router = calls.router();
        let task = tokio::spawn(async move {
            let listener = NoDelay(listener);
            let served = axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await });
            if let Err(error) = served.await {
                tracing::error!(%error, "the HTTP server failed");
            }
        });
        let upkeep = AbortOnDropHandle::new(tokio::spawn(telemetry::keep_metrics()));
        Ok(Self { addr, public_url, calls, stop, task, _upkeep: upkeep })
    }

    /// The address that it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where carriers reach it; no trailing slash.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The calls that are alive.
    pub const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Takes no more calls, lets live ones end until the deadline, and stops.
    pub async fn stop(self, deadline: Duration) {
        self.calls.registry().drain(deadline).await;
        self.stop.cancel();
        let mut task = self.task;
        if tokio::time::timeout(Duration::from_secs(5), &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Small frames must leave at once: Nagle's algorithm would hold them back by up to 40 ms.
struct NoDelay(TcpListener);

impl axum::serve::Listener for NoDelay {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, addr) = axum::serve::Listener::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true);
        (stream, addr)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

fn extra_authorities(settings: &Settings) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let Some(path) = &settings.extra_ca_file else { return Ok(Vec::new()) };
    let wrong =
        |cause: rustls::pki_types::pem::Error| SettingsError::ExtraCa { path: path.clone(), cause: cause.to_string() };
    CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// Waits for SIGTERM or ctrl-c.
async fn terminated() {
    let ctrl_c = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = ctrl_c => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = ctrl_c.await;
}
