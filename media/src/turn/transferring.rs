//! Handing the caller to somebody else: last words, then the carrier's part, then the end of the call or its going on.
//!
//! From when the carrier is asked until it says how that went, the agent is as silent as on hold. A caller who hangs up meanwhile gives
//! the transfer up; one who comes back is told of it by the model, which is told why.

use trunkline_base::Personal;

use super::{Phase, TurnMachine, history::CalledTool, io::Output, reply::Then, timers::Timer};
use crate::{
    event::{CallEventKind, EndReason, InterruptionCause, ToolOutcome, TransferState, TurnSource},
    ids::TurnId,
    llm::ToolCall,
    telephony::{Keys, Transfer, TransferOutcome},
    time::MediaTime,
};

/// How often a model may try to hand a caller over before they are asked again. One that goes on has run away.
const TRIES: u32 = 2;

/// A transfer from when it is decided to its outcome.
#[derive(Debug, Clone)]
pub(super) struct Transferring {
    pub(super) transfer: Transfer,
    /// The model's call for it, if it was the model's idea.
    pub(super) call: Option<String>,
    /// Whether the carrier has been asked; before that, last words are heard.
    pub(super) started: bool,
}

impl TurnMachine {
    /// The outside wants the caller handed over. One transfer at a time, and none of a caller who is hearing goodbye.
    pub(super) fn on_transfer(&mut self, now: MediaTime, transfer: Transfer) {
        let last_words = self.reply.as_ref().is_some_and(|reply| reply.then.is_some());
        if self.phase != Phase::Live || self.transfer.is_some() || last_words || self.machine.is_some() {
            return;
        }
        self.cut_reply(now, InterruptionCause::Command);
        self.transfer = Some(Transferring { transfer, call: None, started: false });
        match self.config.transfer_words.clone() {
            Some(words) if self.attached => self.say(now, TurnSource::Hold, &words, false, Some(Then::Transfer)),
            _ => self.start_transfer(now),
        }
    }

    /// The model wants the caller handed over: after the words of this reply.
    pub(super) fn on_transfer_call(&mut self, now: MediaTime, turn: TurnId, call: ToolCall) {
        let found = self.config.transfer_tool.as_ref().map(|tool| {
            let name = call.arguments.expose().get("target").and_then(|name| name.as_str()).unwrap_or_default();
            let same = |known: &str| known.trim().eq_ignore_ascii_case(name.trim());
            let names = || tool.targets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            tool.targets
                .iter()
                .find_map(|(name, transfer)| same(name).then(|| transfer.clone()))
                .ok_or_else(|| ToolOutcome::Error(format!("there is no target of this name; there are: {}", names())))
        });
        let Some(found) = found else { return };
        let Some(reply) = &self.reply else { return };
        let found = if reply.then.is_some() || self.transfer.is_some() {
            Err(ToolOutcome::Error("the call is being ended or handed over already".into()))
        } else if self.failed_transfers >= TRIES {
            Err(ToolOutcome::Error("that has failed; ask the caller what to do".into()))
        } else {
            found
        };
        let id = call.id.clone();
        let refused = self.note_call(now, turn, call, found.as_ref().err().cloned(), true);
        if refused {
            return;
        }
        let (Ok(transfer), Some(reply)) = (found, self.reply.as_mut()) else { return };
        reply.then = Some(Then::Transfer);
        reply.interruptible = false;
        self.transfer = Some(Transferring { transfer, call: Some(id), started: false });
        self.reject_interruption(now, false);
    }

    /// The last words are heard: the carrier is asked.
    pub(super) fn start_transfer(&mut self, now: MediaTime) {
        if self.phase != Phase::Live {
            return;
        }
        let Some(under_way) = &mut self.transfer else { return };
        under_way.started = true;
        let transfer = under_way.transfer.clone();
        self.fall_silent(now);
        let mode = transfer.mode;
        self.emit(now, CallEventKind::Transfer { mode, state: TransferState::Started, outcome: None });
        self.timers.set(Timer::TransferTooLong, now + self.config.transfer_limit);
        self.outputs.push_back(Output::Transfer { transfer });
    }

    /// The carrier says how it went.
    pub(super) fn on_transfer_over(&mut self, now: MediaTime, outcome: TransferOutcome) {
        if !self.end_transfer(now, outcome.clone()) {
            return;
        }
        match outcome {
            TransferOutcome::Connected => self.leave(now, EndReason::Transferred),
            TransferOutcome::CallerHungUp => self.hang_up(now, EndReason::CallerHangup),
            _ if self.deaf => self.leave_deaf(now),
            _ => {
                self.failed_transfers += 1;
                self.owed = true;
                self.committed_until = self.committed_until.max(now);
                self.after_reply(now);
            }
        }
    }

    pub(super) fn on_transfer_too_long(&mut self, now: MediaTime) {
        self.outputs.push_back(Output::CancelTransfer);
        self.on_transfer_over(now, TransferOutcome::failed("no outcome in time"));
    }

