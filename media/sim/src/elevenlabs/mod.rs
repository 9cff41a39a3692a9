//! ElevenLabs' text to speech: both WebSockets, the HTTP requests, and the account's lists.
//!
//! With the coded voice, what it says can be read back from any recording of it.

mod account;
mod buffer;
mod config;
mod context;
mod error;
mod format;
mod fragments;
mod log;
mod multi;
mod options;
mod rest;
mod socket;
mod stream;
mod wire;
mod writer;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use config::{AlignmentKeys, AlignmentMode, ContextKey, ElevenLabsConfig, KeyStyle, VoiceEntry};
pub use log::{Happened, LogEntry};

use crate::{
    log::Log,
    server::{SimServer, TlsIdentity},
};
use error::ApiError;
use log::Watch;

/// A running simulator. Dropping it cuts all its connections.
pub struct ElevenLabsSim {
    server: SimServer,
    watch: Watch,
    _stop: DropGuard,
}

impl ElevenLabsSim {
    /// Serves on `addr` (port 0 picks a free one).
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: ElevenLabsConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let stopped = CancellationToken::new();
        let watch = Watch::new(config.events.clone());
        let shared = Arc::new(Shared { config, watch: watch.clone(), stopped: stopped.clone() });
        let account = Router::new()
            .route("/v1/voices", get(account::voices))
            .route("/v1/voices/{voice}", get(account::voice))
            .route("/v2/voices", get(account::voices_paged))
            .route("/v1/models", get(account::models))
            .route("/v1/user", get(account::user))
            .route("/v1/user/subscription", get(account::subscription))
            .route_layer(from_fn_with_state(shared.clone(), account::enter));
        let router = Router::new()
            .route("/v1/text-to-speech/{voice}/stream-input", get(socket::stream_input))
            .route("/v1/text-to-speech/{voice}/multi-stream-input", get(socket::multi_stream_input))
            .route("/v1/text-to-speech/{voice}", post(rest::whole))
            .route("/v1/text-to-speech/{voice}/with-timestamps", post(rest::whole_with_timestamps))
            .route("/v1/text-to-speech/{voice}/stream", post(rest::streamed))
            .route("/v1/text-to-speech/{voice}/stream/with-timestamps", post(rest::streamed_with_timestamps))
            .merge(account)
            .layer(from_fn_with_state(shared.clone(), standard_headers))
            .with_state(shared);
        let server = SimServer::start(addr, router, tls).await?;
        Ok(Self { server, watch, _stop: stopped.drop_guard() })
    }

    /// Its listener.
    pub fn server(&self) -> &SimServer {
        &self.server
    }

    /// What happened so far, oldest first.
    pub fn log(&self) -> &Log<LogEntry> {
        &self.watch.log
    }

    /// How many sockets and speech requests are open now.
    pub fn connections(&self) -> usize {
        self.watch.connections.load(Ordering::SeqCst)
    }

    /// How many contexts are open now, those included that are still speaking after they were closed.
    pub fn contexts(&self) -> usize {
        self.watch.contexts.load(Ordering::SeqCst)
    }

    /// All text that arrived for `context` (empty: without contexts), on any connection.
    pub fn text(&self, context: &str) -> String {
        let of_context = self.log().entries().into_iter().filter(|entry| entry.context == context);
        of_context
            .filter_map(|entry| if let Happened::Text { text, .. } = entry.what { Some(text) } else { None })
            .collect()
    }

    /// How much audio was sent for `context` (empty: without contexts), on any connection.
    pub fn audio(&self, context: &str) -> Duration {
        let of_context = self.log().entries().into_iter().filter(|entry| entry.context == context);
        of_context
            .filter_map(|entry| if let Happened::Audio { length, .. } = entry.what { Some(length) } else { None })
            .sum()
    }
}

struct Shared {
    config: ElevenLabsConfig,
    watch: Watch,
    /// Fires when the simulator is dropped.
    stopped: CancellationToken,
}

impl Shared {
    fn check_header(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.check_key(headers.get("xi-api-key").map(|value| value.to_str().unwrap_or_default()))
    }

    fn check_key(&self, key: Option<&str>) -> Result<(), ApiError> {
        match key {
            Some(key) if key == self.config.api_key => Ok(()),
            Some(_) => Err(ApiError::invalid_key()),
            None => Err(ApiError::missing_key()),
        }
    }

    fn check_voice(&self, id: &str) -> Result<(), ApiError> {
        let voices = &self.config.voices;
        let known = voices.is_empty() || voices.iter().any(|voice| voice.voice_id == id);
        if known { Ok(()) } else { Err(ApiError::voice_not_found(id)) }
    }
}

/// The headers ElevenLabs sends with every response.
async fn standard_headers(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let id = uuid::Uuid::new_v4().simple().to_string();
    for name in ["request-id", "x-trace-id"] {
        if let Ok(value) = HeaderValue::try_from(&id) {
            headers.insert(name, value);
        }
    }
    let concurrent = u64::try_from(shared.watch.connections.load(Ordering::SeqCst)).unwrap_or(u64::MAX);
    headers.insert("current-concurrent-requests", HeaderValue::from(concurrent));
    headers.insert("maximum-concurrent-requests", HeaderValue::from(20));
    headers.insert("x-region", HeaderValue::from_static("simulated"));
    response
}
