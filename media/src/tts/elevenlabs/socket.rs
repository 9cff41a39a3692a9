//! The vendor's socket: opening it, writing and reading with limits.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, handshake::client::Request};

use super::fault::LinkFault;
use crate::net::{BaseUrl, Net, WebSocket, socket_config};

/// Some 30 s of the widest audio in one message; the vendor sends a second or two.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

pub(super) struct Socket(WebSocket);

impl Socket {
    pub(super) async fn connect(
        base: BaseUrl,
        request: Request,
        net: Net,
        limit: Duration,
    ) -> Result<Box<Self>, LinkFault> {
        let opening = net.open_socket(&base, request, socket_config(MAX_MESSAGE));
        let socket = timeout(limit, opening).await.map_err(|_| LinkFault::ConnectLimit(limit))??;
        Ok(Box::new(Self(socket)))
    }

    /// Writes messages, together if there are several. A peer that stops reading ends the socket.
    pub(super) async fn send(&mut self, messages: Vec<String>, limit: Duration) -> Result<(), LinkFault> {
        let writing = async {
            for message in messages {
                self.0.feed(Message::text(message)).await?;
            }
            self.0.flush().await
        };
        timeout(limit, writing).await.map_err(|_| LinkFault::WriteLimit(limit))?.map_err(LinkFault::from)
    }

    /// The next text message. Whatever else a socket may carry is passed over. Safe to be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, LinkFault> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or(LinkFault::Ended, |frame| {
                        LinkFault::closed(frame.code.into(), frame.reason.as_str())
                    }));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(LinkFault::Ended),
            }
        }
    }

    /// Says good-bye, if the peer takes it in time.
    pub(super) async fn close(mut self, limit: Duration) {
        let _ = timeout(limit, self.0.close(None)).await;
    }
}
