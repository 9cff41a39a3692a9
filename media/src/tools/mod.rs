//! The tools that an agent may call. Those that end the call, hand it over or press keys are built into the turn machine; all others run
//! here, each within its limit.

mod handing_over;
pub mod salesforce;

use std::{fmt::Debug, time::Duration};

pub use self::handing_over::{press_keys, transfer};
use crate::{
    call::BoxFuture,
    event::ToolOutcome,
    llm::{ToolCall, ToolSpec},
    turn::END_CALL,
};

/// Something that runs tools. A tool that was started runs to its end, even if the reply that asked for it is cut.
pub trait ToolRunner: Debug + Send + Sync {
    /// Runs one call. The future is polled on a task of its own.
    fn run(&self, call: ToolCall) -> BoxFuture<'static, ToolOutcome>;

    /// How long a call of this tool may take; `None`: the call's own limit.
    fn limit(&self, _name: &str) -> Option<Duration> {
        None
    }
}

/// An agent without tools of its own: every call is answered with an error that the model can read.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTools;

impl ToolRunner for NoTools {
    fn run(&self, call: ToolCall) -> BoxFuture<'static, ToolOutcome> {
        Box::pin(async move { ToolOutcome::Error(format!("there is no tool named {}", call.name)) })
    }
}

/// The built-in tool that ends the call after its last words were heard.
pub fn end_call() -> ToolSpec {
    ToolSpec {
        name: END_CALL.into(),
        description:
            "Ends the phone call once the caller has heard your last words. Use it when the caller says goodbye or \
                      has nothing more to ask. Say goodbye in your answer, or give it as farewell."
                .into(),
        parameters: serde_json::json!({
            "type": "object",
            "properties": { "farewell": { "type": "string", "description": "Last words, if your answer has none." } },
            "additionalProperties": false
        }),
    }
}
