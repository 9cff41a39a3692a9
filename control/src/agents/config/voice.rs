//! How an agent sounds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::check::Checker;

/// The voice, and those that stand in for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfig {
    /// Whose voice it is. Default: ElevenLabs.
    #[serde(default)]
    pub provider: VoiceProvider,
    /// The vendor's id of the voice. Required.
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9_-]+$", example = "JBFqnCBsd6RMkjVDRZzb")]
    pub voice_id: String,
    /// What it speaks, as a BCP 47 tag. Default: `en-US`.
    #[serde(default = "language")]
    #[schema(pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", default = language)]
    pub language: String,
    /// The vendor's model. Default: `eleven_flash_v2_5`, the fastest to its first byte.
    #[serde(default = "model")]
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$", default = model)]
    pub model: String,
    /// The vendor's settings of the voice.
    #[serde(default)]
    pub settings: VoiceSettings,
    /// Words that the vendor says wrongly. Up to 200.
    #[serde(default)]
    #[schema(max_items = 200)]
    pub pronunciations: Vec<Pronunciation>,
    /// Voices to go on with when this one fails, in order. Up to 5.
    #[serde(default)]
    #[schema(max_items = 5)]
    pub fallbacks: Vec<VoiceFallback>,
    /// Name of a sound to play under the conversation. Default: none.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub background: Option<String>,
}

/// Who makes a voice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VoiceProvider {
    /// ElevenLabs. The default.
    #[default]
    Elevenlabs,
}

/// The vendor's settings. What is `None` is left to the voice's own settings at the vendor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceSettings {
    /// 0 (lively) to 1 (even).
    #[schema(minimum = 0, maximum = 1)]
    pub stability: Option<f64>,
    /// 0 to 1: how close to the original voice.
    #[schema(minimum = 0, maximum = 1)]
    pub similarity_boost: Option<f64>,
    /// 0 to 1: exaggeration of the voice's style; costs latency above 0.
    #[schema(minimum = 0, maximum = 1)]
    pub style: Option<f64>,
    /// Likeness to the speaker; costs latency.
    pub use_speaker_boost: Option<bool>,
    /// 0.7 (slow) to 1.2 (fast).
    #[schema(minimum = 0.7, maximum = 1.2)]
    pub speed: Option<f64>,
}

/// How to say a word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pronunciation {
    /// The word as it is written.
    #[schema(min_length = 1, max_length = 100)]
    pub text: String,
    /// What to send to the vendor in its place.
    #[schema(min_length = 1, max_length = 200)]
    pub say: String,
}

/// A voice that stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceFallback {
    /// Whose voice it is. Default: ElevenLabs.
    #[serde(default)]
    pub provider: VoiceProvider,
    /// The vendor's id of the voice.
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9_-]+$")]
    pub voice_id: String,
    /// The vendor's model. Default: as [`VoiceConfig::model`]'s.
    #[serde(default = "model")]
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$", default = model)]
    pub model: String,
}

impl VoiceConfig {
    pub(super) fn check(&self, check: &mut Checker) {
        voice_id(check, &self.voice_id);
        check.language("language", &self.language);
        check.model("model", &self.model);
        check.inside("settings", |check| {
            check.optional_range("stability", self.settings.stability, 0.0..=1.0);
            check.optional_range("similarity_boost", self.settings.similarity_boost, 0.0..=1.0);
            check.optional_range("style", self.settings.style, 0.0..=1.0);
            check.optional_range("speed", self.settings.speed, 0.7..=1.2);
        });
        check.count("pronunciations", self.pronunciations.len(), 0..=200);
        check.each("pronunciations", &self.pronunciations, |check, entry| {
            check.text("text", &entry.text, 1..=100);
            check.text("say", &entry.say, 1..=200);
        });
        check.count("fallbacks", self.fallbacks.len(), 0..=5);
        check.each("fallbacks", &self.fallbacks, |check, fallback| {
            voice_id(check, &fallback.voice_id);
            check.model("model", &fallback.model);
        });
        check.optional_text("background", self.background.as_deref(), 1..=100);
    }
}

/// A voice's id becomes a segment of the vendor's URL.
pub(crate) fn voice_id(check: &mut Checker, id: &str) {
    let ok = (1..=100).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    check.require("voice_id", ok, "must have between 1 and 100 letters, digits, '-' or '_'");
}

/// Default of [`VoiceConfig::language`].
fn language() -> String {
    "en-US".into()
}

/// Default of [`VoiceConfig::model`].
pub(crate) fn model() -> String {
    "eleven_flash_v2_5".into()
}
