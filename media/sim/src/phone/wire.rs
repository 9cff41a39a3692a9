//! Between a telephone and its carrier's messages: what each carrier's wire has to be able to do.

use thiserror::Error;
use tokio_tungstenite::tungstenite::Message;

use super::playback::PlaybackRules;

/// The identity of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sids {
    /// Twilio's `AC…`, Vonage's key.
    pub account: String,
    /// Twilio's `CA…`, the caller's leg at Vonage.
    pub call: String,
    /// Twilio's `MZ…`, the socket's leg at Vonage.
    pub stream: String,
}

/// A valid message from the server. The audio of `Media` is in the buffer that was handed over to be read into.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    Media,
    Mark(String),
    Clear,
}

/// Why a message is ignored; Twilio reports it as 31951.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Invalid {
    /// Not the JSON of any message: bad syntax, a field missing, of the wrong type or unknown.
    #[error("no valid message: {0}")]
    Json(String),
    /// An event that a server may not send.
    #[error("unknown event {0}")]
    Event(String),
    /// The body of another event, or none.
    #[error("the fields don't belong to the event {0}")]
    Fields(String),
    /// The stream is not this one.
    #[error("wrong streamSid {0}")]
    Stream(String),
    /// The payload is not padded base64.
    #[error("the payload is no base64: {0}")]
    Payload(#[from] base64::DecodeError),
    /// A binary WebSocket frame: no part of the protocol.
    #[error("a binary frame of {0} bytes")]
    Binary(usize),
    /// Audio that is not one frame of the stream's: what Vonage answers by reading no more.
    #[error("unexpected frame size {samples}, when required {wanted}")]
    FrameSize {
        /// The samples that came.
        samples: usize,
        /// The samples of a frame.
        wanted: usize,
    },
}

impl Invalid {
    /// The carrier has had enough of the connection.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::FrameSize { .. })
    }
}

/// One stream's messages, in its carrier's form. Audio is µ-law at 8 kHz here, whatever it is there.
pub(crate) trait Wire: Send {
    /// What a carrier's playback is like.
    fn rules(&self) -> PlaybackRules {
        PlaybackRules::default()
    }

    /// What is sent first.
    fn opening(&mut self) -> Vec<Message>;

    /// The caller's audio, whose first byte was said so many milliseconds after the stream's start; none until there is a whole message of
    /// it.
    fn media(&mut self, timestamp_ms: u64, audio: &[u8]) -> Vec<Message>;

    /// A key was pressed.
    fn dtmf(&mut self, key: char) -> Message;

    /// A mark goes back.
    fn mark(&mut self, name: &str) -> Message;

    /// The queue was cleared, where the carrier says so.
    fn cleared(&mut self) -> Option<Message>;

    /// The stream ends, where the carrier says so.
    fn stop(&mut self) -> Option<Message>;

    /// Reads a text or a binary message; `audio` is emptied and filled with its audio, if it has any.
    fn parse(&mut self, message: &Message, audio: &mut Vec<u8>) -> Result<Inbound, Invalid>;
}
