//! Calls: carriers' webhooks, their media sockets, and the registry of calls that are alive.
//!
//! A call exists from its voice webhook on: that opens the vendors' sockets and leaves a task that waits for the media stream.

mod account;
mod campaigns;
mod control;
mod dial;
mod live;
mod media;
mod reconcile;
pub(crate) mod recording;
mod registry;
mod ring;
mod socket;
mod state;
mod status;
mod token;
mod upkeep;
mod webhooks;

use std::sync::Arc;

use axum::{
    extract::{DefaultBodyLimit, FromRef},
    routing::get,
};
use trunkline_base::CallId;
use trunkline_control::{Control, live::News, tenant::TenantId, vendors::Provider};
use trunkline_media::{
    call::{CallConfig, CallSummary},
    event::CallEvent,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::control::{Bus, Transfers};
pub use self::{
    campaigns::Dialler,
    recording::{ObjectsError, Recordings},
    registry::{Registry, RegistryGauges},
};
use crate::{compose::Composer, config::Settings, journal::JournalHandle};

/// The largest webhook body that is read: Twilio's are some kilobytes.
const MAX_WEBHOOK: usize = 64 * 1024;

/// What all handlers share.
#[derive(Clone)]
pub struct Calls(Arc<Shared>);

struct Shared {
    settings: Arc<Settings>,
    control: Control,
    composer: Composer,
    registry: Registry,
    journal: JournalHandle,
    recordings: Recordings,
    /// This process, as conversations name who keeps them alive.
    node: String,
    /// Where carriers reach us; no trailing slash.
    public_url: String,
    /// Where they reach this node; no trailing slash.
    node_url: String,
    observer: Option<Arc<dyn Observer>>,
    transfers: Transfers,
    /// The way to calls of other nodes; `None`: there is none.
    bus: Option<Bus>,
}

/// Somebody who watches calls: a demonstration, a test.
pub trait Observer: Send + Sync {
    /// A call began to ring.
    fn ringing(&self, _call: CallId, _config: &CallConfig) {}
    /// Something happened in a call.
    fn event(&self, call: CallId, event: &CallEvent);
    /// A call is over, and its recording is on disk.
    fn ended(&self, _call: CallId, _summary: &CallSummary) {}
}

/// What calls are made from.
pub struct CallsConfig {
    pub settings: Arc<Settings>,
    pub control: Control,
    pub composer: Composer,
    pub journal: JournalHandle,
    pub recordings: Recordings,
    /// This process, as the journal has it too.
    pub node: String,
    /// Without a trailing slash.
    pub public_url: String,
    /// Without a trailing slash.
    pub node_url: String,
    pub observer: Option<Arc<dyn Observer>>,
}

impl FromRef<Calls> for Control {
    fn from_ref(calls: &Calls) -> Self {
        calls.control().clone()
    }
}

impl Calls {
    /// Makes the handlers' state.
    pub fn new(config: CallsConfig) -> Self {
        let CallsConfig { settings, control, composer, journal, recordings, node, public_url, node_url, observer } =
            config;
        let registry = Registry::new(settings.max_calls);
        let transfers = Transfers::default();
        let bus = control.redis.clone().map(|redis| Bus::new(redis, &node));
        Self(Arc::new(Shared {
            settings,
            control,
            composer,
            registry,
            journal,
            recordings,
            node,
            public_url,
            node_url,
            observer,
            transfers,
            bus,
        }))
    }

    /// A name for a process, which no other has.
    pub fn new_node() -> String {
        Uuid::now_v7().to_string()
    }

    /// The routes that carriers and those who control calls use, and their description.
    pub fn routes() -> OpenApiRouter<Self> {
        OpenApiRouter::new()
            .routes(routes!(webhooks::twilio::twilio))
            .routes(routes!(webhooks::vonage::vonage_get, webhooks::vonage::vonage_post))
            .route("/v1/webhooks/twilio", axum::routing::post(webhooks::twilio::twilio))
            .route("/v1/webhooks/vonage", get(webhooks::vonage::vonage_get).post(webhooks::vonage::vonage_post))
            .layer(DefaultBodyLimit::max(MAX_WEBHOOK))
            .route("/media/twilio/{conversation}", get(media::twilio::twilio))
            .route("/media/vonage/{conversation}", get(media::vonage::vonage))
            .merge(control::routes())
            .merge(dial::router())
            .merge(recording::routes())
    }

    /// Calls that are alive.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Brings to the store what is recorded, and deletes what has to go, now: for whoever wants to see it done.
    pub async fn settle_recordings(&self) {
        self.0.recordings.pass().await;
        self.sweep_recordings().await;
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn control(&self) -> &Control {
        &self.0.control
    }

    /// Tells whoever listens that the state of a call has changed, once that is committed.
    fn tell_state(&self, tenant: TenantId, call: CallId) {
        self.control().live.tell(tenant, &[(call, News::State)]);
    }

    /// The address of a media socket, `ws` for `http` and `wss` for `https`.
    fn stream_url(&self, provider: Provider, call: CallId) -> String {
        // "http" is a prefix of "https": what follows stays as it is.
        let rest = self.0.node_url.strip_prefix("http").unwrap_or(&self.0.node_url);
        format!("ws{rest}/media/{provider}/{call}")
    }

    fn webhook_url(&self, provider: Provider, kind: &str, call: CallId) -> String {
        format!("{}/webhooks/{provider}?kind={kind}&conversation={call}", self.0.public_url)
    }
}
