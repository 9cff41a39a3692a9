//! A media socket, whoever owns it, and writing to it within a limit.

use std::time::Duration;

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};

use crate::telephony::SocketMessage;

/// Messages both ways. The stream ends, or yields `Close`, when the connection is gone, for whatever reason.
pub trait MediaSocket: Stream<Item = SocketMessage> + Sink<SocketMessage> + Send + Unpin {}

impl<S> MediaSocket for S where S: Stream<Item = SocketMessage> + Sink<SocketMessage> + Send + Unpin {}

/// Why a socket can no longer be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the peer has stopped reading")]
    SlowPeer,
    #[error("the connection is gone")]
    Gone,
}

/// Puts a message into the socket's buffer.
pub(super) async fn feed<S: MediaSocket>(
    socket: &mut S,
    message: SocketMessage,
    limit: Duration,
) -> Result<(), WriteError> {
    within(limit, socket.feed(message)).await
}

/// Puts what is buffered onto the wire.
pub(super) async fn flush<S: MediaSocket>(socket: &mut S, limit: Duration) -> Result<(), WriteError> {
    within(limit, socket.flush()).await
}

/// The next message; pends for ever while there is no socket.
pub(super) async fn next<S: MediaSocket>(socket: Option<&mut S>) -> SocketMessage {
    match socket {
        Some(socket) => socket.next().await.unwrap_or(SocketMessage::Close { code: None, reason: String::new() }),
        None => std::future::pending().await,
    }
}

/// A timer is armed only if the write does not succeed at once, which it nearly always does.
async fn within<E>(limit: Duration, write: impl Future<Output = Result<(), E>> + Unpin) -> Result<(), WriteError> {
    let mut write = write;
    let result = match (&mut write).now_or_never() {
        Some(result) => result,
        None => tokio::time::timeout(limit, write).await.map_err(|_| WriteError::SlowPeer)?,
    };
    result.map_err(|_| WriteError::Gone)
}
