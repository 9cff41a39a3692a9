//! How an agent hears.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::check::Checker;

/// Speech recognition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct SpeechConfig {
    /// Whose recogniser it is. Default: Deepgram.
    pub provider: SpeechProvider,
    /// The vendor's model: `nova-3`, `flux-general-en`, `flux-general-multi`; only its form is checked. Default: `nova-3`.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    pub model: String,
    /// What callers speak, as a BCP 47 tag or the vendor's `multi`. Default: the voice's language.
    #[schema(pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    pub language: Option<String>,
    /// Words to listen for, such as names. Up to 100, each up to 100 characters; the vendor takes 500 tokens in all.
    #[schema(max_items = 100)]
    pub keyterms: Vec<String>,
    /// Recognisers to go on with when this one fails, in order. Up to 5.
    #[schema(max_items = 5)]
    pub fallbacks: Vec<SpeechFallback>,
}

/// Who makes a recogniser.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpeechProvider {
    /// Deepgram. The default.
    #[default]
    Deepgram,
}

/// A recogniser that stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct SpeechFallback {
    /// Whose recogniser it is. Default: Deepgram.
    pub provider: SpeechProvider,
    /// The vendor's model. Default: `nova-3`.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    pub model: String,
    /// As [`SpeechConfig::language`].
    #[schema(pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    pub language: Option<String>,
}

impl SpeechConfig {
    pub(super) fn check(&self, check: &mut Checker) {
        recogniser(check, &self.model, self.language.as_deref());
        check.texts("keyterms", &self.keyterms, 100, 1..=100);
        check.count("fallbacks", self.fallbacks.len(), 0..=5);
        check.each("fallbacks", &self.fallbacks, |check, fallback| {
            recogniser(check, &fallback.model, fallback.language.as_deref());
        });
    }
}

fn recogniser(check: &mut Checker, model: &str, language: Option<&str>) {
    check.model("model", model);
    if let Some(language) = language {
        check.language("language", language);
    }
}

impl Default for SpeechConfig {
    fn default() -> Self {
        Self {
            provider: SpeechProvider::default(),
            model: model(),
            language: None,
            keyterms: Vec::new(),
            fallbacks: Vec::new(),
        }
    }
}

impl Default for SpeechFallback {
    fn default() -> Self {
        Self { provider: SpeechProvider::default(), model: model(), language: None }
    }
}

/// Default of [`SpeechConfig::model`].
fn model() -> String {
    "nova-3".into()
}
