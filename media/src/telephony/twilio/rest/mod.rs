//! Twilio's REST API (2010-04-01), as far as calls need it: place one, ask how it is, list those to a number, change and end it.

mod error;
mod place;
mod send;

use std::time::Duration;

use serde::Deserialize;
use trunkline_base::Secret;

use self::error::NOT_FOUND;
pub use self::{
    error::{Refusal, RestError},
    place::{Detection, NewCall, PlacedCall},
};

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
    /// One attempt at placing a call, which must not be done twice: longer, for giving up leaves a question. Default 10 s.
    pub create: Duration,
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
            create: Duration::from_secs(10),
            total: Duration::from_secs(15),
            attempts: 4,
            backoff: Duration::from_millis(250),
            max_pause: Duration::from_secs(5),
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

    /// Gives a call that is on another document, TwiML of at most 4000 characters: its stream, if it has one, is stopped. `false`: it
    /// is over, or Twilio doesn't know it.
    pub async fn redirect(&self, call_sid: &str, twiml: &str) -> Result<bool, RestError> {
        let url = self.call_url(call_sid)?;
        // The same document twice begins anew: what may have happened is not asked for again.
        match self.once(|| self.http.post(&url).form(&[("Twiml", twiml)])).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_over() => Ok(false),
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
        if !is_sid(call_sid) {
            return Err(RestError::BadSid);
        }
        Ok(format!("{}/{call_sid}.json", self.calls_url()?))
    }

    fn calls_url(&self) -> Result<String, RestError> {
        if !is_sid(&self.account_sid) {
            return Err(RestError::BadSid);
        }
        Ok(format!("{}/2010-04-01/Accounts/{}/Calls", self.base_url, self.account_sid))
    }
}

fn is_sid(sid: &str) -> bool {
    (1..=64).contains(&sid.len()) && sid.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[derive(Deserialize)]
struct Call {
    status: CallStatus,
}
