//! Vonage's side of a call: the caller's phone with its media socket, the carrier that asks for NCCO and runs it, and the REST APIs: the
//! account's numbers, balance and applications, and the calls that an application places. The vendor's hosts are one here.
//!
//! ```no_run
//! # use trunkline_sim::vonage::{Application, InboundCall, VonageConfig, VonageSim, phone::{PhoneConfig, Step}};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let application = Application {
//!     answer_url: "http://127.0.0.1:8080/webhooks/vonage".into(),
//!     event_url: "http://127.0.0.1:8080/webhooks/vonage".into(),
//!     ..Application::new("aaaaaaaa-bbbb-cccc-dddd-0123456789ab")
//! };
//! let config = VonageConfig::new("a1b2c3d4", "a-secret", application, "15005550007");
//! let sim = VonageSim::start(([127, 0, 0, 1], 0).into(), config, None).await?;
//! let call = sim.ring(InboundCall {
//!     from: "14155550100".into(),
//!     to: "15005550007".into(),
//!     phone: PhoneConfig { steps: vec![Step::WaitForAgentToSpeak, Step::HangUp], ..PhoneConfig::default() },
//!     ..InboundCall::default()
//! })?;
//! let report = call.report().await?;
//! assert_eq!(report.streams.len(), 1);
//! # Ok(()) }
//! ```

mod account;
mod auth;
mod call;
mod calls;
mod checks;
mod config;
mod error;
mod events;
mod legs;
pub mod ncco;
mod rate;
mod recordings;
mod runner;
mod shared;
pub mod signature;
mod socket;
pub mod webhook;

/// A caller's phone, as each carrier's simulator has one.
pub mod phone {
    pub use crate::twilio::phone::{
        Caller, Impairments, Invalid, MarkRecord, PhoneConfig, PhoneEvent, PhoneEventKind, PhoneReport, Sids, Speech,
        Step, StreamEnd, Warning, WrongRate,
    };
}

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::{
    call::{Abandoned, CallReport, ConversationRecord, DocumentRecord, InboundCall, LegRecord, OngoingCall},
    calls::PlacedCall,
    config::{Application, Number, VonageConfig},
    events::EventDelivery,
    legs::LegStatus,
};
use self::{
    error::ApiError,
    legs::{Leg, NewLeg, Party, conversation_uuid},
    runner::{Plan, Source},
    shared::{Order, Shared},
    signature::Signer,
    webhook::Sender,
};
use crate::{
    fault::Fault,
    front::{self, Front},
    http_fault,
    log::Log,
    server::{SimServer, TlsIdentity},
    twilio::call::Recordings,
};
pub use crate::{
    front::Exchange,
    twilio::{CreateFault, Creates},
};

/// No application has the number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no application has {0}")]
pub struct NoSuchNumber(pub String);

/// Which of the vendor's addresses a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region(usize);

/// A running simulator. Dropping it ends its listeners and its calls at once.
pub struct VonageSim {
    server: SimServer,
    /// The other region's.
    _region: Option<SimServer>,
    shared: Arc<Shared>,
    log: Log<Exchange>,
    placed: tokio::sync::Mutex<mpsc::UnboundedReceiver<OngoingCall>>,
}

