//! Events that wait for the call. Bounded: nothing is read from the socket while any waits, and what commands add is merged.

use std::collections::VecDeque;

use crate::{ids::ReplyId, tts::TtsEvent};

/// More reports of trouble than this aren't kept for a call that doesn't read.
const FAULTS: usize = 16;

#[derive(Default)]
pub(super) struct Outbox(VecDeque<TtsEvent>);

impl Outbox {
    pub(super) fn push(&mut self, event: TtsEvent) {
        let flood = matches!(event, TtsEvent::Fault { .. })
            && self.0.iter().filter(|event| matches!(event, TtsEvent::Fault { .. })).count() >= FAULTS;
        if !flood {
            self.0.push_back(event);
        }
    }

    pub(super) fn extend(&mut self, events: impl IntoIterator<Item = TtsEvent>) {
        self.0.extend(events);
    }

    /// Adds to the bill.
    pub(super) fn usage(&mut self, more: u64, of_cancelled: bool) {
        if more == 0 {
            return;
        }
        for event in &mut self.0 {
            if let TtsEvent::Usage { characters, wasted } = event
                && *wasted == of_cancelled
            {
                *characters += more;
                return;
            }
        }
        self.0.push_back(TtsEvent::Usage { characters: more, wasted: of_cancelled });
    }

    /// Drops what is about a reply.
    pub(super) fn forget(&mut self, id: ReplyId) {
        self.0.retain(|event| match event {
            TtsEvent::Audio { reply, .. } | TtsEvent::Done { reply } | TtsEvent::Failed { reply, .. } => *reply != id,
            TtsEvent::Fault { .. } | TtsEvent::Usage { .. } => true,
        });
    }

    pub(super) fn pop(&mut self) -> Option<TtsEvent> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
