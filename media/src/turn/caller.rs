//! The caller's side of the machine: from sound and transcripts to a turn that wants an answer.

use std::time::Duration;

use trunkline_base::Personal;

use super::{
    CallerTurn, Phase, TurnMachine, endpointing,
    interruption::{Interruption, Words, read},
    io::Output,
    reply::{Answering, Then},
    timers::Timer,
};
use crate::{
    event::{CallEventKind, EndReason, InterruptionCause, Speaker, Stability, TurnSource},
    ids::TurnId,
    stt::{SttEvent, TurnDetection},
    time::MediaTime,
};

/// Silence after which the recogniser is asked to say what it has.
const FINALIZE_AFTER: Duration = Duration::from_millis(250);
/// A recogniser with a turn model of its own that has said nothing for so long after the last word has lost the turn.
const RECOGNISER_PATIENCE: Duration = Duration::from_secs(7);
/// So close to the end of what the agent has to say, a sign of listening is an answer.
const ANSWER_GUARD: Duration = Duration::from_secs(1);
/// How far the end of words that were dealt with may move in a late transcript of them.
const LATE: Duration = Duration::from_millis(300);

impl TurnMachine {
    pub(super) fn on_voice_started(&mut self, now: MediaTime, at: MediaTime) {
        if !self.listens() {
            return;
        }
        self.endpointing.handle_speech_started(at);
        // Sound puts the prompt off; only words, which may be missing for ever, put it away.
        if self.timers.is_set(Timer::Idle) {
            self.restart_idle(now);
        }
        self.timers.stop(Timer::Finalize);
        self.timers.stop(Timer::FalseInterruption);
        self.detect_interruption(now, at);
        self.update_endpoint(now);
    }

    pub(super) fn on_voice_stopped(&mut self, now: MediaTime, at: MediaTime) {
        self.endpointing.handle_speech_stopped(at);
        if !self.listens() {
            return;
        }
        if let Interruption::Held { speech_began, .. } = self.interruption {
            let wait = Interruption::wait_after_speech(speech_began, at, now, self.config.profile(self.state()));
            self.timers.set(Timer::FalseInterruption, wait);
        }
        if self.config.turn_detection == TurnDetection::Endpointing {
            self.timers.set(Timer::Finalize, (at + FINALIZE_AFTER).max(now));
        }
        if self.caller.is_some() {
            // The pause was heard by the recogniser first, as it often is.
            self.guess_end_of_turn(now);
            self.update_endpoint(now);
        } else if self.reply.is_none() {
            self.restart_idle(now);
        }
    }

    pub(super) fn on_stt(&mut self, now: MediaTime, event: SttEvent) {
        match event {
            SttEvent::SpeechStarted { at } => self.on_recogniser_heard_speech(now, at),
            SttEvent::Interim { text, start, end } => {
                if self.note_words(now, text.expose(), start, end) {
                    let turn = self.caller.as_mut().expect("note_words opens the turn");
                    let whole = self.config.turn_detection == TurnDetection::Recogniser;
                    turn.set_interim(text.expose(), start, end, whole);
                    self.on_words(now, Stability::Interim, &text);
                }
            }
            SttEvent::Final { text, start, end } => {
                if self.note_words(now, text.expose(), start, end) {
                    let turn = self.caller.as_mut().expect("note_words opens the turn");
                    turn.push_final(now, text.expose(), start, end);
                    self.on_words(now, Stability::Final, &text);
                }
            }
            SttEvent::EndpointHint { last_word_end } => {
                // A pause after words that are dealt with, or before words that have come since, says nothing about this turn.
                if let Some(turn) = &mut self.caller
                    && last_word_end.is_none_or(|end| end + LATE >= turn.ended)
                {
                    turn.hint();
                    self.guess_end_of_turn(now);
                    self.update_endpoint(now);
                }
            }
            SttEvent::EagerEndOfTurn { text, start, end } => {
                if self.note_words(now, text.expose(), start, end) {
                    let turn = self.caller.as_mut().expect("note_words opens the turn");
                    turn.set_whole(now, text.expose(), start, end);
                    turn.hint();
                    self.on_words(now, Stability::Interim, &text);
                    self.guess_end_of_turn(now);
                }
            }
            SttEvent::TurnResumed => self.discard_speculation(now),
            SttEvent::EndOfTurn { text, start, end } => {
                if self.note_words(now, text.expose(), start, end) {
                    let turn = self.caller.as_mut().expect("note_words opens the turn");
                    turn.set_whole(now, text.expose(), start, end);
                    self.on_words(now, Stability::Final, &text);
                    self.commit_caller_turn(now, TurnSource::Speech);
                }
            }
            SttEvent::Fault { phase, cause, recovered } => {
                let phase = match phase {
                    crate::stt::SttPhase::Connect => "connect",
                    crate::stt::SttPhase::Stream => "stream",
                };
                self.emit(
                    now,
                    CallEventKind::VendorFault { provider: "stt".into(), phase: phase.into(), cause, recovered },
                );
            }
            SttEvent::Failed { cause } => {
                let kind = CallEventKind::VendorFault {
                    provider: "stt".into(),
                    phase: "session".into(),
                    cause,
                    recovered: false,
                };
                self.emit(now, kind);
                // An agent that cannot hear must not keep a caller on the line.
                self.deaf = true;
                if self.transfer.is_some() || self.machine.is_some() {
                    // What is under way needs no ears.
                } else if self.phase == Phase::Live {
                    self.leave_deaf(now);
                } else {
                    self.hang_up(now, EndReason::VendorFailed);
                }
            }
            SttEvent::Usage { audio } => {
                let kind = CallEventKind::Usage {
                    provider: "stt".into(),
                    unit: "audio_ms".into(),
                    quantity: audio.as_millis() as u64,
                    wasted: false,
                };
                self.emit(now, kind);
            }
        }
    }

