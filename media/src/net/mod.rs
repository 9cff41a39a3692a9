//! What every driver needs of the network: trust, the guard of user-given addresses, and the sizes and limits of sockets.

mod base_url;
mod http;
mod socket;

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use trunkline_base::guard::{AllowedRanges, Guard};

pub(crate) use self::socket::{OpenError, WebSocket};
pub use self::{
    base_url::{BaseUrl, Trust},
    http::Http,
    socket::socket_config,
};

/// The TLS client of all drivers, and the guard of those addresses that users gave. Cloning shares both.
#[derive(Debug, Clone)]
pub struct Net {
    tls: Arc<ClientConfig>,
    guard: Guard,
}

impl Net {
    /// Trusts the web's usual authorities and, beside them, `extra` ones (a proxy's or a simulator's). User-given addresses may lead
    /// nowhere inside.
    pub fn new(extra: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in extra {
            roots.add(certificate.clone())?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config), guard: Guard::new(AllowedRanges::none()) })
    }

    /// With a guard that an operator has set up.
    #[must_use]
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.guard = guard;
        self
    }

    /// The TLS configuration, for an HTTP client.
    pub const fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// What decides about user-given addresses.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }
}
