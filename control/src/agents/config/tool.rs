//! What an agent can do besides talking.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::check::Checker;

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it does.
    pub kind: ToolKind,
    /// What the model calls it: 1 to 64 letters, digits, `_` and `-`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub name: String,
    /// What the model is told of it: up to 1024 characters.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// JSON Schema of its arguments. Default: none.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// What its kind needs, such as the URL of an HTTP tool.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// How long it may take: 100 to 120,000 ms. Default: 5000.
    #[serde(default = "timeout_ms")]
    #[schema(minimum = 100, maximum = 120_000, default = timeout_ms)]
    pub timeout_ms: u32,
    /// Whether it changes anything, so that it must not run on a guess nor twice. Default: true.
    #[serde(default = "side_effects")]
    #[schema(default = side_effects)]
    pub side_effects: bool,
    /// Whether it is given up when the caller interrupts. Default: false.
    #[serde(default)]
    pub cancel_on_interruption: bool,
    /// What the agent says while it runs. Default: nothing.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    pub filler: Option<String>,
}

/// What a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// Hangs up.
    EndCall,
    /// Hands the call to one of the agent's transfer targets.
    Transfer,
    /// Presses keys.
    Dtmf,
    /// Asks an HTTP server.
    Http,
    /// Asks a server of the Model Context Protocol.
    Mcp,
    /// Reads or writes Salesforce.
    Salesforce,
}

impl Tool {
    pub(super) fn check(&self, check: &mut Checker) {
        let name_ok = (1..=64).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        check.require("name", name_ok, "must have between 1 and 64 letters, digits, '_' or '-'");
        check.text("description", &self.description, 0..=1024);
        let takes_object = self.parameters.get("type").is_none_or(|kind| kind == "object");
        check.require("parameters.type", takes_object, "must be \"object\": arguments are named");
        check.range("timeout_ms", self.timeout_ms, 100..=120_000);
        check.optional_text("filler", self.filler.as_deref(), 1..=500);
    }
}

/// Default of [`Tool::timeout_ms`].
fn timeout_ms() -> u32 {
    5000
}

/// Default of [`Tool::side_effects`]: the careful one.
fn side_effects() -> bool {
    true
}
