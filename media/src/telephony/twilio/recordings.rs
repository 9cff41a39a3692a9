//! Recordings that Twilio keeps: heard and deleted by the account that they were made on (REST API 2010-04-01, "Recordings").
//!
//! The address is made of the account and the recording's SID. The one that a callback names is not followed: a request with the account's
//! token goes to the account's own host and nowhere else.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header::RANGE};
use tokio::time::timeout;

use super::rest::TwilioAuth;

/// How long Twilio may take until its answer begins.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a recording can't be had. It holds no URL, no secret and none of the vendor's prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It is gone, or never was.
    #[error("no such recording")]
    NotFound,
    /// The SID cannot be one.
    #[error("not a recording's SID")]
    BadSid,
    /// Nobody answered in time, or the connection was lost.
    #[error("no answer")]
    NoAnswer,
    /// The carrier refused.
    #[error("HTTP status {0}")]
    Refused(u16),
}

/// One account's recordings. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct TwilioRecordings {
    http: Client,
    base_url: String,
    account_sid: String,
    auth: TwilioAuth,
}

impl TwilioRecordings {
    /// Through `http`, which has a connect limit of its own; `base_url` is an origin.
    pub fn new(http: Client, base_url: &str, account_sid: impl Into<String>, auth: TwilioAuth) -> Self {
        Self { http, base_url: base_url.trim_end_matches('/').to_owned(), account_sid: account_sid.into(), auth }
    }

    /// A WAV file, or the range of it that is asked for, if Twilio gives ranges: the answer's status says.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub async fn open(&self, sid: &str, range: Option<&str>) -> Result<Response, RecordingError> {
        let mut request = self.request(Method::GET, sid, "wav")?;
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        send(request).await
    }

    /// Deletes one, which may be gone already.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub async fn delete(&self, sid: &str) -> Result<(), RecordingError> {
        match send(self.request(Method::DELETE, sid, "json")?).await {
            Ok(_) | Err(RecordingError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn request(&self, method: Method, sid: &str, kind: &str) -> Result<RequestBuilder, RecordingError> {
        let is_sid = |sid: &str| (1..=64).contains(&sid.len()) && sid.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_sid(sid) || !is_sid(&self.account_sid) {
            return Err(RecordingError::BadSid);
        }
        let url = format!("{}/2010-04-01/Accounts/{}/Recordings/{sid}.{kind}", self.base_url, self.account_sid);
        Ok(self.http.request(method, url).basic_auth(&self.auth.user, Some(self.auth.password.expose())))
    }
}

async fn send(request: RequestBuilder) -> Result<Response, RecordingError> {
    let answer = timeout(LIMIT, request.send()).await.map_err(|_| RecordingError::NoAnswer)?;
    let answer = answer.map_err(|_| RecordingError::NoAnswer)?;
    match answer.status() {
        status if status.is_success() => Ok(answer),
        StatusCode::NOT_FOUND => Err(RecordingError::NotFound),
        status => Err(RecordingError::Refused(status.as_u16())),
    }
}
