//! Why a request about a call came to nothing, whether it may have come to something all the same, and what somebody can do about it.

use std::fmt;

/// The call is not in a state in which it could be changed: it is over.
const NOT_IN_PROGRESS: u32 = 21_220;
/// There is no such call (any more).
pub(super) const NOT_FOUND: u32 = 20_404;

/// Why a request came to nothing. It holds no URL, no secret and none of the vendor's prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The call's SID cannot be one.
    #[error("not a call's SID")]
    BadSid,
    /// Nobody answered: nothing was sent.
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

    /// Whether Twilio may have done what was asked: it timed out or broke off after it was sent, or Twilio failed in the middle of it.
    /// `false` is certain: it can be asked for again without being done twice.
    pub const fn may_have_happened(self) -> bool {
        match self {
            Self::Lost | Self::Timeout | Self::Unreadable => true,
            // 408 is a gateway's, which has passed on what it had.
            Self::Refused { status, .. } => status == 408 || status >= 500,
            Self::BadSid | Self::Connect => false,
        }
    }

    /// What Twilio refuses to do, if it is something that somebody can change.
    pub const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused { code: Some(code), status } if status < 500 => Refusal::of(code),
            Self::Refused { status: 401, .. } => Some(Refusal::Credentials),
            _ => None,
        }
    }

    pub(super) const fn is_over(self) -> bool {
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

/// Why Twilio places no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The number that was to be called is none.
    InvalidNumber,
    /// The number cannot be reached, or is blocked by Twilio.
    Unreachable,
    /// The account may not call that country or kind of number.
    Geography,
    /// The number that was to be shown is not the account's.
    CallerId,
    /// A trial account calls numbers that it has verified, and no others.
    Trial,
    /// The credentials are wrong, or those for tests.
    Credentials,
    /// The account is suspended or closed.
    Inactive,
}

impl Refusal {
    /// Of Twilio's code, as its error dictionary has it.
    const fn of(code: u32) -> Option<Self> {
        Some(match code {
            21_201 | 21_211 | 21_217 | 21_421 | 13_223 | 13_224 => Self::InvalidNumber,
            21_214 | 21_216 => Self::Unreachable,
            21_215 | 13_227 => Self::Geography,
            21_210 | 21_212 | 21_213 | 13_214 => Self::CallerId,
            21_219 | 21_608 => Self::Trial,
            20_003 | 20_008 => Self::Credentials,
            10_001 | 20_005 => Self::Inactive,
            _ => return None,
        })
    }

    /// Whether another number might be called.
    pub const fn is_of_number(self) -> bool {
        matches!(self, Self::InvalidNumber | Self::Unreachable | Self::Geography | Self::Trial)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidNumber => "Twilio says that it is no valid number",
            Self::Unreachable => "Twilio cannot reach the number, or has blocked it",
            Self::Geography => "the Twilio account may not call there: allow the country in its voice geographic permissions",
            Self::CallerId => "Twilio does not let the account call from this number: buy or verify it at Twilio",
            Self::Trial => "a Twilio trial account calls only numbers that were verified at Twilio: verify it, or upgrade the account",
            Self::Credentials => "Twilio refuses the credential: replace its token or key",
            Self::Inactive => "the Twilio account is suspended or closed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_left_and_was_not_refused_may_have_happened() {
        let refused = |status| RestError::Refused { status, code: None };
        for (error, may) in [
            (RestError::BadSid, false),
            (RestError::Connect, false),
            (RestError::Lost, true),
            (RestError::Timeout, true),
            (RestError::Unreadable, true),
            (refused(400), false),
            (refused(408), true),
            (refused(429), false),
            (refused(500), true),
            (refused(503), true),
        ] {
            assert_eq!(error.may_have_happened(), may, "{error}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = |status, code| RestError::Refused { status, code }.refusal();
        for (code, expected) in [
            (21_211, Refusal::InvalidNumber),
            (21_217, Refusal::InvalidNumber),
            (21_210, Refusal::CallerId),
            (21_214, Refusal::Unreachable),
            (21_215, Refusal::Geography),
            (21_219, Refusal::Trial),
            (20_003, Refusal::Credentials),
        ] {
            assert_eq!(refusal(400, Some(code)), Some(expected), "{code}");
            assert!(expected.to_string().contains("Twilio"), "{expected}");
        }
        assert_eq!(refusal(401, None), Some(Refusal::Credentials));
        assert_eq!((refusal(400, Some(99_999)), refusal(500, Some(21_211)), refusal(400, None)), (None, None, None));
    }
}
