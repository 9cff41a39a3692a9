//! Whether a vendor takes a key: what the vendors' probes share. Each probe is beside its vendor's driver and makes the cheapest
//! request that the vendor answers only to a good key.
//!
//! An answer's body may hold secrets (Twilio's has the account's token): it is bounded, read, and neither kept nor logged.

use std::{error::Error, fmt, io, time::Duration};

use reqwest::{RequestBuilder, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::time::timeout;
use trunkline_base::guard::{GuardError, GuardedError};
use url::Url;

use crate::net::{BaseUrl, Http, Trust};

/// How long a probe may take, all its requests together.
pub const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// How much of an answer is read.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why an account can't be used. It quotes neither keys, URLs nor the vendor's prose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The address is a user's and not one that may be connected to.
    #[error("the address is refused: {0}")]
    Address(GuardError),
    /// The address is no base URL.
    #[error("the base URL is not http(s)://host[:port]")]
    BaseUrl,
    /// A key or an id has characters that can't be sent.
    #[error("a key or an id holds characters that cannot be sent")]
    Key,
    /// Nobody answered.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// The key is wrong, revoked or expired.
    #[error("the key is refused ({0})")]
    WrongKey(Refusal),
    /// The key is known and may not do this.
    #[error("the key lacks a permission ({0})")]
    NoPermission(Refusal),
    /// The account has nothing left, or asks too fast.
    #[error("the account is at a limit ({0})")]
    Quota(Refusal),
    /// Somebody answered, and not as this vendor does.
    #[error("the answer, HTTP status {status}, is not that vendor's")]
    NotThatVendor {
        /// Its HTTP status.
        status: u16,
    },
    /// The vendor answered with another error of its own.
    #[error("the vendor reports an error ({0})")]
    Vendor(Refusal),
    /// A private key is no RSA key in PEM.
    #[error("the private key is no RSA key in PEM")]
    PrivateKey,
    /// The vendor does not take what the private key signs.
    #[error("what the private key signs is refused ({0})")]
    WrongSignature(Refusal),
    /// Twilio: credentials that are good for trying out its API only.
    #[error("test credentials")]
    TestCredentials,
    /// Twilio: the account is suspended or closed.
    #[error("the account is {0}")]
    Inactive(&'static str),
    /// Vonage: the account has no application with this id.
    #[error("the account has no such application ({0})")]
    NoSuchApplication(Refusal),
    /// Vonage: the application is for other things than calls.
    #[error("the application has no voice capability")]
    NoVoice,
    /// Salesforce: no token is given.
    #[error("no token is given: {0} ({1})")]
    NoToken(NoToken, Refusal),
    /// Salesforce: the organisation's name makes no host of Salesforce's, or the answer names one that is not.
    #[error("not a host of the vendor's")]
    ForeignHost,
    /// ElevenLabs: there is no such voice.
    #[error("there is no such voice ({0})")]
    NoVoiceOfThisId(Refusal),
    /// The vendor does not take the request as it is: a model, a language or a text that it does not have or like.
    #[error("the request is refused ({0})")]
    Request(Refusal),
}

/// Why Salesforce gives no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// The consumer key or secret is wrong.
    #[error("the client is refused")]
    Client,
    /// The refresh token is expired, revoked, or was used before.
    #[error("the refresh token is no longer valid")]
    Expired,
    /// The user has not approved the app.
    #[error("the user has not approved the app")]
    NotApproved,
    /// The app has no user to run as.
    #[error("the app has no user to run as")]
    NoRunAsUser,
    /// The app may not use this flow.
    #[error("the flow is not enabled")]
    Flow,
    /// This flow has to be used at the organisation's own address.
    #[error("not at this domain")]
    Domain,
    /// Production and sandbox are mixed up.
    #[error("the audience is wrong")]
    Audience,
    /// Requests from this server's address are not allowed.
    #[error("the address is not allowed")]
    Address,
    /// The user is frozen or deactivated.
    #[error("the user is inactive")]
    User,
    /// The organisation is locked or closed.
    #[error("the organisation is inactive")]
    Organisation,
    /// None of these.
    #[error("refused")]
    Other,
}

/// How nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// No name, no route, or nobody listens.
    #[error("no connection")]
    Connect,
    /// No agreement on TLS, such as a certificate that nobody trusted has signed.
    #[error("no TLS connection")]
    Tls,
    /// It took longer than [`PROBE_LIMIT`].
    #[error("no answer in time")]
    Timeout,
    /// The connection broke.
    #[error("connection lost")]
    Lost,
}

/// An HTTP status that is no success, and the vendor's machine code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The code: short, and of letters, digits, `_`, `.` and `-` only.
    pub code: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "HTTP status {}, code {code}", self.status),
            None => write!(f, "HTTP status {}", self.status),
        }
    }
}

/// What a vendor answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// What it says it is, in lower case and without parameters.
    pub(crate) content_type: String,
    body: Vec<u8>,
}

impl Answer {
    /// The body, whatever it is.
    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The body of a success, if it is JSON. Anything else is an error whose code `code_of` finds in the body.
    pub(crate) fn success(&self, code_of: impl FnOnce(&Value) -> Option<String>) -> Result<Value, AccountError> {
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        match (self.status, body) {
            (200..=299, Some(body)) => Ok(body),
            (200..=299, None) => Err(self.not_that_vendor()),
            (status, body) => {
                let code = body.as_ref().and_then(code_of).filter(|code| is_plain(code));
                Err(self.refused(Refusal { status, code }))
            }
        }
    }

