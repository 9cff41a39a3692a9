//! Anthropic's Messages API: `GET /v1/models`, `GET /v1/models/{id}` and `POST /v1/messages`, streamed or whole.
//!
//! The model is simulated by [`Rules`], as OpenAI's is. The wire is not: requests are checked as Anthropic checks them, with the
//! differences between the two versions of the API.

mod conversation;
mod error;
mod events;
mod messages;
mod models;
mod request;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use models::ModelEntry;

pub use crate::model::{Outcome, RequestRecord, Rule, Rules, ScriptedToolCall};
use crate::{
    dates,
    event::SimEvent,
    fault::Script,
    log::Log,
    model::Records,
    server::{SimServer, TlsIdentity},
};
use error::ApiError;
use request::Version;

/// The request headers that are recorded. Never the key.
const HEADERS: &[&str] = &["anthropic-version", "anthropic-beta", "user-agent", "accept", "content-type"];
/// The largest request, in bytes.
const LARGEST: usize = 32 * 1024 * 1024;

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct AnthropicConfig {
    /// The key it accepts, as `x-api-key` or as a bearer token.
    pub api_key: String,
    /// The models it has.
    pub models: Vec<ModelEntry>,
    /// Whether messages may also name a model that it does not have.
    pub any_model: bool,
    /// What the model answers.
    pub rules: Rules,
    /// What the model thinks before it answers, unless a request disables it.
    pub thought: Option<String>,
    /// From the request to the first token.
    pub ttft: Duration,
    /// From one token to the next.
    pub token_interval: Duration,
    /// How much delays vary, as a share of them: 0 to 1.
    pub jitter: f64,
    /// What the variation is drawn from.
    pub seed: u64,
    /// What a scripted 429 complains of.
    pub throttle: Throttle,
    /// The fate of each message request. Times count from the first byte of its answer. `DropAfter`, `StallAfter` and `GarbageAfter`
    /// strike a request without streaming before its answer, `ErrorAfter` as the HTTP error of that type.
    pub script: Script,
    /// The fate of each request for models. Times count from its arrival; `ErrorAfter` is the HTTP error of that type.
    pub models_script: Script,
    /// Where to report requests and deltas as they happen.
    pub events: Option<UnboundedSender<SimEvent>>,
}

/// What a scripted 429 complains of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Throttle {
    /// Too many requests: worth another try later.
    #[default]
    Rate,
    /// The customer's own limit of spending: not worth another try.
    Spend,
}

impl Default for AnthropicConfig {
    fn default() -> Self {
        Self {
            api_key: "sk-ant-simulated".into(),
            models: models::default_models(),
            any_model: false,
            rules: Rules::default(),
            thought: None,
            ttft: Duration::from_millis(150),
            token_interval: Duration::from_millis(15),
            jitter: 0.0,
            seed: 0,
            throttle: Throttle::default(),
            script: Script::default(),
            models_script: Script::default(),
            events: None,
        }
    }
}

/// A running simulator. Dropping it cuts all its connections.
pub struct AnthropicSim {
    server: SimServer,
    records: Log<RequestRecord>,
    _stop: DropGuard,
}

impl AnthropicSim {
    /// Serves on `addr` (port 0 picks a free one).
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: AnthropicConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let stopped = CancellationToken::new();
        let shared = Arc::new(Shared { config, records: Records::new("msg_", HEADERS), stopped: stopped.clone() });
        let records = shared.records.log.clone();
        let models = Router::new()
            .route("/v1/models", get(models::list))
            .route("/v1/models/{model}", get(models::read))
            .route_layer(from_fn_with_state(shared.clone(), models::enter));
        let router = Router::new()
            .route("/v1/messages", post(messages::create).layer(DefaultBodyLimit::max(LARGEST)))
            .merge(models)
            .fallback(unknown_url)
            .method_not_allowed_fallback(unknown_method)
            .layer(from_fn(standard_headers))
            .with_state(shared);
        let server = SimServer::start(addr, router, tls).await?;
        Ok(Self { server, records, _stop: stopped.drop_guard() })
    }

    /// Its listener.
    pub fn server(&self) -> &SimServer {
        &self.server
    }

    /// What clients call their base URL: `http://host:port`, without `/v1`.
    pub fn base_url(&self) -> String {
        self.server.http_url()
    }

    /// The message requests so far, oldest first.
    pub fn requests(&self) -> &Log<RequestRecord> {
        &self.records
    }

    /// How many requests are being answered now.
    pub fn running(&self) -> usize {
        self.records.entries().iter().filter(|record| record.outcome == Outcome::Running).count()
    }
}

struct Shared {
    config: AnthropicConfig,
    records: Records,
    /// Fires when the simulator is dropped.
    stopped: CancellationToken,
}

impl Shared {
    /// Checks the key and the version. Of two keys the one in `x-api-key` counts.
    fn admit(&self, headers: &HeaderMap) -> Result<Version, ApiError> {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let bearer = || header("authorization")?.strip_prefix("Bearer ");
        match header("x-api-key").or_else(bearer) {
            Some(key) if key == self.config.api_key => {}
            Some(_) => return Err(ApiError::invalid_key()),
            None => return Err(ApiError::missing_key()),
        }
        Version::parse(header("anthropic-version"))
    }
}

/// The id of a request, which its answer repeats.
#[derive(Clone)]
struct RequestId(String);

async fn unknown_url(Extension(RequestId(id)): Extension<RequestId>) -> Response {
    ApiError::not_found("Not Found").response(&id)
}

async fn unknown_method(Extension(RequestId(id)): Extension<RequestId>) -> Response {
    ApiError::refusal(405, None, Throttle::Rate).response(&id)
}

/// The headers Anthropic sends with every response.
async fn standard_headers(mut request: Request, next: Next) -> Response {
    let id = format!("req_{}", uuid::Uuid::new_v4().simple());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut insert = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    };
    insert("request-id", &id);
    insert("anthropic-organization-id", "00000000-0000-4000-8000-000000000001");
    let reset = dates::iso8601(SystemTime::now() + Duration::from_secs(1));
    for (of, limit, remaining) in [
        ("requests", "4000", "3999"),
        ("tokens", "480000", "479000"),
        ("input-tokens", "400000", "399000"),
        ("output-tokens", "80000", "80000"),
    ] {
        for (what, value) in [("limit", limit), ("remaining", remaining), ("reset", reset.as_str())] {
            insert(&format!("anthropic-ratelimit-{of}-{what}"), value);
        }
    }
    response
}
