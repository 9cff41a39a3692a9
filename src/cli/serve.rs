//! `trunkline serve`: the server.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{Router, middleware::from_fn, routing::get};
use clap::Args;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::{Secret, SystemClock, guard::Guard};
use trunkline_control::{
    Control,
    auth::{ApiKeys, Auth, Jwks, TokenKeys},
    health::Dependency,
    idempotency,
    live::Hub,
    vault::{Vault, VaultError},
};
use trunkline_media::net::Net;

use crate::{
    calls::{Calls, CallsConfig, Dialler, ObjectsError, Observer, Recordings},
    compose::{ComposeError, Composer},
    config::{Environment, Settings, SettingsError},
    jobs::{self, Jobs},
    journal::JournalWriter,
    listen::Listening,
    openapi,
    project_keys::ProjectKeys,
    secrets::{Secrets, SecretsError},
    storage::{Storage, StorageError},
    supabase::Supabase,
    telemetry::{self, Traces, TracesError},
    vendors::LiveVendors,
};

/// How long requests that are under way have to end at last: longer than those that ask a vendor.
const LAST_REQUESTS: Duration = Duration::from_secs(15);

/// Serve the API and answer calls.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot read EXTRA_CA_FILE {path}: {cause}")]
    ExtraCa { path: std::path::PathBuf, cause: String },
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error(transparent)]
    Traces(#[from] TracesError),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), ServeError> {
        self.settings.check()?;
        let traces = self.settings.edge.otlp_endpoint.as_ref().map(Traces::to).transpose()?;
        telemetry::init_logs("info", traces.as_ref());
        let drain = Duration::from_secs(self.settings.drain_seconds);
        let storage = Storage::open(&self.settings).await?;
        let mut end = End::listen().map_err(ServeError::Signals)?;
        let server = Server::start(self.settings, storage, None).await?;
        tracing::info!(address = %server.addr(), public_url = server.public_url(), "listening");
        end.comes().await;
        tracing::info!("draining: no new calls; live ones may end");
        server.stop(drain).await;
        if let Some(traces) = traces {
            traces.stop().await;
        }
        Ok(())
    }
}

/// A server that runs, in this process.
pub struct Server {
    addr: SocketAddr,
    public_url: String,
    control: Control,
    calls: Calls,
    journal: JournalWriter,
    storage: Storage,
    listening: Listening,
    recordings: Recordings,
    _nodes: Option<AbortOnDropHandle<()>>,
    jobs: Option<Jobs>,
    dialler: Option<Dialler>,
    _upkeep: [AbortOnDropHandle<()>; 9],
}

