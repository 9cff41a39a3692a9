//! The agent's side of the machine: replies and the guesses that become them, as they begin.

use super::{
    Phase, TurnMachine,
    endpointing::same_words,
    history::Segment,
    interruption::Interruption,
    io::Output,
    reply::{Answering, Generation, Reply, Then},
    timers::Timer,
};
use crate::{
    event::{CallEventKind, TurnSource},
    ids::GenerationId,
    llm::{LlmEvent, LlmRequest},
    time::MediaTime,
};

/// Failures in a row after which an agent stops apologising and hangs up.
pub(super) const FAILURES_ALLOWED: u32 = 3;

/// How often a reply asks the model, tools in between. The last time it offers none, so that the model has to say something.
pub(super) const ROUNDS_ALLOWED: usize = 8;

/// A reply that was begun on a guess. What the model says is kept, and nothing of it is acted upon, until the turn is committed.
#[derive(Debug)]
pub(super) struct Speculation {
    /// The caller's words that it answers.
    pub(super) text: String,
    pub(super) generation: Generation,
    pub(super) events: Vec<LlmEvent>,
}

impl TurnMachine {
    pub(super) fn on_say(&mut self, now: MediaTime, text: String, interruptible: bool) {
        if self.machine.is_some() {
            return;
        }
        if self.reply.is_some() || self.phase == Phase::Waiting || !self.listens() {
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
        then: Option<Then>,
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
            let hello = matches!(reply.source, TurnSource::Greeting | TurnSource::Consent);
            if !hello || reply.first_frame.is_some() {
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

    pub(super) fn begin_reply(&mut self, now: MediaTime, source: TurnSource, answering: Option<Answering>) {
        let id = self.next_reply;
        self.next_reply = id.next();
        let turn = self.take_turn_id();
        let mut reply = Reply::new(id, turn, source, self.config.format.rate);
        reply.answering = answering;
        self.reply = Some(reply);
        self.owed &= source != TurnSource::Llm;
        self.interruption = Interruption::None;
        self.timers.stop(Timer::Idle);
        self.emit(now, CallEventKind::ReplyStarted { reply: id, turn, source });
        self.note_progress(now);
    }

    /// Asks the model, for the reply under way.
    pub(super) fn generate(&mut self, now: MediaTime) {
        let id = self.take_generation();
        let Some(reply) = &mut self.reply else { return };
        let messages = self.history.messages(&self.config.instructions, &reply.segments, None);
        reply.segments.push(Segment::default());
        reply.generation = Some(Generation { id, asked: now, first_token: None, deltas: 0 });
        let tools = if reply.segments.len() < ROUNDS_ALLOWED { self.config.tools.clone() } else { [].into() };
        self.outputs.push_back(Output::Generate(LlmRequest { generation: id, messages, tools }));
        self.note_progress(now);
    }

    pub(super) fn note_progress(&mut self, now: MediaTime) {
        if self.reply.is_some() {
            self.timers.set(Timer::ReplyStalled, now + self.config.stall);
        }
    }

    pub(super) fn count_wasted(&mut self, now: MediaTime, generation: Generation) {
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

    pub(super) const fn take_generation(&mut self) -> GenerationId {
        let id = self.next_generation;
        self.next_generation = id.next();
        id
    }
}
