//! How a reply ends: heard to its end, interrupted, or given up.

use trunkline_base::Personal;

use super::{
    Phase, TurnMachine, agent::FAILURES_ALLOWED, interruption::Interruption, io::Output, reply::Then, timers::Timer,
};
use crate::{
    event::{CallEventKind, EndReason, HeardText, InterruptionCause, Speaker, TurnSource},
    time::MediaTime,
};

impl TurnMachine {
    /// Phase one: pauses the agent if the caller is hearing it. Says whether it did.
    pub(super) fn detect_interruption(&mut self, now: MediaTime, speech_began: MediaTime) -> bool {
        let profile = *self.config.profile(self.state());
        let Some(reply) = &self.reply else { return false };
        if let Interruption::Held { since, .. } = self.interruption {
            self.interruption = Interruption::Held { since, speech_began };
            return false;
        }
        let heard_to_its_end = reply.all_sent() && reply.playout.heard_all_at() <= now;
        let audible = reply.first_frame.is_some() && !heard_to_its_end;
        if !audible || !reply.interruptible || !profile.interruptions || self.interruption == Interruption::Distrusted {
            return false;
        }
        self.interruption = Interruption::Held { since: now, speech_began };
        self.timers.set(Timer::HoldTooLong, Interruption::longest_hold(now));
        self.outputs.push_back(Output::Hold);
        true
    }

    /// Phase two, no: goes on from the same sample.
    pub(super) fn reject_interruption(&mut self, now: MediaTime, distrust: bool) {
        self.timers.stop(Timer::FalseInterruption);
        self.timers.stop(Timer::HoldTooLong);
        let Interruption::Held { since, .. } = self.interruption else { return };
        self.interruption = if distrust { Interruption::Distrusted } else { Interruption::None };
        self.outputs.push_back(Output::Release);
        if let Some(reply) = &self.reply {
            let kind = CallEventKind::FalseInterruption { paused_for: now.saturating_since(since), reply: reply.id };
            self.emit(now, kind);
        }
        self.note_progress(now);
    }

    /// Phase two, yes: the agent stops, and knows what was heard of it.
    pub(super) fn accept_interruption(&mut self, now: MediaTime) {
        self.cut_reply(now, InterruptionCause::BargeIn);
    }

    /// Stops the reply under way, if there is one.
    pub(super) fn cut_reply(&mut self, now: MediaTime, cause: InterruptionCause) {
        if let Some(reply) = &self.reply {
            let id = reply.id;
            // The wire comes first: everything after this line is bookkeeping.
            self.outputs.push_back(Output::Clear { epoch: reply.epoch });
            self.emit(now, CallEventKind::Interruption { cause, reply: id });
            self.unanswered = None;
            self.end_reply(now, true);
            // Whatever has cut it is answered together with what waited for its end.
            self.take_up_open_turn();
        }
    }

    /// The caller has heard the reply to its end.
    pub(super) fn complete_reply(&mut self, now: MediaTime) {
        let then = self.reply.as_ref().and_then(|reply| reply.then);
        self.end_reply(now, false);
        match then {
            Some(then) => self.follow(now, then),
            None => self.after_reply(now),
        }
    }

    /// What was to follow the last words follows.
    fn follow(&mut self, now: MediaTime, then: Then) {
        match then {
            Then::HangUp(reason) => self.hang_up(now, reason),
            Then::Transfer => self.start_transfer(now),
        }
    }

