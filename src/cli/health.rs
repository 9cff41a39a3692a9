//! `trunkline health`: whether the server on this machine runs, for a container's health check, whose image has no other client.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Args;

use super::Failure;

/// How long the server may take to answer.
const LIMIT: Duration = Duration::from_secs(3);

/// Ask the server on this machine whether it runs; the exit code is the answer.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// Address that it listens on.
    #[arg(long, env = "BIND", default_value = "127.0.0.1:8000")]
    bind: SocketAddr,
    /// Ask whether it takes new calls, too.
    #[arg(long)]
    ready: bool,
}

impl Health {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let at = reachable(self.bind);
        let path = if self.ready { "/health/ready" } else { "/health/live" };
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
        let answer = http.get(format!("http://{at}{path}")).send().await;
        let answer = answer.map_err(|error| format!("nothing answers at {at}: {}", error.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("{at}{path} says {}", answer.status()).into()) }
    }
}

/// Where a server is reached that listens on an address, which may be all of the machine's.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_exit_code_is_the_servers_answer() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bind = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/health/live", get(async || "yes"))
            .route("/health/ready", get(async || StatusCode::SERVICE_UNAVAILABLE));
        let server = tokio::spawn(async { axum::serve(listener, router).await });
        Health { bind, ready: false }.run().await.unwrap();
        let error = Health { bind, ready: true }.run().await.unwrap_err().to_string();
        assert!(error.contains("/health/ready says 503"), "{error}");
        server.abort();
        let _ = server.await;
        let error = Health { bind, ready: false }.run().await.unwrap_err().to_string();
        assert!(error.starts_with("nothing answers at"), "{error}");
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        let reached = |bind: &str| reachable(bind.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8000"), "127.0.0.1:8000");
        assert_eq!(reached("[::]:8000"), "[::1]:8000");
        assert_eq!(reached("10.0.0.1:80"), "10.0.0.1:80");
    }
}
