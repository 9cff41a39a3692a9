//! From text to sound to what was heard of it.

use trunkline_base::Personal;

use super::{TurnMachine, io::Output, reply::Then, timers::Timer};
use crate::{
    audio::Samples,
    event::{CallEventKind, Speaker, TurnLatency, TurnSource},
    ids::{Epoch, MarkId, ReplyId},
    time::MediaTime,
    tts::AlignedChar,
};

impl TurnMachine {
    pub(super) fn push_text(&mut self, now: MediaTime, text: &str) {
        let Some(reply) = &mut self.reply else { return };
        for clause in reply.push_text(text) {
            self.speak(now, clause);
        }
    }

    /// Has the voice speak what it was not given yet, though more text follows.
    pub(super) fn end_clause(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        let text = reply.segments.iter().rev().find_map(|segment| segment.text.chars().last());
        if text.is_some_and(|last| !last.is_whitespace()) {
            self.push_text(now, " ");
        }
        if let Some(rest) = self.reply.as_mut().and_then(|reply| reply.clauses.finish()) {
            self.speak(now, rest);
        }
    }

    pub(super) fn speak(&mut self, now: MediaTime, clause: String) {
        let Some(reply) = &mut self.reply else { return };
        reply.note_spoken(now, &clause);
        self.outputs.push_back(Output::Speak { reply: reply.id, epoch: reply.epoch, text: Personal::new(clause) });
    }

    /// No more text follows.
    pub(super) fn finish_text(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        let words = match reply.then {
            Some(Then::HangUp(_)) => self.config.goodbye.clone(),
            Some(Then::Transfer) => self.config.transfer_words.clone(),
            None => None,
        };
        if let Some(words) = words.filter(|_| reply.generated().is_empty()) {
            self.push_text(now, &words);
        }
        let Some(reply) = &mut self.reply else { return };
        reply.text_finished = true;
        if let Some(rest) = reply.clauses.finish() {
            self.speak(now, rest);
        }
        let Some(reply) = &self.reply else { return };
        if reply.first_text.is_some() {
            self.outputs.push_back(Output::FinishSpeech { reply: reply.id });
        } else {
            self.complete_reply(now);
        }
    }

    pub(super) fn on_speech_audio(&mut self, now: MediaTime, id: ReplyId, samples: Samples, alignment: &[AlignedChar]) {
        let Some(reply) = self.reply.as_mut().filter(|reply| reply.id == id) else { return };
        let ends = reply.note_audio(now, samples, alignment);
        let epoch = reply.epoch;
        for at in ends {
            let mark = self.take_mark(epoch);
            if let Some(reply) = &mut self.reply {
                reply.playout.place(mark, at);
            }
            self.outputs.push_back(Output::PlaceMark { epoch, at, mark });
        }
        self.note_progress(now);
    }

    pub(super) fn on_speech_done(&mut self, now: MediaTime, id: ReplyId) {
        let Some(reply) = self.reply.as_mut().filter(|reply| reply.id == id && !reply.audio_finished) else { return };
        reply.audio_finished = true;
        let (epoch, audio, failed) = (reply.epoch, reply.audio, reply.failed || reply.source == TurnSource::Apology);
        if audio.0 == 0 {
            return self.on_speech_failed(now, id, "no audio came".into());
        }
        if !failed {
            self.failures = 0;
        }
        let mark = self.take_mark(epoch);
        if let Some(reply) = &mut self.reply {
            reply.playout.place(mark, audio);
        }
        self.outputs.push_back(Output::FinishAudio { epoch, mark });
        self.await_last_mark();
        self.note_progress(now);
    }

    pub(super) fn on_speech_failed(&mut self, now: MediaTime, id: ReplyId, cause: String) {
        if self.reply.as_ref().is_none_or(|reply| reply.id != id) {
            return;
        }
        let kind =
            CallEventKind::VendorFault { provider: "tts".into(), phase: "reply".into(), cause, recovered: false };
        self.emit(now, kind);
        self.give_up_reply(now);
    }

    pub(super) fn on_audio_sent(&mut self, now: MediaTime, epoch: Epoch, samples: Samples) {
        let Some(reply) = &mut self.reply else { return };
        if !reply.playout.handle_sent(now, epoch, samples) {
            return;
        }
        if reply.first_frame.is_none() {
            reply.first_frame = Some(now);
            self.on_first_frame(now);
        }
        self.await_last_mark();
        self.note_progress(now);
    }

    pub(super) fn on_first_frame(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        let (turn, id) = (reply.turn, reply.id);
        let latency = reply.answering.map(|answering| TurnLatency {
            turn: answering.turn,
            reply: id,
            endpoint_delay: answering.decided.saturating_since(answering.speech_end),
            transcription_delay: answering.transcribed.map(|at| at.saturating_since(answering.speech_end)),
            ttft: reply.ttft,
            ttfb: reply.first_audio.zip(reply.first_text).map(|(audio, text)| audio.saturating_since(text)),
            playout: now.saturating_since(reply.first_audio.unwrap_or(now)),
            response_latency: now.saturating_since(answering.speech_end),
            speculative: reply.speculative,
        });
        self.emit(now, CallEventKind::TurnStarted { turn, speaker: Speaker::Agent });
        if let Some(latency) = latency {
            self.emit(now, CallEventKind::Latency(latency));
        }
        // The caller may have begun to speak just before. Sound that goes on from within the answered turn is the rest of that: the
        // recogniser knew that the turn was over before voice activity did.
        if let Some(since) = self.endpointing.voiced_since().filter(|since| *since >= self.committed_until) {
            self.detect_interruption(now, since);
        }
    }

    /// When everything has been sent, only the last mark is missing; it may be lost, but not for ever.
    pub(super) fn await_last_mark(&mut self) {
        if let Some(reply) = &self.reply
            && reply.all_sent()
            && self.attached
        {
            self.timers.set(Timer::MarkMissing, reply.playout.heard_all_at() + self.config.mark_grace);
        }
    }

    pub(super) fn on_mark(&mut self, now: MediaTime, mark: MarkId) {
        let Some(reply) = &mut self.reply else { return };
        if !reply.playout.handle_mark(now, mark) {
            return;
        }
        if reply.all_sent() && reply.playout.heard(now) >= reply.audio {
            self.complete_reply(now);
        }
    }
}
