//! How an agent thinks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instructions::{Variables, is_variable_name};
use crate::check::Checker;

/// The language model, what it is told, and the models that stand in for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AiConfig {
    /// Whose model it is. Required.
    pub provider: AiProvider,
    /// The vendor's name of the model; only its form is checked. Required.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$", example = "gpt-4o-mini")]
    pub model: String,
    /// What the agent is told: 1 to 32,000 characters, with `{{variable}}` from the call's context. Required.
    #[schema(
        min_length = 1,
        max_length = 32_000,
        example = "You are the front desk of {{company}}, on the telephone."
    )]
    pub instructions: String,
    /// 0 to 2, or to 1 with Claude. Default: the vendor's; several models accept no other.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f64>,
    /// Longest answer, in tokens: 16 to 32,000. Default: the engine's.
    #[serde(default)]
    #[schema(minimum = 16, maximum = 32_000)]
    pub max_output_tokens: Option<u32>,
    /// How hard it thinks before it answers; every step costs latency. Default: the least that the model allows.
    #[serde(default)]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// How long to wait for the first token before the next model is asked: 200 to 60,000 ms. Default: 4000.
    #[serde(default = "first_token_timeout_ms")]
    #[schema(minimum = 200, maximum = 60_000, default = first_token_timeout_ms)]
    pub first_token_timeout_ms: u32,
    /// How much conversation the model is shown, in tokens: 1000 to 2,000,000. Default: the engine's.
    #[serde(default)]
    #[schema(minimum = 1000, maximum = 2_000_000)]
    pub context_tokens: Option<u32>,
    /// Models to go on with when this one fails, in order. Up to 5.
    #[serde(default)]
    #[schema(max_items = 5)]
    pub fallbacks: Vec<AiFallback>,
    /// Values for `{{variable}}`s that a call's context does not have. Up to 100, each up to 2000 characters.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub variables: Variables,
}

/// Who makes a language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AiProvider {
    /// OpenAI, or a server that speaks its chat completions.
    Openai,
    /// Anthropic.
    Claude,
}

/// How hard a reasoning model thinks. Which of these a model takes is the vendor's affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the vendors' own words, from least to most")]
pub enum ReasoningEffort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// A model that stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AiFallback {
    /// Whose model it is.
    pub provider: AiProvider,
    /// The vendor's name of the model.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    pub model: String,
    /// As [`AiConfig::first_token_timeout_ms`], but shorter, for the caller has already waited. Default: 2000.
    #[serde(default = "fallback_first_token_timeout_ms")]
    #[schema(minimum = 200, maximum = 60_000, default = fallback_first_token_timeout_ms)]
    pub first_token_timeout_ms: u32,
}

impl AiConfig {
    pub(super) fn check(&self, check: &mut Checker) {
        check.model("model", &self.model);
        check.text("instructions", &self.instructions, 1..=32_000);
        let hottest = match self.provider {
            AiProvider::Openai => 2.0,
            AiProvider::Claude => 1.0,
        };
        check.optional_range("temperature", self.temperature, 0.0..=hottest);
        check.optional_range("max_output_tokens", self.max_output_tokens, 16..=32_000);
        check.range("first_token_timeout_ms", self.first_token_timeout_ms, 200..=60_000);
        check.optional_range("context_tokens", self.context_tokens, 1000..=2_000_000);
        check.count("fallbacks", self.fallbacks.len(), 0..=5);
        check.each("fallbacks", &self.fallbacks, |check, fallback| {
            check.model("model", &fallback.model);
            check.range("first_token_timeout_ms", fallback.first_token_timeout_ms, 200..=60_000);
        });
        check.count("variables", self.variables.len(), 0..=100);
        for (name, value) in &self.variables {
            check.inside("variables", |check| {
                let message = "must be a name of up to 64 letters, digits, '_' and '.', beginning with a letter or '_'";
                check.require(name, is_variable_name(name), message);
                check.text(name, value, 0..=2000);
            });
        }
    }
}

/// Default of [`AiConfig::first_token_timeout_ms`].
fn first_token_timeout_ms() -> u32 {
    4000
}

/// Default of [`AiFallback::first_token_timeout_ms`].
fn fallback_first_token_timeout_ms() -> u32 {
    2000
}
