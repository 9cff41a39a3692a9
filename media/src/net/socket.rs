//! Opening a vendor's WebSocket.

use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, connect_async_tls_with_config,
    tungstenite::{Error as WsError, handshake::client::Request, protocol::WebSocketConfig},
};
use trunkline_base::guard::GuardError;

use super::{BaseUrl, Net, Trust};

/// A vendor's socket.
pub(crate) type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why there is none.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The address is a user's and refused.
    Refused(GuardError),
    /// Everything else.
    Socket(WsError),
}

impl Net {
    /// Opens a socket at `base`, which the request's URL was made from. No limit of its own.
    pub(crate) async fn open_socket(
        &self,
        base: &BaseUrl,
        request: Request,
        config: WebSocketConfig,
    ) -> Result<WebSocket, OpenError> {
        let connector = Some(Connector::Rustls(self.tls().clone()));
        let opened = match base.trust() {
            Trust::Operator => Box::pin(connect_async_tls_with_config(request, Some(config), true, connector)).await,
            Trust::User => {
                let checked = self.guard().check(base).await.map_err(OpenError::Refused)?;
                let io = |error| OpenError::Socket(WsError::Io(error));
                let stream = TcpStream::connect(checked.addrs()).await.map_err(io)?;
                stream.set_nodelay(true).map_err(io)?;
                Box::pin(client_async_tls_with_config(request, stream, Some(config), connector)).await
            }
        };
        opened.map(|(socket, _)| socket).map_err(OpenError::Socket)
    }
}

/// Sizes of a vendor's WebSocket: the library's default read buffer of 128 KiB, zeroed at every read, would cost more than the rest
/// of a call. `max_message` bounds what one message may make us allocate.
pub fn socket_config(max_message: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(1024 * 1024)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message))
}
