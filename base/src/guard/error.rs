//! Why an address is refused, in words for whoever typed it.

use std::fmt;

/// Why a user-given URL is not connected to. It holds no part of the URL and no address that a name led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// It cannot be read as a URL, or only by guessing.
    #[error("it is not a URL such as https://host.example.com/path")]
    NotAUrl,
    /// Longer than [`super::MAX_URL`].
    #[error("it is longer than {} bytes", super::MAX_URL)]
    TooLong,
    /// Another scheme than `https`.
    #[error("it must begin with https://")]
    Scheme,
    /// `http` to a place that no allowed range covers.
    #[error("it must begin with https://: plain http is for addresses that ALLOWED_PRIVATE_RANGES names")]
    PlainHttp,
    /// A user name or password before the host.
    #[error("it must not have a user name or password before the host")]
    UserInfo,
    /// Port 0, or one that belongs to another protocol.
    #[error("its port must be 80, 443 or one from 1024 to 65535")]
    Port,
    /// An address, or one of those that the name leads to, is not on the public internet.
    #[error("it leads to {0}; only public addresses are connected to, and those that ALLOWED_PRIVATE_RANGES names")]
    Inside(Zone),
    /// The name leads nowhere.
    #[error("its host name does not resolve")]
    Unresolved,
    /// The name servers took longer than [`super::RESOLVE_LIMIT`].
    #[error("its host name does not resolve in time")]
    ResolveTimeout,
}

impl GuardError {
    /// Whether the same URL is refused for as long as it and the allowed ranges stay the same. A name can lead elsewhere later, but
    /// nobody is to wait for that.
    pub const fn is_permanent(self) -> bool {
        !matches!(self, Self::Unresolved | Self::ResolveTimeout)
    }
}

/// A part of the address space that is not the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// `0.0.0.0/8` and `::`, which mean this machine to many systems.
    Unspecified,
    /// This machine.
    Loopback,
    /// RFC 1918 and RFC 4193, and site-local addresses.
    Private,
    /// RFC 3927 and `fe80::/10`: where clouds serve credentials to whoever asks from inside.
    LinkLocal,
    /// RFC 6598, behind carrier-grade NAT.
    Shared,
    /// Groups.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Examples in texts.
    Documentation,
    /// RFC 2544 and RFC 5180.
    Benchmarking,
    /// A public address that a cloud's own machines answer inside it.
    Platform,
    /// Everything else that is not given to hosts, tunnels included, whose far end is wherever their bits say.
    Reserved,
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::Loopback => "this machine itself",
            Self::Private => "a private network",
            Self::LinkLocal => "a link-local address",
            Self::Shared => "a carrier's shared network",
            Self::Multicast => "a multicast group",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address that is for documentation",
            Self::Benchmarking => "an address that is for benchmarks",
            Self::Platform => "the cloud platform's own service",
            Self::Reserved => "a reserved address",
        })
    }
}
