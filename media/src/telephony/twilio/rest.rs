//! Twilio's REST API (2010-04-01), as far as a running call needs it: hang up, and ask how a call is.

use std::{fmt, time::Duration};

use reqwest::{
    RequestBuilder, Response,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use tokio::time::timeout;
use trunkline_base::Secret;

/// How much of an answer is read.
const MAX_ANSWER: usize = 64 * 1024;

/// The call is not in a state in which it could be changed: it is over.
const NOT_IN_PROGRESS: u32 = 21_220;
/// There is no such call (any more).
const NOT_FOUND: u32 = 20_404;

/// Who asks.
#[derive(Debug, Clone)]
pub struct TwilioAuth {
    /// The account's SID (`AC…`) or an API key's (`SK…`).
    pub user: String,
    /// The account's token or the API key's secret.
    pub password: Secret,
}

/// Named limits of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestLimits {
    /// One attempt, connecting included. Default 5 s.
    pub attempt: Duration,
    /// All attempts and the pauses between them. Default 15 s.
    pub total: Duration,
    /// Attempts at what may be done twice. Default 4.
    pub attempts: u32,
    /// The pause before the second attempt, doubled for each further one. Default 250 ms.
    pub backoff: Duration,
    /// The longest pause that Twilio may ask for. Default 5 s.
    pub max_pause: Duration,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(5),
            total: Duration::from_secs(15),
            attempts: 4,
            backoff: Duration::from_millis(250),
            max_pause: Duration::from_secs(5),
        }
    }
}

/// Why a request came to nothing. It holds no URL, no secret and none of the vendor's prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The call's SID cannot be one.
    #[error("not a call's SID")]
    BadSid,
    /// Nobody answered.
    #[error("no connection")]
    Connect,
    /// The connection was lost.
    #[error("connection lost")]
    Lost,
    /// It took longer than the limit.
    #[error("timed out")]
    Timeout,
    /// Twilio refused.
    #[error("HTTP status {status}, Twilio's code {}", Code(*code))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's own code, if the answer had one.
        code: Option<u32>,
    },
    /// The answer could not be read.
    #[error("unreadable answer")]
    Unreadable,
}

impl RestError {
    /// Whether the same request may succeed later.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Connect | Self::Lost | Self::Timeout => true,
            Self::Refused { status, .. } => status == 429 || status >= 500,
            Self::BadSid | Self::Unreadable => false,
        }
    }

    const fn is_over(self) -> bool {
        matches!(self, Self::Refused { code: Some(NOT_IN_PROGRESS | NOT_FOUND), .. })
    }
}

struct Code(Option<u32>);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => code.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// How a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    /// Waiting for its turn.
    Queued,
    /// Ringing.
    Ringing,
    /// Answered.
    InProgress,
    /// Ended after it was answered.
    Completed,
    /// Not answered: busy.
    Busy,
    /// Not connected.
    Failed,
    /// Not answered.
    NoAnswer,
    /// Ended before it was answered.
    Canceled,
    /// A word that Twilio did not have when this was written.
    #[serde(other)]
    Unknown,
}

impl CallStatus {
    /// Whether it ended, one way or another.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled)
    }
}

/// One account's REST client. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct TwilioRest {
    http: reqwest::Client,
    base_url: String,
    account_sid: String,
    auth: TwilioAuth,
    limits: RestLimits,
}

impl TwilioRest {
    /// Through `http`, which has a connect limit of its own; `base_url` is an origin, such as `https://api.twilio.com`.
    pub fn new(http: reqwest::Client, base_url: &str, account_sid: impl Into<String>, auth: TwilioAuth) -> Self {
        Self {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            account_sid: account_sid.into(),
            auth,
            limits: RestLimits::default(),
        }
    }

    /// With other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: RestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Ends a call. One that is over already, or that Twilio doesn't know, is a success: it may be asked for twice.
    pub async fn hang_up(&self, call_sid: &str) -> Result<(), RestError> {
        let url = self.call_url(call_sid)?;
        let request = || self.http.post(&url).form(&[("Status", "completed")]);
        match self.persist(request).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_over() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How a call is; `None` if Twilio doesn't know it.
    pub async fn call_status(&self, call_sid: &str) -> Result<Option<CallStatus>, RestError> {
        let url = self.call_url(call_sid)?;
        let body = match self.persist(|| self.http.get(&url)).await {
            Ok(body) => body,
            Err(RestError::Refused { code: Some(NOT_FOUND), .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let call: Call = serde_json::from_slice(&body).map_err(|_| RestError::Unreadable)?;
        Ok(Some(call.status))
    }

    fn call_url(&self, call_sid: &str) -> Result<String, RestError> {
        let is_sid = |sid: &str| (1..=64).contains(&sid.len()) && sid.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_sid(call_sid) || !is_sid(&self.account_sid) {
            return Err(RestError::BadSid);
        }
        Ok(format!("{}/2010-04-01/Accounts/{}/Calls/{call_sid}.json", self.base_url, self.account_sid))
    }

    /// Asks until there is an answer that will not change, or until a limit is reached.
    async fn persist(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>, RestError> {
        let mut last = RestError::Timeout;
        let attempts = async {
            let mut pause = self.limits.backoff;
            for attempt in 1..=self.limits.attempts.max(1) {
                let refused = match self.attempt(request()).await {
                    Ok(body) => return Ok(body),
                    Err(refused) => refused,
                };
                last = refused.error;
                if !last.is_transient() || attempt == self.limits.attempts.max(1) {
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
            Err(_) => Err(last),
        }
    }

    async fn attempt(&self, request: RequestBuilder) -> Result<Vec<u8>, Refused> {
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
        timeout(self.limits.attempt, answer).await.unwrap_or(Err(Refused::from(RestError::Timeout)))
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
struct Call {
    status: CallStatus,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<u32>,
}

/// The kind of a failure alone: the library's own words hold the URL.
fn transport(error: &reqwest::Error) -> RestError {
    if error.is_timeout() {
        RestError::Timeout
    } else if error.is_connect() {
        RestError::Connect
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
