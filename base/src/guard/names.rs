//! From host names to addresses.

use std::{fmt, future::Future, io, net::IpAddr, pin::Pin};

/// The addresses of a name, some time.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// What knows the addresses of names.
pub trait Names: fmt::Debug + Send + Sync {
    /// All addresses of a host name, in the order in which to try them.
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a>;
}

/// The operating system's names: its hosts file and its name servers.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames;

impl Names for SystemNames {
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|addr| addr.ip()).collect()) })
    }
}
