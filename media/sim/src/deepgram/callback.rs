//! Delivering a file's transcription to the URL that the client named.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use serde_json::Value;

use super::Shared;

/// How long the client's server may take to answer.
const DELIVERY_LIMIT: Duration = Duration::from_secs(10);

/// How a result is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackTiming {
    /// Attempts after the first.
    pub retries: u32,
    /// Time between two attempts.
    pub interval: Duration,
    /// How long the first one is held back.
    pub delay: Duration,
    /// Whether what was accepted is delivered once more, as if the answer had been lost.
    pub twice: bool,
    /// Whether the credentials of the client's URL are replaced by others.
    pub forged: bool,
}

impl Default for CallbackTiming {
    /// As the vendor: 10 times, 30 s apart.
    fn default() -> Self {
        Self { retries: 10, interval: Duration::from_secs(30), delay: Duration::ZERO, twice: false, forged: false }
    }
}

/// Posts `result` to `url` until it is accepted with a 2xx, or the attempts are used up.
pub(super) async fn deliver(shared: Arc<Shared>, url: String, result: Value) {
    let attempts = async {
        let Ok(client) = client() else { return };
        let timing = shared.config.callback;
        let url = if timing.forged { forged(&url) } else { url };
        tokio::time::sleep(timing.delay).await;
        let mut accepted = 0;
        for attempt in 0..=timing.retries {
            if attempt > 0 {
                tokio::time::sleep(timing.interval).await;
            }
            let answer = client.post(&url).timeout(DELIVERY_LIMIT).json(&result).send().await;
            let status = answer.map_or(0, |answer| answer.status().as_u16());
            shared.delivered.lock().unwrap_or_else(PoisonError::into_inner).push(status);
            accepted += u32::from((200..300).contains(&status));
            if accepted > u32::from(timing.twice) {
                return;
            }
        }
        tracing::warn!("a transcription could not be delivered");
    };
    tokio::select! {
        () = shared.shutdown.cancelled() => {}
        () = attempts => {}
    }
}

/// The same URL, with credentials that nobody has given out.
fn forged(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return url.to_owned() };
    let _ = url.set_password(Some("forged"));
    url.into()
}

/// A client that needs no process-wide cryptography: callbacks of a simulator go to plain HTTP on the same machine.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports rustls' default protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build()
}
