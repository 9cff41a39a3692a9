//! A system that is told of things by webhooks, signed as Standard Webhooks 1.0 has it
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>): it records what comes, says whether it
//! would believe it, and answers as a script has it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::time::sleep;

use crate::{
    dates::unix_now,
    fault::{Fault, Script},
    http_fault,
    log::Log,
    server::{SimServer, TlsIdentity},
};

/// How many requests are remembered.
const KEPT: usize = 20_000;
/// How far a request's time may be from ours, in seconds.
const TOLERANCE: u64 = 5 * 60;

/// How the receiver behaves. Cloning shares the script.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// What it answers what it takes with.
    pub status: u16,
    /// The body of that answer.
    pub body: String,
    /// How long it thinks before.
    pub delay: Duration,
    /// The fate of each request; without one it is taken.
    pub script: Script,
}

impl Default for WebhookConfig {
    /// Takes everything at once: 204.
    fn default() -> Self {
        Self { status: 204, body: String::new(), delay: Duration::ZERO, script: Script::default() }
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When all of it was there.
    pub at: Instant,
    /// The path, with its query.
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The body as it came.
    pub body: Vec<u8>,
    /// The body; null if it is no JSON.
    pub json: Value,
    /// Whether it is what the sender signed: by one of the secrets, and of now.
    pub verified: bool,
    /// The status it was answered with, if with any.
    pub answered: Option<u16>,
}

impl Received {
    /// `type` of the body.
    pub fn event(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }

    /// The conversation that the body tells of.
    pub fn conversation(&self) -> &str {
        self.json["data"]["conversation_id"].as_str().unwrap_or_default()
    }
}

/// A running receiver. Dropping it closes its listener.
pub struct WebhookSim {
    server: SimServer,
    shared: Arc<Shared>,
}

struct Shared {
    config: Mutex<WebhookConfig>,
    secrets: Mutex<Vec<String>>,
    received: Log<Received>,
}

impl WebhookSim {
    /// Serves on `addr` (port 0 picks a free one), whatever the path.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: WebhookConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let shared = Arc::new(Shared { config: config.into(), secrets: Mutex::default(), received: Log::new(KEPT) });
        let router = Router::new().fallback(receive).with_state(shared.clone());
        Ok(Self { server: SimServer::start(addr, router, tls).await?, shared })
    }

    /// Its listener.
    pub fn server(&self) -> &SimServer {
        &self.server
    }

    /// An address to post to.
    pub fn url(&self) -> String {
        self.server.http_url() + "/hook"
    }

    /// Believes what is signed with this secret, `whsec_…`, from now on.
    pub fn trust(&self, secret: &str) {
        lock(&self.shared.secrets).push(secret.to_owned());
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, config: WebhookConfig) {
        *lock(&self.shared.config) = config;
    }

    /// What came so far, oldest first.
    pub fn received(&self) -> &Log<Received> {
        &self.shared.received
    }
}

/// Whether a signature header has the signature of one of these secrets, for a request of now.
pub fn verify(secrets: &[String], id: &str, timestamp: &str, signatures: &str, body: &[u8], now: u64) -> bool {
    let Ok(time) = timestamp.parse::<u64>() else { return false };
    if id.is_empty() || time.abs_diff(now) > TOLERANCE {
        return false;
    }
    let mut versions = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
    versions.any(|signature| {
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
        secrets.iter().any(|secret| {
            let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret));
            let Ok(mut hmac) = key.map_err(|_| ()).and_then(|key| Hmac::<Sha256>::new_from_slice(&key).map_err(|_| ()))
            else {
                return false;
            };
            hmac.update(format!("{id}.{timestamp}.").as_bytes());
            hmac.update(body);
            hmac.verify_slice(&signature).is_ok()
        })
    })
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let config = lock(&shared.config).clone();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (id, timestamp, signature) = (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"));
    let secrets = lock(&shared.secrets).clone();
    let is_json = text("content-type").starts_with("application/json");
    let verified =
        method == Method::POST && is_json && verify(&secrets, &id, &timestamp, &signature, &body, unix_now());
    let entry = shared.received.push(Received {
        at: Instant::now(),
        path: uri.to_string(),
        id,
        timestamp,
        signature,
        json: serde_json::from_slice(&body).unwrap_or_default(),
        body: body.to_vec(),
        verified,
        answered: None,
    });
    sleep(config.delay).await;
    let response = match config.script.next() {
        Some(Fault::Refuse { status, retry_after }) => {
            let mut response =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Some(fault) => http_fault::answer(fault).await,
        None => {
            let status = StatusCode::from_u16(config.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, config.body).into_response()
        }
    };
    let status = response.status().as_u16();
    shared.received.update(entry, |received| received.answered = Some(status));
    response
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's own libraries.
    #[test]
    fn the_specification_s_example_is_believed_in_its_time_and_no_other_is() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()];
        let (id, time, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let now = 1_614_265_330;
        assert!(verify(&secrets, id, time, signature, body, now + TOLERANCE));
        assert!(verify(&secrets, id, time, &format!("v2,x v1,AAAA {signature}"), body, now));
        assert!(!verify(&secrets, id, time, signature, body, now + TOLERANCE + 1));
        assert!(!verify(&secrets, id, time, signature, br#"{"test": 2432232315}"#, now));
        assert!(!verify(&secrets, "msg_other", time, signature, body, now));
        assert!(!verify(&[], id, time, signature, body, now));
        assert!(!verify(&secrets, id, "then", signature, body, now));
    }
}
