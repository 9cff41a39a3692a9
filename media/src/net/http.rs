//! HTTP clients: one for the operator's addresses, one for users'.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Request, Response, redirect::Policy};
use trunkline_base::guard::{Guard, GuardedClient, GuardedError};

use super::{Net, Trust};

/// HTTP clients for vendors. Cloning shares the connections.
///
/// Connections are kept for the next request; HTTP/1.1, so that closing one is the cancellation of one request; no proxy, no redirects
/// (they would carry the key elsewhere), no retries.
#[derive(Debug, Clone)]
pub struct Http {
    direct: Client,
    guarded: GuardedClient,
}

impl Http {
    /// `connect` is the limit for TCP and TLS together.
    pub fn new(net: &Net, connect: Duration) -> Result<Self, reqwest::Error> {
        let builder = || builder(net, connect);
        Ok(Self { direct: builder().build()?, guarded: GuardedClient::new(net.guard().clone(), builder)? })
    }

    /// The client for the operator's addresses.
    pub const fn direct(&self) -> &Client {
        &self.direct
    }

    /// What decides about users' addresses.
    pub const fn guard(&self) -> &Guard {
        self.guarded.guard()
    }

    /// Sends a request to an address of the operator's or a user's.
    pub async fn execute(&self, trust: Trust, request: Request) -> Result<Response, GuardedError> {
        match trust {
            Trust::Operator => self.direct.execute(request).await.map_err(GuardedError::Http),
            Trust::User => self.guarded.execute(request).await,
        }
    }
}

fn builder(net: &Net, connect: Duration) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(net.tls().as_ref().clone())
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(connect)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_secs(90))
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
}
