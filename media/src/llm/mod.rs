//! The language model: what a call asks of it and hears from it, whichever vendor it is.
//!
//! One generation is one task with a bounded channel. Dropping the stream cancels the request at the vendor.

pub mod anthropic;
pub mod openai;

use std::{fmt::Debug, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::Personal;

use crate::ids::GenerationId;

/// One message of the conversation, as the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Instructions.
    System {
        /// The text.
        text: Personal<String>,
    },
    /// What the caller said.
    Caller {
        /// The text.
        text: Personal<String>,
    },
    /// What the agent said, as far as it was heard, and the tools that it called.
    Agent {
        /// The text; empty if there were only tool calls.
        text: Personal<String>,
        /// The calls.
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool answered. Every call has exactly one.
    Tool {
        /// The call's id.
        call: String,
        /// JSON or words.
        content: Personal<String>,
    },
}

/// A tool that the model wants to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's id for the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments: an object. What the model wrote, if that was no JSON, is a string.
    pub arguments: Personal<serde_json::Value>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name: letters, digits, `_`, `-`.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: serde_json::Value,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmRequest {
    /// Which generation it is.
    pub generation: GenerationId,
    /// The conversation, system message first.
    pub messages: Vec<Message>,
    /// The tools on offer.
    pub tools: Arc<[ToolSpec]>,
}

/// What the model says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "llm", rename_all = "snake_case")]
pub enum LlmEvent {
    /// More text.
    Text {
        /// The piece.
        text: Personal<String>,
    },
    /// A whole tool call (its arguments are complete).
    ToolCall {
        /// The call.
        call: ToolCall,
    },
    /// Tokens, for billing, where the vendor says so.
    Usage {
        /// Of the prompt.
        prompt_tokens: u64,
        /// Of the answer.
        completion_tokens: u64,
    },
    /// The answer is whole. Nothing follows.
    Done,
    /// A model of the agent's list failed; the next is being tried.
    Fault {
        /// What we were doing: `connect`, `first_token` or `stream`.
        phase: String,
        /// What went wrong, without anything personal or secret.
        cause: String,
    },
    /// All models failed; or one failed in mid-answer, where another's continuation would contradict what was said. Nothing follows.
    Failed {
        /// What went wrong, without anything personal or secret.
        cause: String,
    },
}

/// One generation under way. Dropping it cancels the request.
#[derive(Debug)]
pub struct LlmStream {
    /// Which generation it is.
    pub generation: GenerationId,
    /// Events out. Closed after `Done` or `Failed`.
    pub events: mpsc::Receiver<LlmEvent>,
    /// The task that reads the answer, if there is one.
    pub task: Option<AbortOnDropHandle<()>>,
}

/// Something that answers.
pub trait Llm: Debug + Send + Sync {
    /// Starts a generation at once; connecting happens in its task.
    fn start(&self, request: LlmRequest) -> LlmStream;

    /// Opens a connection ahead of the first request, so that the first turn doesn't pay for it.
    fn warm(&self) {}
}

/// Named limits of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LlmLimits {
    /// TCP and TLS. Default 2 s.
    pub connect: Duration,
    /// From the request to the first token. Default 4 s.
    pub first_token: Duration,
    /// Between two tokens. Default 5 s.
    pub idle: Duration,
    /// The whole answer. Default 60 s.
    pub total: Duration,
}

impl Default for LlmLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_token: Duration::from_secs(4),
            idle: Duration::from_secs(5),
            total: Duration::from_secs(60),
        }
    }
}

/// How many events wait for a call before the answer is no longer read.
pub const EVENT_BACKLOG: usize = 64;
