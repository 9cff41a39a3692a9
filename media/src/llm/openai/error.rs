//! Why a model did not answer. Nothing here quotes a vendor's prose, a URL or a key: those may hold what must not be logged.

use std::{fmt, time::Duration};

use async_openai::error::OpenAIError;
use reqwest::header::HeaderMap;
use serde_json::Value;
use trunkline_base::guard::{GuardError, GuardedError};

/// A named limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// TCP and TLS.
    Connect,
    /// From the request to the first token.
    FirstToken,
    /// Between two tokens.
    Idle,
    /// The whole answer.
    Total,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::FirstToken => "first_token",
            Self::Idle => "idle",
            Self::Total => "total",
        })
    }
}

/// Why a model did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// The address is a user's and not one that may be connected to.
    #[error("the model's address is refused: {0}")]
    Address(GuardError),
    /// Nobody answered at the address.
    #[error("no connection")]
    Connect,
    /// A wait took too long.
    #[error("limit {0} reached")]
    Timeout(Limit),
    /// An HTTP status that is no success.
    #[error("HTTP status {status}, {code}")]
    Refused {
        /// The status.
        status: u16,
        /// The vendor's machine code.
        code: Code,
        /// How long the vendor asks us to wait.
        retry_after: Option<Duration>,
        /// Whether the vendor says that trying again helps.
        should_retry: Option<bool>,
    },
    /// The vendor reported an error inside the stream.
    #[error("error in the stream, {0}")]
    InStream(Code),
    /// The connection broke.
    #[error("connection lost")]
    Lost,
    /// The stream ended before the answer did.
    #[error("the stream ended before the answer")]
    Ended,
    /// The stream has too many events that are not JSON.
    #[error("unreadable stream")]
    Garbage,
    /// The answer is larger than any that could be spoken.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is over and has nothing in it.
    #[error("nothing was answered, {0}")]
    Empty(Code),
    /// The request could not be made.
    #[error("the request could not be made")]
    Request,
}

impl LlmError {
    /// Whether the same model may answer if it is asked again. A limit that was reached leaves a call no time for that.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect | Self::Lost | Self::Ended => true,
            Self::Address(error) => !error.is_permanent(),
            Self::Refused { should_retry: Some(said), code, .. } => *said && !code.is_quota(),
            Self::Refused { status, code, .. } => (*status == 429 && !code.is_quota()) || *status >= 500,
            Self::InStream(code) => {
                matches!(code.code(), "server_error" | "server_is_overloaded" | "rate_limit_exceeded" | "slow_down")
            }
            Self::Timeout(_) | Self::Garbage | Self::TooLarge | Self::Empty(_) | Self::Request => false,
        }
    }

    /// What we were doing, in the words of [`crate::llm::LlmEvent::Fault`].
    pub(super) fn phase(&self, begun: bool) -> &'static str {
        match self {
            Self::Address(_) | Self::Connect | Self::Timeout(Limit::Connect) => "connect",
            _ if begun => "stream",
            _ => "first_token",
        }
    }

    /// The kind of the library's error. What our own transport has put into it comes out whole.
    pub(super) fn from_library(error: OpenAIError) -> Self {
        match error {
            OpenAIError::Boxed(error) => error.downcast::<Self>().map_or(Self::Request, |error| *error),
            OpenAIError::JSONDeserialize(..) => Self::Garbage,
            OpenAIError::StreamError(_) => Self::Lost,
            OpenAIError::Reqwest(error) => Self::from_http(&error),
            _ => Self::Request,
        }
    }

    /// The kind of a request's failure.
    pub(super) fn from_guarded(error: &GuardedError) -> Self {
        match error {
            GuardedError::Refused(error) => Self::Address(*error),
            GuardedError::Http(error) => Self::from_http(error),
        }
    }

    /// The kind of the HTTP client's error.
    pub(super) fn from_http(error: &reqwest::Error) -> Self {
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => Self::Timeout(Limit::Connect),
            (true, false) => Self::Connect,
            _ if error.is_builder() => Self::Request,
            _ => Self::Lost,
        }
    }

    /// An HTTP status with the headers and the body that came with it.
    pub(super) fn refused(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let code = serde_json::from_slice(body).map_or_else(|_| Code::default(), |body| Code::of(&body));
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let number = |name: &str| text(name).and_then(|text| text.parse::<f64>().ok());
        // A date in `Retry-After` is not worth a clock: such a server is not asked twice by a call.
        let retry_after = number("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| number("retry-after"));
        Self::Refused {
            status,
            code,
            retry_after: retry_after.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            should_retry: text("x-should-retry").map(|said| said == "true"),
        }
    }

    /// How long the vendor asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }
}

