//! Carriers: what a media socket carries and means, whichever carrier it is.
//!
//! A carrier's folder has a pure codec between [`SocketMessage`]s and [`Inbound`] / [`Outbound`], the carrier's request signatures,
//! the documents that we answer with, and its REST calls. Who owns the socket (an HTTP server, a test's channel) is not known here.

mod bad;
mod control;
mod scalar;
mod socket;
mod status;
pub mod twilio;
pub mod vonage;

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunkline_base::Personal;

pub use self::{
    bad::{BadMessage, BadMessageLimit, Verdict},
    control::{AnsweredBy, Keys, MAX_KEYS, NotKeys, Transfer, TransferMode, TransferOutcome, TransferStep},
    socket::{CLOSE_NORMAL, CLOSE_POLICY, MAX_TEXT, SocketMessage},
    status::CarrierStatus,
};
use crate::{audio::AudioFormat, ids::MarkId};

/// The carrier's name for one media stream. It is checked once, so that it goes into messages as it is: ASCII letters, digits, `-` and
/// `_`, 1 to 64 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StreamId(String);

impl StreamId {
    /// Checks a name; `None` if a character in it would have to be escaped, or if there are too many or none.
    pub fn new(name: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        ((1..=64).contains(&name.len()) && name.bytes().all(plain)).then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| serde::de::Error::custom("not a stream's name"))
    }
}

/// The beginning of a media stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Started {
    /// The carrier's name for the stream; every message out names it.
    pub stream: StreamId,
    /// The carrier's name for the call.
    pub call_sid: String,
    /// The carrier's name for the account.
    pub account_sid: String,
    /// What the audio is, both ways.
    pub format: AudioFormat,
    /// What the document that began the stream has passed along, the stream's token among it: `Debug` shows the names alone.
    pub parameters: BTreeMap<String, String>,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("stream", &self.stream)
            .field("call_sid", &self.call_sid)
            .field("account_sid", &self.account_sid)
            .field("format", &self.format)
            .field("parameters", &self.parameters.keys())
            .finish()
    }
}

/// What comes out of a media socket.
#[derive(Clone, PartialEq, Eq)]
pub enum Inbound {
    /// The socket speaks the carrier's protocol; the stream itself is still to begin.
    Connected,
    /// The stream has begun.
    Started(Box<Started>),
    /// The caller's audio.
    Audio {
        /// Where its first sample is in the stream; `None` where the carrier does not say. A jump is audio that the carrier lost.
        timestamp: Option<Duration>,
        /// Samples in the stream's format, at least one.
        payload: Bytes,
    },
    /// The caller pressed a key.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: Personal<char>,
    },
    /// A mark came back: what was queued before it was played, *or* was cleared.
    Mark {
        /// Its name; one that is not a [`MarkId`]'s is not ours.
        name: String,
    },
    /// The carrier ended the stream.
    Stopped,
    /// The socket was closed, with or without a [`Inbound::Stopped`] before it.
    Closed {
        /// The close frame's code, if there was a frame with one.
        code: Option<u16>,
    },
    /// A good message that means nothing to us.
    Ignored,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("Connected"),
            Self::Started(started) => started.fmt(f),
            Self::Audio { timestamp, payload } => {
                f.debug_struct("Audio").field("timestamp", timestamp).field("bytes", &payload.len()).finish()
            }
            Self::Dtmf { digit } => f.debug_struct("Dtmf").field("digit", digit).finish(),
            Self::Mark { name } => f.debug_struct("Mark").field("name", name).finish(),
            Self::Stopped => f.write_str("Stopped"),
            Self::Closed { code } => f.debug_struct("Closed").field("code", code).finish(),
            Self::Ignored => f.write_str("Ignored"),
        }
    }
}

/// What goes into a media socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// The agent's audio: whole samples in the stream's format.
    Audio(Bytes),
    /// To be sent back when all audio before it was played.
    Mark(MarkId),
    /// Forget all audio that was not played yet.
    Clear,
}

/// A carrier's side of a media socket: pure, one a socket. Where carriers differ, they differ here.
pub trait MediaCodec: Send {
    /// Reads one message. A bad one has changed nothing.
    fn decode(&mut self, message: &SocketMessage) -> Result<Inbound, BadMessage>;

    /// Writes one message; `None` as long as the stream has not begun.
    fn encode(&self, outbound: &Outbound) -> Option<SocketMessage>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_without_anything_to_escape() {
        assert_eq!(StreamId::new("MZ0f").unwrap().as_str(), "MZ0f");
        for bad in ["", "MZ\"", "MZ\\", "MZ\n", "MZ é", &"x".repeat(65)] {
            assert_eq!(StreamId::new(bad), None, "{bad:?}");
        }
        assert!(serde_json::from_str::<StreamId>("\"a b\"").is_err());
    }

    #[test]
    fn neither_tokens_nor_digits_nor_audio_are_printed() {
        let started = Started {
            stream: StreamId::new("MZ1").unwrap(),
            call_sid: "CA1".into(),
            account_sid: "AC1".into(),
            format: AudioFormat::MULAW_8K,
            parameters: BTreeMap::from([("token".to_owned(), "s3cret".to_owned())]),
        };
        let printed = format!(
            "{:?} {:?} {:?}",
            Inbound::Started(Box::new(started)),
            Inbound::Dtmf { digit: Personal::new('7') },
            Inbound::Audio { timestamp: None, payload: Bytes::from_static(b"abc") },
        );
        assert!(printed.contains("token") && !printed.contains("s3cret"), "{printed}");
        assert!(!printed.contains('7') && !printed.contains("abc"), "{printed}");
    }
}
