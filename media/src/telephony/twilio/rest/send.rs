//! Sending: limited in time and in what is read, and done again only where that does no harm.

use std::time::Duration;

use reqwest::{
    RequestBuilder, Response,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use tokio::time::timeout;

use super::{RestError, TwilioRest};

/// How much of an answer is read: a page of calls has some 50 kB.
const MAX_ANSWER: usize = 256 * 1024;

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Doing it twice is doing it once.
    Always,
    /// Only if it was certainly not done.
    IfCertain,
}

impl TwilioRest {
    /// Asks until there is an answer that will not change, or until a limit is reached.
    pub(super) async fn persist(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>, RestError> {
        self.repeat(Repeat::Always, self.limits.attempt, request).await
    }

    /// Asks for what must not be done twice, until there is an answer, a limit is reached, or nobody knows what became of it.
    pub(super) async fn once(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>, RestError> {
        self.repeat(Repeat::IfCertain, self.limits.create, request).await
    }

    async fn repeat(
        &self,
        repeat: Repeat,
        limit: Duration,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Vec<u8>, RestError> {
        let mut last = RestError::Timeout;
        // Whether the last attempt is on its way.
        let mut sent = false;
        let attempts = async {
            let mut pause = self.limits.backoff;
            for attempt in 1..=self.limits.attempts.max(1) {
                sent = true;
                let refused = match self.attempt(limit, request()).await {
                    Ok(body) => return Ok(body),
                    Err(refused) => refused,
                };
                sent = false;
                last = refused.error;
                let again = last.is_transient() && (repeat == Repeat::Always || !last.may_have_happened());
                if !again || attempt == self.limits.attempts.max(1) {
                    break;
                }
                tokio::time::sleep(refused.retry_after.unwrap_or(pause).min(self.limits.max_pause)).await;
                pause = pause.saturating_mul(2);
            }
            Err(last)
        };
        // What Twilio said last tells more than that we then ran out of time.
        match timeout(self.limits.total, attempts).await {
            Ok(result) => result,
            Err(_) if sent && repeat == Repeat::IfCertain => Err(RestError::Timeout),
            Err(_) => Err(last),
        }
    }

    async fn attempt(&self, limit: Duration, request: RequestBuilder) -> Result<Vec<u8>, Refused> {
        let request = request.basic_auth(&self.auth.user, Some(self.auth.password.expose()));
        let answer = async {
            let mut response = request.send().await.map_err(|error| Refused::from(transport(&error)))?;
            let (status, retry_after) = (response.status(), retry_after(response.headers()));
            let body = read(&mut response).await;
            if status.is_success() {
                return body.map_err(Refused::from);
            }
            let code = body.ok().and_then(|body| serde_json::from_slice::<Problem>(&body).ok()?.code);
            Err(Refused { error: RestError::Refused { status: status.as_u16(), code }, retry_after })
        };
        timeout(limit, answer).await.unwrap_or(Err(Refused::from(RestError::Timeout)))
    }
}

struct Refused {
    error: RestError,
    retry_after: Option<Duration>,
}

impl From<RestError> for Refused {
    fn from(error: RestError) -> Self {
        Self { error, retry_after: None }
    }
}

#[derive(Deserialize)]
struct Problem {
    code: Option<u32>,
}

/// The kind of a failure alone: the library's own words hold the URL.
fn transport(error: &reqwest::Error) -> RestError {
    // First: what was not connected in time was not sent either.
    if error.is_connect() {
        RestError::Connect
    } else if error.is_timeout() {
        RestError::Timeout
    } else {
        RestError::Lost
    }
}

/// `Retry-After` in seconds. A date is rare and not worth a clock: the back-off is used.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

async fn read(response: &mut Response) -> Result<Vec<u8>, RestError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(RestError::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
