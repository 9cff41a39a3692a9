//! axum's WebSocket as the engine's media socket.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{Sink, Stream};
use tokio::sync::oneshot;
use trunkline_media::telephony::SocketMessage;

/// Yields the carrier's messages; a broken connection is a `Close` without a code.
pub(super) struct AxumSocket {
    socket: WebSocket,
    over: bool,
    /// Dropped with the socket, which is how somebody else notices.
    alive: Option<oneshot::Sender<()>>,
}

impl AxumSocket {
    pub(super) const fn new(socket: WebSocket) -> Self {
        Self { socket, over: false, alive: None }
    }

    /// What fails when this socket is gone.
    pub(super) fn gone(&mut self) -> oneshot::Receiver<()> {
        let (alive, gone) = oneshot::channel();
        self.alive = Some(alive);
        gone
    }
}

impl Stream for AxumSocket {
    type Item = SocketMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SocketMessage>> {
        if self.over {
            return Poll::Ready(None);
        }
        loop {
            let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => SocketMessage::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => SocketMessage::Binary(bytes),
                // The library answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(frame))) => {
                    self.over = true;
                    let (code, reason) = frame.map_or((None, String::new()), |f| (Some(f.code), f.reason.to_string()));
                    SocketMessage::Close { code, reason }
                }
                Some(Err(_)) | None => {
                    self.over = true;
                    SocketMessage::Close { code: None, reason: String::new() }
                }
            };
            return Poll::Ready(Some(message));
        }
    }
}

impl Sink<SocketMessage> for AxumSocket {
    type Error = axum::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        Pin::new(&mut self.socket).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: SocketMessage) -> Result<(), axum::Error> {
        let message = match message {
            SocketMessage::Text(text) => Message::Text(text.into()),
            SocketMessage::Binary(bytes) => Message::Binary(bytes),
            SocketMessage::Close { code, reason } => {
                Message::Close(code.map(|code| CloseFrame { code, reason: reason.into() }))
            }
        };
        Pin::new(&mut self.socket).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}
