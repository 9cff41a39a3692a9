//! Who listens to what on this node, and how they learn that there is something to read.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use trunkline_base::CallId;

use super::relay::Relay;
use crate::{redis::Redis, tenant::TenantId};

/// Streams of one tenant on one node. A dashboard has one, and one for each call that somebody looks at.
const PER_TENANT: usize = 50;
/// Streams on one node. Each may read the database several times a second.
const PER_NODE: usize = 1_000;

/// What is new of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Its row of `conversations`, and whatever else.
    State,
    /// Its timeline.
    Timeline,
}

/// Why nobody else can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Tenant,
    Node,
    Closing,
}

/// The listeners of this node, and the way to those of others. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    ears: Arc<Ears>,
    relay: Option<Arc<Relay>>,
}

/// The listeners of this node.
pub(super) struct Ears {
    tenants: Mutex<HashMap<TenantId, Vec<Ear>>>,
    closing: CancellationToken,
    most: (usize, usize),
}

/// One listener: to one call, or to the state of all.
struct Ear {
    call: Option<CallId>,
    news: Arc<Notify>,
}

/// A listener's place, given back when it is dropped.
pub(super) struct Place {
    ears: Arc<Ears>,
    tenant: TenantId,
    relay: Option<Arc<Relay>>,
    news: Arc<Notify>,
}

impl Hub {
    /// Of a node that is alone, or shares its database with others that it does not hear: what those write is found by looking.
    pub fn alone() -> Self {
        Self { ears: Arc::new(Ears::new(PER_TENANT, PER_NODE)), relay: None }
    }

    /// Of one of the nodes that have this Redis.
    pub fn among_others(redis: Redis) -> Self {
        let ears = Arc::new(Ears::new(PER_TENANT, PER_NODE));
        let relay = Some(Arc::new(Relay::start(ears.clone(), redis)));
        Self { ears, relay }
    }

    #[cfg(test)]
    pub(super) fn of_at_most(per_tenant: usize, per_node: usize) -> Self {
        Self { ears: Arc::new(Ears::new(per_tenant, per_node)), relay: None }
    }

    /// Says that something new of these calls of a tenant is committed. Whoever listens reads it; where nobody does, it costs a look
    /// into an empty map, and on several nodes a few bytes that are sent with those of all other calls.
    pub fn tell(&self, tenant: TenantId, calls: &[(CallId, News)]) {
        self.ears.tell(tenant, calls);
        if let Some(relay) = &self.relay {
            relay.tell(tenant, calls);
        }
    }

    /// Ends all streams once they have said what there is to say, and lets no more begin.
    pub fn close(&self) {
        self.ears.closing.cancel();
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.ears.lock().values().map(Vec::len).sum()
    }

    /// Takes a place for a listener to one call, or to the state of all calls of a tenant.
    pub(super) fn enter(&self, tenant: TenantId, call: Option<CallId>) -> Result<Place, Full> {
        if self.ears.closing.is_cancelled() {
            return Err(Full::Closing);
        }
        let mut tenants = self.ears.lock();
        let all: usize = tenants.values().map(Vec::len).sum();
        if all >= self.ears.most.1 {
            return Err(Full::Node);
        }
        let ears = tenants.entry(tenant).or_default();
        if ears.len() >= self.ears.most.0 {
            return Err(Full::Tenant);
        }
        let news = Arc::new(Notify::new());
        ears.push(Ear { call, news: news.clone() });
        metrics::gauge!("trunkline_live_streams").set((all + 1) as f64);
        Ok(Place { ears: self.ears.clone(), tenant, relay: self.relay.clone(), news })
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("streams", &self.streams()).field("relay", &self.relay.is_some()).finish()
    }
}

impl Ears {
    fn new(per_tenant: usize, per_node: usize) -> Self {
        Self { tenants: Mutex::default(), closing: CancellationToken::new(), most: (per_tenant, per_node) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Vec<Ear>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, tenant: TenantId, calls: &[(CallId, News)]) {
        let tenants = self.lock();
        let Some(ears) = tenants.get(&tenant) else { return };
        for ear in ears {
            let concerns = match ear.call {
                Some(call) => calls.iter().any(|(of, _)| *of == call),
                None => calls.iter().any(|(_, news)| *news == News::State),
            };
            if concerns {
                ear.news.notify_one();
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Something may have been missed.
    pub(super) fn tell_all(&self) {
        self.lock().values().flatten().for_each(|ear| ear.news.notify_one());
    }
}

impl Place {
    /// Waits for news since the last time. What comes while nobody waits is one piece of news, however much it is.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Waits until streams are to end.
    pub(super) async fn closing(&self) {
        self.ears.closing.cancelled().await;
    }

    /// Whether all other nodes are heard, as far as this one can tell.
    pub(super) fn hears_others(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.hears())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.ears.lock();
        if let Some(ears) = tenants.get_mut(&self.tenant) {
            ears.retain(|ear| !Arc::ptr_eq(&ear.news, &self.news));
            if ears.is_empty() {
                tenants.remove(&self.tenant);
            }
        }
        metrics::gauge!("trunkline_live_streams").set(tenants.values().map(Vec::len).sum::<usize>() as f64);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    /// Whether there is news, without waiting for any.
    async fn has_news(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.news()).await.is_ok()
    }

    #[tokio::test]
    async fn news_comes_to_those_whom_it_concerns_and_once() {
        let hub = Hub::alone();
        let [ada, eve] = [0; 2].map(|_| TenantId::new(Uuid::now_v7()));
        let [call, another] = [0; 2].map(|_| CallId::generate());
        let all = hub.enter(ada, None).unwrap();
        let one = hub.enter(ada, Some(call)).unwrap();
        let eves = [hub.enter(eve, None).unwrap(), hub.enter(eve, Some(call)).unwrap()];
        let heard = async || {
            assert!(!has_news(&eves[0]).await && !has_news(&eves[1]).await);
            (has_news(&all).await, has_news(&one).await)
        };
        assert_eq!(heard().await, (false, false));
        hub.tell(ada, &[(call, News::Timeline), (another, News::Timeline)]);
        hub.tell(ada, &[(call, News::Timeline)]);
        assert_eq!(heard().await, (false, true));
        assert_eq!(heard().await, (false, false));
        hub.tell(ada, &[(another, News::State)]);
        assert_eq!(heard().await, (true, false));
        hub.tell(ada, &[(call, News::State)]);
        assert_eq!(heard().await, (true, true));
    }

    #[tokio::test]
    async fn places_are_counted_and_given_back() {
        let hub = Hub::of_at_most(2, 3);
        let [ada, eve] = [0; 2].map(|_| TenantId::new(Uuid::now_v7()));
        let first = hub.enter(ada, None).unwrap();
        let _second = hub.enter(ada, None).unwrap();
        assert_eq!(hub.enter(ada, None).unwrap_err(), Full::Tenant);
        let _third = hub.enter(eve, None).unwrap();
        assert_eq!(hub.enter(eve, None).unwrap_err(), Full::Node);
        drop(first);
        assert_eq!(hub.streams(), 2);
        let _fourth = hub.enter(eve, None).unwrap();
        hub.close();
        assert_eq!(hub.enter(ada, None).unwrap_err(), Full::Closing);
    }
}