    /// Closes the books on the reply. `cut`: not all of it was heard.
    pub(super) fn end_reply(&mut self, now: MediaTime, cut: bool) {
        let Some(reply) = self.reply.take() else { return };
        for timer in [Timer::MarkMissing, Timer::ReplyStalled, Timer::FalseInterruption, Timer::HoldTooLong] {
            self.timers.stop(timer);
        }
        if matches!(self.interruption, Interruption::Held { .. }) {
            self.outputs.push_back(Output::Release);
        }
        self.interruption = Interruption::None;
        if let Some(generation) = reply.generation {
            self.outputs.push_back(Output::CancelGeneration { generation: generation.id });
            self.count_wasted(now, generation);
        }
        if cut && reply.first_text.is_some() {
            self.outputs.push_back(Output::CancelSpeech { reply: reply.id });
        }
        let samples = if cut { reply.playout.heard(now).min(reply.audio) } else { reply.audio };
        let heard_all = !cut || (reply.audio_finished && reply.text_finished && samples >= reply.audio);
        let text = if heard_all { reply.generated() } else { reply.heard_text(samples) };
        let heard = HeardText { text: Personal::new(text.clone()), audio: samples.duration(self.config.format.rate) };
        let kind = CallEventKind::ReplyEnded {
            reply: reply.id,
            turn: reply.turn,
            generated: Personal::new(reply.generated()),
            heard,
            interrupted: cut && !heard_all,
        };
        self.emit(now, kind);
        if let Some(started) = reply.first_frame {
            if heard_all {
                self.heard_whole_at = Some(now);
            }
            let kind = CallEventKind::TurnEnded {
                turn: reply.turn,
                speaker: Speaker::Agent,
                text: Personal::new(text),
                started,
                ended: now.min(reply.playout.heard_all_at().max(started)),
                source: reply.source,
            };
            self.emit(now, kind);
        }
        let heard_chars = if heard_all { None } else { Some(reply.heard_chars(samples)) };
        self.history.push_agent(reply.segments, heard_chars);
        if self.phase == Phase::Live && self.caller.is_none() {
            self.restart_idle(now);
        }
    }

    /// What waited for the reply to be over.
    pub(super) fn after_reply(&mut self, now: MediaTime) {
        if self.phase != Phase::Live || !self.listens() {
            return;
        }
        if self.greets_next {
            return self.greet(now);
        }
        let open = self.take_up_open_turn() | std::mem::take(&mut self.owed);
        if let Some(answering) = self.unanswered.take() {
            self.begin_reply(now, TurnSource::Llm, Some(answering));
            self.generate(now);
        } else if open && self.caller.is_none() {
            // Its own latency would tell how long nobody was there.
            self.begin_reply(now, TurnSource::Llm, None);
            self.generate(now);
        } else if self.caller.is_none()
            && let Some((text, interruptible)) = self.says.pop_front()
        {
            self.say(now, TurnSource::Say, &text, interruptible, None);
        }
    }

    /// A reply that neither thinks, speaks nor is heard is given up: the caller must never wait for ever.
    pub(super) fn on_reply_stalled(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        let waiting = reply.tools_running()
            || !self.attached
            || matches!(self.interruption, Interruption::Held { .. })
            || reply.playout.heard_all_at() > now;
        if waiting {
            return self.note_progress(now);
        }
        let kind = CallEventKind::VendorFault {
            provider: "engine".into(),
            phase: "reply".into(),
            cause: "no progress".into(),
            recovered: true,
        };
        self.emit(now, kind);
        self.give_up_reply(now);
    }

    /// The rest of a reply will not come. A caller who has heard nothing of it hears an apology, and after too many failures in a row
    /// the agent leaves.
    pub(super) fn give_up_reply(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        let (silent, then, epoch) = (reply.first_frame.is_none(), reply.then, reply.epoch);
        self.failures += 1;
        let give_up = self.failures >= FAILURES_ALLOWED;
        self.outputs.push_back(Output::Clear { epoch });
        self.end_reply(now, true);
        if let Some(then) = then {
            self.follow(now, then);
        } else if give_up {
            self.hang_up(now, EndReason::VendorFailed);
        } else if silent && self.listens() {
            let apology = self.config.apology.clone();
            self.say(now, TurnSource::Apology, &apology, true, None);
        } else {
            self.after_reply(now);
        }
    }
}
