//! Who or what answered: the agent greets at once, and does what is configured when the carrier says that it greets a machine.
//!
//! A verdict takes seconds and may be wrong. One that comes after a conversation has begun is ignored: a caller who has answered what
//! the agent had said to its end is a human.

use super::{Phase, TurnMachine, config::VoicemailAction, endpointing::CallerTurn, reply::Then, timers::Timer};
use crate::{
    event::{CallEventKind, EndReason, TurnSource},
    telephony::AnsweredBy,
    time::MediaTime,
};

/// A machine that is to get a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// Its greeting plays.
    Greets,
    /// It records.
    Records,
}

impl TurnMachine {
    pub(super) fn machine_greets(&self) -> bool {
        self.machine == Some(Machine::Greets)
    }

    /// The carrier's verdict.
    pub(super) fn on_answered_by(&mut self, now: MediaTime, by: AnsweredBy) {
        if !matches!(self.phase, Phase::Live | Phase::Waiting) {
            return;
        }
        self.emit(now, CallEventKind::AnsweredBy { by });
        let last_words = self.reply.as_ref().is_some_and(|reply| reply.then.is_some());
        if self.conversed || self.transfer.is_some() || last_words {
            return;
        }
        let action = self.config.voicemail.action;
        match by {
            AnsweredBy::Human | AnsweredBy::Unknown => {}
            AnsweredBy::Fax => self.hang_up_now(now, EndReason::Voicemail),
            AnsweredBy::CallScreening => self.say_who_calls(now),
            AnsweredBy::Machine | AnsweredBy::MachineReady => match (action, self.config.voicemail.message.clone()) {
                (VoicemailAction::Continue, _) => {}
                (VoicemailAction::LeaveMessage, Some(message)) if by == AnsweredBy::MachineReady => {
                    self.leave_message(now, &message);
                }
                (VoicemailAction::LeaveMessage, Some(_)) => self.await_beep(now),
                (VoicemailAction::HangUp | VoicemailAction::LeaveMessage, _) => {
                    self.hang_up_now(now, EndReason::Voicemail);
                }
            },
        }
    }

    /// Silence until the machine's own greeting is over.
    fn await_beep(&mut self, now: MediaTime) {
        if self.machine.is_some() {
            return;
        }
        self.fall_silent(now);
        self.greets_next = false;
        self.machine = Some(Machine::Greets);
        self.timers.set(Timer::NoBeep, now + self.config.voicemail.limit);
    }

    fn leave_message(&mut self, now: MediaTime, message: &str) {
        self.timers.stop(Timer::NoBeep);
        self.fall_silent(now);
        self.greets_next = false;
        self.machine = Some(Machine::Records);
        self.says.clear();
        self.say(now, TurnSource::Voicemail, message, false, Some(Then::HangUp(EndReason::Voicemail)));
    }

    /// The machine's greeting is over for all we know: a message is better left too early than not at all.
    pub(super) fn on_no_beep(&mut self, now: MediaTime) {
        if let Some(message) = self.config.voicemail.message.clone() {
            self.leave_message(now, &message);
        }
    }

    /// An assistant asks who calls, and lets its owner decide: it gets our first words, once more and whole.
    fn say_who_calls(&mut self, now: MediaTime) {
        let message = self.config.voicemail.message.as_deref().and_then(first_sentence);
        let greeting = self.config.greeting.as_ref().map(|greeting| greeting.text.clone());
        let Some(words) = greeting.or_else(|| message.map(str::to_owned)) else { return };
        self.fall_silent(now);
        // What the assistant said is not a question to the model.
        self.owed = false;
        self.greets_next = false;
        self.say(now, TurnSource::Greeting, &words, false, None);
    }

    /// Notes whether the caller has answered something that was heard to its end.
    pub(super) fn note_conversed(&mut self, turn: &CallerTurn) {
        self.conversed |= self.heard_whole_at.is_some_and(|at| turn.started >= at);
    }
}

/// The words up to the first full stop.
fn first_sentence(text: &str) -> Option<&str> {
    let end = text.char_indices().find(|(_, ch)| matches!(ch, '.' | '!' | '?')).map_or(text.len(), |(at, _)| at + 1);
    Some(text[..end].trim()).filter(|words| !words.is_empty())
}