impl Server {
    /// Starts to listen. `observer` sees all that happens in calls.
    pub async fn start(
        settings: Settings,
        storage: Storage,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, ServeError> {
        settings.check()?;
        telemetry::metrics();
        let settings = Arc::new(settings);
        let listener =
            TcpListener::bind(settings.bind).await.map_err(|cause| ServeError::Bind(settings.bind, cause))?;
        let addr = listener.local_addr().map_err(|cause| ServeError::Bind(settings.bind, cause))?;
        let public_url = settings.public_url(addr);
        let traced = settings.edge.otlp_endpoint.is_some();
        let Parts { control, composer, net } = Parts::new(&settings, &storage, &public_url)?;
        let jobs = if settings.run_jobs { Some(start_jobs(&control, &composer, &net)?) } else { None };
        let recordings =
            Recordings::open(control.db.clone(), &settings.objects, &settings.data, composer.vendors_http().direct())?;
        let node = Calls::new_node();
        let journal = JournalWriter::start(control.db.clone(), node.clone(), control.live.clone());
        let calls = Calls::new(CallsConfig {
            control: control.clone(),
            composer,
            journal: journal.handle().clone(),
            recordings: recordings.clone(),
            node,
            public_url: public_url.clone(),
            node_url: settings.node_url(addr),
            settings,
            observer,
        });
        let dialler = calls.settings().run_jobs.then(|| Dialler::start(calls.clone()));
        let measured = control.clone();
        let router = openapi::routes(&control, &calls)
            .route("/metrics", get(async move || telemetry::render_metrics(&measured)));
        let router: Router = trunkline_control::http::finish(router, &control);
        let router = if traced { router.layer(from_fn(telemetry::trace)) } else { router };
        let listening = Listening::start(listener, router);
        let edge = control.edge.clone();
        let upkeep = [
            AbortOnDropHandle::new(tokio::spawn(telemetry::keep_metrics())),
            AbortOnDropHandle::new(tokio::spawn(calls.clone().keep())),
            AbortOnDropHandle::new(tokio::spawn(calls.clone().keep_retention())),
            AbortOnDropHandle::new(tokio::spawn(calls.clone().keep_dials())),
            AbortOnDropHandle::new(tokio::spawn(calls.clone().keep_recordings())),
            AbortOnDropHandle::new(tokio::spawn(recordings.clone().keep())),
            AbortOnDropHandle::new(tokio::spawn(async move { edge.limiter.keep().await })),
            AbortOnDropHandle::new(tokio::spawn(idempotency::keep_clean(control.clone()))),
            AbortOnDropHandle::new(tokio::spawn(jobs::keep_gauges(control.db.clone()))),
        ];
        let nodes = calls.listen_to_nodes();
        Ok(Self {
            addr,
            public_url,
            control,
            calls,
            journal,
            recordings,
            storage,
            listening,
            _nodes: nodes,
            jobs,
            dialler,
            _upkeep: upkeep,
        })
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

    /// Waits until all that was told of calls so far is stored, and what they have recorded with it.
    pub async fn stored(&self) {
        self.journal.handle().flushed().await;
        self.calls.settle_recordings().await;
    }

    /// Takes no more calls, lets live ones end until the deadline, writes what is left of them, and stops; the database last.
    pub async fn stop(self, deadline: Duration) {
        self.control.draining.store(true, Ordering::Release);
        if let Some(dialler) = self.dialler {
            dialler.stop().await;
        }
        self.calls.registry().drain(deadline).await;
        // Who listens hears how the last calls ended.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.journal.handle().flushed()).await;
        self.control.live.close();
        self.listening.stop(LAST_REQUESTS).await;
        self.journal.stop().await;
        if let Some(jobs) = self.jobs {
            jobs.stop().await;
        }
        self.recordings.last().await;
        self.storage.close().await;
    }
}

/// What the process shares, whichever role it has.
pub(super) struct Parts {
    pub(super) control: Control,
    pub(super) composer: Composer,
    pub(super) net: Net,
}

impl Parts {
    /// Of settings that were checked.
    pub(super) fn new(settings: &Arc<Settings>, storage: &Storage, public_url: &str) -> Result<Self, ServeError> {
        let secrets = secrets(settings)?;
        let ranges = settings.allowed_ranges().expect("settings that were checked");
        let guard = Guard::new(ranges);
        let net = Net::new(&extra_authorities(settings)?).map_err(|error| ComposeError::Tls(error.to_string()))?;
        let net = net.with_guard(guard);
        let composer = Composer::new(settings.clone(), net.clone())?;
        let redis = settings.edge.redis();
        let security = &settings.security;
        let supabase = security.supabase_url.as_ref().and_then(|url| {
            let supabase = Supabase::new(composer.http().clone(), url, security.supabase_service_key.clone())?;
            Some(Arc::new(supabase) as Arc<dyn Dependency>)
        });
        let control = Control {
            db: storage.db().clone(),
            auth: Arc::new(Auth {
                keys: token_keys(settings, &secrets, &net)?,
                api_keys: ApiKeys::new(&secrets.api_key_secret),
                auto_provision: settings.auto_provision(),
            }),
            vault: Arc::new(Vault::new(&secrets.encryption_key)?),
            vendors: Arc::new(
                LiveVendors::new(&settings.vendors, &net).map_err(|error| ComposeError::Http(error.to_string()))?,
            ),
            public_url: public_url.into(),
            draining: Arc::default(),
            edge: Arc::new(settings.edge.serve_by(redis.clone())),
            live: redis.clone().map_or_else(Hub::alone, Hub::among_others),
            redis,
            supabase,
        };
        Ok(Self { control, composer, net })
    }
}

pub(super) fn start_jobs(control: &Control, composer: &Composer, net: &Net) -> Result<Jobs, ServeError> {
    Ok(Jobs::start(control, composer, net).map_err(|error| ComposeError::Http(error.to_string()))?)
}

/// What is configured; in development, what is missing is made once and kept.
pub(super) fn secrets(settings: &Settings) -> Result<Secrets, SecretsError> {
    let security = &settings.security;
    let configured = Secrets {
        jwt_secret: security.supabase_jwt_secret.clone(),
        encryption_key: security.encryption_key.clone(),
        api_key_secret: security.api_key_secret.clone(),
    };
    let all = [&configured.jwt_secret, &configured.encryption_key, &configured.api_key_secret];
    if settings.environment() == Environment::Production || all.iter().all(|secret| !secret.is_empty()) {
        return Ok(configured);
    }
    let made = Secrets::load_or_make(&settings.data)?;
    tracing::warn!(
        folder = %settings.data.display(),
        "DEVELOPMENT: secrets that are not set were generated and are kept in the data folder"
    );
    let or = |configured: Secret, made| if configured.is_empty() { made } else { configured };
    Ok(Secrets {
        jwt_secret: or(configured.jwt_secret, made.jwt_secret),
        encryption_key: or(configured.encryption_key, made.encryption_key),
        api_key_secret: or(configured.api_key_secret, made.api_key_secret),
    })
}

/// By the project's secret if there is one, and by its published keys if its address is known.
fn token_keys(settings: &Settings, secrets: &Secrets, net: &Net) -> Result<TokenKeys, ComposeError> {
    let shared =
        if secrets.jwt_secret.is_empty() { TokenKeys::default() } else { TokenKeys::shared(&secrets.jwt_secret) };
    let Some(issuer) = settings.issuer() else { return Ok(shared) };
    let source = ProjectKeys::new(net, &issuer).map_err(|error| ComposeError::Http(error.to_string()))?;
    Ok(shared.and_project(issuer, Jwks::new(source, SystemClock)))
}

fn extra_authorities(settings: &Settings) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let Some(path) = &settings.extra_ca_file else { return Ok(Vec::new()) };
    let wrong =
        |cause: rustls::pki_types::pem::Error| ServeError::ExtraCa { path: path.clone(), cause: cause.to_string() };
    CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// SIGTERM and ctrl-c, which are heard from when this is made: whoever sees that the server listens may end it at once.
pub(super) struct End {
    term: Signal,
    interrupt: Signal,
}

impl End {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn comes(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
