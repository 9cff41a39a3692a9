//! A media socket that is a pair of queues.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Sink, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::telephony::SocketMessage;

/// The engine's end.
#[derive(Debug)]
pub struct FakeSocket {
    incoming: mpsc::UnboundedReceiver<SocketMessage>,
    outgoing: PollSender<SocketMessage>,
}

/// The carrier's end. Dropping it is a connection that broke.
#[derive(Debug)]
pub struct SocketEnd {
    /// Towards the engine.
    pub to_engine: mpsc::UnboundedSender<SocketMessage>,
    /// From the engine. When `room` messages wait here, the engine's writes do too: a carrier that has stopped reading.
    pub from_engine: mpsc::Receiver<SocketMessage>,
}

/// A connection. `room`: how many messages of the engine may wait to be read.
pub fn pair(room: usize) -> (FakeSocket, SocketEnd) {
    let (to_engine, incoming) = mpsc::unbounded_channel();
    let (outgoing, from_engine) = mpsc::channel(room);
    (FakeSocket { incoming, outgoing: PollSender::new(outgoing) }, SocketEnd { to_engine, from_engine })
}

impl Stream for FakeSocket {
    type Item = SocketMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SocketMessage>> {
        self.incoming.poll_recv(cx)
    }
}

impl Sink<SocketMessage> for FakeSocket {
    type Error = ();

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.outgoing.poll_reserve(cx).map_err(|_| ())
    }

    fn start_send(mut self: Pin<&mut Self>, message: SocketMessage) -> Result<(), ()> {
        self.outgoing.send_item(message).map_err(|_| ())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}
