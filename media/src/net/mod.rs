//! What every driver needs of the network: trust, and the sizes and limits of sockets.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio_tungstenite::{Connector, tungstenite::protocol::WebSocketConfig};

/// The TLS client of all drivers. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Net {
    tls: Arc<ClientConfig>,
}

impl Net {
    /// Trusts the web's usual authorities and, beside them, `extra` ones (a proxy's or a simulator's).
    pub fn new(extra: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in extra {
            roots.add(certificate.clone())?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config) })
    }

    /// For `tokio_tungstenite::connect_async_tls_with_config`.
    pub fn connector(&self) -> Connector {
        Connector::Rustls(self.tls.clone())
    }

    /// The TLS configuration, for an HTTP client.
    pub fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
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
