//! How many requests a tenant, or an address nobody is known at, may make a minute.
//!
//! The generic cell rate algorithm: a budget of a minute's requests that fills evenly, with one number stored a key. It is kept twice.
//! Each node keeps its own, which answers at once and bounds what a node lets through whatever else happens; where there is a Redis,
//! whoever passes there asks the one that all nodes share. So a Redis that is lost, or slow, costs accuracy and no time, and what has
//! been used on a node is not forgotten with it.

mod address;
mod local;
mod shared;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

pub use self::address::client_address;
use self::{local::Local, shared::Shared};
use crate::{redis::Redis, tenant::TenantId};

/// How often what no longer counts is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// How long Redis may take to say whether a request is within the budget. Beyond it, the node's own budget decides.
const ASK: Duration = Duration::from_millis(50);

/// Requests a minute.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// A tenant.
    pub tenant: NonZeroU32,
    /// An address, for those who are not authenticated.
    pub address: NonZeroU32,
}

impl Rates {
    /// So many a tenant, and the contract's 60 an address.
    pub const fn per_tenant(tenant: NonZeroU32) -> Self {
        Self { tenant, address: NonZeroU32::new(60).expect("60 is not 0") }
    }
}

/// Whether a request is within a budget, and how much of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The budget: requests a minute.
    pub limit: u32,
    /// How many more may come at once.
    pub remaining: u32,
    /// For one that is over the budget: when the next may come.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// When the whole budget is there again, if nothing more comes.
    pub fn reset(&self) -> Duration {
        interval(self.limit) * self.limit.saturating_sub(self.remaining)
    }
}

/// The time in which a budget grows by one.
fn interval(limit: u32) -> Duration {
    Duration::from_secs(60) / limit.max(1)
}

/// Both budgets.
#[derive(Debug)]
pub struct Limiter {
    tenants: Budget<TenantId>,
    addresses: Budget<IpAddr>,
}

impl Limiter {
    /// With Redis, the budgets are those of all nodes that share it.
    pub fn new(rates: Rates, redis: Option<Redis>) -> Self {
        Self::with_wait(rates, redis, ASK)
    }

    /// With another time that Redis may take.
    pub fn with_wait(rates: Rates, redis: Option<Redis>, wait: Duration) -> Self {
        let shared = |kind, rate| redis.clone().map(|redis| Shared::new(redis, kind, rate, wait));
        Self {
            tenants: Budget { local: Local::new(rates.tenant), shared: shared("tenant", rates.tenant) },
            addresses: Budget { local: Local::new(rates.address), shared: shared("address", rates.address) },
        }
    }

    /// Counts a request of a tenant's.
    pub async fn tenant(&self, tenant: TenantId) -> Verdict {
        self.tenants.take(tenant, "tenant").await
    }

    /// Counts a request of nobody's, from an address. Whoever has an IPv6 address has at least 2⁶⁴ of them, which count as one.
    pub async fn address(&self, address: IpAddr) -> Verdict {
        let address = match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        };
        self.addresses.take(address, "address").await
    }

    /// Forgets what no longer counts, until it is dropped: without it, memory grows with every address that ever came.
    pub async fn keep(&self) {
        let mut tick = tokio::time::interval(FORGET);
        loop {
            tick.tick().await;
            self.tenants.local.forget();
            self.addresses.local.forget();
            let keys = self.tenants.local.len() + self.addresses.local.len();
            metrics::gauge!("trunkline_rate_limit_keys").set(keys as f64);
        }
    }
}

/// One budget a key.
#[derive(Debug)]
struct Budget<K: Eq + std::hash::Hash + Clone> {
    local: Local<K>,
    shared: Option<Shared>,
}

impl<K: Eq + std::hash::Hash + Clone + std::fmt::Display> Budget<K> {
    async fn take(&self, key: K, scope: &'static str) -> Verdict {
        let own = self.local.take(&key);
        let verdict = match &self.shared {
            // What is over a node's own budget is over the shared one: a flood stops before Redis.
            Some(shared) if own.retry_after.is_none() => match shared.take(&key).await {
                Some(verdict) => verdict,
                None => {
                    metrics::counter!("trunkline_rate_limit_local_total").increment(1);
                    own
                }
            },
            _ => own,
        };
        if verdict.retry_after.is_some() {
            metrics::counter!("trunkline_rate_limited_total", "scope" => scope).increment(1);
        }
        verdict
    }
}