    /// Ends the call with an apology: nothing that the caller says is heard.
    pub(super) fn leave_deaf(&mut self, now: MediaTime) {
        self.held = false;
        self.cut_reply(now, InterruptionCause::Command);
        let apology = self.config.apology.clone();
        self.say(now, TurnSource::Apology, &apology, false, Some(Then::HangUp(EndReason::VendorFailed)));
    }

    /// The recogniser's own voice activity: missing for some speech and there for some noise, so it starts the clock of a pause
    /// that voice activity did not, and nothing else.
    fn on_recogniser_heard_speech(&mut self, now: MediaTime, at: MediaTime) {
        if !self.listens() {
            return;
        }
        self.timers.stop(Timer::Idle);
        if self.endpointing.voiced_since().is_none() {
            let wait = now + self.config.profile(self.state()).false_after;
            if self.detect_interruption(now, at) {
                self.timers.set(Timer::FalseInterruption, wait);
            } else if self.reply.is_none() && self.caller.is_none() {
                self.restart_idle(now);
            }
        }
    }

    /// Opens the caller's turn at its first word. Says whether the words are news.
    fn note_words(&mut self, now: MediaTime, text: &str, start: MediaTime, end: MediaTime) -> bool {
        if text.trim().is_empty() || matches!(self.phase, Phase::Ending(_)) || !self.listens() {
            return false;
        }
        let late = end <= self.committed_until || (start < self.committed_until && end <= self.committed_until + LATE);
        if late {
            // Whether or not another turn is under way: they are not of it.
            return false;
        }
        self.timers.stop(Timer::Idle);
        self.idle_prompts = 0;
        if self.caller.is_none() {
            let turn = self.take_turn_id();
            self.caller = Some(CallerTurn::new(turn, start));
            self.emit(now, CallEventKind::TurnStarted { turn, speaker: Speaker::Caller });
        }
        true
    }

    /// The caller's turn has other words than before.
    fn on_words(&mut self, now: MediaTime, stability: Stability, piece: &Personal<String>) {
        let Some(turn) = &self.caller else { return };
        let (id, text, settled) = (turn.turn, turn.text(), stability == Stability::Final && !turn.is_interim());
        self.emit(now, CallEventKind::Transcript { turn: id, stability, text: piece.clone() });
        if self.speculation.as_ref().is_some_and(|speculation| !endpointing::same_words(&speculation.text, &text)) {
            self.discard_speculation(now);
        }
        self.weigh_words(now, &text, settled);
        if self.caller.is_some() {
            self.guess_end_of_turn(now);
            self.update_endpoint(now);
        }
    }

