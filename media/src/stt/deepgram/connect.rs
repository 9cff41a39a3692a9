//! One connection: opening it, and writing to it under a limit.

use std::time::Duration;

use futures_util::{Sink, SinkExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Error as WsError, Message,
    client::IntoClientRequest,
    http::{HeaderValue, header::AUTHORIZATION},
};
use trunkline_base::Secret;

use super::{error::SttError, wire};
use crate::{
    net::{Net, OpenError, WebSocket, socket_config},
    stt::SttConfig,
};

/// The vendor's largest messages are long turns with a time for each word, some tens of kilobytes.
const MAX_MESSAGE: usize = 256 * 1024;

/// The vendor's socket.
pub(super) type Socket = WebSocket;

/// Opens the socket: name, TCP, TLS and upgrade within `limits.connect`.
pub(super) async fn connect(config: &SttConfig, net: &Net) -> Result<Socket, SttError> {
    let url = wire::listen_url(config)?;
    let key = &config.api_key;
    let mut request = url.as_str().into_client_request().map_err(|error| SttError::from_upgrade(error, key))?;
    let mut token = HeaderValue::from_str(&format!("Token {}", key.expose())).map_err(|_| SttError::Key)?;
    token.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, token);
    let opening = net.open_socket(&config.base_url, request, socket_config(MAX_MESSAGE));
    match timeout(config.limits.connect, Box::pin(opening)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(OpenError::Refused(error))) => Err(error.into()),
        Ok(Err(OpenError::Socket(error))) => Err(SttError::from_upgrade(error, key)),
        Err(_) => Err(SttError::ConnectTimeout(config.limits.connect)),
    }
}

/// Sends one message. A peer that doesn't read is an error after `limit`.
pub(super) async fn send(
    socket: &mut (impl Sink<Message, Error = WsError> + Unpin),
    message: Message,
    limit: Duration,
    key: &Secret,
) -> Result<(), SttError> {
    match timeout(limit, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(SttError::from_stream(&error, key)),
        Err(_) => Err(SttError::WriteTimeout(limit)),
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_reading_is_an_error_after_the_write_limit() {
        let (near, _far) = tokio::io::duplex(4096);
        let mut socket = WebSocketStream::from_raw_socket(near, Role::Client, Some(socket_config(MAX_MESSAGE))).await;
        let limit = Duration::from_secs(2);
        for n in 0.. {
            let started = trunkline_base::Clock::now(&trunkline_base::SystemClock);
            let outcome = send(&mut socket, Message::binary(vec![0; 160]), limit, &Secret::default()).await;
            let waited = trunkline_base::Clock::now(&trunkline_base::SystemClock) - started;
            if n < 20 {
                outcome.unwrap();
            } else if let Err(error) = outcome {
                assert!(matches!(error, SttError::WriteTimeout(_)) && waited == limit, "{error} after {waited:?}");
                return;
            }
        }
    }
}
