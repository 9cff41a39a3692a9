//! Calls: carriers' webhooks, their media sockets, and the registry of calls that are alive.
//!
//! A call exists from its voice webhook on: that opens the vendors' sockets and leaves a task that waits for the media stream.

mod live;
mod media;
mod registry;
mod socket;
mod token;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use trunkline_base::CallId;
use trunkline_media::{
    call::{CallConfig, CallSummary},
    event::CallEvent,
    telephony::twilio::rest::{TwilioAuth, TwilioRest},
};

pub use self::registry::{Registry, RegistryGauges};
use crate::{compose::Composer, config::Settings};

/// The largest webhook body that is read: Twilio's are some kilobytes.
const MAX_WEBHOOK: usize = 64 * 1024;

/// What all handlers share.
#[derive(Clone)]
pub struct Calls(Arc<Shared>);

struct Shared {
    settings: Arc<Settings>,
    composer: Composer,
    registry: Registry,
    rest: TwilioRest,
    /// Where carriers reach us; no trailing slash.
    public_url: String,
    observer: Option<Arc<dyn Observer>>,
}

/// Somebody who watches calls: the journal, a demonstration, a test.
pub trait Observer: Send + Sync {
    /// A call began to ring.
    fn ringing(&self, _call: CallId, _config: &CallConfig) {}
    /// Something happened in a call.
    fn event(&self, call: CallId, event: &CallEvent);
    /// A call is over, and its recording is on disk.
    fn ended(&self, _call: CallId, _summary: &CallSummary) {}
}

impl Calls {
    /// Makes the handlers' state. `public_url` has no trailing slash.
    pub fn new(
        settings: Arc<Settings>,
        composer: Composer,
        public_url: String,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let vendors = &settings.vendors;
        let rest = TwilioRest::new(
            composer.http().clone(),
            &vendors.twilio_base_url,
            vendors.twilio_account_sid.clone(),
            TwilioAuth { user: vendors.twilio_account_sid.clone(), password: vendors.twilio_auth_token.clone() },
        );
        let registry = Registry::new(settings.max_calls);
        Self(Arc::new(Shared { settings, composer, registry, rest, public_url, observer }))
    }

    /// The routes that carriers use, the health check, and the metrics.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/webhooks/twilio", post(webhooks::twilio))
            .route("/media/twilio/{conversation}", get(media::twilio))
            .route("/health", get(health))
            .route("/metrics", get(async || crate::telemetry::render_metrics()))
            .layer(axum::extract::DefaultBodyLimit::max(MAX_WEBHOOK))
            .with_state(self.clone())
    }

    /// Calls that are alive.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The address of a media socket, `ws` for `http` and `wss` for `https`.
    fn stream_url(&self, call: CallId) -> String {
        // "http" is a prefix of "https": what follows stays as it is.
        let rest = self.0.public_url.strip_prefix("http").unwrap_or(&self.0.public_url);
        format!("ws{rest}/media/twilio/{call}")
    }

    fn webhook_url(&self, kind: &str, call: CallId) -> String {
        format!("{}/webhooks/twilio?kind={kind}&conversation={call}", self.0.public_url)
    }
}

async fn health(axum::extract::State(calls): axum::extract::State<Calls>) -> Response {
    let RegistryGauges { live, draining } = calls.0.registry.gauges();
    let status = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::json!({
        "status": if draining { "draining" } else { "ok" },
        "agent": calls.0.composer.agent_name(),
        "calls": live,
    });
    (status, axum::Json(body)).into_response()
}
