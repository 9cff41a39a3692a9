//! The JSON of chat completions: the one place that knows its keys.
//!
//! What we send is strict; what we read is not: compatible servers leave fields out, put `null` or another type where one is expected,
//! and add their own. Nothing that is JSON fails to be read; what is not understood is absent.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use trunkline_base::Personal;

use super::{OpenAiModel, complete::Completion, error::Code};
use crate::llm::{LlmRequest, Message, ToolSpec};

/// `POST /chat/completions`.
#[derive(Debug, Serialize)]
pub(super) struct ChatRequest<'a> {
    model: &'a str,
    messages: Vec<ChatMessage<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ChatTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum ChatMessage<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        /// `null` where there is only a tool call: an empty text is refused by some.
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ChatToolCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

#[derive(Debug, Serialize)]
struct ChatToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: ChatCalled<'a>,
}

#[derive(Debug, Serialize)]
struct ChatCalled<'a> {
    name: &'a str,
    /// JSON in a string.
    arguments: String,
}

#[derive(Debug, Serialize)]
struct ChatTool<'a> {
    r#type: &'static str,
    function: &'a ToolSpec,
}

impl<'a> ChatRequest<'a> {
    pub(super) fn new(model: &'a OpenAiModel, request: &'a LlmRequest) -> Self {
        Self {
            model: &model.model,
            messages: request.messages.iter().filter_map(ChatMessage::new).collect(),
            stream: true,
            stream_options: model.stream_options.then_some(StreamOptions { include_usage: true }),
            tools: request.tools.iter().map(|function| ChatTool { r#type: "function", function }).collect(),
            temperature: model.temperature,
            max_completion_tokens: model.max_output_tokens,
            reasoning_effort: model.reasoning_effort.as_deref(),
        }
    }
}

impl<'a> ChatMessage<'a> {
    /// `None` for an agent's turn of which nothing was heard.
    fn new(message: &'a Message) -> Option<Self> {
        Some(match message {
            Message::System { text } => Self::System { content: text.expose() },
            Message::Caller { text } => Self::User { content: text.expose() },
            Message::Agent { text, tool_calls } if text.expose().is_empty() && tool_calls.is_empty() => return None,
            Message::Agent { text, tool_calls } => Self::Assistant {
                content: Some(text.expose().as_str()).filter(|text| !text.is_empty()),
                tool_calls: tool_calls
                    .iter()
                    .map(|call| ChatToolCall {
                        id: &call.id,
                        r#type: "function",
                        function: ChatCalled { name: &call.name, arguments: arguments(call.arguments.expose()) },
                    })
                    .collect(),
            },
            Message::Tool { call, content } => Self::Tool { tool_call_id: call, content: content.expose() },
        })
    }
}

/// Arguments as the model wrote them. If that was no JSON, it is shown to the model as the value of a key: some compatible servers parse
/// this field and would refuse the conversation for ever after.
fn arguments(value: &Value) -> String {
    match value {
        Value::String(text) => serde_json::json!({ "not_json": text }).to_string(),
        other => other.to_string(),
    }
}

/// One event of the stream, as far as it matters.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Chunk {
    /// More text, not empty.
    pub(super) text: Option<String>,
    /// More of tool calls.
    pub(super) tool_calls: Vec<ToolDelta>,
    /// Why the answer ended, if it did.
    pub(super) finish: Option<String>,
    /// Tokens used.
    pub(super) usage: Option<Usage>,
    /// The vendor's error.
    pub(super) error: Option<Code>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
}

/// A piece of a tool call. What is empty is absent.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct ToolDelta {
    pub(super) index: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: Arguments,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) enum Arguments {
    #[default]
    None,
    /// A piece of JSON's text.
    Piece(String),
    /// All of it, as JSON.
    Whole(Value),
}

impl<'de> Deserialize<'de> for Chunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::read)
    }
}

impl Chunk {
    fn read(mut event: Value) -> Self {
        let failed = event.get("error").is_some_and(|error| !error.is_null()) || event["object"] == "error";
        let error = failed.then(|| Code::of(&event));
        // We ask for one choice.
        let mut choice = event.pointer_mut("/choices/0").map(Value::take).unwrap_or_default();
        let usage = Usage::read(&event["usage"]).or_else(|| Usage::read(&choice["usage"]));
        let finish = word(take(&mut choice, "finish_reason"));
        let mut delta = match take(&mut choice, "delta") {
            // A server that was asked to stream and answers whole.
            Value::Null => take(&mut choice, "message"),
            delta => delta,
        };
        let text = text(take(&mut delta, "content")).or_else(|| text(take(&mut delta, "refusal")));
        let tool_calls = match take(&mut delta, "tool_calls") {
            Value::Array(calls) => calls.into_iter().map(ToolDelta::read).collect(),
            call @ Value::Object(_) => vec![ToolDelta::read(call)],
            _ => Vec::new(),
        };
        Self { text, tool_calls, finish, usage, error }
    }
}

impl Usage {
    fn read(usage: &Value) -> Option<Self> {
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        usage.is_object().then(|| Self {
            prompt_tokens: count("prompt_tokens").unwrap_or_default(),
            completion_tokens: count("completion_tokens").unwrap_or_default(),
        })
    }
}

impl ToolDelta {
    fn read(mut call: Value) -> Self {
        let index = call.get("index").and_then(Value::as_u64);
        let id = match take(&mut call, "id") {
            Value::Number(id) => Some(id.to_string()),
            id => word(id),
        };
        let mut function = take(&mut call, "function");
        let arguments = match take(&mut function, "arguments") {
            Value::String(piece) if !piece.is_empty() => Arguments::Piece(piece),
            Value::Null | Value::String(_) => Arguments::None,
            whole => Arguments::Whole(whole),
        };
        Self { index, id, name: word(take(&mut function, "name")), arguments }
    }
}

/// A whole answer. `None` if it is none, or has an error in it.
pub(super) fn completion(body: &[u8]) -> Option<Completion> {
    let chunk: Chunk = serde_json::from_slice(body).ok()?;
    let answered = chunk.error.is_none() && (chunk.text.is_some() || chunk.finish.is_some());
    let usage = chunk.usage.unwrap_or(Usage { prompt_tokens: 0, completion_tokens: 0 });
    answered.then(|| Completion {
        text: Personal::new(chunk.text.unwrap_or_default()),
        is_whole: !matches!(chunk.finish.as_deref(), Some("length" | "content_filter")),
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
    })
}

/// What is under a key of an object; null where there is none.
fn take(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map(Value::take).unwrap_or_default()
}

/// A string that is not empty.
fn word(value: Value) -> Option<String> {
    match value {
        Value::String(word) if !word.is_empty() => Some(word),
        _ => None,
    }
}

/// Text, or the text of a list of parts.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Array(parts) => {
            word(Value::String(parts.iter().filter_map(|part| part["text"].as_str()).collect::<String>()))
        }
        other => word(other),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
