//! The agent's side of the machine: replies, from the first thought to the last sample heard.

use trunkline_base::Personal;

use super::{
    END_CALL, Phase, TurnMachine,
    endpointing::same_words,
    history::{CalledTool, Segment, finish_tool},
    interruption::Interruption,
    io::Output,
    reply::{Answering, Generation, Reply},
    timers::Timer,
};
use crate::{
    audio::Samples,
    event::{CallEventKind, EndReason, HeardText, InterruptionCause, Speaker, ToolOutcome, TurnLatency, TurnSource},
    ids::{Epoch, GenerationId, MarkId, ReplyId},
    llm::{LlmEvent, LlmRequest, ToolCall},
    time::MediaTime,
    tts::AlignedChar,
};

/// Failures in a row after which an agent stops apologising and hangs up.
const FAILURES_ALLOWED: u32 = 3;

/// How often a reply asks the model, tools in between. The last time it offers none, so that the model has to say something.
const ROUNDS_ALLOWED: usize = 8;
/// How many tools one generation may start. A model that wants more than that has run away.
const CALLS_ALLOWED: usize = 16;

/// A reply that was begun on a guess. What the model says is kept, and nothing of it is acted upon, until the turn is committed.
#[derive(Debug)]
pub(super) struct Speculation {
    /// The caller's words that it answers.
    pub(super) text: String,
    generation: Generation,
    events: Vec<LlmEvent>,
}

impl TurnMachine {
    // Beginning.

    pub(super) fn on_say(&mut self, now: MediaTime, text: String, interruptible: bool) {
        if self.reply.is_some() || self.phase == Phase::Waiting {
            self.says.push_back((text, interruptible));
        } else if self.phase == Phase::Live {
            self.say(now, TurnSource::Say, &text, interruptible, None);
        }
    }

    /// Speaks a text that needs no thought.
    pub(super) fn say(
        &mut self,
        now: MediaTime,
        source: TurnSource,
        text: &str,
        interruptible: bool,
        then: Option<EndReason>,
    ) {
        self.discard_speculation(now);
        self.begin_reply(now, source, None);
        if let Some(reply) = &mut self.reply {
            reply.interruptible = interruptible;
            reply.then = then;
        }
        self.push_text(now, text);
        self.finish_text(now);
    }

    /// The caller's turn is committed: the guess becomes the answer, or an answer is begun.
    pub(super) fn answer(&mut self, now: MediaTime, answering: Answering, text: &str) {
        if self.phase != Phase::Live {
            return self.discard_speculation(now);
        }
        if let Some(reply) = &self.reply {
            // Words over a greeting that was not heard yet are a hello: the greeting answers them.
            if reply.source != TurnSource::Greeting || reply.first_frame.is_some() {
                self.unanswered = Some(answering);
            }
            return;
        }
        match self.speculation.take() {
            Some(guess) if same_words(&guess.text, text) => {
                self.begin_reply(now, TurnSource::Llm, Some(answering));
                if let Some(reply) = &mut self.reply {
                    reply.speculative = true;
                    reply.generation = Some(guess.generation);
                    reply.segments.push(Segment::default());
                    reply.ttft =
                        guess.generation.first_token.map(|token| token.saturating_since(guess.generation.asked));
                }
                for event in guess.events {
                    self.on_llm(now, guess.generation.id, event);
                }
            }
            other => {
                self.speculation = other;
                self.discard_speculation(now);
                self.begin_reply(now, TurnSource::Llm, Some(answering));
                self.generate(now);
            }
        }
    }

    pub(super) fn speculate(&mut self, now: MediaTime, text: String) {
        let id = self.take_generation();
        let messages = self.history.messages(&self.config.instructions, &[], Some(&text));
        let generation = Generation { id, asked: now, first_token: None, deltas: 0 };
        self.speculation = Some(Speculation { text, generation, events: Vec::new() });
        self.outputs.push_back(Output::Generate(LlmRequest {
            generation: id,
            messages,
            tools: self.config.tools.clone(),
        }));
    }

    pub(super) fn discard_speculation(&mut self, now: MediaTime) {
        if let Some(guess) = self.speculation.take() {
            self.outputs.push_back(Output::CancelGeneration { generation: guess.generation.id });
            self.count_wasted(now, guess.generation);
        }
    }

    fn begin_reply(&mut self, now: MediaTime, source: TurnSource, answering: Option<Answering>) {
        let id = self.next_reply;
        self.next_reply = id.next();
        let turn = self.take_turn_id();
        let mut reply = Reply::new(id, turn, source, self.config.format.rate);
        reply.answering = answering;
        self.reply = Some(reply);
        self.interruption = Interruption::None;
        self.timers.stop(Timer::Idle);
        self.emit(now, CallEventKind::ReplyStarted { reply: id, turn, source });
        self.note_progress(now);
    }

