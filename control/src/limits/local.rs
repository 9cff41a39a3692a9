//! A node's own budgets.

use std::{fmt, hash::Hash, num::NonZeroU32};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use super::Verdict;

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

pub(super) struct Local<K: Eq + Hash + Clone> {
    limit: u32,
    keyed: Keyed<K>,
}

impl<K: Eq + Hash + Clone> Local<K> {
    pub(super) fn new(limit: NonZeroU32) -> Self {
        let keyed = RateLimiter::keyed(Quota::per_minute(limit)).with_middleware::<StateInformationMiddleware>();
        Self { limit: limit.get(), keyed }
    }

    pub(super) fn take(&self, key: &K) -> Verdict {
        let limit = self.limit;
        match self.keyed.check_key(key) {
            Ok(state) => Verdict { limit, remaining: state.remaining_burst_capacity(), retry_after: None },
            Err(until) => {
                let wait = until.wait_time_from(self.keyed.clock().now());
                Verdict { limit, remaining: 0, retry_after: Some(wait) }
            }
        }
    }

    /// Keys whose budget is whole again.
    pub(super) fn forget(&self) {
        self.keyed.retain_recent();
        self.keyed.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.keyed.len()
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for Local<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("limit", &self.limit).finish_non_exhaustive()
    }
}
