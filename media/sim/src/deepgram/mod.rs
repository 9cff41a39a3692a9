//! A simulated Deepgram: streaming Nova (`/v1/listen`) and Flux (`/v2/listen`), key checks, tokens, and transcription of files.
//!
//! Its words are earned by a [`Recogniser`](crate::recogniser::Recogniser): what reaches it garbled is `[unrecognised]`. Transcripts
//! are lower case without punctuation, whatever `smart_format` says. Its clock is the audio's, but for idle timeouts and scripted delays.

mod auth;
mod callback;
mod codec;
mod errors;
mod flux;
mod log;
mod nova;
mod protocol;
mod query;
mod rest;
mod socket;
mod wire;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, RawQuery, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    fault::{Fault, Script},
    recogniser::Library,
    server::{SimServer, TlsIdentity},
};

use auth::Keyring;
use errors::{DG_REQUEST_ID, VendorError, request_id_header};
use flux::Flux;
use log::{Connection, Log};
use nova::Nova;
use protocol::Protocol;
use query::{FluxQuery, NovaQuery, Parameters};
use socket::{Patience, Presence, Socket};
use wire::Identity;

pub use callback::CallbackTiming;
pub use flux::FluxTiming;
pub use log::{LiveConnection, Message, SimEvent, SimEventKind};
pub use nova::NovaTiming;

/// The largest file that is transcribed, and the largest message, in bytes.
const LARGEST_FILE: usize = 64 << 20;
const LARGEST_MESSAGE: usize = 1 << 20;
/// A connection's read buffer: the library's default is 16 times this, for each of many connections.
const READ_BUFFER: usize = 8 << 10;

/// What a simulated Deepgram does. Start from [`DeepgramConfig::new`].
#[derive(Clone)]
pub struct DeepgramConfig {
    /// The key that is accepted.
    pub api_key: String,
    /// What is recognised.
    pub library: Arc<Library>,
    /// The fate of each WebSocket, in order of arrival. Times of faults are audio time.
    pub script: Script,
    /// The fate of each HTTP request. Times of faults are wall-clock time.
    pub rest_script: Script,
    /// How often Nova speaks up.
    pub nova: NovaTiming,
    /// When Flux ends turns.
    pub flux: FluxTiming,
    /// How long every result is held back (wall clock).
    pub result_delay: Duration,
    /// Up to this much more, at random for each result; their order stays.
    pub result_jitter: Duration,
    /// How much longer the first result of a connection is held back.
    pub first_result_delay: Duration,
    /// Nova: time without audio or text after which the connection is closed with NET-0001.
    pub idle_timeout: Duration,
    /// WebSockets open at once above which new ones are refused with 429.
    pub max_connections: Option<usize>,
    /// How results of files are delivered to callbacks.
    pub callback: CallbackTiming,
    /// Seed of all randomness.
    pub seed: u64,
    /// Events kept for [`DeepgramSim::log`]; 0 keeps none.
    pub log_capacity: usize,
    /// Where every event goes as well, as it happens.
    pub events: Option<UnboundedSender<SimEvent>>,
}

impl DeepgramConfig {
    /// A healthy Deepgram: no faults, no delays, the vendor's own timeouts.
    pub fn new(api_key: impl Into<String>, library: Arc<Library>) -> Self {
        Self {
            api_key: api_key.into(),
            library,
            script: Script::default(),
            rest_script: Script::default(),
            nova: NovaTiming::default(),
            flux: FluxTiming::default(),
            result_delay: Duration::ZERO,
            result_jitter: Duration::ZERO,
            first_result_delay: Duration::ZERO,
            idle_timeout: Duration::from_secs(10),
            max_connections: None,
            callback: CallbackTiming::default(),
            seed: 1,
            log_capacity: 10_000,
            events: None,
        }
    }
}

/// A running simulated Deepgram. Dropping it cuts every connection.
pub struct DeepgramSim {
    server: SimServer,
    shared: Arc<Shared>,
}

impl DeepgramSim {
    /// Serves on `addr` (port 0 picks a free one), over TLS if an identity is given.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: DeepgramConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(config));
        let router = Router::new()
            .route("/v1/listen", get(nova_socket).post(rest::listen))
            .route("/v2/listen", get(flux_socket))
            .route("/v1/projects", get(rest::projects))
            .route("/v1/auth/token", get(rest::auth_token))
            .route("/v1/auth/grant", post(rest::auth_grant))
            .fallback(async || VendorError::of_status(404, None))
            .layer(DefaultBodyLimit::max(LARGEST_FILE))
            .with_state(shared.clone());
        Ok(Self { server: SimServer::start(addr, router, tls).await?, shared })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// `http://host:port` or `https://host:port`.
    pub fn http_url(&self) -> String {
        self.server.http_url()
    }

    /// `ws://host:port` or `wss://host:port`.
    pub fn ws_url(&self) -> String {
        self.server.ws_url()
    }

    /// The script of its WebSockets, to add to.
    pub fn script(&self) -> &Script {
        &self.shared.config.script
    }

    /// WebSockets that are open (or hang in their upgrade) now.
    pub fn connections(&self) -> usize {
        self.shared.log.live_count()
    }

    /// The same, one by one.
    pub fn live(&self) -> Vec<LiveConnection> {
        self.shared.log.live()
    }