    /// The body of an error, if it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok().filter(|body: &Value| body.is_object() || body.is_array())
    }

    /// An error whose code is in its body.
    pub(crate) fn refusal(&self, code_of: impl FnOnce(&Value) -> Option<String>) -> Refusal {
        Refusal { status: self.status, code: self.json().as_ref().and_then(code_of).filter(|code| is_plain(code)) }
    }

    /// A success of somebody else's.
    pub(crate) const fn not_that_vendor(&self) -> AccountError {
        AccountError::NotThatVendor { status: self.status }
    }

    fn refused(&self, refusal: Refusal) -> AccountError {
        let is_json = self.json().is_some();
        match self.status {
            401 => AccountError::WrongKey(refusal),
            402 | 429 => AccountError::Quota(refusal),
            403 if is_json => AccountError::NoPermission(refusal),
            // Vendors have these requests, and answer them themselves.
            404 | 405 | 300..=399 => self.not_that_vendor(),
            500..=599 => AccountError::Vendor(refusal),
            _ if is_json => AccountError::Vendor(refusal),
            _ => self.not_that_vendor(),
        }
    }
}

/// Whether a code is one, and neither prose nor a key.
fn is_plain(code: &str) -> bool {
    (1..=48).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// A text field of an error's body.
pub(crate) fn text(body: &Value, name: &str) -> Option<String> {
    body.get(name)?.as_str().map(str::to_owned)
}

/// The URL of a resource below a base URL.
pub(crate) fn resource(http: &Http, base: &BaseUrl, path: &[&str]) -> Result<Url, AccountError> {
    let mut url = match base.trust() {
        Trust::User => http.guard().parse(base).map_err(AccountError::Address)?,
        Trust::Operator => Url::parse(base).map_err(|_| AccountError::BaseUrl)?,
    };
    // A base that is written for sockets serves requests too.
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => return Err(AccountError::BaseUrl),
    };
    url.set_scheme(scheme).map_err(|()| AccountError::BaseUrl)?;
    url.path_segments_mut().map_err(|()| AccountError::BaseUrl)?.pop_if_empty().extend(path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Keeps a probe to [`PROBE_LIMIT`].
pub(crate) async fn limited<T>(probe: impl Future<Output = Result<T, AccountError>>) -> Result<T, AccountError> {
    within(PROBE_LIMIT, probe).await
}

/// Keeps requests to a limit of their own.
pub(crate) async fn within<T>(
    limit: Duration,
    requests: impl Future<Output = Result<T, AccountError>>,
) -> Result<T, AccountError> {
    timeout(limit, Box::pin(requests)).await.unwrap_or(Err(AccountError::Unreachable(Unreachable::Timeout)))
}

/// Sends one request once.
pub(crate) async fn ask(http: &Http, trust: Trust, request: RequestBuilder) -> Result<Answer, AccountError> {
    ask_for(http, trust, request, MAX_ANSWER).await
}

/// Sends one request once, for an answer of at most `most` bytes.
pub(crate) async fn ask_for(
    http: &Http,
    trust: Trust,
    request: RequestBuilder,
    most: usize,
) -> Result<Answer, AccountError> {
    let request = request.build().map_err(|_| AccountError::Key)?;
    let mut response = http.execute(trust, request).await.map_err(|error| match error {
        GuardedError::Refused(GuardError::Unresolved) => AccountError::Unreachable(Unreachable::Connect),
        GuardedError::Refused(GuardError::ResolveTimeout) => AccountError::Unreachable(Unreachable::Timeout),
        GuardedError::Refused(error) => AccountError::Address(error),
        GuardedError::Http(error) => AccountError::Unreachable(unreachable(&error)),
    })?;
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut answer = Answer { status: response.status().as_u16(), content_type, body: Vec::new() };
    loop {
        let chunk = response.chunk().await.map_err(|_| AccountError::Unreachable(Unreachable::Lost))?;
        let Some(chunk) = chunk else { return Ok(answer) };
        if answer.body.len() + chunk.len() > most {
            return Err(answer.not_that_vendor());
        }
        answer.body.extend_from_slice(&chunk);
    }
}

fn unreachable(error: &reqwest::Error) -> Unreachable {
    if is_tls(error) {
        Unreachable::Tls
    } else if error.is_timeout() {
        Unreachable::Timeout
    } else if error.is_connect() {
        Unreachable::Connect
    } else {
        Unreachable::Lost
    }
}

/// Whether TLS is what failed.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(one) = cause {
        if holds_tls(one) {
            return true;
        }
        cause = one.source();
    }
    false
}

/// An I/O error does not name what it wraps as its source, and one may wrap another.
fn holds_tls(error: &(dyn Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| holds_tls(wrapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_neither_prose_nor_a_number_of_somebody() {
        for good in ["invalid_api_key", "INVALID_AUTH", "20003", "rate-limit.v2"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "call me at +1 415", "+14155550100", "a\nb", &"a".repeat(49)] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
