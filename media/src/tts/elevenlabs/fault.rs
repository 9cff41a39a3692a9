//! What can go wrong with a socket, and what is to be done about it.

use std::{io, time::Duration};

use tokio_tungstenite::tungstenite::Error;
use trunkline_base::guard::GuardError;

use super::{
    endpoint::{EndpointError, Mode},
    wire::{Code, ErrorFrame},
};
use crate::net::OpenError;

/// Why a socket could not be opened or had to be given up. Its `Display` holds neither the vendor's prose nor anything of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkFault {
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    #[error("the voice's address is refused: {0}")]
    Address(GuardError),
    #[error("connect: not within {0:?}")]
    ConnectLimit(Duration),
    #[error("refused with HTTP {status} ({code})")]
    Refused { status: u16, code: Code },
    #[error("vendor's error: {code}")]
    Vendor { code: Code, hint: Hint },
    #[error("closed with {status} ({code})")]
    Closed { status: u16, code: Code, hint: Hint },
    #[error("ended without a close")]
    Ended,
    #[error("connection failed: {0}")]
    Io(io::ErrorKind),
    #[error("TLS failed")]
    Tls,
    #[error("protocol broken")]
    Protocol,
    #[error("write: not within {0:?}")]
    WriteLimit(Duration),
    #[error("first_byte: no audio within {0:?}")]
    FirstByteLimit(Duration),
    #[error("idle: no more audio within {0:?}")]
    IdleLimit(Duration),
    #[error("no audio came for the text")]
    Silent,
}

/// What the vendor's prose was found to speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// The account: key, permission, payment or quota.
    Account,
    /// That this socket isn't for us.
    NoMultiStream,
    /// Nothing that changes what we do.
    Nothing,
}

impl Hint {
    fn of(prose: &str) -> Self {
        let prose = prose.to_ascii_lowercase();
        let speaks_of = |words: &[&str]| words.iter().any(|word| prose.contains(word));
        if speaks_of(&["multi-stream", "multi_stream", "multi stream"]) {
            Self::NoMultiStream
        } else if speaks_of(&["quota", "api key", "api_key", "unauthori", "permission", "payment", "credits"]) {
            Self::Account
        } else {
            Self::Nothing
        }
    }
}

/// What a fault calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Connect again.
    Retry,
    /// Connect again, to [`Mode::Single`].
    StreamInput,
    /// It would be refused again.
    GiveUp,
}

/// Codes that stay the same however often we ask.
const ACCOUNT_CODES: [&str; 10] = [
    "invalid_api_key",
    "missing_api_key",
    "invalid_authorization_header",
    "missing_permissions",
    "needs_authorization",
    "quota_exceeded",
    "payment_required",
    "subscription_required",
    "detected_unusual_activity",
    "voice_not_found",
];

impl LinkFault {
    pub(super) fn vendor(frame: &ErrorFrame<'_>) -> Self {
        Self::Vendor { code: frame.code.clone(), hint: Hint::of(&frame.message) }
    }

    pub(super) fn closed(status: u16, reason: &str) -> Self {
        Self::Closed { status, code: Code::new(reason), hint: Hint::of(reason) }
    }

    /// `mode` is what was being used, `proven` whether it has ever given audio: a socket that worked isn't refused as such.
    pub(super) fn remedy(&self, mode: Mode, proven: bool) -> Remedy {
        let fallback = mode == Mode::Multi && !proven;
        match self {
            Self::Endpoint(_) => Remedy::GiveUp,
            Self::Address(error) if error.is_permanent() => Remedy::GiveUp,
            Self::Refused { code, .. } | Self::Vendor { code, .. } | Self::Closed { code, .. }
                if ACCOUNT_CODES.contains(&code.as_str()) =>
            {
                Remedy::GiveUp
            }
            Self::Refused { status: 403 | 404, .. } if fallback => Remedy::StreamInput,
            Self::Refused { status: 408 | 425 | 429, .. } => Remedy::Retry,
            Self::Refused { status, .. } if (400..500).contains(status) => Remedy::GiveUp,
            Self::Vendor { hint: Hint::NoMultiStream, .. } | Self::Closed { hint: Hint::NoMultiStream, .. }
                if fallback =>
            {
                Remedy::StreamInput
            }
            Self::Vendor { hint: Hint::Account, .. } | Self::Closed { status: 1008, hint: Hint::Account, .. } => {
                Remedy::GiveUp
            }
            _ => Remedy::Retry,
        }
    }
}

impl From<OpenError> for LinkFault {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused(error) => Self::Address(error),
            OpenError::Socket(error) => error.into(),
        }
    }
}

impl From<Error> for LinkFault {
    fn from(error: Error) -> Self {
        match error {
            Error::Http(response) => Self::Refused {
                status: response.status().as_u16(),
                code: response.body().as_deref().map_or_else(Code::default, Code::of_body),
            },
            Error::Io(error) => Self::Io(error.kind()),
            Error::Tls(_) => Self::Tls,
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Ended,
            _ => Self::Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> LinkFault {
        LinkFault::Refused { status, code: Code::new(code) }
    }

    #[test]
    fn a_refused_key_or_account_is_final() {
        for fault in [
            refused(401, "invalid_api_key"),
            refused(401, ""),
            refused(403, "missing_permissions"),
            refused(402, ""),
            refused(404, "voice_not_found"),
            LinkFault::closed(1008, "This request exceeds your quota of 10000."),
            LinkFault::closed(1008, "quota_exceeded"),
        ] {
            assert_eq!(fault.remedy(Mode::Multi, false), Remedy::GiveUp, "{fault}");
        }
    }

    #[test]
    fn a_refused_multi_stream_falls_back_once() {
        for fault in [
            refused(403, ""),
            refused(404, ""),
            LinkFault::closed(1008, "multi-stream-input is not available for this workspace"),
        ] {
            assert_eq!(fault.remedy(Mode::Multi, false), Remedy::StreamInput, "{fault}");
            assert_ne!(fault.remedy(Mode::Single, false), Remedy::StreamInput, "{fault}");
            assert_ne!(fault.remedy(Mode::Multi, true), Remedy::StreamInput, "{fault}");
        }
    }

    #[test]
    fn trouble_that_passes_is_tried_again() {
        for fault in [
            refused(429, "rate_limit_exceeded"),
            refused(503, ""),
            LinkFault::Ended,
            LinkFault::closed(1008, "Have not received a new text input within the timeout of 20 seconds."),
            LinkFault::closed(1011, ""),
            LinkFault::IdleLimit(Duration::from_secs(4)),
        ] {
            assert_eq!(fault.remedy(Mode::Multi, true), Remedy::Retry, "{fault}");
        }
    }

    #[test]
    fn a_cause_repeats_no_prose() {
        let fault = LinkFault::closed(1008, "You said: my name is Ann and my key is sk_1");
        assert_eq!(fault.to_string(), "closed with 1008 (no code)");
        assert_eq!(refused(429, "system_busy").to_string(), "refused with HTTP 429 (system_busy)");
    }
}