    /// Asks the model, for the reply under way.
    fn generate(&mut self, now: MediaTime) {
        let id = self.take_generation();
        let Some(reply) = &mut self.reply else { return };
        let messages = self.history.messages(&self.config.instructions, &reply.segments, None);
        reply.segments.push(Segment::default());
        reply.generation = Some(Generation { id, asked: now, first_token: None, deltas: 0 });
        let tools = if reply.segments.len() < ROUNDS_ALLOWED { self.config.tools.clone() } else { [].into() };
        self.outputs.push_back(Output::Generate(LlmRequest { generation: id, messages, tools }));
        self.note_progress(now);
    }

    // Thinking.

    pub(super) fn on_llm(&mut self, now: MediaTime, generation: GenerationId, event: LlmEvent) {
        if let Some(guess) = &mut self.speculation
            && guess.generation.id == generation
        {
            if matches!(event, LlmEvent::Text { .. } | LlmEvent::ToolCall { .. }) {
                guess.generation.first_token.get_or_insert(now);
                guess.generation.deltas += 1;
            }
            guess.events.push(event);
            return;
        }
        let Some(reply) = &mut self.reply else { return };
        let Some(current) = reply.generation.as_mut().filter(|current| current.id == generation) else { return };
        if matches!(event, LlmEvent::Text { .. } | LlmEvent::ToolCall { .. }) {
            let first = *current.first_token.get_or_insert(now);
            current.deltas += 1;
            let ttft = first.saturating_since(current.asked);
            reply.ttft.get_or_insert(ttft);
        }
        self.note_progress(now);
        match event {
            LlmEvent::Text { text } => self.push_text(now, text.expose()),
            LlmEvent::ToolCall { call } => self.on_tool_call(now, call),
            LlmEvent::Usage { prompt_tokens, completion_tokens } => {
                for (unit, quantity) in [("prompt_tokens", prompt_tokens), ("completion_tokens", completion_tokens)] {
                    let kind =
                        CallEventKind::Usage { provider: "llm".into(), unit: unit.into(), quantity, wasted: false };
                    self.emit(now, kind);
                }
            }
            LlmEvent::Done => self.on_generation_over(now),
            LlmEvent::Fault { phase, cause } => {
                self.emit(now, CallEventKind::VendorFault { provider: "llm".into(), phase, cause, recovered: true });
                let silent = self.reply.as_ref().is_some_and(|reply| reply.first_text.is_none());
                if silent && let Some(filler) = self.config.filler.clone() {
                    self.push_text(now, &format!("{filler} "));
                }
            }
            LlmEvent::Failed { cause } => {
                let kind = CallEventKind::VendorFault {
                    provider: "llm".into(),
                    phase: "generation".into(),
                    cause,
                    recovered: false,
                };
                self.emit(now, kind);
                self.apologise(now);
                self.on_generation_over(now);
            }
        }
    }

    /// Something that makes the agent speak failed: say so, and after too many times in a row, leave.
    fn apologise(&mut self, now: MediaTime) {
        self.failures += 1;
        let Some(reply) = &mut self.reply else { return };
        reply.failed = true;
        if reply.generated().is_empty() {
            reply.source = TurnSource::Apology;
            let apology = self.config.apology.clone();
            self.push_text(now, &apology);
        }
        if self.failures >= FAILURES_ALLOWED
            && let Some(reply) = &mut self.reply
        {
            reply.then = Some(EndReason::VendorFailed);
        }
    }

    fn on_tool_call(&mut self, now: MediaTime, call: ToolCall) {
        let Some(reply) = &mut self.reply else { return };
        let turn = reply.answering.map_or(reply.turn, |answering| answering.turn);
        let ended_before = reply.then.is_some();
        if call.name == END_CALL {
            // A model that calls this a hundred times ends the call once.
            if !ended_before {
                reply.then = Some(EndReason::AgentHangup);
                reply.interruptible = false;
                self.emit_tool_called(now, turn, &call);
                let kind = CallEventKind::ToolFinished {
                    call: call.id,
                    name: call.name,
                    outcome: Personal::new(ToolOutcome::Result(serde_json::json!({ "status": "hanging up" }))),
                };
                self.emit(now, kind);
                self.reject_interruption(now, false);
                let farewell = call.arguments.expose().get("farewell").and_then(|value| value.as_str());
                if let Some(farewell) = farewell {
                    self.push_text(now, &format!(" {farewell}"));
                }
            }
            return;
        }
        // What was said before the call is heard while the tool runs, and is not glued to what is said after it.
        self.end_clause(now);
        let Some(reply) = &mut self.reply else { return };
        let refused = (reply.segment().tools.len() >= CALLS_ALLOWED)
            .then(|| ToolOutcome::Error("too many calls at once; this one was not made".into()));
        reply.segment().tools.push(CalledTool { call: call.clone(), outcome: refused.clone() });
        self.emit_tool_called(now, turn, &call);
        match refused {
            None => self.outputs.push_back(Output::RunTool { turn, call }),
            Some(outcome) => {
                let kind =
                    CallEventKind::ToolFinished { call: call.id, name: call.name, outcome: Personal::new(outcome) };
                self.emit(now, kind);
            }
        }
    }

