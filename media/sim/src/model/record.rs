//! What was asked, what was answered and when, and how it ended.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use axum::http::HeaderMap;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    event::{SimEvent, SimEventKind, report},
    log::Log,
};

/// How many requests are remembered.
const KEPT: usize = 2_000;

/// A request to the model and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRecord {
    /// The answer's id, as the answer carries it.
    pub id: String,
    /// When the whole request was there.
    pub received: Instant,
    /// The headers of interest, in lower case: never the key.
    pub headers: BTreeMap<String, String>,
    /// The body; null if it is no JSON.
    pub body: Value,
    /// The content deltas and when each was handed to the socket.
    pub tokens: Vec<(Instant, String)>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub ended: Option<Instant>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has not.
    Running,
    /// The answer was sent to its end.
    Completed,
    /// The client went away before the end: this is how an answer is cancelled.
    Disconnected,
    /// It was refused with this HTTP status.
    Refused(u16),
    /// An error was reported inside the answer.
    Errored,
    /// The simulator cut or spoiled the answer.
    Faulted,
}

impl RequestRecord {
    /// The messages of the request; empty if it has none.
    pub fn messages(&self) -> &[Value] {
        self.body.get("messages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The content that was sent.
    pub fn said(&self) -> String {
        self.tokens.iter().map(|(_, token)| token.as_str()).collect()
    }
}

pub(crate) struct Records {
    pub(crate) log: Log<RequestRecord>,
    count: AtomicU64,
    prefix: &'static str,
    headers: &'static [&'static str],
}

impl Records {
    /// No records yet. `prefix` begins the answers' ids; `headers` are those of a request that are recorded, never the key.
    pub(crate) fn new(prefix: &'static str, headers: &'static [&'static str]) -> Self {
        Self { log: Log::new(KEPT), count: AtomicU64::new(0), prefix, headers }
    }

    pub(crate) fn open(&self, received: Instant, headers: &HeaderMap, body: &[u8]) -> Ending {
        let id = format!("{}{}", self.prefix, uuid::Uuid::new_v4().simple());
        let of_interest = self.headers.iter().filter_map(|name| {
            let value = headers.get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        });
        let entry = self.log.push(RequestRecord {
            id: id.clone(),
            received,
            headers: of_interest.collect(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            tokens: Vec::new(),
            outcome: Outcome::Running,
            ended: None,
        });
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        Ending { log: self.log.clone(), entry, number, id, tokens: 0, ended: false, events: None }
    }
}

/// One request's pen in the log. Dropped before [`Self::end`], the client has gone: that is how a server learns of it.
pub(crate) struct Ending {
    log: Log<RequestRecord>,
    entry: u64,
    number: u64,
    id: String,
    tokens: usize,
    ended: bool,
    events: Option<UnboundedSender<SimEvent>>,
}

impl Ending {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The request's number, counted from 0.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// From now on, events are reported too.
    pub(crate) fn announce(&mut self, events: Option<UnboundedSender<SimEvent>>) {
        self.events = events;
    }

    /// A content delta was sent.
    pub(crate) fn token(&mut self, text: &str) {
        let now = Instant::now();
        self.log.update(self.entry, |record| record.tokens.push((now, text.to_owned())));
        let index = self.tokens;
        self.tokens += 1;
        report(self.events.as_ref(), || SimEventKind::LlmDelta { id: self.id.clone(), index, text: text.to_owned() });
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = Instant::now();
        self.log.update(self.entry, |record| {
            record.outcome = outcome;
            record.ended = Some(now);
        });
        report(self.events.as_ref(), || SimEventKind::LlmEnd {
            id: self.id.clone(),
            disconnected: outcome == Outcome::Disconnected,
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Outcome::Disconnected);
    }
}
