//! An HTTP client that connects only to what the guard lets it.

use std::{error::Error, net::SocketAddr};

use reqwest::{
    Client, ClientBuilder, Request, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};

use super::{Guard, GuardError, Transport};

/// Sends requests to user-given addresses. Names are resolved once a connection and checked then; addresses in the URL itself are
/// checked before each request; redirects are answers, not orders. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct GuardedClient {
    guard: Guard,
    tls: Client,
    /// For `http`: a name must lead to allowed ranges only.
    plain: Client,
}

/// Why a guarded request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum GuardedError {
    /// The address is refused.
    #[error(transparent)]
    Refused(#[from] GuardError),
    /// The client's own error. Its text may hold the URL.
    #[error(transparent)]
    Http(reqwest::Error),
}

impl GuardedClient {
    /// Two clients as `builder` sets them up, without proxies, redirects and resolvers of its own.
    pub fn new(guard: Guard, builder: impl Fn() -> ClientBuilder) -> Result<Self, reqwest::Error> {
        let build = |transport| {
            let resolver = GuardedNames { guard: guard.clone(), transport };
            let builder = builder().no_proxy().redirect(Policy::none()).referer(false).dns_resolver(resolver);
            builder.https_only(transport == Transport::Tls).build()
        };
        let (tls, plain) = (build(Transport::Tls)?, build(Transport::Plain)?);
        Ok(Self { guard, tls, plain })
    }

    /// Sends a request. No limits of its own: the builder's, and the caller's.
    pub async fn execute(&self, request: Request) -> Result<Response, GuardedError> {
        let client = match self.guard.inspect(request.url())? {
            Transport::Tls => &self.tls,
            Transport::Plain => &self.plain,
        };
        client.execute(request).await.map_err(GuardedError::from)
    }

    /// What decides.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }
}

impl From<reqwest::Error> for GuardedError {
    /// What the resolver refused comes out of the layers that it came through.
    fn from(error: reqwest::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(one) = cause {
            if let Some(refused) = one.downcast_ref::<GuardError>() {
                return Self::Refused(*refused);
            }
            cause = one.source();
        }
        Self::Http(error)
    }
}

/// The resolver of one of the clients. It isn't asked about addresses, which [`Guard::inspect`] sees.
struct GuardedNames {
    guard: Guard,
    transport: Transport,
}

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, transport) = (self.guard.clone(), self.transport);
        Box::pin(async move {
            let ips = guard.resolve(name.as_str(), transport).await?;
            // Port 0 is replaced by the URL's.
            Ok(Box::new(ips.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}
