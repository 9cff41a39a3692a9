//! Where servers that call themselves compatible differ from OpenAI.

use serde::{Deserialize, Serialize};

/// Deviations, each off by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Any key, or none, is accepted.
    pub any_key: bool,
    /// No usage chunk, whatever `stream_options` says.
    pub no_usage: bool,
    /// A tool call comes whole, in one delta.
    pub whole_tool_call: bool,
    /// Tool call deltas have no `index`.
    pub no_tool_index: bool,
    /// All tool calls have index 0; only a new `id` tells them apart.
    pub zero_tool_index: bool,
    /// Tool calls have no `id`.
    pub no_tool_id: bool,
    /// `arguments` is a JSON object, not a string of JSON. It comes whole.
    pub arguments_as_object: bool,
    /// The `finish_reason` of every answer, such as `stop` or `eos`, also with tool calls.
    pub finish_reason: Option<String>,
    /// The stream ends without `[DONE]`.
    pub no_done: bool,
    /// Chunks and models have no `created`.
    pub no_created: bool,
    /// Every delta repeats the role.
    pub role_in_every_delta: bool,
    /// What the model thinks first, in deltas of `reasoning_content`.
    pub reasoning_content: Option<String>,
    /// `response_format` may be JSON of any kind, and not of a schema.
    pub no_json_schema: bool,
    /// `response_format` is refused.
    pub no_response_format: bool,
    /// The shape of error bodies.
    pub error_shape: ErrorShape,
}

/// How an error is written in a response's body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorShape {
    /// `{"error":{"message","type","param","code"}}`.
    #[default]
    OpenAi,
    /// `{"error":"text"}`.
    Text,
    /// `{"object":"error","message","type","param","code"}`.
    Object,
    /// `{"detail":"text"}`.
    Detail,
}
