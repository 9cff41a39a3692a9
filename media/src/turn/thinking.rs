//! What the model says, and the tools that it calls.

use trunkline_base::Personal;

use super::{
    END_CALL, TurnMachine,
    agent::{FAILURES_ALLOWED, ROUNDS_ALLOWED},
    history::{CalledTool, finish_tool},
    io::Output,
    reply::{Reply, Then},
};
use crate::{
    event::{CallEventKind, EndReason, ToolOutcome, TurnSource},
    ids::{GenerationId, TurnId},
    llm::{LlmEvent, ToolCall},
    time::MediaTime,
};

/// How many tools one generation may start. A model that wants more than that has run away.
const CALLS_ALLOWED: usize = 16;

impl TurnMachine {
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
    pub(super) fn apologise(&mut self, now: MediaTime) {
        self.failures += 1;
        let Some(reply) = &mut self.reply else { return };
        reply.failed = true;
        if reply.then.is_some() {
            // What follows needs no words of the model.
            return;
        }
        if reply.generated().is_empty() {
            reply.source = TurnSource::Apology;
            let apology = self.config.apology.clone();
            self.push_text(now, &apology);
        }
        if self.failures >= FAILURES_ALLOWED
            && let Some(reply) = &mut self.reply
        {
            reply.then = Some(Then::HangUp(EndReason::VendorFailed));
        }
    }

    pub(super) fn on_tool_call(&mut self, now: MediaTime, call: ToolCall) {
        let Some(reply) = &mut self.reply else { return };
        let turn = reply.answering.map_or(reply.turn, |answering| answering.turn);
        let ended_before = reply.then.is_some();
        if call.name == END_CALL {
            // A model that calls this a hundred times ends the call once.
            if !ended_before {
                reply.then = Some(Then::HangUp(EndReason::AgentHangup));
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
        if self.config.transfer_tool.as_ref().is_some_and(|tool| tool.name == call.name) {
            return self.on_transfer_call(now, turn, call);
        }
        if self.config.keys_tool.as_ref().is_some_and(|name| *name == call.name) {
            return self.on_keys_call(now, turn, call);
        }
        // What was said before the call is heard while the tool runs, and is not glued to what is said after it.
        self.end_clause(now);
        let Some(reply) = &mut self.reply else { return };
        let refused = too_many(reply);
        reply.segment().tools.push(CalledTool { call: call.clone(), outcome: refused.clone(), detached: false });
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

    pub(super) fn emit_tool_called(&mut self, now: MediaTime, turn: TurnId, call: &ToolCall) {
        let kind = CallEventKind::ToolCalled {
            turn,
            call: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        self.emit(now, kind);
    }

    pub(super) fn on_tool_finished(&mut self, now: MediaTime, id: &str, outcome: ToolOutcome) {
        if self.finish_call(now, id, outcome) {
            self.note_progress(now);
            self.continue_after_tools(now);
        }
    }

    /// Notes a tool's answer. Says whether it is of the reply under way.
    pub(super) fn finish_call(&mut self, now: MediaTime, id: &str, outcome: ToolOutcome) -> bool {
        let in_reply = self.reply.as_mut().and_then(|reply| {
            reply.segments.iter_mut().find_map(|segment| finish_tool(&mut segment.tools, id, &outcome))
        });
        let known = in_reply.is_some();
        if let Some(name) = in_reply.or_else(|| self.history.finish_tool(id, &outcome)) {
            let kind = CallEventKind::ToolFinished { call: id.to_owned(), name, outcome: Personal::new(outcome) };
            self.emit(now, kind);
        }
        known
    }

    pub(super) fn on_generation_over(&mut self, now: MediaTime) {
        if let Some(reply) = &mut self.reply {
            reply.generation = None;
        }
        self.continue_after_tools(now);
    }

    /// A generation is over: its tools' answers go into the next one, or there is no more to say.
    pub(super) fn continue_after_tools(&mut self, now: MediaTime) {
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
}

/// Refuses a call beyond what one generation may make.
pub(super) fn too_many(reply: &mut Reply) -> Option<ToolOutcome> {
    (reply.segment().tools.len() >= CALLS_ALLOWED)
        .then(|| ToolOutcome::Error("too many calls at once; this one was not made".into()))
}
