//! Why a request about a call came to nothing, and whether it may have come to something all the same.

use std::{fmt, time::Duration};

use serde_json::Value;
use trunkline_base::guard::GuardError;

use crate::account::text;

/// Why a request came to nothing. It holds no URL, no secret, no number and none of the vendor's prose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The call's id cannot be one.
    #[error("not a call's id")]
    BadUuid,
    /// The private key is none.
    #[error("the private key is no RSA key in PEM")]
    PrivateKey,
    /// The address is a user's and not one that may be connected to.
    #[error("the address is refused: {0}")]
    Address(GuardError),
    /// The address is none, or the request cannot be written.
    #[error("the base URL is not http(s)://host[:port]")]
    BaseUrl,
    /// Nobody answered: nothing was sent.
    #[error("no connection")]
    Connect,
    /// The connection was lost.
    #[error("connection lost")]
    Lost,
    /// It took longer than the limit.
    #[error("timed out")]
    Timeout,
    /// Vonage refused.
    #[error("HTTP status {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What is wrong.
        reason: Reason,
        /// How long Vonage asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The answer could not be read.
    #[error("unreadable answer")]
    Unreadable,
}

/// What Vonage says is wrong, as far as a machine can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Fields of the request, by name; none if it does not say which.
    Fields(Vec<String>),
    /// The token: of another application, out of time, or made with another key.
    Credentials,
    /// The account has no money left.
    Credit,
    /// The account may not do this, such as call that country.
    Permission,
    /// There is no such call, it is over, or it lives in another region.
    NoSuchCall,
    /// Too many requests at once.
    Rate,
    /// Vonage's own fault.
    Vendor,
    /// The answer is not Vonage's: something else is at this address.
    NotVonage,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fields(names) if names.is_empty() => "a field of the request is not valid",
            Self::Fields(names) => return write!(f, "not valid: {}", names.join(", ")),
            Self::Credentials => "the application's id and private key are refused",
            Self::Credit => "the account has no credit left",
            Self::Permission => "the account may not do this",
            Self::NoSuchCall => "there is no such call",
            Self::Rate => "too many requests",
            Self::Vendor => "an error of Vonage's",
            Self::NotVonage => "the answer is not Vonage's",
        })
    }
}

impl RestError {
    /// Whether the same request may succeed later.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Connect | Self::Lost | Self::Timeout => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::BadUuid | Self::PrivateKey | Self::Address(_) | Self::BaseUrl | Self::Unreadable => false,
        }
    }

    /// Whether Vonage may have done what was asked: it timed out or broke off after it was sent, or Vonage failed in the middle of it.
    /// `false` is certain: it can be asked for again without being done twice.
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::Lost | Self::Timeout | Self::Unreadable => true,
            // 408 is a gateway's, which has passed on what it had.
            Self::Refused { status, .. } => *status == 408 || *status >= 500,
            Self::BadUuid | Self::PrivateKey | Self::Address(_) | Self::BaseUrl | Self::Connect => false,
        }
    }

    /// Whether the number that was to be called is what Vonage does not like.
    pub fn is_invalid_number(&self) -> bool {
        let Self::Refused { reason: Reason::Fields(names), .. } = self else { return false };
        names.iter().any(|name| name == "to" || name.starts_with("to.") || name.starts_with("to["))
    }

    /// Whether Vonage has no such call, which one that is over is too.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Refused { reason: Reason::NoSuchCall, .. })
    }
}

/// Reads a refusal, whichever form it has: RFC 7807 with an anchor, the voice service's own with a number for a type, or none.
pub(super) fn refused(status: u16, body: &[u8], retry_after: Option<Duration>) -> RestError {
    let body: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    let anchor = body.as_ref().and_then(|body| text(body, "type"));
    let anchor = anchor.as_deref().and_then(|kind| kind.rsplit(['#', '/']).next()).unwrap_or_default();
    let reason = match (status, anchor) {
        (_, "low-balance" | "out-of-credit") | (402, _) => Reason::Credit,
        (401, _) => Reason::Credentials,
        (429, _) => Reason::Rate,
        (500.., _) => Reason::Vendor,
        (404, _) if body.is_some() => Reason::NoSuchCall,
        (400, _) if body.as_ref().is_some_and(says_over) => Reason::NoSuchCall,
        (400 | 409 | 422, _) if body.is_some() => Reason::Fields(body.as_ref().map(fields).unwrap_or_default()),
        (403, _) if body.is_some() => Reason::Permission,
        _ => Reason::NotVonage,
    };
    RestError::Refused { status, reason, retry_after }
}

