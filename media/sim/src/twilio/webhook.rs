//! Requests from the vendor to a server: signed, with a limit of time and one retry when no connection was made.

use std::{
    io,
    time::{Duration, Instant},
};

use reqwest::header;
use thiserror::Error;
use tokio::time::{Instant as Deadline, timeout_at};
use url::{Url, form_urlencoded};

use super::{
    net::{Network, Reach},
    signature::{self, Form},
    twiml::Method,
};

/// Largest answer that is read.
const BODY_LIMIT: usize = 64 << 10;
/// Connections tried for one webhook.
const ATTEMPTS: u32 = 2;

/// What a webhook is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookKind {
    /// The first document of a call.
    Voice,
    /// The document that a `<Redirect>` names.
    Redirect,
    /// The document that a REST update names.
    Update,
    /// The document to run once a `<Dial>` or a `<Gather>` is over.
    Action,
    /// The document to run when another could not be had.
    Fallback,
    /// A status callback of the call.
    Status,
    /// A status callback of a stream.
    Stream,
    /// Who, or what, has answered.
    Amd,
    /// A recording is there.
    Recording,
}

/// One webhook and its answer.
#[derive(Debug, Clone)]
pub struct WebhookRecord {
    /// What it was for.
    pub kind: WebhookKind,
    /// The address as configured: what was signed, but for its port.
    pub url: String,
    /// The fields sent.
    pub fields: Form,
    /// When it was sent.
    pub at: Instant,
    /// How long the answer took.
    pub took: Duration,
    /// Connections tried.
    pub attempts: u32,
    /// The answer.
    pub answer: Result<WebhookAnswer, WebhookError>,
}

impl WebhookRecord {
    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
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
    /// The address is no http or https URL: 11100.
    #[error("no address of a webhook")]
    Address,
    /// No connection, twice: 11205.
    #[error("no connection: {0}")]
    Connect(String),
    /// No whole answer in time: 11205.
    #[error("no answer in time")]
    Timeout,
    /// The answer broke off: 11200.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The answer is larger than 64 KiB: 11750.
    #[error("the answer is too large")]
    TooLarge,
}

impl WebhookError {
    /// The vendor's number for it.
    pub fn code(&self) -> u32 {
        match self {
            Self::Address => 11100,
            Self::Connect(_) | Self::Timeout => 11205,
            Self::Broken(_) => 11200,
            Self::TooLarge => 11750,
        }
    }
}

/// What sends webhooks.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) reach: Reach,
    http: reqwest::Client,
}

impl Sender {
    pub(crate) fn new(network: &Network) -> io::Result<Self> {
        // First, for it sees to the process's cryptography.
        let reach = Reach::new(network)?;
        Ok(Self { reach, http: network.http("TwilioProxy/1.1")? })
    }
}

/// A webhook ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) kind: WebhookKind,
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) fields: Form,
}

impl Webhook {
    /// Sends it, signed with `auth_token`; gives up after `limit`.
    pub(crate) async fn send(self, sender: &Sender, auth_token: &str, limit: Duration) -> WebhookRecord {
        let at = Instant::now();
        let deadline = Deadline::now() + limit;
        let mut attempts = 0;
        let answer = loop {
            attempts += 1;
            let answer = timeout_at(deadline, self.attempt(sender, auth_token)).await;
            match answer.unwrap_or(Err(WebhookError::Timeout)) {
                Err(WebhookError::Connect(_)) if attempts < ATTEMPTS => {}
                answer => break answer,
            }
        };
        WebhookRecord { kind: self.kind, url: self.url, fields: self.fields, at, took: at.elapsed(), attempts, answer }
    }

    async fn attempt(&self, sender: &Sender, auth_token: &str) -> Result<WebhookAnswer, WebhookError> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish();
        let (address, signature) = match self.method {
            Method::Post => {
                let address = signature::signed_address(&self.url);
                (self.url.clone(), signature::sign_form(auth_token, &address, &self.fields))
            }
            Method::Get => {
                let separator = if self.url.contains('?') { '&' } else { '?' };
                let address = format!("{}{separator}{form}", self.url);
                let signature = signature::sign_url(auth_token, &signature::signed_address(&address));
                (address, signature)
            }
        };
        let address = Url::parse(&address).map_err(|_| WebhookError::Address)?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(WebhookError::Address);
        }
        let (target, authority) = sender.reach.route(&address);
        let request = match self.method {
            Method::Post => sender
                .http
                .post(target)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
                .body(form),
            Method::Get => sender.http.get(target),
        };
        let request =
            request.header(header::HOST, authority).header(header::ACCEPT, "*/*").header(signature::HEADER, signature);
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
