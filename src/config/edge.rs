//! Settings of what stands between clients and the API.

use std::num::NonZeroU32;

use clap::Args;
use trunkline_base::{Secret, guard::AllowedRanges};
use trunkline_control::{
    http::{Edge as Served, Origin},
    limits::{Limiter, Rates},
    redis::Redis,
};
use url::Url;

use super::secret;

/// Limits, browsers, proxies, other nodes, and where traces go.
#[derive(Debug, Clone, Args)]
pub struct Edge {
    /// API requests a minute that each tenant may make, over all nodes; an address that nobody is known at may make 60. More costs
    /// the database what they cost.
    #[arg(long, env = "RATE_LIMIT_PER_MINUTE", default_value = "1000")]
    pub rate_limit_per_minute: NonZeroU32,
    /// Address ranges of proxies in front, with commas between, whose X-Forwarded-For says where requests come from. Default: none,
    /// and then whoever connects is the client.
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<String>,
    /// Origins whose pages may use the API from a browser, with commas between, such as `https://app.example.com`. Default: none.
    #[arg(long, env = "CORS_ORIGINS")]
    pub cors_origins: Option<String>,
    /// The Redis that nodes share for rate limits and live events, such as `redis://:password@host:6379/0` or `rediss://…` with TLS.
    /// Default: none, and then each node is alone.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "", value_parser = secret)]
    pub redis_url: Secret,
    /// A collector of traces that speaks OTLP over HTTP, such as `http://localhost:4318`. Default: none, and then no trace is made.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<Url>,
}

impl Default for Edge {
    /// As with nothing set.
    fn default() -> Self {
        Self {
            rate_limit_per_minute: NonZeroU32::new(1000).expect("1000 is not 0"),
            trusted_proxies: None,
            cors_origins: None,
            redis_url: Secret::default(),
            otlp_endpoint: None,
        }
    }
}

impl Edge {
    /// Adds all that is wrong.
    pub(super) fn check(&self, wrong: &mut Vec<String>) {
        if let Err(error) = self.proxies() {
            wrong.push(format!("TRUSTED_PROXIES: {error}"));
        }
        if let Err(error) = self.origins() {
            wrong.push(format!("CORS_ORIGINS: {error}"));
        }
        if !self.redis_url.is_empty()
            && let Err(error) = Redis::check("REDIS_URL", &self.redis_url)
        {
            wrong.push(error.to_string());
        }
        if self.otlp_endpoint.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https") || !url.has_host()) {
            wrong.push("OTEL_EXPORTER_OTLP_ENDPOINT must be http:// or https://, such as http://localhost:4318".into());
        }
    }

    /// The Redis that is named. Settings are those that were checked.
    pub(crate) fn redis(&self) -> Option<Redis> {
        if self.redis_url.is_empty() { None } else { Redis::open("REDIS_URL", &self.redis_url).ok() }
    }

    /// What the API serves by. Settings are those that were checked.
    pub(crate) fn serve_by(&self, redis: Option<Redis>) -> Served {
        Served {
            limiter: Limiter::new(Rates::per_tenant(self.rate_limit_per_minute), redis),
            trusted_proxies: self.proxies().expect("settings that were checked"),
            cors_origins: self.origins().expect("settings that were checked"),
        }
    }

    fn proxies(&self) -> Result<AllowedRanges, trunkline_base::guard::BadRange> {
        self.trusted_proxies.as_deref().unwrap_or_default().parse()
    }

    fn origins(&self) -> Result<Vec<Origin>, trunkline_control::http::BadOrigin> {
        Origin::list(self.cors_origins.as_deref().unwrap_or_default())
    }
}
