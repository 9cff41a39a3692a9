//! OpenAI's chat completions: `GET /v1/models` and `POST /v1/chat/completions`, streamed or whole.
//!
//! The model is simulated: its answers are [`Rules`], data matched against what the request says. The wire is not: requests are checked
//! as OpenAI checks them, and [`Quirks`] turn the server into one of those that are only compatible.

mod chat;
mod chunks;
mod error;
mod quirks;
mod request;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use quirks::{ErrorShape, Quirks};

pub use crate::model::{Outcome, RequestRecord, Rule, Rules, ScriptedToolCall};
use crate::{
    event::SimEvent,
    fault::{Fault, Script},
    http_fault,
    log::Log,
    model::Records,
    server::{SimServer, TlsIdentity},
};
use error::ApiError;

/// The request headers that are recorded. Never the key.
const HEADERS: &[&str] =
    &["x-client-request-id", "openai-organization", "openai-project", "user-agent", "accept", "content-type"];

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// The key it accepts.
    pub api_key: String,
    /// The models it has; with none listed it takes any name.
    pub models: Vec<String>,
    /// What the model answers.
    pub rules: Rules,
    /// From the request to the first token.
    pub ttft: Duration,
    /// From one token to the next.
    pub token_interval: Duration,
    /// How much delays vary, as a share of them: 0 to 1.
    pub jitter: f64,
    /// What the variation is drawn from.
    pub seed: u64,
    /// Deviations from OpenAI's own behaviour.
    pub quirks: Quirks,
    /// What a scripted 429 complains of.
    pub throttle: Throttle,
    /// The fate of each chat completion request. Times count from the first byte of its answer. `DropAfter`, `StallAfter` and
    /// `GarbageAfter` strike a request without streaming before its answer, `ErrorAfter` as HTTP 500 with the code.
    pub script: Script,
    /// The fate of each `/v1/models` request. Times count from its arrival; `ErrorAfter` is HTTP 500 with the code.
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
    /// No credit: not worth another try.
    Quota,
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        Self {
            api_key: "sk-simulated".into(),
            models: ["gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini", "gpt-5-mini"]
                .map(Into::into)
                .into(),
            rules: Rules::default(),
            ttft: Duration::from_millis(150),
            token_interval: Duration::from_millis(15),
            jitter: 0.0,
            seed: 0,
            quirks: Quirks::default(),
            throttle: Throttle::default(),
            script: Script::default(),
            models_script: Script::default(),
            events: None,
        }
    }
}

/// A running simulator. Dropping it cuts all its connections.
pub struct OpenAiSim {
    server: SimServer,
    records: Log<RequestRecord>,
    _stop: DropGuard,
}

impl OpenAiSim {
    /// Serves on `addr` (port 0 picks a free one).
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: OpenAiConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let stopped = CancellationToken::new();
        let shared = Arc::new(Shared { config, records: Records::new("chatcmpl-", HEADERS), stopped: stopped.clone() });
        let records = shared.records.log.clone();
        let router = Router::new()
            .route("/v1/models", get(models))
            .route("/v1/chat/completions", post(chat::completions))
            .fallback(unknown_url)
            .layer(from_fn(standard_headers))
            .with_state(shared);
        let server = SimServer::start(addr, router, tls).await?;
        Ok(Self { server, records, _stop: stopped.drop_guard() })
    }

    /// Its listener.
    pub fn server(&self) -> &SimServer {
        &self.server
    }

    /// What clients call their base URL: `http://host:port/v1`.
    pub fn base_url(&self) -> String {
        self.server.http_url() + "/v1"
    }

    /// The chat completion requests so far, oldest first.
    pub fn requests(&self) -> &Log<RequestRecord> {
        &self.records
    }

    /// How many requests are being answered now.
    pub fn running(&self) -> usize {
        self.records.entries().iter().filter(|record| record.outcome == Outcome::Running).count()
    }
}

struct Shared {
    config: OpenAiConfig,
    records: Records,
    /// Fires when the simulator is dropped.
    stopped: CancellationToken,
}

impl Shared {
    fn authorise(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.config.quirks.any_key {
            return Ok(());
        }
        let header = headers.get("authorization").and_then(|value| value.to_str().ok());
        match header.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(key) if key == self.config.api_key => Ok(()),
            Some(_) => Err(ApiError::invalid_key()),
            None => Err(ApiError::missing_key()),
        }
    }
}

async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let shape = shared.config.quirks.error_shape;
    match shared.config.models_script.next() {
        Some(Fault::Refuse { status, retry_after }) => {
            return ApiError::refusal(status, retry_after, shared.config.throttle).response(shape);
        }
        Some(Fault::ErrorAfter(after, code)) => {
            tokio::time::sleep(after).await;
            return ApiError::midway(&code).response(shape);
        }
        Some(fault) => return http_fault::answer(fault).await,
        None => {}
    }
    if let Err(error) = shared.authorise(&headers) {
        return error.response(shape);
    }
    let model = |id: &String| {
        let mut model = Map::new();
        model.insert("id".into(), id.as_str().into());
        model.insert("object".into(), "model".into());
        if !shared.config.quirks.no_created {
            model.insert("created".into(), 1_744_316_542.into());
        }
        model.insert("owned_by".into(), "system".into());
        Value::Object(model)
    };
    let data: Vec<Value> = shared.config.models.iter().map(model).collect();
    Json(json!({"object": "list", "data": data})).into_response()
}

async fn unknown_url(request: Request) -> Response {
    let message = format!("Invalid URL ({} {})", request.method(), request.uri().path());
    let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

/// The headers OpenAI sends with every response.
async fn standard_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(format!("req_{}", uuid::Uuid::new_v4().simple())) {
        headers.insert("x-request-id", id);
    }
    let limits = [
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "5000"),
        ("x-ratelimit-remaining-requests", "4999"),
        ("x-ratelimit-reset-requests", "12ms"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-tokens", "1999000"),
        ("x-ratelimit-reset-tokens", "30ms"),
    ];
    for (name, value) in limits {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