    fn emit_tool_called(&mut self, now: MediaTime, turn: crate::ids::TurnId, call: &ToolCall) {
        let kind = CallEventKind::ToolCalled {
            turn,
            call: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        self.emit(now, kind);
    }

    pub(super) fn on_tool_finished(&mut self, now: MediaTime, id: &str, outcome: ToolOutcome) {
        let in_reply = self.reply.as_mut().and_then(|reply| {
            reply.segments.iter_mut().find_map(|segment| finish_tool(&mut segment.tools, id, &outcome))
        });
        let known = in_reply.is_some();
        if let Some(name) = in_reply.or_else(|| self.history.finish_tool(id, &outcome)) {
            let kind = CallEventKind::ToolFinished { call: id.to_owned(), name, outcome: Personal::new(outcome) };
            self.emit(now, kind);
        }
        if known {
            self.note_progress(now);
            self.continue_after_tools(now);
        }
    }

    fn on_generation_over(&mut self, now: MediaTime) {
        if let Some(reply) = &mut self.reply {
            reply.generation = None;
        }
        self.continue_after_tools(now);
    }

    /// A generation is over: its tools' answers go into the next one, or there is no more to say.
    fn continue_after_tools(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        if reply.generation.is_some() || reply.text_finished || reply.tools_running() {
            return;
        }
        let answered = reply.segments.last().is_some_and(|segment| !segment.tools.is_empty());
        if answered && reply.then.is_none() && reply.segments.len() < ROUNDS_ALLOWED {
            return self.generate(now);
        }
        if answered && reply.then.is_none() && reply.generated().is_empty() {
            // It only ever called tools.
            let apology = self.config.apology.clone();
            self.push_text(now, &apology);
        }
        self.finish_text(now);
    }

    // Speaking.

    fn push_text(&mut self, now: MediaTime, text: &str) {
        let Some(reply) = &mut self.reply else { return };
        for clause in reply.push_text(text) {
            self.speak(now, clause);
        }
    }

    /// Has the voice speak what it was not given yet, though more text follows.
    fn end_clause(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        let text = reply.segments.iter().rev().find_map(|segment| segment.text.chars().last());
        if text.is_some_and(|last| !last.is_whitespace()) {
            self.push_text(now, " ");
        }
        if let Some(rest) = self.reply.as_mut().and_then(|reply| reply.clauses.finish()) {
            self.speak(now, rest);
        }
    }

    fn speak(&mut self, now: MediaTime, clause: String) {
        let Some(reply) = &mut self.reply else { return };
        reply.note_spoken(now, &clause);
        self.outputs.push_back(Output::Speak { reply: reply.id, epoch: reply.epoch, text: Personal::new(clause) });
    }

    /// No more text follows.
    fn finish_text(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        if reply.then.is_some()
            && reply.generated().is_empty()
            && let Some(goodbye) = self.config.goodbye.clone()
        {
            self.push_text(now, &goodbye);
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

    fn on_first_frame(&mut self, now: MediaTime) {
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

    // Being interrupted.

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
        }
    }

    // Ending.

    /// The caller has heard the reply to its end.
    pub(super) fn complete_reply(&mut self, now: MediaTime) {
        let then = self.reply.as_ref().and_then(|reply| reply.then);
        self.end_reply(now, false);
        match then {
            Some(reason) => self.hang_up(now, reason),
            None => self.after_reply(now),
        }
    }

    /// Closes the books on the reply. `cut`: not all of it was heard.
    fn end_reply(&mut self, now: MediaTime, cut: bool) {
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
    fn after_reply(&mut self, now: MediaTime) {
        if self.phase != Phase::Live {
            return;
        }
        if let Some(answering) = self.unanswered.take() {
            self.begin_reply(now, TurnSource::Llm, Some(answering));
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
    fn give_up_reply(&mut self, now: MediaTime) {
        let Some(reply) = &self.reply else { return };
        let (silent, then, epoch) = (reply.first_frame.is_none(), reply.then, reply.epoch);
        self.failures += 1;
        let give_up = self.failures >= FAILURES_ALLOWED;
        self.outputs.push_back(Output::Clear { epoch });
        self.end_reply(now, true);
        if let Some(reason) = then {
            self.hang_up(now, reason);
        } else if give_up {
            self.hang_up(now, EndReason::VendorFailed);
        } else if silent {
            let apology = self.config.apology.clone();
            self.say(now, TurnSource::Apology, &apology, true, None);
        } else {
            self.after_reply(now);
        }
    }

    fn note_progress(&mut self, now: MediaTime) {
        if self.reply.is_some() {
            self.timers.set(Timer::ReplyStalled, now + self.config.stall);
        }
    }

    fn count_wasted(&mut self, now: MediaTime, generation: Generation) {
        if generation.deltas > 0 {
            let kind = CallEventKind::Usage {
                provider: "llm".into(),
                unit: "completion_deltas".into(),
                quantity: generation.deltas,
                wasted: true,
            };
            self.emit(now, kind);
        }
    }

    const fn take_generation(&mut self) -> GenerationId {
        let id = self.next_generation;
        self.next_generation = id.next();
        id
    }
}