    /// What do these words mean for the reply under way?
    fn weigh_words(&mut self, now: MediaTime, text: &str, settled: bool) {
        let state = self.state();
        let Some(reply) = &self.reply else { return };
        let profile = *self.config.profile(state);
        if !reply.interruptible || !profile.interruptions {
            return;
        }
        let audible = reply.first_frame.is_some();
        match read(text, settled, &profile, &self.config.backchannels) {
            Words::BargeIn if audible => self.accept_interruption(now),
            // A caller who says hello while the greeting is on its way has not cut anything.
            Words::BargeIn if reply.source == TurnSource::Greeting => {}
            Words::BargeIn => self.cut_reply(now, InterruptionCause::TurnResumed),
            // "Yes" to a question that is all but over is its answer, and waits for the reply's end.
            Words::Backchannel if reply.left_to_hear(now).is_some_and(|left| left <= ANSWER_GUARD) => {
                self.reject_interruption(now, false);
            }
            Words::Backchannel => {
                if let Some(turn) = self.caller.take() {
                    self.end_caller_turn(now, &turn, TurnSource::Backchannel);
                }
                self.timers.stop(Timer::EndOfTurn);
                self.reject_interruption(now, false);
            }
            Words::Undecided if audible => {
                if self.detect_interruption(now, now) && self.endpointing.voiced_since().is_none() {
                    self.timers.set(Timer::FalseInterruption, now + profile.false_after);
                }
            }
            Words::Undecided => {}
        }
    }

    /// Starts thinking on the guess that the turn is over.
    fn guess_end_of_turn(&mut self, now: MediaTime) {
        if !self.config.eager || self.speculation.is_some() || self.reply.is_some() || self.phase != Phase::Live {
            return;
        }
        let Some(turn) = &self.caller else { return };
        let voiced = self.endpointing.voiced_since().is_some();
        if turn.looks_over() && (!voiced || self.config.turn_detection == TurnDetection::Recogniser) {
            let text = turn.text();
            self.speculate(now, text);
        }
    }

    /// Sets the time at which the turn ends if nothing else happens.
    pub(super) fn update_endpoint(&mut self, now: MediaTime) {
        let Some(turn) = &self.caller else {
            self.timers.stop(Timer::EndOfTurn);
            return;
        };
        let at = match self.config.turn_detection {
            TurnDetection::Endpointing => self.endpointing.deadline(turn, self.config.profile(self.state())),
            // The recogniser decides; this only mends a turn that it has lost.
            TurnDetection::Recogniser => Some(turn.ended.max(now) + RECOGNISER_PATIENCE),
        };
        match at {
            Some(at) => self.timers.set(Timer::EndOfTurn, at.max(now)),
            None => self.timers.stop(Timer::EndOfTurn),
        }
    }

    pub(super) fn ask_finalize(&mut self) {
        if let Some(turn) = &mut self.caller
            && turn.is_interim()
            && !turn.finalize_asked
        {
            turn.finalize_asked = true;
            self.outputs.push_back(Output::FinalizeStt);
        }
    }

    /// The caller's turn is over: answer it.
    pub(super) fn commit_caller_turn(&mut self, now: MediaTime, source: TurnSource) {
        self.timers.stop(Timer::EndOfTurn);
        self.timers.stop(Timer::Finalize);
        if let Some(turn) = &self.caller {
            let text = turn.text();
            self.weigh_words(now, &text, true);
        }
        let Some(turn) = self.caller.take() else { return };
        self.end_caller_turn(now, &turn, source);
        self.note_conversed(&turn);
        self.failed_transfers = 0;
        let text = turn.text();
        self.take_up_open_turn();
        self.history.push_caller(&text);
        let answering =
            Answering { turn: turn.turn, speech_end: turn.ended, decided: now, transcribed: turn.transcribed };
        self.answer(now, answering, &text);
    }

    /// The keys that were pressed since the last turn of keys get their entry.
    pub(super) fn end_keys(&mut self, now: MediaTime) -> Option<(TurnId, String)> {
        let keys = std::mem::take(&mut self.keys);
        if keys.is_empty() {
            return None;
        }
        let turn = self.take_turn_id();
        let text = format!("[pressed {keys}]");
        self.emit(now, CallEventKind::TurnStarted { turn, speaker: Speaker::Caller });
        let kind = CallEventKind::TurnEnded {
            turn,
            speaker: Speaker::Caller,
            text: Personal::new(text.clone()),
            started: self.keys_since,
            ended: now,
            source: TurnSource::Dtmf,
        };
        self.emit(now, kind);
        Some((turn, text))
    }

    /// The caller's keys are a turn of their own.
    pub(super) fn commit_keys(&mut self, now: MediaTime) {
        self.timers.stop(Timer::DtmfCollect);
        if self.keys.is_empty() || self.phase != Phase::Live {
            return;
        }
        self.idle_prompts = 0;
        if self.reply.as_ref().is_some_and(|reply| reply.interruptible) {
            self.cut_reply(now, InterruptionCause::BargeIn);
        }
        let Some((turn, text)) = self.end_keys(now) else { return };
        self.conversed = true;
        self.discard_speculation(now);
        self.take_up_open_turn();
        self.history.push_caller(&text);
        self.answer(now, Answering { turn, speech_end: now, decided: now, transcribed: Some(now) }, &text);
    }
}