impl VonageSim {
    /// Serves on `addr` (port 0 picks a free one).
    ///
    /// # Errors
    /// When the address can't be listened on, or the network's certificate can't be read.
    pub async fn start(addr: SocketAddr, config: VonageConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let front = Front::new(config.latency, |_| false);
        let log = front.log.clone();
        let (placed_sender, placed) = mpsc::unbounded_channel();
        let other_region = config.other_region;
        let shared = Arc::new(Shared {
            sender: Sender::new(&config.network)?,
            config,
            legs: Mutex::default(),
            recent: Mutex::default(),
            rooms: Mutex::default(),
            urls: OnceLock::new(),
            recordings: Recordings::default(),
            placed: placed_sender,
            ended: CancellationToken::new(),
        });
        let router = |region: usize| {
            Router::new()
                .route("/account/get-balance", get(account::balance))
                .route("/account/numbers", get(account::numbers))
                .route("/v2/applications", get(account::applications))
                .route("/v2/applications/{id}", get(account::one_application))
                .route("/v1/calls", get(calls::list).post(calls::create))
                .route("/v1/calls/{uuid}", get(calls::read).put(calls::modify))
                .route("/v1/calls/{uuid}/{what}", put(calls::begin_playing).delete(calls::stop_playing))
                .route("/v1/files/{file}", get(recordings::hear).delete(recordings::delete))
                .fallback(async || ApiError::not_found())
                .method_not_allowed_fallback(async || ApiError::refusal(405, None))
                .layer(Extension(Region(region)))
                .layer(from_fn_with_state(shared.clone(), strike))
                .layer(from_fn_with_state(front.clone(), front::enter))
                .with_state(shared.clone())
        };
        let server = SimServer::start(addr, router(0), tls).await?;
        let region = match other_region {
            true => Some(SimServer::start(SocketAddr::new(addr.ip(), 0), router(1), tls).await?),
            false => None,
        };
        let urls = [Some(&server), region.as_ref()].into_iter().flatten().map(SimServer::http_url).collect();
        let _ = shared.urls.set(urls);
        Ok(Self { server, _region: region, shared, log, placed: tokio::sync::Mutex::new(placed) })
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
        self.shared.legs().iter().filter_map(|leg| PlacedCall::of(leg)).collect()
    }

    /// How the legs to somebody are, oldest first: a number without its plus, or a socket's URI.
    pub fn legs_to(&self, to: &str) -> Vec<LegStatus> {
        self.shared.legs().iter().filter(|leg| leg.to.text() == to).map(|leg| leg.status()).collect()
    }

    /// Keeps a recording of an application's, and says where it is.
    pub fn put_recording(&self, application_id: &str, file: &str, wav: impl Into<Vec<u8>>) -> String {
        self.shared.recordings.put(application_id, file, wav.into());
        format!("{}/v1/files/{file}", self.shared.region_url(0))
    }

    /// One of an application's recordings, if it is still there.
    pub fn recording(&self, application_id: &str, file: &str) -> Option<Vec<u8>> {
        self.shared.recordings.get(application_id, file)
    }

    /// The next call that was placed by REST: waits until there is one.
    pub async fn next_placed(&self) -> OngoingCall {
        self.placed.lock().await.recv().await.expect("the carrier holds the sender")
    }

    /// Lets somebody call a number.
    ///
    /// # Errors
    /// When no application has the number.
    pub fn ring(&self, call: InboundCall) -> Result<OngoingCall, NoSuchNumber> {
        let config = &self.shared.config;
        let number = config.numbers.iter().find(|number| number.msisdn == call.to);
        let application = number.and_then(|number| {
            config.applications.iter().find(|application| Some(&application.id) == number.app_id.as_ref())
        });
        let application = application.ok_or_else(|| NoSuchNumber(call.to.clone()))?;
        let stated = |url: Option<String>, own: &str| url.or_else(|| (!own.is_empty()).then(|| own.to_owned()));
        let answer_url = call.answer_url.unwrap_or_else(|| application.answer_url.clone());
        let fallback = stated(call.fallback_url, &application.fallback_url);
        let events = stated(call.event_url, &application.event_url);
        let signer = match call.impostor {
            Some((api_key, secret)) => Some(Signer { api_key, secret, application_id: application.id.clone() }),
            None => self.shared.signer(&application.id),
        };
        let (commander, commands) = mpsc::unbounded_channel();
        let leg = NewLeg {
            application_id: application.id.clone(),
            conversation_uuid: conversation_uuid(),
            from: Party::Phone(call.from),
            to: Party::Phone(call.to),
            outbound: false,
            headers: None,
            request: None,
            region: usize::from(config.other_region),
        };
        let leg = self.shared.register(Leg::new(leg, commander.clone()));
        Ok(self.shared.run(
            Plan {
                shared: self.shared.clone(),
                leg,
                signer,
                source: Source::Url((answer_url, application.answer_by_post)),
                fallback: fallback.map(|url| (url, application.answer_by_post)),
                events: events.map(|url| (url, true)),
                fields: call.fields.into_iter().map(|(name, value)| (name, Value::from(value))).collect(),
                phone: call.phone,
                time_limit: config.time_limit,
                placed: None,
            },
            commander,
            commands,
        ))
    }
}

impl Drop for VonageSim {
    fn drop(&mut self) {
        self.shared.ended.cancel();
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
