//! An answer on the wire: the events of a stream, or one whole message.

use serde_json::{Value, json};

use super::request::MessageRequest;
use crate::model::{Answer, ScriptedToolCall, Step, tokens};

/// One answer being written out.
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) request: &'a MessageRequest,
    pub(super) answer: &'a Answer,
    /// What the model thinks first.
    pub(super) thought: Option<&'a str>,
}

/// How many characters of a tool call's input one delta carries.
const INPUT_PIECE: usize = 7;
/// How many deltas go between two pings.
const PING_EVERY: usize = 16;
/// A signature such as thinking carries: nobody but the vendor can make one.
const SIGNATURE: &str = "c2ltdWxhdGVk";

/// How much of the reply is said, and why no more of it.
struct Said {
    tokens: Vec<String>,
    stop_reason: &'static str,
    stop_sequence: Option<String>,
    /// Whether the tools are called.
    calls: bool,
}

impl Message<'_> {
    /// The whole stream.
    pub(super) fn stream(&self) -> Vec<Step> {
        let said = self.said();
        let mut start = self.envelope(json!([]), Value::Null, Value::Null);
        start["usage"] = self.usage(1);
        let mut steps = vec![event("message_start", json!({"message": start})), event("ping", json!({}))];
        let mut blocks = Blocks::default();
        if let Some(thought) = self.thought {
            let deltas =
                tokens(thought).map(|token| (json!({"type": "thinking_delta", "thinking": token}), None, true));
            let signed = (json!({"type": "signature_delta", "signature": SIGNATURE}), None, false);
            let block = json!({"type": "thinking", "thinking": "", "signature": ""});
            blocks.write(&mut steps, block, deltas.chain([signed]));
        }
        if !said.tokens.is_empty() {
            let deltas = said.tokens.iter();
            let deltas = deltas.map(|token| (json!({"type": "text_delta", "text": token}), Some(token.clone()), true));
            blocks.write(&mut steps, json!({"type": "text", "text": ""}), deltas);
        }
        for (index, call) in self.answer.tool_calls.iter().enumerate().filter(|_| said.calls) {
            let mut block = self.call(index, call);
            let input = std::mem::replace(&mut block["input"], json!({}));
            blocks.write(&mut steps, block, pieces(&input));
        }
        let delta = json!({"stop_reason": said.stop_reason, "stop_sequence": said.stop_sequence});
        let usage = json!({"output_tokens": self.output_tokens(&said)});
        steps.push(event("message_delta", json!({"delta": delta, "usage": usage})));
        steps.push(event("message_stop", json!({})));
        steps
    }

    /// The answer to a request that asks for no stream.
    pub(super) fn whole(&self) -> Value {
        let said = self.said();
        let mut content = Vec::new();
        if let Some(thought) = self.thought {
            content.push(json!({"type": "thinking", "thinking": thought, "signature": SIGNATURE}));
        }
        if !said.tokens.is_empty() {
            content.push(json!({"type": "text", "text": said.tokens.concat()}));
        }
        if said.calls {
            content.extend(self.answer.tool_calls.iter().enumerate().map(|(index, call)| self.call(index, call)));
        }
        let mut message = self.envelope(content.into(), said.stop_reason.into(), said.stop_sequence.clone().into());
        message["usage"] = self.usage(self.output_tokens(&said));
        message
    }

    /// What is said, without thoughts and tool calls.
    pub(super) fn text(&self) -> String {
        self.said().tokens.concat()
    }

    /// How many tokens the model thinks and says, without those of tool calls.
    pub(super) fn spoken_tokens(&self) -> usize {
        self.said().tokens.len() + self.thought.map_or(0, |thought| tokens(thought).count())
    }

    fn said(&self) -> Said {
        let reply = self.answer.reply.as_str();
        let stops = self.request.stop_sequences.iter();
        let stop = stops.filter_map(|stop| Some((reply.find(stop.as_str())?, stop))).min();
        let (reply, stop) = stop.map_or((reply, None), |(at, stop)| (&reply[..at], Some(stop.clone())));
        let most = usize::try_from(self.request.max_tokens).unwrap_or(usize::MAX);
        let mut said: Vec<String> = tokens(reply).collect();
        if said.len() > most {
            said.truncate(most);
            return Said { tokens: said, stop_reason: "max_tokens", stop_sequence: None, calls: false };
        }
        let calls = stop.is_none() && !self.answer.tool_calls.is_empty();
        let stop_reason = match (&stop, calls) {
            (Some(_), _) => "stop_sequence",
            (None, true) => "tool_use",
            (None, false) => "end_turn",
        };
        Said { tokens: said, stop_reason, stop_sequence: stop, calls }
    }

    /// A tool call as a whole message carries it.
    fn call(&self, index: usize, call: &ScriptedToolCall) -> Value {
        let input = if call.arguments.is_null() { json!({}) } else { call.arguments.clone() };
        let id = format!("toolu_{}{index}", self.id.trim_start_matches("msg_"));
        json!({"type": "tool_use", "id": id, "name": call.name, "input": input})
    }

    fn output_tokens(&self, said: &Said) -> usize {
        let calls = self.answer.tool_calls.iter().filter(|_| said.calls);
        let calls: usize = calls.map(|call| call.arguments.to_string().len().div_ceil(4) + 1).sum();
        said.tokens.len() + self.thought.map_or(0, |thought| tokens(thought).count()) + calls
    }

    fn usage(&self, output: usize) -> Value {
        json!({
            "input_tokens": self.request.input_tokens,
            "output_tokens": output,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        })
    }

    fn envelope(&self, content: Value, stop_reason: Value, stop_sequence: Value) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.request.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
        })
    }
}

/// Counts a message's blocks while they are written.
#[derive(Default)]
struct Blocks {
    index: usize,
    deltas: usize,
}

impl Blocks {
    /// Writes a block: its beginning, its deltas with the content that is in each and whether the model has to think for it, its end.
    fn write(
        &mut self,
        steps: &mut Vec<Step>,
        block: Value,
        deltas: impl Iterator<Item = (Value, Option<String>, bool)>,
    ) {
        let index = self.index;
        self.index += 1;
        steps.push(event("content_block_start", json!({"index": index, "content_block": block})));
        for (delta, content, paced) in deltas {
            let step = event("content_block_delta", json!({"index": index, "delta": delta}));
            steps.push(Step { content, paced, ..step });
            self.deltas += 1;
            if self.deltas.is_multiple_of(PING_EVERY) {
                steps.push(event("ping", json!({})));
            }
        }
        steps.push(event("content_block_stop", json!({"index": index})));
    }
}

/// A tool call's input in deltas: the first is empty, and so are all where the input is.
fn pieces(input: &Value) -> impl Iterator<Item = (Value, Option<String>, bool)> {
    let empty = input.as_object().is_some_and(serde_json::Map::is_empty);
    let written: Vec<char> = if empty { Vec::new() } else { input.to_string().chars().collect() };
    let pieces: Vec<String> = written.chunks(INPUT_PIECE).map(|piece| piece.iter().collect()).collect();
    let delta = |piece: String| json!({"type": "input_json_delta", "partial_json": piece});
    std::iter::once((delta(String::new()), None, false))
        .chain(pieces.into_iter().map(move |it| (delta(it), None, true)))
}

/// An event, which says its type twice.
fn event(kind: &str, mut data: Value) -> Step {
    data["type"] = kind.into();
    Step::extra(written(kind, &data))
}

/// An event as it is sent.
pub(super) fn written(kind: &str, data: &Value) -> String {
    format!("event: {kind}\ndata: {data}\n\n")
}
