//! OpenAI's chat completions, and whatever speaks the same: streamed, through the agent's list of models in order.
//!
//! `async-openai` carries the requests, with three things taken out of its hands: its retries (a caller waits, so we decide), its error
//! texts (they may quote a key or a caller) and its strict types (compatible servers omit and misspell). It logs an undecodable event
//! whole under the target `async_openai`: whoever sets up logging turns that target off.

pub mod account;
mod assembly;
pub mod complete;
mod driver;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod wire;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_openai::config::OpenAIConfig;
use reqwest::header::HeaderValue;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::Secret;
use url::Url;

pub use self::error::{Code, Limit, LlmError};
use crate::{
    llm::{EVENT_BACKLOG, Llm, LlmLimits, LlmRequest, LlmStream},
    net::{BaseUrl, Http, Net},
};

/// Which models, and how long they may take.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// The agent's model and its fallbacks, in order. At least one.
    pub models: Vec<OpenAiModel>,
    /// How long each wait may take.
    pub limits: LlmLimits,
    /// Begins the id of every request (`X-Client-Request-Id: <tag>-<generation>`), for the vendor's records: the call's id.
    pub tag: String,
}

/// One model and where it is served.
#[derive(Debug, Clone)]
pub struct OpenAiModel {
    /// `http(s)://host[:port]/v1` of the vendor, a compatible server, a proxy or a simulator: what `/chat/completions` follows.
    pub base_url: BaseUrl,
    /// The key; compatible servers may do without.
    pub api_key: Secret,
    /// The vendor's name for the model.
    pub model: String,
    /// From the first request to this model to its first token, a retry included; `None` for [`LlmLimits::first_token`].
    pub first_token: Option<Duration>,
    /// 0–2. Reasoning models refuse it.
    pub temperature: Option<f32>,
    /// The longest answer.
    pub max_output_tokens: Option<u32>,
    /// Reasoning models' effort, such as `none` or `low`.
    pub reasoning_effort: Option<String>,
    /// Whether to ask for the tokens used. Strict compatible servers refuse to be asked.
    pub stream_options: bool,
}

impl OpenAiModel {
    /// A model with nothing set.
    pub fn new(base_url: BaseUrl, api_key: Secret, model: impl Into<String>) -> Self {
        Self {
            base_url,
            api_key,
            model: model.into(),
            first_token: None,
            temperature: None,
            max_output_tokens: None,
            reasoning_effort: None,
            stream_options: true,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenAiConfigError {
    /// There is no model in the list.
    #[error("no model")]
    NoModel,
    /// A base URL is no `http(s)://host[:port]/path`: nothing else may be in it.
    #[error("model {0} of the list: unusable base URL")]
    BaseUrl(usize),
    /// A key has characters that no header can carry.
    #[error("model {0} of the list: unusable key")]
    Key(usize),
    /// The tag has characters that no header can carry.
    #[error("unusable tag")]
    Tag,
    /// The HTTP client could not be made.
    #[error("no HTTP client")]
    Http,
}

/// The model of one agent.
pub struct OpenAi {
    shared: Arc<Shared>,
    warming: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What generations share.
struct Shared {
    http: Http,
    models: Vec<Endpoint>,
    limits: LlmLimits,
    tag: String,
}

/// A model with what its requests need, checked.
struct Endpoint {
    model: OpenAiModel,
    config: OpenAIConfig,
}

impl OpenAi {
    /// With connections of its own.
    pub fn new(config: OpenAiConfig, net: &Net) -> Result<Self, OpenAiConfigError> {
        let http = Http::new(net, config.limits.connect).map_err(|_| OpenAiConfigError::Http)?;
        Self::with_client(config, http)
    }

    /// With connections that are shared between agents or calls; the clients have the connect limit.
    pub fn with_client(config: OpenAiConfig, http: Http) -> Result<Self, OpenAiConfigError> {
        let models: Vec<Endpoint> = config
            .models
            .into_iter()
            .enumerate()
            .map(|(n, model)| Endpoint::new(n, model))
            .collect::<Result<_, _>>()?;
        if models.is_empty() {
            return Err(OpenAiConfigError::NoModel);
        }
        if HeaderValue::from_str(&config.tag).is_err() {
            return Err(OpenAiConfigError::Tag);
        }
        let shared = Arc::new(Shared { http, models, limits: config.limits, tag: config.tag });
        Ok(Self { shared, warming: Mutex::new(None) })
    }
}

impl Endpoint {
    fn new(n: usize, mut model: OpenAiModel) -> Result<Self, OpenAiConfigError> {
        let url = Url::parse(&model.base_url).map_err(|_| OpenAiConfigError::BaseUrl(n))?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(OpenAiConfigError::BaseUrl(n));
        }
        // The library makes its header from the key and panics if it can't.
        HeaderValue::from_str(model.api_key.expose()).map_err(|_| OpenAiConfigError::Key(n))?;
        model.base_url = model.base_url.trimmed();
        // All four are set, for the library would take the others from the environment.
        let config = OpenAIConfig::new()
            .with_api_base(model.base_url.as_str())
            .with_api_key(model.api_key.expose())
            .with_org_id("")
            .with_project_id("");
        Ok(Self { model, config })
    }
}

impl Llm for OpenAi {
    fn start(&self, request: LlmRequest) -> LlmStream {
        let (sender, events) = mpsc::channel(EVENT_BACKLOG);
        let generation = request.generation;
        let task = tokio::spawn(driver::generate(self.shared.clone(), request, sender));
        LlmStream { generation, events, task: Some(AbortOnDropHandle::new(task)) }
    }

    fn warm(&self) {
        let task = AbortOnDropHandle::new(tokio::spawn(driver::warm(self.shared.clone())));
        *self.warming.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("models", &self.shared.models.iter().map(|endpoint| &endpoint.model).collect::<Vec<_>>())
            .field("limits", &self.shared.limits)
            .field("tag", &self.shared.tag)
            .finish_non_exhaustive()
    }
}