    /// The call ends with a transfer under way.
    pub(super) fn abandon_transfer(&mut self, now: MediaTime, reason: EndReason) {
        let outcome = if reason == EndReason::CallerHangup {
            TransferOutcome::CallerHungUp
        } else {
            TransferOutcome::failed("the call was ended")
        };
        let started = self.transfer.as_ref().is_some_and(|transfer| transfer.started);
        if started {
            self.outputs.push_back(Output::CancelTransfer);
            self.end_transfer(now, outcome);
        } else if let Some(call) = self.transfer.take().and_then(|transfer| transfer.call) {
            self.finish_call(now, &call, ToolOutcome::Error(outcome.to_string()));
        }
    }

    /// Tells the outside and the model how it ended. Says whether there was one under way.
    fn end_transfer(&mut self, now: MediaTime, outcome: TransferOutcome) -> bool {
        let Some(Transferring { transfer, call, .. }) = self.transfer.take_if(|transfer| transfer.started) else {
            return false;
        };
        self.timers.stop(Timer::TransferTooLong);
        let words = outcome.to_string();
        let connected = outcome == TransferOutcome::Connected;
        let kind = CallEventKind::Transfer { mode: transfer.mode, state: TransferState::Over, outcome: Some(outcome) };
        self.emit(now, kind);
        match call {
            Some(call) => {
                let outcome = if connected {
                    ToolOutcome::Result(serde_json::json!({ "status": words }))
                } else {
                    ToolOutcome::Error(words)
                };
                self.finish_call(now, &call, outcome);
            }
            None if connected => {}
            None => self.history.push_caller(&format!("[The call could not be handed over: {words}.]")),
        }
        true
    }

    /// The caller is somebody else's: the call is over for us, and goes on at the carrier.
    fn leave(&mut self, now: MediaTime, reason: EndReason) {
        if self.phase != Phase::Live {
            return;
        }
        self.flush_caller(now);
        self.discard_speculation(now);
        self.cut_reply(now, InterruptionCause::Command);
        self.phase = Phase::Ending(reason);
        self.timers.stop_all();
        self.outputs.push_back(Output::Leave { reason });
    }

    /// The outside wants keys pressed.
    pub(super) fn on_send_keys(&mut self, now: MediaTime, keys: Keys) {
        if self.phase == Phase::Live {
            self.send_keys(now, keys, None);
        }
    }

    /// The model wants keys pressed.
    pub(super) fn on_keys_call(&mut self, now: MediaTime, turn: TurnId, call: ToolCall) {
        let keys =
            call.arguments.expose().get("keys").and_then(|keys| keys.as_str()).unwrap_or_default().parse::<Keys>();
        let refused = keys.as_ref().err().map(|error| ToolOutcome::Error(format!("keys {error}")));
        let id = call.id.clone();
        let refused = self.note_call(now, turn, call, refused, false);
        if let (false, Ok(keys)) = (refused, keys) {
            self.send_keys(now, keys, Some(id));
        }
    }

    fn send_keys(&mut self, now: MediaTime, keys: Keys, call: Option<String>) {
        for _ in 0..keys.pressed() {
            let direction = crate::event::Direction::Outbound;
            self.emit(now, CallEventKind::Dtmf { digit: Personal::new('x'), direction });
        }
        self.outputs.push_back(Output::SendKeys { keys, call });
    }

    /// The carrier took the keys, or did not.
    pub(super) fn on_keys_sent(&mut self, now: MediaTime, call: Option<String>, error: Option<String>) {
        let outcome = match &error {
            None => ToolOutcome::Result(serde_json::json!({ "status": "pressed" })),
            Some(_) => ToolOutcome::Error("the keys could not be pressed".into()),
        };
        if let Some(cause) = error {
            let (provider, phase) = ("carrier".into(), "keys".into());
            self.emit(now, CallEventKind::VendorFault { provider, phase, cause, recovered: true });
        }
        if let Some(call) = call {
            self.on_tool_finished(now, &call, outcome);
        }
    }

    /// Notes a call of a tool that the machine sees to itself. Says whether it is refused.
    fn note_call(
        &mut self,
        now: MediaTime,
        turn: TurnId,
        call: ToolCall,
        refused: Option<ToolOutcome>,
        detached: bool,
    ) -> bool {
        self.end_clause(now);
        let Some(reply) = &mut self.reply else { return true };
        let refused = refused.or_else(|| super::thinking::too_many(reply));
        let is_refused = refused.is_some();
        reply.segment().tools.push(CalledTool { call: call.clone(), outcome: refused.clone(), detached });
        self.emit_tool_called(now, turn, &call);
        if let Some(outcome) = refused {
            let kind = CallEventKind::ToolFinished { call: call.id, name: call.name, outcome: Personal::new(outcome) };
            self.emit(now, kind);
        }
        is_refused
    }
}
