//! Sending: signed anew for each attempt, limited in time and in what is read, and done again only where that does no harm.

use std::time::Duration;

use reqwest::{
    Method, Response,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use tokio::time::timeout;
use trunkline_base::{
    CallId, Secret,
    guard::{GuardError, GuardedError},
};
use url::Url;

use super::{
    VonageRest,
    error::{RestError, refused},
};
use crate::{
    account::{AccountError, resource},
    telephony::vonage::token::token,
};

/// How much of an answer is read: a page of a hundred calls has some 60 kB.
const MAX_ANSWER: usize = 512 * 1024;

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is doing it once.
    Always,
    /// Only if it was certainly not done.
    IfCertain,
    /// Not at all: the caller decides.
    Never,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// What follows `/v1/calls` in the path: ids and words that were checked.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) repeat: Repeat,
}

impl VonageRest {
    /// Asks until there is an answer that will not change, or until a limit is reached.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Vec<u8>, RestError> {
        let url = self.url(ask)?;
        let mut last = None;
        let attempts = async {
            let most = if ask.repeat == Repeat::Never { 1 } else { self.limits.attempts.max(1) };
            let mut pause = self.limits.backoff;
            let mut attempt = 1;
            loop {
                let error = match self.attempt(&url, ask).await {
                    Ok(body) => return Ok(body),
                    Err(error) => error,
                };
                let again = error.is_transient() && (ask.repeat == Repeat::Always || !error.may_have_happened());
                if !again || attempt == most {
                    return Err(error);
                }
                let asked_for = match &error {
                    RestError::Refused { retry_after, .. } => *retry_after,
                    _ => None,
                };
                last = Some(error);
                tokio::time::sleep(asked_for.unwrap_or(pause).min(self.limits.max_pause)).await;
                pause = pause.saturating_mul(2);
                attempt += 1;
            }
        };
        // What Vonage said last tells more than that we then ran out of time; but a request that is on its way may arrive.
        match timeout(self.limits.total, attempts).await {
            Ok(result) => result,
            Err(_) if ask.repeat == Repeat::Always => Err(last.unwrap_or(RestError::Timeout)),
            Err(_) => Err(RestError::Timeout),
        }
    }

    async fn attempt(&self, url: &Url, ask: &Ask) -> Result<Vec<u8>, RestError> {
        let token = self.token().await?;
        let mut request = self.http.direct().request(ask.method.clone(), url.clone()).bearer_auth(token.expose());
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        let request = request.build().map_err(|_| RestError::BaseUrl)?;
        let answer = async {
            let mut response =
                self.http.execute(self.base.trust(), request).await.map_err(|error| transport(&error))?;
            let (status, retry_after) = (response.status(), retry_after(response.headers()));
            let body = read(&mut response).await;
            if status.is_success() {
                body
            } else {
                Err(refused(status.as_u16(), &body.unwrap_or_default(), retry_after))
            }
        };
        timeout(self.limits.attempt, answer).await.unwrap_or(Err(RestError::Timeout))
    }

    /// A token for one request.
    pub(super) async fn token(&self) -> Result<Secret, RestError> {
        // An id of a call's kind: all that is asked of it is that there is no second.
        let jti = CallId::generate().to_string();
        token(&self.auth, self.clock.wall(), &jti).await.map_err(|error| match error {
            AccountError::PrivateKey => RestError::PrivateKey,
            _ => RestError::BaseUrl,
        })
    }

    /// The address of a resource.
    pub(super) fn resource(&self, path: &[&str]) -> Result<Url, RestError> {
        resource(&self.http, &self.base, path).map_err(|error| match error {
            AccountError::Address(error) => RestError::Address(error),
            _ => RestError::BaseUrl,
        })
    }

    fn url(&self, ask: &Ask) -> Result<Url, RestError> {
        let path: Vec<&str> = ["v1", "calls"].into_iter().chain(ask.path.iter().map(String::as_str)).collect();
        let mut url = self.resource(&path)?;
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        Ok(url)
    }
}

/// The kind of a failure alone: the library's own words hold the URL.
pub(super) fn transport(error: &GuardedError) -> RestError {
    match error {
        GuardedError::Refused(GuardError::Unresolved | GuardError::ResolveTimeout) => RestError::Connect,
        GuardedError::Refused(error) => RestError::Address(*error),
        GuardedError::Http(error) if error.is_connect() => RestError::Connect,
        GuardedError::Http(error) if error.is_timeout() => RestError::Timeout,
        GuardedError::Http(_) => RestError::Lost,
    }
}

/// `Retry-After` in seconds. A date is rare and not worth a clock: the back-off is used.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

pub(super) async fn read(response: &mut Response) -> Result<Vec<u8>, RestError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| RestError::Lost)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(RestError::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
