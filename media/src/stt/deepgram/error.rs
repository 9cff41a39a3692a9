//! What ends a connection.

use std::{io, time::Duration};

use tokio_tungstenite::tungstenite::{Error as WsError, http};
use trunkline_base::{Secret, guard::GuardError};

use super::wire::{BadBaseUrl, Problem, Refusal};
use crate::stt::SttPhase;

/// Why there is no connection, or no longer one. Texts of the vendor's are cleaned: they quote no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum SttError {
    #[error(transparent)]
    BaseUrl(#[from] BadBaseUrl),
    #[error("the recogniser's address is refused: {0}")]
    Address(#[from] GuardError),
    #[error("the key holds characters that no header may have")]
    Key,
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("refused with HTTP {status}: {reason}")]
    Refused { status: u16, reason: String, retry_after: Option<Duration> },
    #[error("the vendor took no data for {0:?}")]
    WriteTimeout(Duration),
    #[error("no message from the vendor during {0:?} of audio")]
    Stalled(Duration),
    #[error("closed by the vendor: {0}")]
    Closed(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the vendor reports {0}")]
    Vendor(String),
}

impl SttError {
    pub(super) const fn phase(&self) -> SttPhase {
        match self {
            Self::BaseUrl(_)
            | Self::Address(_)
            | Self::Key
            | Self::ConnectTimeout(_)
            | Self::Connect(_)
            | Self::Refused { .. } => SttPhase::Connect,
            Self::WriteTimeout(_) | Self::Stalled(_) | Self::Closed(_) | Self::Broken(_) | Self::Vendor(_) => {
                SttPhase::Stream
            }
        }
    }

    /// Whether trying again is useless: the request itself is wrong, the key is, or the account is out of credit.
    pub(super) const fn is_permanent(&self) -> bool {
        match self {
            Self::BaseUrl(_) | Self::Key => true,
            Self::Address(error) => error.is_permanent(),
            Self::Refused { status, .. } => matches!(status, 400..=499) && !matches!(status, 408 | 425 | 429),
            _ => false,
        }
    }

    /// How long the vendor asked to wait.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What came instead of an open socket.
    pub(super) fn from_upgrade(error: WsError, key: &Secret) -> Self {
        match error {
            WsError::Http(response) => refused(&response, key),
            other => Self::Connect(describe(&other, key)),
        }
    }

    /// What came instead of a message, or of room to write.
    pub(super) fn from_stream(error: &WsError, key: &Secret) -> Self {
        Self::Broken(describe(error, key))
    }

    pub(super) fn from_problem(problem: &Problem, key: &Secret) -> Self {
        Self::Vendor(clean(&format!("{}: {}", problem.code, problem.description), key))
    }
}

fn refused(response: &http::Response<Option<Vec<u8>>>, key: &Secret) -> SttError {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let body = response.body().as_deref().unwrap_or_default();
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let reason = [&refusal.err_code, header("dg-error").unwrap_or(&refusal.err_msg)];
    let reason = reason.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    let retry_after = header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
    SttError::Refused { status: response.status().as_u16(), reason: clean(&reason, key), retry_after }
}

fn describe(error: &WsError, key: &Secret) -> String {
    match error {
        // The message of an I/O error names the operating system's view; its kind is what matters and is the same everywhere.
        WsError::Io(error) if error.kind() != io::ErrorKind::Other => error.kind().to_string(),
        other => clean(&other.to_string(), key),
    }
}

/// A text of the vendor's that is fit for a log: short, printable, and without the key, should anybody have quoted it.
pub(super) fn clean(text: &str, key: &Secret) -> String {
    let text = if key.is_empty() { text.to_owned() } else { text.replace(key.expose(), "[secret]") };
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, header: Option<&str>, body: &str) -> SttError {
        let mut response = http::Response::builder().status(status);
        if let Some(reason) = header {
            response = response.header("dg-error", reason).header("retry-after", "2");
        }
        let response = response.body(Some(body.as_bytes().to_vec())).unwrap();
        SttError::from_upgrade(WsError::Http(Box::new(response)), &Secret::new("dg-secret"))
    }

    #[test]
    fn a_refusal_says_why_and_quotes_no_key() {
        let error = refusal(401, Some("bad key dg-secret"), r#"{"err_code":"INVALID_AUTH","err_msg":"x"}"#);
        assert_eq!(error.to_string(), "refused with HTTP 401: INVALID_AUTH: bad key [secret]");
        let error = refusal(400, None, r#"{"category":"INVALID_JSON","message":"Invalid JSON submitted."}"#);
        assert_eq!(error.to_string(), "refused with HTTP 400: INVALID_JSON: Invalid JSON submitted.");
        assert_eq!(refusal(503, None, "<html>").to_string(), "refused with HTTP 503: ");
    }

    #[test]
    fn only_what_waiting_can_mend_is_tried_again() {
        for status in [400, 401, 402, 403, 404] {
            assert!(refusal(status, None, "").is_permanent(), "{status}");
        }
        for status in [408, 429, 500, 502, 503] {
            assert!(!refusal(status, None, "").is_permanent(), "{status}");
        }
        assert_eq!(refusal(429, Some("slow down"), "").retry_after(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn vendors_texts_are_cut_and_printable() {
        let cleaned = clean(&format!("a\u{7}\n{}", "b".repeat(500)), &Secret::default());
        assert_eq!(cleaned.len(), 200);
        assert!(cleaned.starts_with("ab"));
    }
}
