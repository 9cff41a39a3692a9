//! What the server tells of its calls, as it happens.

use tokio::sync::mpsc;
use trunkline_base::CallId;
use trunkline_media::{
    call::{CallConfig, CallSummary},
    event::CallEvent,
};

use crate::calls::Observer;

/// Something that an observer was told.
#[derive(Debug)]
pub(super) enum Seen {
    Ringing(CallId),
    Event(CallEvent),
    Ended(CallSummary),
}

/// Passes on what happens in calls.
pub(super) struct Watch(mpsc::UnboundedSender<Seen>);

impl Watch {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Seen>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    fn tell(&self, seen: Seen) {
        // Whoever watched may have stopped.
        let _ = self.0.send(seen);
    }
}

impl Observer for Watch {
    fn ringing(&self, call: CallId, _config: &CallConfig) {
        self.tell(Seen::Ringing(call));
    }

    fn event(&self, _call: CallId, event: &CallEvent) {
        self.tell(Seen::Event(event.clone()));
    }

    fn ended(&self, _call: CallId, summary: &CallSummary) {
        self.tell(Seen::Ended(summary.clone()));
    }
}
