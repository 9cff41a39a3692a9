//! When the agent neither speaks nor listens: on hold, while a transfer is under way, and while a machine's greeting plays.
//!
//! What the caller had said by then and what was cut is remembered as owed: whoever comes back from hold gets the answer.

use super::{Phase, TurnMachine, timers::Timer};
use crate::{
    event::{CallEventKind, InterruptionCause, TurnSource},
    time::MediaTime,
};

impl TurnMachine {
    /// Whether what the caller says is meant for the agent now.
    pub fn listens(&self) -> bool {
        !self.held && !self.machine_greets() && !self.transfer.as_ref().is_some_and(|transfer| transfer.started)
    }

    /// The outside puts the caller on hold, or takes them off it. Last words are not held up.
    pub(super) fn on_hold(&mut self, now: MediaTime, on: bool) {
        let last_words = self.reply.as_ref().is_some_and(|reply| reply.then.is_some());
        if self.phase != Phase::Live || self.held == on || (on && last_words) {
            return;
        }
        let listened = self.listens();
        self.held = on;
        self.emit(now, CallEventKind::Hold { on });
        if on && listened {
            self.fall_silent(now);
            if let Some(words) = self.config.on_hold.clone().filter(|_| self.attached) {
                self.say(now, TurnSource::Hold, &words, false, None);
            }
        } else if self.listens() && !last_words {
            self.take_up(now);
        }
    }

    /// Ends whatever either side is saying, and remembers what is owed.
    pub(super) fn fall_silent(&mut self, now: MediaTime) {
        self.discard_speculation(now);
        // An answer that was cut is asked for again; words that need no thought are not.
        self.owed |= self.unanswered.take().is_some() || self.left_open.is_some();
        self.owed |= self.reply.as_ref().is_some_and(|reply| reply.source == TurnSource::Llm && reply.then.is_none());
        self.cut_reply(now, InterruptionCause::Command);
        self.take_up_open_turn();
        if let Some((_, text)) = self.end_keys(now) {
            self.history.push_caller(&text);
            self.owed = true;
        }
        if let Some(turn) = self.caller.take() {
            self.end_caller_turn(now, &turn, TurnSource::Speech);
            self.history.push_caller(&turn.text());
            self.owed = true;
        }
        for timer in [Timer::Idle, Timer::EndOfTurn, Timer::Finalize, Timer::DtmfCollect] {
            self.timers.stop(timer);
        }
        self.endpointing.handle_speech_stopped(now);
        self.committed_until = self.committed_until.max(now);
    }

    /// The caller is back.
    fn take_up(&mut self, now: MediaTime) {
        self.cut_reply(now, InterruptionCause::Command);
        self.committed_until = self.committed_until.max(now);
        self.idle_prompts = 0;
        match self.config.off_hold.clone() {
            Some(words) if self.attached => self.say(now, TurnSource::Hold, &words, true, None),
            _ => {
                self.restart_idle(now);
                self.after_reply(now);
            }
        }
    }
}
