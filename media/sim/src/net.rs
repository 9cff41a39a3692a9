//! How a simulated carrier reaches a server: which certificates it trusts, and where an address really leads.
//!
//! The vendor signs public addresses; in a test nobody listens there. [`Network::connect_to`] sends the connection elsewhere and leaves
//! the address, the `Host` header and so the signature alone.

use std::{io, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};
use url::Url;

/// How long a connection and its upgrade may take, each.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Largest message read from a media stream: more than the ten minutes of audio it may queue.
const MESSAGE_LIMIT: usize = 16 << 20;
/// Read buffer of a media stream, which is wiped before every read. Messages are small, and a process may hold hundreds of phones.
const READ_BUFFER: usize = 4 << 10;

/// What the vendor's side of the network looks like. The default trusts public certificates and connects where an address says.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// PEM of the one authority to trust instead of the public ones.
    pub ca_pem: Option<String>,
    /// Connections that lead elsewhere.
    pub connect_to: Vec<ConnectTo>,
}

impl Network {
    fn certificate(&self) -> io::Result<Option<CertificateDer<'static>>> {
        let pem = self.ca_pem.as_ref();
        pem.map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)).transpose()
    }

    /// A client for webhooks. It reads the system's certificates where it has none of its own, so that it is made once.
    pub(crate) fn http(&self, user_agent: &'static str) -> io::Result<reqwest::Client> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(user_agent)
                .connect_timeout(CONNECT_LIMIT)
                // A kept connection that a server's death has broken would look like a server that breaks off its answer.
                .pool_max_idle_per_host(0)
                .no_proxy()
        };
        let client = match self.certificate()? {
            Some(certificate) => {
                let root = reqwest::Certificate::from_der(&certificate).map_err(io::Error::other)?;
                builder().tls_certs_only([root]).build()
            }
            // A machine without public certificates can still call a plain listener.
            None => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
        };
        client.map_err(io::Error::other)
    }
}

/// Sends connections for a public host to a listener elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    /// Host of the address, with its port if it names one: `voice.example.com` or `voice.example.com:8443`.
    pub authority: String,
    /// Where its server really listens: `127.0.0.1:8080`.
    pub listener: String,
    /// The listener speaks TLS.
    pub tls: bool,
}

/// Why a media stream could not be opened; the vendor reports it as 31920.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address is no `ws` or `wss` URL with a host.
    #[error("{0} is no address of a media stream")]
    Address(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// The server answered with something else than 101.
    #[error("the server answered the upgrade with {0}")]
    Refused(u16),
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// It took longer than [`CONNECT_LIMIT`].
    #[error("no answer in time")]
    Timeout,
}

impl OpenError {
    /// The status with which the server refused, if it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(*status),
            _ => None,
        }
    }
}

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A network ready for sockets.
#[derive(Clone)]
pub(crate) struct Reach {
    tls: Option<Connector>,
    connect_to: Arc<[ConnectTo]>,
}

impl Reach {
    pub(crate) fn new(network: &Network) -> io::Result<Self> {
        // Fails when the process has chosen a provider before: then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = match network.certificate()? {
            Some(certificate) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(certificate).map_err(io::Error::other)?;
                let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                Some(Connector::Rustls(Arc::new(config)))
            }
            None => None,
        };
        Ok(Self { tls, connect_to: network.connect_to.clone().into() })
    }

    /// The address to connect to for `url`, and its own authority for the `Host` header.
    pub(crate) fn route(&self, url: &Url) -> (Url, String) {
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut target = url.clone();
        if let Some(detour) = self.connect_to.iter().find(|detour| detour.authority == authority) {
            let scheme = match (url.scheme(), detour.tls) {
                ("ws" | "wss", false) => "ws",
                ("ws" | "wss", true) => "wss",
                (_, false) => "http",
                (_, true) => "https",
            };
            let base = format!("{scheme}://{}", detour.listener);
            if let Ok(base) = Url::parse(&base) {
                // Cannot fail: both have a host, and the schemes are special ones.
                let _ = target.set_scheme(scheme);
                let _ = target.set_host(base.host_str());
                let _ = target.set_port(base.port());
            }
        }
        (target, authority)
    }

    /// Opens the socket of a media stream with these headers.
    pub(crate) async fn open(&self, url: &str, headers: &[(&'static str, String)]) -> Result<Socket, OpenError> {
        let address = || OpenError::Address(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| address())?;
        if !matches!(parsed.scheme(), "ws" | "wss") {
            return Err(address());
        }
        let (target, authority) = self.route(&parsed);
        let host = target.host_str().ok_or_else(address)?.trim_matches(['[', ']']).to_owned();
        let port = target.port_or_known_default().ok_or_else(address)?;
        let mut request = target.as_str().into_client_request().map_err(|_| address())?;
        let all = request.headers_mut();
        all.insert("host", HeaderValue::from_str(&authority).map_err(|_| address())?);
        for (name, value) in headers {
            all.insert(*name, HeaderValue::from_str(value).map_err(|_| address())?);
        }
        let connecting = TcpStream::connect((host, port));
        let stream = tokio::time::timeout(CONNECT_LIMIT, connecting).await.map_err(|_| OpenError::Timeout)?;
        let stream = stream.map_err(OpenError::Connect)?;
        stream.set_nodelay(true).map_err(OpenError::Connect)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_LIMIT));
        let upgrade = client_async_tls_with_config(request, stream, Some(config), self.tls.clone());
        match tokio::time::timeout(CONNECT_LIMIT, upgrade).await {
            Err(_) => Err(OpenError::Timeout),
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(tungstenite::Error::Http(response))) => Err(OpenError::Refused(response.status().as_u16())),
            Ok(Err(error)) => Err(OpenError::Handshake(error.to_string())),
        }
    }
}

/// Makes closing the socket a reset, as when a network path dies.
pub(crate) fn cut(socket: Socket) {
    let tcp = match socket.get_ref() {
        MaybeTlsStream::Plain(tcp) => Some(tcp),
        MaybeTlsStream::Rustls(tls) => Some(tls.get_ref().0),
        _ => None,
    };
    if let Some(tcp) = tcp {
        let _ = tcp.set_zero_linger();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_leads_to_a_listener_and_keeps_its_name() {
        let connect_to =
            vec![ConnectTo { authority: "voice.example.com".into(), listener: "127.0.0.1:8080".into(), tls: false }];
        let reach = Reach::new(&Network { connect_to, ..Network::default() }).unwrap();
        let route = |url: &str| {
            let (target, authority) = reach.route(&Url::parse(url).unwrap());
            (target.to_string(), authority)
        };
        let named = |target: &str| (target.to_owned(), "voice.example.com".to_owned());
        assert_eq!(route("https://voice.example.com/a?b=c"), named("http://127.0.0.1:8080/a?b=c"));
        assert_eq!(route("wss://voice.example.com/m"), named("ws://127.0.0.1:8080/m"));
        let other = ("https://voice.example.com:8443/a".to_owned(), "voice.example.com:8443".to_owned());
        assert_eq!(route(&other.0), other);
    }
}
