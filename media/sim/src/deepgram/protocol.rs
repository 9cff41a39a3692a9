//! What the two streaming protocols have in common, so that one socket loop serves both. Pure: bytes in, messages out.

use std::sync::Arc;

use super::log::Message;

/// One WebSocket's conversation.
///
/// **Tell it one thing, then poll until nothing is left.**
pub(super) trait Protocol: Send {
    /// Audio arrived; never empty.
    fn handle_audio(&mut self, bytes: &[u8]);
    /// A text message arrived.
    fn handle_text(&mut self, text: &str);
    /// The client wants to end the stream: an empty binary message says so too.
    fn handle_close_stream(&mut self);
    /// Nothing was heard of the client for too long.
    fn handle_idle(&mut self);
    /// The vendor itself fails, with this code.
    fn handle_failure(&mut self, code: &str);
    /// The next thing to send.
    fn poll_outgoing(&mut self) -> Option<Outgoing>;
    /// Seconds of audio heard.
    fn audio_s(&self) -> f64;
    /// How many words were `[unrecognised]`.
    fn unrecognised(&self) -> u64;
}

/// Something to send.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outgoing {
    /// A text message.
    Text { kind: Message, transcript: Arc<str>, body: String },
    /// A close frame, without a status if there is none. Nothing follows it.
    Close(Option<(u16, String)>),
}

impl Outgoing {
    pub(super) fn plain(kind: Message, body: &serde_json::Value) -> Self {
        Self::Text { kind, transcript: Arc::default(), body: body.to_string() }
    }
}

/// Rounded to milliseconds, as the vendor's numbers are.
pub(super) fn millis(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
