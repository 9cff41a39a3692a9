//! One simulator's listener: an axum router on a loopback port, plain or behind TLS with a certificate of its own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::AbortOnDropHandle;

/// A certificate for `localhost` and `127.0.0.1`, made at start-up, and the authority a client has to trust.
#[derive(Clone)]
pub struct TlsIdentity {
    acceptor: TlsAcceptor,
    ca_pem: String,
}

impl TlsIdentity {
    /// Makes a certificate authority and a server certificate signed by it.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let ca_key = rcgen::KeyPair::generate()?;
        let mut ca = rcgen::CertificateParams::new(Vec::<String>::new())?;
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::DigitalSignature];
        ca.distinguished_name.push(rcgen::DnType::CommonName, "trunkline-sim test authority");
        let ca_cert = ca.self_signed(&ca_key)?;
        let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
        let key = rcgen::KeyPair::generate()?;
        let leaf =
            rcgen::CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()])?.signed_by(&key, &issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports rustls' default protocol versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("the key was made for this certificate");
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: ca_cert.pem() })
    }

    /// The authority's certificate, PEM, for the client to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

/// A running simulator. Dropping it closes the listener; sockets that were upgraded are for their simulator to cut.
pub struct SimServer {
    addr: SocketAddr,
    tls: bool,
    task: JoinHandle<()>,
}

impl SimServer {
    /// Serves `router` on `addr` (port 0 picks a free one).
    pub async fn start(addr: SocketAddr, router: Router, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let service = router.into_make_service();
        let task = match tls {
            None => {
                let listener = NoDelay(listener);
                tokio::spawn(async move {
                    let _ = axum::serve(listener, service).await;
                })
            }
            Some(identity) => {
                let listener = TlsListener::new(listener, addr, identity.acceptor.clone());
                tokio::spawn(async move {
                    let _ = axum::serve(listener, service).await;
                })
            }
        };
        Ok(Self { addr, tls: tls.is_some(), task })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port` or `https://host:port`.
    pub fn http_url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.addr)
    }

    /// `ws://host:port` or `wss://host:port`.
    pub fn ws_url(&self) -> String {
        format!("{}://{}", if self.tls { "wss" } else { "ws" }, self.addr)
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Small messages must leave at once: Nagle's algorithm would add up to 40 ms to every figure.
struct NoDelay(TcpListener);

impl Listener for NoDelay {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, addr)) = self.0.accept().await {
                let _ = stream.set_nodelay(true);
                return (stream, addr);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// Handshakes run beside each other: a client that never finishes its own must not keep others out.
struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    addr: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl TlsListener {
    fn new(tcp: TcpListener, addr: SocketAddr, acceptor: TlsAcceptor) -> Self {
        let (done, ready) = mpsc::channel(16);
        let accepting = tokio::spawn(async move {
            let mut handshakes = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, peer)) = tcp.accept() => {
                        let _ = stream.set_nodelay(true);
                        let (acceptor, done) = (acceptor.clone(), done.clone());
                        handshakes.spawn(async move {
                            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                                let _ = done.send((stream, peer)).await;
                            }
                        });
                    }
                    Some(_) = handshakes.join_next(), if !handshakes.is_empty() => {}
                }
            }
        });
        Self { ready, addr, _accepting: AbortOnDropHandle::new(accepting) }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.addr)
    }
}
