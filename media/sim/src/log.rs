//! What a simulator saw and did, kept for tests to look at and to wait for.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

/// A bounded list of entries, oldest first, shared between a simulator and a test. Cloning shares the list.
#[derive(Debug, Clone)]
pub struct Log<E>(Arc<Shared<E>>);

#[derive(Debug)]
struct Shared<E> {
    kept: Mutex<Kept<E>>,
    changed: Notify,
    capacity: usize,
}

#[derive(Debug)]
struct Kept<E> {
    entries: VecDeque<E>,
    /// How many entries have fallen out: the number of the oldest one.
    forgotten: u64,
}

impl<E: Clone> Log<E> {
    /// An empty log that keeps the latest `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        let kept = Mutex::new(Kept { entries: VecDeque::new(), forgotten: 0 });
        Self(Arc::new(Shared { kept, changed: Notify::new(), capacity: capacity.max(1) }))
    }

    /// The entries now.
    pub fn entries(&self) -> Vec<E> {
        self.lock().entries.iter().cloned().collect()
    }

    /// Waits until `find` finds something in the entries, but no longer than `limit`.
    pub async fn wait_for<T>(&self, limit: Duration, mut find: impl FnMut(&[E]) -> Option<T>) -> Option<T> {
        let waiting = async {
            loop {
                let changed = self.0.changed.notified();
                if let Some(found) = find(self.lock().entries.make_contiguous()) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, waiting).await.ok()
    }

    /// Adds an entry and tells its number.
    pub fn push(&self, entry: E) -> u64 {
        let mut kept = self.lock();
        if kept.entries.len() == self.0.capacity {
            kept.entries.pop_front();
            kept.forgotten += 1;
        }
        kept.entries.push_back(entry);
        let number = kept.forgotten + kept.entries.len() as u64 - 1;
        drop(kept);
        self.0.changed.notify_waiters();
        number
    }

    /// Changes entry `number`, if it is still there.
    pub(crate) fn update(&self, number: u64, change: impl FnOnce(&mut E)) {
        let mut kept = self.lock();
        let place = number.checked_sub(kept.forgotten).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| kept.entries.get_mut(place)) {
            change(entry);
        }
        drop(kept);
        self.0.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Kept<E>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_entries_are_forgotten() {
        let log = Log::new(2);
        let numbers: Vec<u64> = ["a", "b", "c"].into_iter().map(|entry| log.push(entry)).collect();
        log.update(numbers[0], |entry| *entry = "lost");
        log.update(numbers[2], |entry| *entry = "C");
        assert_eq!(log.entries(), ["b", "C"]);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_entry_or_the_limit() {
        let log = Log::new(8);
        let writer = log.clone();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            writer.push(7);
        });
        assert_eq!(log.wait_for(Duration::from_secs(10), |entries| entries.first().copied()).await, Some(7));
        assert_eq!(log.wait_for(Duration::from_millis(20), |entries| entries.get(1).copied()).await, None);
    }
}