/// A vendor's machine code and type: short, and of letters, digits, `_`, `.` and `-` only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Code {
    code: Option<String>,
    kind: Option<String>,
}

impl Code {
    /// From an error's body in any of the shapes that compatible servers use.
    pub(super) fn of(body: &Value) -> Self {
        let error = body.get("error").filter(|error| error.is_object()).unwrap_or(body);
        let word = |name: &str| match error.get(name)? {
            Value::String(text) => plain(text),
            Value::Number(number) => plain(&number.to_string()),
            _ => None,
        };
        Self { code: word("code"), kind: word("type") }
    }

    /// From one word.
    pub(super) fn word(word: &str) -> Self {
        Self { code: plain(word), kind: None }
    }

    /// The code, or the type where there is none; empty if there is neither.
    pub fn code(&self) -> &str {
        self.code.as_deref().or(self.kind.as_deref()).unwrap_or_default()
    }

    /// Whether it says that money is the problem, which waiting does not solve.
    fn is_quota(&self) -> bool {
        [&self.code, &self.kind].into_iter().flatten().any(|word| {
            matches!(
                word.as_str(),
                "insufficient_quota"
                    | "credit_balance_exhausted"
                    | "organization_spend_limit_exceeded"
                    | "project_spend_limit_exceeded"
                    | "organization_usage_limit_exceeded"
            )
        })
    }
}

fn plain(word: &str) -> Option<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    ((1..=48).contains(&word.len()) && word.bytes().all(good)).then(|| word.to_owned())
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            "" => f.write_str("no code"),
            code => write!(f, "code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: u16, body: &Value) -> LlmError {
        LlmError::refused(status, &HeaderMap::new(), body.to_string().as_bytes())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        let code = |code: &str| json!({"error": {"message": "m", "type": "t", "code": code}});
        for (status, word, transient) in [
            (429, "rate_limit_exceeded", true),
            (429, "insufficient_quota", false),
            (429, "credit_balance_exhausted", false),
            (500, "server_error", true),
            (503, "server_is_overloaded", true),
            (401, "invalid_api_key", false),
            (400, "context_length_exceeded", false),
            (404, "model_not_found", false),
        ] {
            assert_eq!(refused(status, &code(word)).is_transient(), transient, "{status} {word}");
        }
        let by_type = json!({"error": {"message": "m", "type": "insufficient_quota", "code": "billing"}});
        assert!(!refused(429, &by_type).is_transient());
    }

    #[test]
    fn the_vendor_s_own_advice_is_taken() {
        let mut headers = HeaderMap::new();
        headers.insert("x-should-retry", "false".parse().unwrap());
        headers.insert("retry-after-ms", "1500".parse().unwrap());
        let error = LlmError::refused(503, &headers, b"busy");
        assert!(!error.is_transient());
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1_500)));
        headers.insert("x-should-retry", "true".parse().unwrap());
        assert!(LlmError::refused(409, &headers, b"").is_transient());
        assert!(!LlmError::refused(429, &headers, br#"{"error":{"code":"insufficient_quota"}}"#).is_transient());
        headers.remove("retry-after-ms");
        headers.insert("retry-after", "2".parse().unwrap());
        assert_eq!(LlmError::refused(429, &headers, b"").retry_after(), Some(Duration::from_secs(2)));
        headers.insert("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
        assert_eq!(LlmError::refused(429, &headers, b"").retry_after(), None);
    }

    #[test]
    fn every_shape_of_an_error_s_body_is_read_and_none_is_quoted() {
        for (body, said) in [
            (
                json!({"error": {"message": "Incorrect API key provided: sk-abc", "code": "invalid_api_key"}}),
                "HTTP status 400, code invalid_api_key",
            ),
            (
                json!({"error": {"message": "for +14155550100", "type": "server_error", "code": null}}),
                "HTTP status 400, code server_error",
            ),
            (json!({"error": "sk-abc is wrong"}), "HTTP status 400, no code"),
            (json!({"object": "error", "message": "sk-abc", "code": 40_001}), "HTTP status 400, code 40001"),
            (json!({"detail": [{"msg": "sk-abc"}]}), "HTTP status 400, no code"),
            (json!({"error": {"code": "call me at +1 415, sk-abc"}}), "HTTP status 400, no code"),
        ] {
            assert_eq!(refused(400, &body).to_string(), said);
        }
    }
}
