//! What the simulator received and sent, by connection and context, and how much of it is open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    event::{SimEvent, SimEventKind, report},
    log::Log,
};

/// How many entries are remembered.
const KEPT: usize = 20_000;

/// Something that happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// When.
    pub at: Instant,
    /// The connection (for HTTP: the request), counted from 0.
    pub connection: u64,
    /// Its context; empty where there is none.
    pub context: String,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A connection was accepted.
    Connected,
    /// A context was opened.
    Opened,
    /// Text arrived; empty in a mere flush or keep-alive.
    Text {
        /// The text.
        text: String,
        /// Whether it must be spoken at once.
        flush: bool,
    },
    /// The client closed the context.
    Closing,
    /// A fragment of audio was sent.
    Audio {
        /// Its size, encoded.
        bytes: usize,
        /// How long it plays.
        length: Duration,
    },
    /// The context's final message was sent.
    Final,
    /// The connection was refused or ended with this error code.
    Failed(String),
    /// The connection is gone.
    Disconnected,
}

/// The simulator's memory: the log, the event channel, and counters of what is open.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) log: Log<LogEntry>,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) contexts: Arc<AtomicUsize>,
    next: Arc<AtomicU64>,
    events: Option<UnboundedSender<SimEvent>>,
}

impl Watch {
    pub(super) fn new(events: Option<UnboundedSender<SimEvent>>) -> Self {
        Self {
            log: Log::new(KEPT),
            connections: Arc::default(),
            contexts: Arc::default(),
            next: Arc::default(),
            events,
        }
    }

    /// Writes down a new connection.
    pub(super) fn connect(&self) -> Arc<Connection> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::SeqCst);
        let connection = Connection { watch: self.clone(), number };
        connection.log("", Happened::Connected);
        Arc::new(connection)
    }
}

/// One connection's pen in the log. Dropping it is the connection's end.
#[derive(Debug)]
pub(super) struct Connection {
    watch: Watch,
    pub(super) number: u64,
}

impl Connection {
    /// Writes down what happened, and reports it if it is of interest outside.
    pub(super) fn log(&self, context: &str, what: Happened) {
        let connection = self.number;
        let event = match &what {
            Happened::Text { text, .. } if !text.trim().is_empty() => {
                Some(SimEventKind::TtsText { connection, context: context.into(), text: text.clone() })
            }
            Happened::Audio { length, .. } => {
                Some(SimEventKind::TtsAudio { connection, context: context.into(), length: *length })
            }
            Happened::Final => Some(SimEventKind::TtsFinal { connection, context: context.into() }),
            _ => None,
        };
        self.watch.log.push(LogEntry { at: Instant::now(), connection, context: context.into(), what });
        if let Some(kind) = event {
            report(self.watch.events.as_ref(), || kind);
        }
    }

    /// Writes down a new context. Dropping the result is its end.
    pub(super) fn open(&self, context: &str) -> OpenContext {
        self.watch.contexts.fetch_add(1, Ordering::SeqCst);
        self.log(context, Happened::Opened);
        OpenContext(self.watch.contexts.clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watch.connections.fetch_sub(1, Ordering::SeqCst);
        self.log("", Happened::Disconnected);
    }
}

/// Counts one context as open.
#[derive(Debug)]
pub(super) struct OpenContext(Arc<AtomicUsize>);

impl Drop for OpenContext {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
