//! Requests from the vendor to a server: JSON or a query, signed anew for each attempt, and tried twice where it may help.

use std::{
    io,
    time::{Duration, Instant},
};

use reqwest::header;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::time::timeout;
use url::Url;

use super::signature::{Signer, query_text};
use crate::net::{Network, Reach};

/// Largest answer that is read.
const BODY_LIMIT: usize = 64 << 10;
/// Attempts in all.
const ATTEMPTS: u32 = 2;

/// What a webhook is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookKind {
    /// What is to happen to a call.
    Answer,
    /// The same, asked of the other address because the first gave nothing.
    Fallback,
    /// The document that a transfer names.
    Transfer,
    /// What has become of a leg.
    Event,
}

/// One webhook and its answer.
#[derive(Debug, Clone)]
pub struct WebhookRecord {
    /// What it was for.
    pub kind: WebhookKind,
    /// The address as configured.
    pub url: String,
    /// Whether it was POSTed; else its fields were a query.
    pub post: bool,
    /// The fields sent.
    pub fields: Map<String, Value>,
    /// When it was sent first.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// Attempts made.
    pub attempts: u32,
    /// The last answer.
    pub answer: Result<WebhookAnswer, WebhookError>,
}

impl WebhookRecord {
    /// A field, if it is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookAnswer {
    /// HTTP status.
    pub status: u16,
    /// Media type without its parameters, in lower case.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// The address is no http or https URL.
    #[error("no address of a webhook")]
    Address,
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// No whole answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The answer is larger than 64 KiB.
    #[error("the answer is too large")]
    TooLarge,
}

/// What sends webhooks, and opens sockets.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) reach: Reach,
    http: reqwest::Client,
}

impl Sender {
    pub(crate) fn new(network: &Network) -> io::Result<Self> {
        // First, for it sees to the process's cryptography.
        let reach = Reach::new(network)?;
        Ok(Self { reach, http: network.http("Nexmo/MessagingHUB/v1.0")? })
    }
}

/// A webhook ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) kind: WebhookKind,
    pub(crate) post: bool,
    pub(crate) url: String,
    pub(crate) fields: Map<String, Value>,
    /// The name of its token, of one that is sent more than once.
    pub(crate) jti: Option<String>,
}

impl Webhook {
    pub(crate) fn new(kind: WebhookKind, (url, post): (&str, bool), fields: Map<String, Value>) -> Self {
        Self { kind, post, url: url.to_owned(), fields, jti: None }
    }

    /// Sends it, signed if somebody signs; gives up each attempt after `limit`.
    pub(crate) async fn send(self, sender: &Sender, signer: Option<&Signer>, limit: Duration) -> WebhookRecord {
        let at = Instant::now();
        let mut attempts = 0;
        let answer = loop {
            attempts += 1;
            let answer = timeout(limit, self.attempt(sender, signer)).await.unwrap_or(Err(WebhookError::Timeout));
            let again = match &answer {
                Ok(answer) => matches!(answer.status, 429 | 503 | 504),
                Err(WebhookError::Connect(_) | WebhookError::Timeout | WebhookError::Broken(_)) => true,
                Err(WebhookError::Address | WebhookError::TooLarge) => false,
            };
            if !again || attempts == ATTEMPTS {
                break answer;
            }
        };
        let (kind, url, post, fields) = (self.kind, self.url, self.post, self.fields);
        WebhookRecord { kind, url, post, fields, at, took: at.elapsed(), attempts, answer }
    }

    async fn attempt(&self, sender: &Sender, signer: Option<&Signer>) -> Result<WebhookAnswer, WebhookError> {
        let mut address = Url::parse(&self.url).map_err(|_| WebhookError::Address)?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(WebhookError::Address);
        }
        let body = Value::Object(self.fields.clone()).to_string();
        let hashed = if self.post {
            body.clone()
        } else {
            let mut pairs = address.query_pairs_mut();
            for (name, value) in &self.fields {
                let text = match value {
                    Value::Null => continue,
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                pairs.append_pair(name, &text);
            }
            drop(pairs);
            // All of the URL's parameters, those that the server put there itself among them.
            query_text(&address.query_pairs().into_owned().collect::<Vec<_>>())
        };
        let (target, authority) = sender.reach.route(&address);
        let request = if self.post {
            sender.http.post(target).header(header::CONTENT_TYPE, "application/json").body(body)
        } else {
            sender.http.get(target)
        };
        let mut request = request.header(header::HOST, authority).header(header::ACCEPT, "*/*");
        if let Some(signer) = signer {
            request = request.header(header::AUTHORIZATION, signer.authorization(Some(&hashed), self.jti.as_deref()));
        }
        let mut response = request.send().await.map_err(|error| {
            if error.is_connect() { WebhookError::Connect(chain(&error)) } else { WebhookError::Broken(chain(&error)) }
        })?;
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        let content_type = content_type.trim().to_ascii_lowercase();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| WebhookError::Broken(chain(&error)))? {
            if body.len() + part.len() > BODY_LIMIT {
                return Err(WebhookError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(WebhookAnswer { status: response.status().as_u16(), content_type, body })
    }
}

/// An error with its causes, without the address.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
