//! User-given URLs are not trusted: whoever may name an address could otherwise make this server read what only it can reach, such as
//! a cloud's metadata service or a database.
//!
//! A URL is read strictly, its host is resolved once, and it is refused if *any* of its addresses is not on the public internet. What is
//! connected to is an address that was checked: [`GuardedClient`] checks at the moment of connecting, so that a name cannot lead
//! elsewhere between the check and the connection, and [`CheckedUrl::addrs`] is for those who open sockets themselves. An operator may
//! allow ranges. Addresses that the operator configures are trusted and don't come here.

mod client;
mod error;
mod names;
mod range;
mod zone;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout;
use url::{Host, Url};

pub use self::{
    client::{GuardedClient, GuardedError},
    error::{GuardError, Zone},
    names::{Lookup, Names, SystemNames},
    range::{AllowedRanges, BadRange, Range},
};

/// The longest URL, in bytes.
pub const MAX_URL: usize = 2048;

/// How long the name servers may take.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// Decides what may be connected to. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Guard {
    allowed: Arc<AllowedRanges>,
    names: Arc<dyn Names>,
}

/// A URL that may be connected to, at these addresses and no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedUrl {
    url: Url,
    addrs: Vec<SocketAddr>,
}

impl CheckedUrl {
    /// The URL, normalised.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Where it leads; at least one address, each checked. Connect to these: the name may lead elsewhere by now.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }
}

impl Guard {
    /// Refuses all that is inside, but for these ranges.
    pub fn new(allowed: AllowedRanges) -> Self {
        Self { allowed: Arc::new(allowed), names: Arc::new(SystemNames) }
    }

    /// With other names than the system's: for tests.
    #[must_use]
    pub fn with_names(mut self, names: Arc<dyn Names>) -> Self {
        self.names = names;
        self
    }

    /// Reads a URL and resolves its host. Takes at most [`RESOLVE_LIMIT`].
    pub async fn check(&self, url: &str) -> Result<CheckedUrl, GuardError> {
        let url = self.parse(url)?;
        let transport = Transport::of(&url)?;
        let port = url.port_or_known_default().ok_or(GuardError::Port)?;
        let ips = match url.host().ok_or(GuardError::NotAUrl)? {
            Host::Ipv4(ip) => vec![IpAddr::V4(ip)],
            Host::Ipv6(ip) => vec![IpAddr::V6(ip)],
            Host::Domain(name) => self.resolve(name, transport).await?,
        };
        Ok(CheckedUrl { addrs: ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(), url })
    }

    /// Reads a URL strictly and refuses what can be refused without resolving names. A URL that passes may still lead inside.
    pub fn parse(&self, text: &str) -> Result<Url, GuardError> {
        if text.len() > MAX_URL {
            return Err(GuardError::TooLong);
        }
        // The URL standard forgives these; a reader that forgives differently would see another host.
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(GuardError::NotAUrl);
        }
        let (scheme, rest) = text.split_once("://").ok_or(GuardError::NotAUrl)?;
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return Err(GuardError::Scheme);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() {
            return Err(GuardError::NotAUrl);
        }
        // Even an empty user name, which the parser would drop.
        if authority.contains('@') {
            return Err(GuardError::UserInfo);
        }
        let url = Url::parse(text).map_err(|_| GuardError::NotAUrl)?;
        self.inspect(&url)?;
        Ok(url)
    }

    /// What can be said about a URL that has been read, without resolving names.
    fn inspect(&self, url: &Url) -> Result<Transport, GuardError> {
        let transport = Transport::of(url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GuardError::UserInfo);
        }
        if !matches!(url.port_or_known_default(), Some(80 | 443 | 1024..)) {
            return Err(GuardError::Port);
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => self.admit(ip.into(), transport)?,
            Some(Host::Ipv6(ip)) => self.admit(ip.into(), transport)?,
            Some(Host::Domain(_)) if transport == Transport::Plain && self.allowed.is_empty() => {
                return Err(GuardError::PlainHttp);
            }
            Some(Host::Domain(_)) => {}
            None => return Err(GuardError::NotAUrl),
        }
        Ok(transport)
    }

    /// All addresses of a name, each checked; at least one.
    async fn resolve(&self, name: &str, transport: Transport) -> Result<Vec<IpAddr>, GuardError> {
        let found = timeout(RESOLVE_LIMIT, self.names.lookup(name)).await.map_err(|_| GuardError::ResolveTimeout)?;
        let ips = found.map_err(|_| GuardError::Unresolved)?;
        if ips.is_empty() {
            return Err(GuardError::Unresolved);
        }
        // One that points inside among others that don't is an attempt: none is used.
        ips.iter().try_for_each(|ip| self.admit(*ip, transport))?;
        Ok(ips)
    }

    fn admit(&self, ip: IpAddr, transport: Transport) -> Result<(), GuardError> {
        if self.allowed.contains(ip) {
            return Ok(());
        }
        match (zone::of(ip), transport) {
            (Some(zone), _) => Err(GuardError::Inside(zone)),
            (None, Transport::Plain) => Err(GuardError::PlainHttp),
            (None, Transport::Tls) => Ok(()),
        }
    }
}

/// How a URL's scheme carries data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tls,
    Plain,
}

impl Transport {
    fn of(url: &Url) -> Result<Self, GuardError> {
        match url.scheme() {
            "https" => Ok(Self::Tls),
            "http" => Ok(Self::Plain),
            _ => Err(GuardError::Scheme),
        }
    }
}

#[cfg(test)]
mod tests;
