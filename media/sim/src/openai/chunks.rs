//! An answer on the wire: the chunks of a stream, or one whole completion.

use rand::{Rng, SeedableRng, distr::Alphanumeric, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::{quirks::Quirks, request::ChatRequest};
use crate::{
    dates::unix_now,
    model::{Answer, ScriptedToolCall, Step, tokens},
};

/// One answer being written out.
pub(super) struct Completion<'a> {
    pub(super) id: &'a str,
    pub(super) request: &'a ChatRequest,
    pub(super) answer: &'a Answer,
    pub(super) quirks: &'a Quirks,
    pub(super) seed: u64,
}

/// How many characters of a tool call's arguments one delta carries.
const ARGUMENTS_PIECE: usize = 7;
/// How many chunks go between two comment lines.
const COMMENT_EVERY: usize = 16;

impl Completion<'_> {
    /// The whole stream.
    pub(super) fn stream(&self) -> Vec<Step> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut chunks = vec![(json!({"role": "assistant", "content": "", "refusal": null}), None, false)];
        if let Some(thought) = &self.quirks.reasoning_content {
            chunks.extend(tokens(thought).map(|token| (json!({"reasoning_content": token}), None, true)));
        }
        let content = self.content();
        chunks.extend(content.iter().map(|token| (json!({"content": token}), Some(token.clone()), true)));
        if !self.cut_short() {
            for (index, call) in self.answer.tool_calls.iter().enumerate() {
                chunks.extend(self.call_deltas(index, call).into_iter().map(|delta| (delta, None, true)));
            }
        }
        let mut steps = Vec::new();
        for (index, (mut delta, content, paced)) in chunks.into_iter().enumerate() {
            if self.quirks.role_in_every_delta
                && let Some(fields) = delta.as_object_mut()
            {
                fields.insert("role".into(), "assistant".into());
            }
            let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
            steps.push(Step { line: self.chunk(choice, Value::Null, &mut rng), content, paced });
            if index % COMMENT_EVERY == 0 {
                steps.push(Step::extra(": keep-alive\n\n".into()));
            }
        }
        let last = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": self.finish_reason()}]);
        steps.push(Step::extra(self.chunk(last, Value::Null, &mut rng)));
        if self.reports_usage() {
            steps.push(Step::extra(self.chunk(json!([]), self.usage(), &mut rng)));
        }
        if !self.quirks.no_done {
            steps.push(Step::extra("data: [DONE]\n\n".into()));
        }
        steps
    }

    /// The answer to a request that asks for no stream.
    pub(super) fn whole(&self) -> Value {
        let mut message =
            json!({"role": "assistant", "content": self.content().concat(), "refusal": null, "annotations": []});
        if self.answer.reply.is_empty() {
            message["content"] = Value::Null;
        }
        if !self.answer.tool_calls.is_empty() && !self.cut_short() {
            message["tool_calls"] =
                (self.answer.tool_calls.iter().enumerate()).map(|(index, call)| self.call(index, call)).collect();
        }
        if let Some(thought) = &self.quirks.reasoning_content {
            message["reasoning_content"] = thought.as_str().into();
        }
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason()});
        let mut body = self.envelope("chat.completion");
        body.insert("choices".into(), json!([choice]));
        if !self.quirks.no_usage {
            body.insert("usage".into(), self.usage());
        }
        Value::Object(body)
    }

    /// How many tokens the model says, without those of tool calls.
    pub(super) fn content_tokens(&self) -> usize {
        self.content().len()
    }

    fn content(&self) -> Vec<String> {
        tokens(&self.answer.reply).take(self.most_tokens()).collect()
    }

    fn most_tokens(&self) -> usize {
        self.request.max_tokens.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
    }

    /// Whether the limit of tokens cuts the reply.
    fn cut_short(&self) -> bool {
        tokens(&self.answer.reply).count() > self.most_tokens()
    }

    fn finish_reason(&self) -> &str {
        match &self.quirks.finish_reason {
            Some(reason) => reason,
            None if self.cut_short() => "length",
            None if self.answer.tool_calls.is_empty() => "stop",
            None => "tool_calls",
        }
    }

    fn call_deltas(&self, index: usize, call: &ScriptedToolCall) -> Vec<Value> {
        let mut whole = self.call(index, call);
        if !self.quirks.no_tool_index {
            whole["index"] = json!(if self.quirks.zero_tool_index { 0 } else { index });
        }
        let Some(arguments) = whole.pointer("/function/arguments").and_then(Value::as_str).map(str::to_owned) else {
            return vec![json!({"tool_calls": [whole]})];
        };
        if self.quirks.whole_tool_call {
            return vec![json!({"tool_calls": [whole]})];
        }
        let place = whole.get("index").cloned();
        whole["function"]["arguments"] = "".into();
        let mut deltas = vec![json!({"tool_calls": [whole]})];
        let characters: Vec<char> = arguments.chars().collect();
        for piece in characters.chunks(ARGUMENTS_PIECE) {
            let mut delta = json!({"function": {"arguments": piece.iter().collect::<String>()}});
            if let Some(place) = &place {
                delta["index"] = place.clone();
            }
            deltas.push(json!({"tool_calls": [delta]}));
        }
        deltas
    }

    /// A tool call as a whole completion carries it.
    fn call(&self, index: usize, call: &ScriptedToolCall) -> Value {
        let arguments = if call.arguments.is_null() { json!({}) } else { call.arguments.clone() };
        let arguments = if self.quirks.arguments_as_object { arguments } else { arguments.to_string().into() };
        let mut whole = json!({"type": "function", "function": {"name": call.name, "arguments": arguments}});
        if !self.quirks.no_tool_id {
            whole["id"] = format!("call_{}{index}", self.id.trim_start_matches("chatcmpl-")).into();
        }
        whole
    }

    fn reports_usage(&self) -> bool {
        self.request.include_usage && !self.quirks.no_usage
    }

    fn usage(&self) -> Value {
        let calls: usize =
            self.answer.tool_calls.iter().map(|call| call.arguments.to_string().len().div_ceil(4) + 1).sum();
        let completion = self.content().len() + calls;
        json!({
            "prompt_tokens": self.request.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.request.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        })
    }

    fn chunk(&self, choices: Value, usage: Value, rng: &mut StdRng) -> String {
        let mut body = self.envelope("chat.completion.chunk");
        body.insert("choices".into(), choices);
        if self.reports_usage() {
            body.insert("usage".into(), usage);
        }
        if self.request.include_obfuscation {
            let length = rng.random_range(1..16);
            let padding: String = rng.sample_iter(Alphanumeric).take(length).map(char::from).collect();
            body.insert("obfuscation".into(), padding.into());
        }
        format!("data: {}\n\n", Value::Object(body))
    }

    fn envelope(&self, object: &str) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("id".into(), self.id.into());
        body.insert("object".into(), object.into());
        if !self.quirks.no_created {
            body.insert("created".into(), unix_now().into());
        }
        body.insert("model".into(), self.request.model.as_str().into());
        body.insert("service_tier".into(), "default".into());
        body.insert("system_fingerprint".into(), "fp_simulated".into());
        body
    }
}