/// How a command for a call that has just ended has been refused.
fn says_over(body: &Value) -> bool {
    let words = [text(body, "title"), text(body, "detail")];
    words.into_iter().flatten().any(|words| {
        let words = words.to_ascii_lowercase();
        words.contains("already")
            && (words.contains("completed") || words.contains("ended") || words.contains("hung up"))
    })
}

/// Which fields are not valid: in a list of their own, or before the colon in the details.
fn fields(body: &Value) -> Vec<String> {
    let plain = |name: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'[' | b']' | b'-');
        (1..=64).contains(&name.len()) && name.bytes().all(good)
    };
    let listed = match body.get("invalid_parameters") {
        Some(Value::Array(list)) => list.iter().filter_map(|it| text(it, "name")).collect(),
        _ => Vec::new(),
    };
    let names = if listed.is_empty() {
        let detail = text(body, "detail").unwrap_or_default();
        detail.split(';').filter_map(|part| Some(part.split_once(':')?.0.trim().to_owned())).collect()
    } else {
        listed
    };
    names.into_iter().filter(|name| plain(name)).take(8).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(status: u16, body: &str) -> Reason {
        let RestError::Refused { reason, .. } = refused(status, body.as_bytes(), None) else { panic!("a refusal") };
        reason
    }

    #[test]
    fn a_refusal_is_understood_in_each_of_its_forms() {
        let problem = |anchor: &str, detail: &str| {
            json!({ "type": format!("https://developer.vonage.com/api-errors#{anchor}"), "title": "No", "detail": detail })
                .to_string()
        };
        let parameters = json!({
            "type": 400, "title": "Bad Request", "invalid_parameters": [{ "name": "to", "reason": "+14155550100 is bad" }],
        });
        for (status, body, expected) in [
            (400, parameters.to_string(), Reason::Fields(vec!["to".into()])),
            (400, problem("bad-request", "ringing_timer: is out of range; to: no"), {
                Reason::Fields(vec!["ringing_timer".into(), "to".into()])
            }),
            (400, problem("bad-request", "call +1 415: 555"), Reason::Fields(vec![])),
            (400, problem("bad-request", "The call has already been completed"), Reason::NoSuchCall),
            (401, String::new(), Reason::Credentials),
            (403, problem("low-balance", "no money"), Reason::Credit),
            (402, String::new(), Reason::Credit),
            (403, problem("forbidden", "no"), Reason::Permission),
            (404, problem("not-found", "no"), Reason::NoSuchCall),
            (404, "<html>nothing here</html>".into(), Reason::NotVonage),
            (302, String::new(), Reason::NotVonage),
            (429, "slow down".into(), Reason::Rate),
            (500, json!({ "type": 500 }).to_string(), Reason::Vendor),
            (503, String::new(), Reason::Vendor),
        ] {
            assert_eq!(reason(status, &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn only_what_left_and_was_not_refused_may_have_happened() {
        let status = |status| refused(status, b"{}", None);
        for (error, may) in [
            (RestError::Connect, false),
            (RestError::PrivateKey, false),
            (RestError::Timeout, true),
            (RestError::Lost, true),
            (RestError::Unreadable, true),
            (status(400), false),
            (status(429), false),
            (status(500), true),
            (status(503), true),
        ] {
            assert_eq!(error.may_have_happened(), may, "{error}");
        }
        assert!(refused(400, br#"{"invalid_parameters":[{"name":"to[0].number"}]}"#, None).is_invalid_number());
        assert!(!refused(400, br#"{"invalid_parameters":[{"name":"tone"}]}"#, None).is_invalid_number());
    }
}
