//! Vonage's REST APIs: the account's numbers, balance and applications, and the calls that an application places. Its two hosts are one
//! here.

mod account;
mod auth;
mod calls;
mod error;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};

pub use calls::PlacedCall;

pub use crate::front::Exchange;
use crate::{
    fault::{Fault, Script},
    front::{self, Front},
    http_fault, keys,
    log::Log,
    server::{SimServer, TlsIdentity},
};
use calls::Calls;
use error::ApiError;

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct VonageConfig {
    /// The account's key.
    pub api_key: String,
    /// The account's secret.
    pub api_secret: String,
    /// Its applications.
    pub applications: Vec<Application>,
    /// Its numbers.
    pub numbers: Vec<Number>,
    /// What it has left, in euros.
    pub balance: f64,
    /// How many calls may begin within a second.
    pub calls_per_second: usize,
    /// Answer invalid fields as the voice service has been seen to, instead of as it is documented.
    pub observed_errors: bool,
    /// How long every answer takes at least.
    pub latency: Duration,
    /// The fate of each request. Times count from its arrival; `ErrorAfter` is the documented error with that anchor, such as
    /// `low-balance`.
    pub script: Script,
}

/// An application of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its tokens are checked with, PEM.
    pub public_key: String,
    /// Whether its webhooks are signed.
    pub signed_callbacks: bool,
    /// Where it is asked what to do with a call.
    pub answer_url: String,
    /// Where it is told what becomes of a call.
    pub event_url: String,
}

/// A number of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// E.164 without `+`.
    pub msisdn: String,
    /// Two letters.
    pub country: String,
    /// The application that its calls go to.
    pub app_id: Option<String>,
}

impl Application {
    /// An application whose tokens are signed with [`keys::RSA_PRIVATE`].
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            name: "Simulated application".into(),
            public_key: keys::RSA_PUBLIC.into(),
            signed_callbacks: true,
            answer_url: "https://example.com/answer".into(),
            event_url: "https://example.com/event".into(),
        }
    }
}

impl VonageConfig {
    /// An account with one application, to which its one number belongs.
    pub fn new(api_key: &str, api_secret: &str, application: Application, msisdn: &str) -> Self {
        let number = Number { msisdn: msisdn.into(), country: "US".into(), app_id: Some(application.id.clone()) };
        Self {
            api_key: api_key.into(),
            api_secret: api_secret.into(),
            applications: vec![application],
            numbers: vec![number],
            balance: 10.28,
            calls_per_second: 3,
            observed_errors: false,
            latency: Duration::ZERO,
            script: Script::default(),
        }
    }
}

/// A running simulator.
pub struct VonageSim {
    server: SimServer,
    shared: Arc<Shared>,
    log: Log<Exchange>,
}

impl VonageSim {
    /// Serves on `addr` (port 0 picks a free one).
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: VonageConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let front = Front::new(config.latency, |_| false);
        let log = front.log.clone();
        let shared = Arc::new(Shared { config, calls: Mutex::default() });
        let router = Router::new()
            .route("/account/get-balance", get(account::balance))
            .route("/account/numbers", get(account::numbers))
            .route("/v2/applications", get(account::applications))
            .route("/v2/applications/{id}", get(account::one_application))
            .route("/v1/calls", get(calls::list).post(calls::create))
            .route("/v1/calls/{uuid}", get(calls::read).put(calls::modify))
            .fallback(async || ApiError::not_found())
            .method_not_allowed_fallback(async || ApiError::refusal(405, None))
            .layer(from_fn_with_state(shared.clone(), strike))
            .layer(from_fn_with_state(front, front::enter))
            .with_state(shared.clone());
        let server = SimServer::start(addr, router, tls).await?;
        Ok(Self { server, shared, log })
    }

    /// Its listener, which stands for both of the vendor's hosts.
    pub fn server(&self) -> &SimServer {
        &self.server
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> &Log<Exchange> {
        &self.log
    }

    /// The calls that were placed, oldest first.
    pub fn calls(&self) -> Vec<PlacedCall> {
        self.shared.calls().placed.clone()
    }
}

struct Shared {
    config: VonageConfig,
    calls: Mutex<Calls>,
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the fault that is scripted for a request strike instead of its answer.
async fn strike(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.config.script.next() {
        None => next.run(request).await,
        Some(Fault::Refuse { status, retry_after }) => ApiError::refusal(status, retry_after).into_response(),
        Some(Fault::ErrorAfter(after, anchor)) => {
            tokio::time::sleep(after).await;
            ApiError::of_anchor(&anchor).into_response()
        }
        Some(fault) => http_fault::answer(fault).await,
    }
}
