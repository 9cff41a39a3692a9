//! From what happened in a call to the values of its rows: a pure function of its events.
//!
//! Events come in the order of `seq`, and what is new is taken whenever its owner likes: `turns` and `conversation_events` are upserted by
//! the numbers that the engine gave them, so a row that is known better later simply comes again. What has been taken is forgotten, so that
//! a long call holds no more than a short one. Everything spoken has a row, whatever produced it; a transcript is read by `started_ms`, when
//! speech began, which is not the order in which turns end.

mod rows;
mod writer;

use std::collections::VecDeque;

use trunkline_media::{
    event::{CallEvent, CallEventKind, EndReason, Speaker, TurnSource},
    ids::TurnId,
};

pub use self::{
    rows::{ConversationRow, EventRow, Rows, Status, TurnRow, TurnSpeaker, UsageRow},
    writer::{JournalHandle, JournalWriter},
};

/// How many of the caller's turns wait for their answer to be heard. Rarely more than one does: one that is cut is not answered.
const AWAITING: usize = 8;

/// Makes the rows of one call of its events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// What is new since it was last taken.
    new: Rows,
    answered: bool,
    /// The caller's last turns, which their answers' latency is still to be added to.
    awaiting: VecDeque<TurnRow>,
    /// What was generated for the agent's turn that is about to end: it is told just before.
    generated: Option<(TurnId, String)>,
    /// The turns of either side that are under way, for usage.
    caller: Option<TurnId>,
    agent: Option<TurnId>,
}

impl Journal {
    /// Of a call that was answered in another process, which has died: `answered_ms` is stored already.
    pub fn resumed() -> Self {
        Self { answered: true, ..Self::default() }
    }

    /// Takes note of one more event.
    pub fn handle_event(&mut self, event: &CallEvent) {
        match &event.kind {
            CallEventKind::Answered => {
                self.answered = true;
                let conversation = self.new.conversation.get_or_insert_default();
                conversation.status = Some(Status::Active);
                conversation.answered_ms = Some(event.at.as_millis());
            }
            CallEventKind::StreamAttached { reattached: true, .. } => {
                self.new.conversation.get_or_insert_default().reattached += 1;
            }
            CallEventKind::TurnStarted { turn, speaker: Speaker::Caller } => self.caller = Some(*turn),
            CallEventKind::ReplyStarted { turn, .. } => self.agent = Some(*turn),
            CallEventKind::ReplyEnded { turn, generated, interrupted, .. } => {
                self.agent = None;
                self.generated = interrupted.then(|| (*turn, generated.expose().clone()));
            }
            // The caller's turn was over before its answer was heard.
            CallEventKind::Latency(latency) => {
                if let Some(index) = self.awaiting.iter().position(|row| row.turn == latency.turn.0)
                    && let Some(mut row) = self.awaiting.remove(index)
                {
                    row.latency = Some(*latency);
                    self.new.put_turn(row);
                }
            }
            CallEventKind::TurnEnded { turn, speaker, text, started, ended, source } => {
                let generated = self.generated.take().filter(|(of, _)| of == turn).map(|(_, text)| text);
                let row = TurnRow {
                    turn: turn.0,
                    speaker: (*speaker).into(),
                    started_ms: started.as_millis(),
                    ended_ms: ended.as_millis(),
                    text: text.expose().clone(),
                    interrupted: generated.is_some(),
                    generated_text: generated,
                    source: *source,
                    latency: None,
                };
                if *speaker == Speaker::Caller {
                    self.caller = None;
                    if self.awaiting.len() == AWAITING {
                        self.awaiting.pop_front();
                    }
                    self.awaiting.push_back(row.clone());
                }
                self.new.put_turn(row);
            }
            CallEventKind::Usage { provider, unit, quantity, wasted } => {
                // A guess is thrown away while the caller goes on; what is heard belongs to no single turn.
                let turn = if provider == "stt" { None } else { self.agent.or(self.caller) };
                self.new.usage.push(UsageRow {
                    seq: event.seq,
                    at_ms: event.at.as_millis(),
                    provider: provider.clone(),
                    unit: unit.clone(),
                    quantity: *quantity,
                    wasted: *wasted,
                    turn: turn.map(|turn| turn.0),
                });
            }
            CallEventKind::Ended { reason } => {
                let status = status(self.answered, *reason);
                let conversation = self.new.conversation.get_or_insert_default();
                conversation.end_reason = Some(*reason);
                conversation.ended_ms = Some(event.at.as_millis());
                conversation.status = Some(status);
                self.new.ended = true;
            }
            _ => {}
        }
        self.new.events.extend(EventRow::of(event));
    }

    /// What is new since the last time.
    #[must_use]
    pub fn take(&mut self) -> Rows {
        std::mem::take(&mut self.new)
    }
}

/// A conversation that was answered is completed, unless a fault of ours or the carrier's ended it.
const fn status(answered: bool, reason: EndReason) -> Status {
    match reason {
        EndReason::MediaLost | EndReason::VendorFailed | EndReason::CarrierFailed => Status::Failed,
        EndReason::CallerHangup
        | EndReason::AgentHangup
        | EndReason::ApiHangup
        | EndReason::Transferred
        | EndReason::Voicemail
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

/// Why a call ended, in the database's words.
pub const fn end_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::CallerHangup => "caller_hangup",
        EndReason::AgentHangup => "agent_hangup",
        EndReason::ApiHangup => "api_hangup",
        EndReason::Transferred => "transferred",
        EndReason::Voicemail => "voicemail",
        EndReason::MaxDuration => "max_duration",
        EndReason::Idle => "idle",
        EndReason::MediaLost => "media_lost",
        EndReason::VendorFailed => "vendor_failed",
        EndReason::CarrierFailed => "carrier_failed",
        EndReason::Drained => "drained",
    }
}

/// What produced a turn, in the database's words.
pub const fn source(source: TurnSource) -> &'static str {
    match source {
        TurnSource::Speech => "speech",
        TurnSource::Dtmf => "dtmf",
        TurnSource::Backchannel => "backchannel",
        TurnSource::Consent => "consent",
        TurnSource::Greeting => "greeting",
        TurnSource::Llm => "llm",
        TurnSource::Idle => "idle",
        TurnSource::Goodbye => "goodbye",
        TurnSource::Say => "say",
        TurnSource::Hold => "hold",
        TurnSource::Voicemail => "voicemail",
        TurnSource::Apology => "apology",
        TurnSource::Resume => "resume",
    }
}