    /// How many words were `[unrecognised]` so far.
    pub fn unrecognised(&self) -> u64 {
        self.shared.unrecognised.load(Ordering::Relaxed)
    }

    /// What its callbacks were answered with so far, in order; 0: nothing.
    pub fn delivered(&self) -> Vec<u16> {
        self.shared.delivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most recent events, oldest first.
    pub fn log(&self) -> Vec<SimEvent> {
        self.shared.log.snapshot()
    }

    /// The first logged event that is `wanted`, waiting for it up to `limit`.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&SimEvent) -> bool) -> Option<SimEvent> {
        self.shared.log.wait_for(limit, wanted).await
    }
}

impl fmt::Debug for DeepgramSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeepgramSim").field("url", &self.http_url()).finish_non_exhaustive()
    }
}

impl Drop for DeepgramSim {
    fn drop(&mut self) {
        self.shared.shutdown.cancel();
    }
}

/// What all connections share.
struct Shared {
    config: DeepgramConfig,
    keyring: Keyring,
    log: Log,
    unrecognised: AtomicU64,
    /// What callbacks were answered with, in order; 0: nothing.
    delivered: Mutex<Vec<u16>>,
    shutdown: CancellationToken,
    project: Uuid,
    model: Uuid,
}

impl Shared {
    fn new(config: DeepgramConfig) -> Self {
        Self {
            keyring: Keyring::new(config.api_key.clone()),
            log: Log::new(config.log_capacity, config.events.clone()),
            unrecognised: AtomicU64::new(0),
            delivered: Mutex::default(),
            shutdown: CancellationToken::new(),
            project: Uuid::new_v4(),
            model: Uuid::new_v4(),
            config,
        }
    }
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn nova_socket(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let patience = Patience { limit: shared.config.idle_timeout, text_before_audio: false, pings: false };
    let arrival = Arrival { shared, path: "/v1/listen", parameters: Parameters::parse(query.as_deref()), patience };
    arrival
        .serve(&headers, upgrade, |shared, parameters, identity| {
            let query = NovaQuery::read(parameters)?;
            let library = shared.config.library.clone();
            Ok(Box::new(Nova::new(query, shared.config.nova, identity, library)))
        })
        .await
}

async fn flux_socket(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let patience = Patience { limit: shared.config.flux.idle_timeout, text_before_audio: true, pings: true };
    let arrival = Arrival { shared, path: "/v2/listen", parameters: Parameters::parse(query.as_deref()), patience };
    arrival
        .serve(&headers, upgrade, |shared, parameters, identity| {
            let query = FluxQuery::read(parameters)?;
            let library = shared.config.library.clone();
            Ok(Box::new(Flux::new(query, shared.config.flux, identity, library)))
        })
        .await
}

/// A client at the door.
struct Arrival {
    shared: Arc<Shared>,
    path: &'static str,
    parameters: Parameters,
    patience: Patience,
}

impl Arrival {
    async fn serve(
        self,
        headers: &HeaderMap,
        upgrade: Upgrade,
        protocol: impl FnOnce(&Shared, &Parameters, Identity) -> Result<Box<dyn Protocol>, VendorError>,
    ) -> Response {
        let upgrade = match upgrade {
            Ok(upgrade) => upgrade,
            Err(rejection) => return rejection.into_response(),
        };
        let connection = self.shared.log.arrive(self.parameters.get("tag"));
        let fault = self.shared.config.script.next();
        match &fault {
            Some(Fault::Refuse { status, retry_after }) => {
                return self.refuse(&connection, VendorError::of_status(*status, *retry_after));
            }
            Some(Fault::Hang) => {
                let presence = Presence::new(self.shared.clone(), connection);
                presence.log(SimEventKind::Struck(Fault::Hang));
                self.shared.shutdown.cancelled().await;
                return VendorError::of_status(503, None).into_response();
            }
            _ => {}
        }
        if self.shared.keyring.check(headers).is_none() {
            return self.refuse(&connection, VendorError::unauthorised());
        }
        let request = Uuid::new_v4();
        let model = self.parameters.get("model").unwrap_or_default().to_owned();
        let identity = Identity { request, model_uuid: self.shared.model, model };
        let protocol = match protocol(&self.shared, &self.parameters, identity) {
            Ok(protocol) => protocol,
            Err(error) => return self.refuse(&connection, error),
        };
        if self.shared.config.max_connections.is_some_and(|most| self.shared.log.live_count() >= most) {
            return self.refuse(&connection, VendorError::too_many());
        }
        let presence = Presence::new(self.shared, connection);
        presence.log(SimEventKind::Opened { path: self.path, query: self.parameters.0 });
        let socket = Socket::new(presence, protocol, fault, self.patience);
        let mut upgrade = upgrade
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(LARGEST_MESSAGE)
            .max_frame_size(LARGEST_MESSAGE);
        if let Some(subprotocol) = auth::subprotocol(headers) {
            upgrade.set_selected_protocol(subprotocol);
        }
        let mut response = upgrade.on_upgrade(move |ws| socket.run(ws));
        response.headers_mut().insert(DG_REQUEST_ID, request_id_header(request));
        response
    }

    fn refuse(&self, connection: &Connection, error: VendorError) -> Response {
        self.shared.log.add(connection, SimEventKind::Refused { status: error.status.as_u16() });
        error.into_response()
    }
}
