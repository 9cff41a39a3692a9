//! What happens around the conversation.

use serde::{Deserialize, Serialize};
use trunkline_base::{E164, NotE164, Personal};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{Object, Type},
    },
};

use crate::check::Checker;

/// Longest text that is spoken as it stands, in characters.
const SPOKEN: usize = 1000;

/// Greeting, silence, goodbye, voicemail, recording, keys and transfers. Texts may have `{{variable}}`s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct CallConfig {
    /// What the agent says first.
    pub greeting: Greeting,
    /// What happens when the caller says nothing.
    pub idle: Idle,
    /// What the agent says before it hangs up. Default: whatever the model says.
    #[schema(min_length = 1, max_length = 1000)]
    pub goodbye: Option<String>,
    /// The longest call: 10 to 14,400 s. Default: 1800.
    #[schema(minimum = 10, maximum = 14_400)]
    pub max_duration_s: u32,
    /// What happens when a machine answers.
    pub voicemail: Voicemail,
    /// Whether and how the call is recorded.
    pub recording: Recording,
    /// How keys are collected.
    pub dtmf: Dtmf,
    /// Whom a call may be handed to. Up to 50, each with a name of its own.
    #[schema(max_items = 50)]
    pub transfer_targets: Vec<TransferTarget>,
}

/// What the agent says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Greeting {
    /// The words. Default: none; the caller speaks first.
    #[schema(min_length = 1, max_length = 1000)]
    pub text: Option<String>,
    /// Whether the caller can talk over it. Default: true.
    pub interruptible: bool,
}

/// What happens when the caller says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Idle {
    /// After how much silence: 2 to 600 s. Default: 10.
    #[schema(minimum = 2, maximum = 600)]
    pub after_s: u32,
    /// What to say then: the first time the first, and so on; the last is repeated. Up to 10. Default: "Are you still there?"
    #[schema(max_items = 10)]
    pub prompts: Vec<String>,
    /// After how many prompts to hang up: 0 (never) to 10. Default: 2.
    #[schema(minimum = 0, maximum = 10)]
    pub hang_up_after: u32,
}

/// What happens when a machine answers an outbound call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Voicemail {
    /// What to do. Default: hang up.
    pub action: VoicemailAction,
    /// What to leave. Required for [`VoicemailAction::LeaveMessage`].
    #[schema(min_length = 1, max_length = 1000)]
    pub message: Option<String>,
}

/// What to do with a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VoicemailAction {
    /// Hang up. The default.
    #[default]
    HangUp,
    /// Say the message after the beep, then hang up.
    LeaveMessage,
    /// Talk to it as to a person.
    Continue,
}

/// Whether and how a call is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Recording {
    /// Whether. Default: as the tenant has it.
    pub enabled: Option<bool>,
    /// What the caller is told before it begins. Default: nothing.
    #[schema(min_length = 1, max_length = 1000)]
    pub consent_text: Option<String>,
}

/// How the caller's keys become one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Dtmf {
    /// After how long without another key the input is complete: 200 to 10,000 ms. Default: 2000.
    #[schema(minimum = 200, maximum = 10_000)]
    pub collect_ms: u32,
    /// The key that completes it at once. Default: `#`.
    pub terminator: Terminator,
}

/// A key that completes an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminator {
    /// `#`. The default.
    #[default]
    #[serde(rename = "#")]
    Hash,
    /// `*`.
    #[serde(rename = "*")]
    Star,
    /// No key: `""`.
    #[serde(rename = "")]
    None,
}

/// By hand: derived, the empty name would be the variant's.
impl PartialSchema for Terminator {
    fn schema() -> RefOr<Schema> {
        let keys = Object::builder().schema_type(Type::String).enum_values(Some(["#", "*", ""]));
        keys.description(Some("A key that completes an input. Default: `#`; empty: none.")).build().into()
    }
}

impl ToSchema for Terminator {}

/// Whom a call may be handed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferTarget {
    /// What the model calls it: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// The number, in E.164.
    #[schema(value_type = String, pattern = r"^\+[1-9][0-9]{1,14}$")]
    pub number: Personal<String>,
    /// How. Default: cold.
    #[serde(default)]
    pub mode: TransferMode,
}

/// How a call is handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// The caller is connected, and the agent is gone. The default.
    #[default]
    Cold,
    /// The agent speaks with the target first.
    Warm,
}

impl CallConfig {
    pub(super) fn check(&self, check: &mut Checker) {
        check.inside("greeting", |check| check.optional_text("text", self.greeting.text.as_deref(), 1..=SPOKEN));
        check.inside("idle", |check| {
            check.range("after_s", self.idle.after_s, 2..=600);
            check.texts("prompts", &self.idle.prompts, 10, 1..=SPOKEN);
            check.range("hang_up_after", self.idle.hang_up_after, 0..=10);
        });
        check.optional_text("goodbye", self.goodbye.as_deref(), 1..=SPOKEN);
        check.range("max_duration_s", self.max_duration_s, 10..=14_400);
        check.inside("voicemail", |check| {
            let needs_message = self.voicemail.action == VoicemailAction::LeaveMessage;
            let has_message = self.voicemail.message.is_some();
            check.require("message", has_message || !needs_message, "is required by the action leave_message");
            check.optional_text("message", self.voicemail.message.as_deref(), 1..=SPOKEN);
        });
        check.inside("recording", |check| {
            check.optional_text("consent_text", self.recording.consent_text.as_deref(), 1..=SPOKEN);
        });
        check.inside("dtmf", |check| check.range("collect_ms", self.dtmf.collect_ms, 200..=10_000));
        check.count("transfer_targets", self.transfer_targets.len(), 0..=50);
        check.each("transfer_targets", &self.transfer_targets, |check, target| {
            check.text("name", &target.name, 1..=100);
            check.require("number", E164::parse(target.number.expose()).is_ok(), NotE164.to_string());
        });
        check.unique("transfer_targets", "name", self.transfer_targets.iter().map(|target| target.name.as_str()));
    }
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            greeting: Greeting::default(),
            idle: Idle::default(),
            goodbye: None,
            max_duration_s: 1800,
            voicemail: Voicemail::default(),
            recording: Recording::default(),
            dtmf: Dtmf::default(),
            transfer_targets: Vec::new(),
        }
    }
}

impl Default for Greeting {
    fn default() -> Self {
        Self { text: None, interruptible: true }
    }
}

impl Default for Idle {
    fn default() -> Self {
        Self { after_s: 10, prompts: vec!["Are you still there?".into()], hang_up_after: 2 }
    }
}

impl Default for Dtmf {
    fn default() -> Self {
        Self { collect_ms: 2000, terminator: Terminator::default() }
    }
}
