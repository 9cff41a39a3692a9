//! From what happened in a call to the values of its rows: a pure function of its events.
//!
//! Events come in the order of `seq`; rows are ordered by when speech *started* on the media clock, not by when a transcript arrived,
//! and everything spoken has one, whatever produced it.

mod rows;

pub use rows::{ConversationRow, EventRow, Status, TurnRow, TurnSpeaker};

use trunkline_media::event::{CallEvent, CallEventKind, EndReason, Speaker};

/// The rows of one call, as far as its events are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    conversation: ConversationRow,
    /// In the order in which the turns ended.
    turns: Vec<TurnRow>,
    events: Vec<EventRow>,
    /// What was generated for the agent's turn that is about to end: it is told just before.
    generated: Option<(u32, String)>,
}

impl Journal {
    /// Takes note of one more event.
    pub fn handle_event(&mut self, event: &CallEvent) {
        match &event.kind {
            CallEventKind::Answered => {
                self.conversation.status = Status::Active;
                self.conversation.answered_ms = Some(event.at.as_millis());
            }
            CallEventKind::StreamAttached { reattached: true, .. } => self.conversation.reattached += 1,
            CallEventKind::ReplyEnded { turn, generated, interrupted, .. } => {
                self.generated = interrupted.then(|| (turn.0, generated.expose().clone()));
            }
            // The caller's turn was over before its answer was heard.
            CallEventKind::Latency(latency) => {
                if let Some(row) = self.turns.iter_mut().find(|row| row.turn == latency.turn.0) {
                    row.latency = Some(*latency);
                }
            }
            CallEventKind::TurnEnded { turn, speaker, text, started, ended, source } => {
                let generated = self.generated.take().filter(|(of, _)| *of == turn.0).map(|(_, text)| text);
                self.turns.push(TurnRow {
                    turn: turn.0,
                    speaker: match speaker {
                        Speaker::Caller => TurnSpeaker::Customer,
                        Speaker::Agent => TurnSpeaker::Agent,
                    },
                    started_ms: started.as_millis(),
                    ended_ms: ended.as_millis(),
                    text: text.expose().clone(),
                    interrupted: generated.is_some(),
                    generated_text: generated,
                    source: *source,
                    latency: None,
                });
            }
            CallEventKind::Ended { reason } => {
                self.conversation.end_reason = Some(*reason);
                self.conversation.ended_ms = Some(event.at.as_millis());
                self.conversation.status = status(self.conversation.answered_ms.is_some(), *reason);
            }
            _ => {}
        }
        self.events.extend(EventRow::of(event));
    }

    /// The conversation's own columns.
    pub const fn conversation(&self) -> &ConversationRow {
        &self.conversation
    }

    /// The transcript, by when speech started.
    pub fn turns(&self) -> Vec<TurnRow> {
        let mut turns = self.turns.clone();
        turns.sort_by_key(|turn| (turn.started_ms, turn.turn));
        turns
    }

    /// The rows of `conversation_events`.
    pub fn events(&self) -> &[EventRow] {
        &self.events
    }
}

/// A conversation that was answered is completed, unless a fault of ours or the carrier's ended it.
const fn status(answered: bool, reason: EndReason) -> Status {
    match reason {
        EndReason::MediaLost | EndReason::VendorFailed => Status::Failed,
        EndReason::CallerHangup
        | EndReason::AgentHangup
        | EndReason::ApiHangup
        | EndReason::MaxDuration
        | EndReason::Idle
        | EndReason::Drained => {
            if answered {
                Status::Completed
            } else {
                Status::Failed
            }
        }
    }
}
