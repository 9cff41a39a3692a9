//! What the server tells of its calls.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;
use trunkline::calls::Observer;
use trunkline_base::CallId;
use trunkline_media::{
    call::{CallConfig, CallSummary},
    event::{CallEvent, CallEventKind, EndReason, Speaker, TurnSource},
};

use crate::world::LIMIT;

/// What was told of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Its events, with when each was told.
    pub(crate) events: Vec<(Instant, CallEvent)>,
    pub(crate) summary: Option<CallSummary>,
}

/// A reply of the agent that is over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replied {
    pub(crate) generated: String,
    pub(crate) heard: String,
    pub(crate) interrupted: bool,
}

impl Told {
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &CallEventKind> {
        self.events.iter().map(|(_, event)| &event.kind)
    }

    /// What one side said, turn by turn.
    pub(crate) fn said(&self, by: Speaker) -> Vec<String> {
        let text = |kind: &CallEventKind| match kind {
            CallEventKind::TurnEnded { speaker, text, .. } if *speaker == by => Some(text.expose().clone()),
            _ => None,
        };
        self.kinds().filter_map(text).collect()
    }

    pub(crate) fn sources(&self) -> Vec<TurnSource> {
        let source = |kind: &CallEventKind| match kind {
            CallEventKind::ReplyStarted { source, .. } => Some(*source),
            _ => None,
        };
        self.kinds().filter_map(source).collect()
    }

    pub(crate) fn replies(&self) -> Vec<Replied> {
        let reply = |kind: &CallEventKind| match kind {
            CallEventKind::ReplyEnded { generated, heard, interrupted, .. } => Some(Replied {
                generated: generated.expose().clone(),
                heard: heard.text.expose().clone(),
                interrupted: *interrupted,
            }),
            _ => None,
        };
        self.kinds().filter_map(reply).collect()
    }

    /// Faults of a vendor: whether each was mended.
    pub(crate) fn faults(&self, of: &str) -> Vec<bool> {
        let fault = |kind: &CallEventKind| match kind {
            CallEventKind::VendorFault { provider, recovered, .. } if provider == of => Some(*recovered),
            _ => None,
        };
        self.kinds().filter_map(fault).collect()
    }

    pub(crate) fn ended(&self) -> Vec<EndReason> {
        let reason = |kind: &CallEventKind| match kind {
            CallEventKind::Ended { reason } => Some(*reason),
            _ => None,
        };
        self.kinds().filter_map(reason).collect()
    }
}

/// Watches all calls of a server.
#[derive(Default)]
pub(crate) struct Watch {
    calls: Mutex<BTreeMap<String, Told>>,
    changed: Notify,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, call: CallId, change: impl FnOnce(&mut Told)) {
        change(self.lock().entry(call.to_string()).or_default());
        self.changed.notify_waiters();
    }

    /// What was told of a call so far.
    pub(crate) fn told(&self, call: &str) -> Told {
        self.lock().get(call).cloned().unwrap_or_default()
    }

    /// Waits for a call that was not among these.
    pub(crate) async fn next_id(&self, known: &[String]) -> String {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(id) = self.ids().into_iter().find(|id| !known.contains(id)) {
                    return id;
                }
                changed.await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("a call rings")
    }

    /// The calls that rang.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// How many calls rang.
    pub(crate) fn calls(&self) -> usize {
        self.lock().len()
    }

    /// Waits until something is told of a call.
    pub(crate) async fn until<T>(&self, call: &str, what: &str, mut find: impl FnMut(&Told) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = self.lock().get(call).and_then(&mut find) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(LIMIT, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{what} is not told: {:#?}", self.told(call).events),
        }
    }

    /// Waits for a call's end.
    pub(crate) async fn summary(&self, call: &str) -> CallSummary {
        self.until(call, "the end", |told| told.summary.clone()).await
    }

    /// Waits for a call's end and gives all that was told of it.
    pub(crate) async fn ended(&self, call: &str) -> Told {
        self.summary(call).await;
        self.told(call)
    }
}

impl Observer for Watch {
    fn ringing(&self, call: CallId, _config: &CallConfig) {
        self.change(call, |_| {});
    }

    fn event(&self, call: CallId, event: &CallEvent) {
        let now = Instant::now();
        self.change(call, |told| told.events.push((now, event.clone())));
    }

    fn ended(&self, call: CallId, summary: &CallSummary) {
        self.change(call, |told| told.summary = Some(summary.clone()));
    }
}
