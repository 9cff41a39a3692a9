//! What a WebSocket carries, for a media socket whose library is not known here.

use bytes::Bytes;

/// How much text one message may hold: far more than any carrier sends. The socket's own bound should be above it, so that a longer
/// message is seen and answered with [`CLOSE_POLICY`].
pub const MAX_TEXT: usize = 64 * 1024;

/// Close code: the work is done.
pub const CLOSE_NORMAL: u16 = 1000;

/// Close code: the peer broke a rule (RFC 6455 §7.4.1, "policy violation").
pub const CLOSE_POLICY: u16 = 1008;

/// One message of a media socket. Pings and pongs are the socket's own business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketMessage {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// The end. As something received, it may also stand for a connection that broke.
    Close {
        /// The close frame's code, if there is a frame with one.
        code: Option<u16>,
        /// Why, in words for the peer's log.
        reason: String,
    },
}

impl SocketMessage {
    /// A close frame of ours.
    pub fn close(code: u16, reason: &str) -> Self {
        Self::Close { code: Some(code), reason: reason.to_owned() }
    }
}
