//! An agent's configuration: one JSON document with a section for each part of a call.
//!
//! A document is read as a whole or not at all. A key that is absent or `null` takes the platform's default, an unknown key is an
//! error, and every value that is out of range is reported at once, each with its path:
//!
//! ```
//! use trunkline_control::agents::config::AgentConfig;
//!
//! let errors = AgentConfig::from_json(
//!     r#"{"name": "Ada",
//!         "voice_config": {"voice_id": "v1", "settings": {"speed": 2.0}},
//!         "ai_config": {"provider": "openai", "model": "gpt-4", "instructions": ""}}"#,
//! )
//! .unwrap_err();
//! assert_eq!(
//!     errors.to_string(),
//!     "voice_config.settings.speed: must be between 0.7 and 1.2\n\
//!      ai_config.instructions: must have between 1 and 32000 characters"
//! );
//! ```

mod ai;
mod analysis;
mod call;
mod instructions;
mod speech;
mod tool;
mod turn;
pub(crate) mod voice;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::{
    ai::{AiConfig, AiFallback, AiProvider, ReasoningEffort},
    analysis::{AnalysisConfig, Knowledge},
    call::{
        CallConfig, Dtmf, Greeting, Idle, Recording, Terminator, TransferMode, TransferTarget, Voicemail,
        VoicemailAction,
    },
    instructions::{Variables, render, unknown_variables, variables},
    speech::{SpeechConfig, SpeechFallback, SpeechProvider},
    tool::{Tool, ToolKind},
    turn::{InterruptionProfile, Interruptions, TurnConfig, TurnProfile, TurnProfiles, TurnState},
    voice::{Pronunciation, VoiceConfig, VoiceFallback, VoiceProvider, VoiceSettings},
};
use crate::check::Checker;
pub use crate::check::{FieldError, FieldErrors};

/// Everything that a tenant says about an agent. Made by [`from_json`](Self::from_json), which checks it; a value that was changed by
/// hand can be checked again with [`validate`](Self::validate).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Front desk",
    "voice_config": { "provider": "elevenlabs", "voice_id": "JBFqnCBsd6RMkjVDRZzb", "language": "en-US", "model": "eleven_flash_v2_5" },
    "ai_config": {
        "provider": "openai", "model": "gpt-4o-mini", "temperature": 0.3, "variables": { "company": "Acme" },
        "instructions": "You are the front desk of {{company}}, on the telephone. Answer in one or two short sentences."
    },
    "speech_config": { "provider": "deepgram", "model": "nova-3", "language": "en-US", "keyterms": ["Acme"] },
    "call_config": { "greeting": { "text": "Hello, this is Acme. What can I do for you?" }, "max_duration_s": 900 },
    "tools": [{ "kind": "end_call", "name": "end_call", "description": "Hang up, once the caller has said goodbye." }]
}))]
pub struct AgentConfig {
    /// What people call it: 1 to 100 characters. Required.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it is for, for people: up to 1000 characters.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub description: Option<String>,
    /// Whether it takes and makes calls. Default: true.
    #[serde(default = "is_active")]
    #[schema(default = is_active)]
    pub is_active: bool,
    /// How it hears and speaks. Default: a pipeline.
    #[serde(default)]
    pub mode: Mode,
    /// Installations whose credentials its calls use, before the tenant's defaults. Up to 50.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub integrations: Vec<Uuid>,
    /// How it sounds. Required, for it names the voice.
    pub voice_config: VoiceConfig,
    /// How it thinks. Required, for it has the instructions.
    pub ai_config: AiConfig,
    /// How it hears.
    #[serde(default)]
    pub speech_config: SpeechConfig,
    /// When it takes the turn and when it yields it.
    #[serde(default)]
    pub turn_config: TurnConfig,
    /// What happens around the conversation: greeting, silence, voicemail, recording, transfers.
    #[serde(default)]
    pub call_config: CallConfig,
    /// What it can do besides talking. Up to 64, each with a name of its own.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub tools: Vec<Tool>,
    /// What it can look up.
    #[serde(default)]
    pub knowledge: Knowledge,
    /// What is made of a conversation afterwards.
    #[serde(default)]
    pub analysis_config: AnalysisConfig,
    /// The tenant's own keys, kept and never read.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

/// How an agent hears and speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Speech-to-text, a language model, text-to-speech. The default.
    #[default]
    Pipeline,
    /// One model from speech to speech.
    SpeechToSpeech,
}

impl AgentConfig {
    /// Reads and checks a document. A document of the wrong shape gives the first error of shape; one of the right shape gives
    /// everything that is wrong with its values.
    pub fn from_json(json: &str) -> Result<Self, FieldErrors> {
        Self::from_value(serde_json::from_str(json).map_err(|error| FieldErrors::one("", error.to_string()))?)
    }

    /// [`from_json`](Self::from_json) for JSON that has already been parsed.
    pub fn from_value(mut document: Value) -> Result<Self, FieldErrors> {
        drop_nulls(&mut document);
        let config: Self = serde_path_to_error::deserialize(&document).map_err(FieldErrors::from_serde)?;
        config.validate()?;
        let mut check = Checker::default();
        lists_are_lists(&mut check, "", &document, &serde_json::to_value(&config).unwrap_or_default());
        check.finish()?;
        Ok(config)
    }

    /// Checks every value, and reports all that are wrong.
    pub fn validate(&self) -> Result<(), FieldErrors> {
        let mut check = Checker::default();
        check.text("name", &self.name, 1..=100);
        check.optional_text("description", self.description.as_deref(), 0..=1000);
        check.count("integrations", self.integrations.len(), 0..=50);
        check.inside("voice_config", |check| self.voice_config.check(check));
        check.inside("ai_config", |check| self.ai_config.check(check));
        check.inside("speech_config", |check| self.speech_config.check(check));
        check.inside("turn_config", |check| self.turn_config.check(check));
        check.inside("call_config", |check| self.call_config.check(check));
        check.count("tools", self.tools.len(), 0..=64);
        check.each("tools", &self.tools, |check, tool| tool.check(check));
        check.unique("tools", "name", self.tools.iter().map(|tool| tool.name.as_str()));
        check.inside("knowledge", |check| self.knowledge.check(check));
        check.inside("analysis_config", |check| self.analysis_config.check(check));
        check.finish()
    }
}

/// Default of [`AgentConfig::is_active`].
fn is_active() -> bool {
    true
}

/// Keys under which a tenant's own JSON lives, where a `null` means whatever the tenant means by it.
const FREE_FORM: [&str; 4] = ["metadata", "parameters", "config", "extraction_schema"];

/// serde reads an object from a list, too, by position, which nobody means: what was given as a list is compared with what was read.
fn lists_are_lists(check: &mut Checker, key: &str, given: &Value, read: &Value) {
    match (given, read) {
        (Value::Array(_), Value::Object(_)) => check.require(key, false, "must be an object"),
        (Value::Array(given), Value::Array(read)) => {
            for (n, (given, read)) in given.iter().zip(read).enumerate() {
                lists_are_lists(check, &format!("{key}[{n}]"), given, read);
            }
        }
        (Value::Object(given), Value::Object(read)) => check.inside(key, |check| {
            for (key, given) in given {
                lists_are_lists(check, key, given, &read[key]);
            }
        }),
        _ => {}
    }
}

/// Removes the keys that are `null`, so that "absent" and "the platform's default" are one case from here on.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            for (key, value) in object {
                if !FREE_FORM.contains(&key.as_str()) {
                    drop_nulls(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
