//! What happened on a simulator's connections, for tests and for benches that measure from outside.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc::UnboundedSender};

use crate::fault::Fault;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct SimEvent {
    /// When.
    pub at: Instant,
    /// On which connection, numbered from 1 in order of arrival.
    pub connection: u64,
    /// The connection's `tag` parameter.
    pub tag: Option<Arc<str>>,
    /// How much audio the connection had received by then.
    pub audio: Duration,
    /// What.
    pub kind: SimEventKind,
}

/// What can happen to a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum SimEventKind {
    /// A WebSocket was accepted.
    Opened {
        /// The path: `/v1/listen` or `/v2/listen`.
        path: &'static str,
        /// The query parameters in order, decoded.
        query: Vec<(String, String)>,
    },
    /// An upgrade was answered with an HTTP error.
    Refused {
        /// Its status.
        status: u16,
    },
    /// The first audio arrived.
    FirstAudio,
    /// The client sent a text message.
    Received(String),
    /// The simulator sent a message.
    Sent {
        /// Which message.
        kind: Message,
        /// Its transcript; empty for messages that have none.
        transcript: Arc<str>,
    },
    /// A scripted fault struck.
    Struck(Fault),
    /// The connection is over.
    Closed {
        /// The close code sent by either side; `None` without one.
        code: Option<u16>,
        /// All audio it received, in bytes.
        audio_bytes: u64,
    },
}

/// The messages that the simulator sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Nova `Results` that may still change.
    Interim,
    /// Nova `Results` with `is_final`.
    Final,
    /// Nova `Results` with `is_final` and `speech_final`.
    SpeechFinal,
    /// Nova `SpeechStarted`.
    SpeechStarted,
    /// Nova `UtteranceEnd`.
    UtteranceEnd,
    /// Nova `Metadata`.
    Metadata,
    /// Flux `Connected`.
    Connected,
    /// Flux `TurnInfo` `StartOfTurn`.
    StartOfTurn,
    /// Flux `TurnInfo` `Update`.
    Update,
    /// Flux `TurnInfo` `EagerEndOfTurn`.
    EagerEndOfTurn,
    /// Flux `TurnInfo` `TurnResumed`.
    TurnResumed,
    /// Flux `TurnInfo` `EndOfTurn`.
    EndOfTurn,
    /// `ConfigureSuccess`.
    ConfigureSuccess,
    /// `ConfigureFailure`.
    ConfigureFailure,
    /// `Error`.
    Error,
    /// Bytes that are no message.
    Garbage,
}

/// A connection that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveConnection {
    /// Its number.
    pub id: u64,
    /// Its `tag` parameter.
    pub tag: Option<Arc<str>>,
    /// Audio it received, in bytes.
    pub audio_bytes: u64,
    /// The same as playing time.
    pub audio: Duration,
}

#[derive(Debug)]
pub(super) struct Log {
    capacity: usize,
    entries: Mutex<VecDeque<SimEvent>>,
    added: Notify,
    events: Option<UnboundedSender<SimEvent>>,
    live: Mutex<BTreeMap<u64, Arc<Connection>>>,
    last_id: AtomicU64,
}

/// A connection's entry in the log.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    tag: Option<Arc<str>>,
    audio_bytes: AtomicU64,
    audio_micros: AtomicU64,
}

impl Log {
    pub(super) fn new(capacity: usize, events: Option<UnboundedSender<SimEvent>>) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
            added: Notify::new(),
            events,
            live: Mutex::default(),
            last_id: AtomicU64::new(0),
        }
    }

    /// Numbers a connection that just arrived; it is not live yet.
    pub(super) fn arrive(&self, tag: Option<&str>) -> Arc<Connection> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Connection {
            id,
            tag: tag.map(Arc::from),
            audio_bytes: AtomicU64::new(0),
            audio_micros: AtomicU64::new(0),
        })
    }

    pub(super) fn enter(&self, connection: &Arc<Connection>) {
        lock(&self.live).insert(connection.id, connection.clone());
    }

    pub(super) fn leave(&self, connection: &Connection) {
        lock(&self.live).remove(&connection.id);
    }

    pub(super) fn add(&self, connection: &Connection, kind: SimEventKind) {
        let event = SimEvent {
            at: Instant::now(),
            connection: connection.id,
            tag: connection.tag.clone(),
            audio: connection.audio(),
            kind,
        };
        if let Some(events) = &self.events {
            // A bench that has stopped listening has what it wanted.
            let _ = events.send(event.clone());
        }
        if self.capacity > 0 {
            let mut entries = lock(&self.entries);
            if entries.len() == self.capacity {
                entries.pop_front();
            }
            entries.push_back(event);
            drop(entries);
            self.added.notify_waiters();
        }
    }

    pub(super) fn snapshot(&self) -> Vec<SimEvent> {
        lock(&self.entries).iter().cloned().collect()
    }

    pub(super) async fn wait_for(&self, limit: Duration, wanted: impl Fn(&SimEvent) -> bool) -> Option<SimEvent> {
        let search = async {
            loop {
                let added = self.added.notified();
                tokio::pin!(added);
                // Registered before looking, so that nothing that is added in between is missed.
                added.as_mut().enable();
                if let Some(found) = lock(&self.entries).iter().find(|event| wanted(event)) {
                    return found.clone();
                }
                added.await;
            }
        };
        tokio::time::timeout(limit, search).await.ok()
    }

    pub(super) fn live(&self) -> Vec<LiveConnection> {
        let live = lock(&self.live);
        live.values()
            .map(|connection| LiveConnection {
                id: connection.id,
                tag: connection.tag.clone(),
                audio_bytes: connection.audio_bytes(),
                audio: connection.audio(),
            })
            .collect()
    }

    pub(super) fn live_count(&self) -> usize {
        lock(&self.live).len()
    }
}

impl Connection {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn hear(&self, bytes: usize, total: Duration) {
        self.audio_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.audio_micros.store(total.as_micros() as u64, Ordering::Relaxed);
    }

    pub(super) fn audio_bytes(&self) -> u64 {
        self.audio_bytes.load(Ordering::Relaxed)
    }

    fn audio(&self) -> Duration {
        Duration::from_micros(self.audio_micros.load(Ordering::Relaxed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_go_first() {
        let log = Log::new(2, None);
        let connection = log.arrive(Some("a"));
        for text in ["one", "two", "three"] {
            log.add(&connection, SimEventKind::Received(text.into()));
        }
        let kinds: Vec<_> = log.snapshot().into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [SimEventKind::Received("two".into()), SimEventKind::Received("three".into())]);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_event_or_the_limit() {
        let log = Arc::new(Log::new(10, None));
        let connection = log.arrive(None);
        let waiter = tokio::spawn({
            let log = log.clone();
            async move { log.wait_for(Duration::from_secs(5), |event| event.kind == SimEventKind::FirstAudio).await }
        });
        tokio::task::yield_now().await;
        log.add(&connection, SimEventKind::FirstAudio);
        assert_eq!(waiter.await.unwrap().unwrap().connection, 1);
        assert!(log.wait_for(Duration::from_millis(1), |event| event.connection == 9).await.is_none());
    }
}
