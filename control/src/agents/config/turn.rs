//! When an agent takes the turn and when it yields it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::check::Checker;

/// Endpointing and interruptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct TurnConfig {
    /// The shortest silence after which a turn that sounds finished is over: 0 to 5000 ms. Default: 500. Lower answers sooner and
    /// cuts in more often.
    #[schema(minimum = 0, maximum = 5000)]
    pub min_endpoint_ms: u32,
    /// The silence after which any turn is over: `min_endpoint_ms` to 15,000 ms. Default: 3000.
    #[schema(minimum = 0, maximum = 15_000)]
    pub max_endpoint_ms: u32,
    /// Start to think on a guess that the turn will be over. Default: true. It saves time and costs tokens.
    pub eager: bool,
    /// When a caller may talk over the agent.
    pub interruptions: Interruptions,
    /// What differs in one state of the conversation.
    pub profiles: TurnProfiles,
}

/// When a caller may talk over the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Interruptions {
    /// Whether at all. Default: true.
    pub enabled: bool,
    /// The shortest speech that counts: 0 to 5000 ms. Default: 500.
    #[schema(minimum = 0, maximum = 5000)]
    pub min_speech_ms: u32,
    /// The fewest transcribed words that count: 0 to 20. Default: 0, which waits for no transcript.
    #[schema(minimum = 0, maximum = 20)]
    pub min_words: u32,
    /// After how long without words an interruption was a false one, and the agent goes on: 0 (never) to 10,000 ms. Default: 2000.
    #[schema(minimum = 0, maximum = 10_000)]
    pub false_after_ms: u32,
    /// What callers say while they listen ("mm-hm"), which interrupts nothing. Up to 100. Default: the engine's list for the language.
    #[schema(max_items = 100)]
    pub backchannels: Vec<String>,
}

/// What the agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnState {
    /// It hears the caller out.
    Listening,
    /// It waits for the model.
    Thinking,
    /// The caller hears it.
    Speaking,
    /// It waits for a tool.
    ToolRunning,
}

/// What differs in each state; a state that is `None` differs in nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TurnProfiles {
    /// In [`TurnState::Listening`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listening: Option<TurnProfile>,
    /// In [`TurnState::Thinking`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<TurnProfile>,
    /// In [`TurnState::Speaking`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaking: Option<TurnProfile>,
    /// In [`TurnState::ToolRunning`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_running: Option<TurnProfile>,
}

/// What differs in one state; `None` is as in [`TurnConfig`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TurnProfile {
    /// As [`TurnConfig::min_endpoint_ms`].
    #[schema(minimum = 0, maximum = 5000)]
    pub min_endpoint_ms: Option<u32>,
    /// As [`TurnConfig::max_endpoint_ms`].
    #[schema(minimum = 0, maximum = 15_000)]
    pub max_endpoint_ms: Option<u32>,
    /// As [`TurnConfig::eager`].
    pub eager: Option<bool>,
    /// As [`TurnConfig::interruptions`].
    pub interruptions: InterruptionProfile,
}

/// What differs in one state; `None` is as in [`Interruptions`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InterruptionProfile {
    /// As [`Interruptions::enabled`].
    pub enabled: Option<bool>,
    /// As [`Interruptions::min_speech_ms`].
    #[schema(minimum = 0, maximum = 5000)]
    pub min_speech_ms: Option<u32>,
    /// As [`Interruptions::min_words`].
    #[schema(minimum = 0, maximum = 20)]
    pub min_words: Option<u32>,
    /// As [`Interruptions::false_after_ms`].
    #[schema(minimum = 0, maximum = 10_000)]
    pub false_after_ms: Option<u32>,
}

impl TurnConfig {
    /// What holds in one state: its profile over the rest. The result has no profiles.
    pub fn in_state(&self, state: TurnState) -> Self {
        let Some(profile) = self.profiles.of(state) else {
            return Self { profiles: TurnProfiles::default(), ..self.clone() };
        };
        let (base, over) = (&self.interruptions, &profile.interruptions);
        Self {
            min_endpoint_ms: profile.min_endpoint_ms.unwrap_or(self.min_endpoint_ms),
            max_endpoint_ms: profile.max_endpoint_ms.unwrap_or(self.max_endpoint_ms),
            eager: profile.eager.unwrap_or(self.eager),
            interruptions: Interruptions {
                enabled: over.enabled.unwrap_or(base.enabled),
                min_speech_ms: over.min_speech_ms.unwrap_or(base.min_speech_ms),
                min_words: over.min_words.unwrap_or(base.min_words),
                false_after_ms: over.false_after_ms.unwrap_or(base.false_after_ms),
                backchannels: base.backchannels.clone(),
            },
            profiles: TurnProfiles::default(),
        }
    }

    pub(super) fn check(&self, check: &mut Checker) {
        self.check_values(check);
        check.inside("interruptions", |check| {
            check.texts("backchannels", &self.interruptions.backchannels, 100, 1..=50);
        });
        for (state, name) in TurnState::ALL {
            if self.profiles.of(state).is_some() {
                check.inside(&format!("profiles.{name}"), |check| self.in_state(state).check_values(check));
            }
        }
    }

    fn check_values(&self, check: &mut Checker) {
        check.range("min_endpoint_ms", self.min_endpoint_ms, 0..=5000);
        check.range("max_endpoint_ms", self.max_endpoint_ms, 0..=15_000);
        let ordered = self.min_endpoint_ms <= self.max_endpoint_ms;
        check.require("max_endpoint_ms", ordered, "must not be less than min_endpoint_ms");
        check.inside("interruptions", |check| {
            check.range("min_speech_ms", self.interruptions.min_speech_ms, 0..=5000);
            check.range("min_words", self.interruptions.min_words, 0..=20);
            check.range("false_after_ms", self.interruptions.false_after_ms, 0..=10_000);
        });
    }
}

impl TurnProfiles {
    fn of(&self, state: TurnState) -> Option<&TurnProfile> {
        match state {
            TurnState::Listening => self.listening.as_ref(),
            TurnState::Thinking => self.thinking.as_ref(),
            TurnState::Speaking => self.speaking.as_ref(),
            TurnState::ToolRunning => self.tool_running.as_ref(),
        }
    }
}

impl TurnState {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Listening, "listening"),
        (Self::Thinking, "thinking"),
        (Self::Speaking, "speaking"),
        (Self::ToolRunning, "tool_running"),
    ];
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            min_endpoint_ms: 500,
            max_endpoint_ms: 3000,
            eager: true,
            interruptions: Interruptions::default(),
            profiles: TurnProfiles::default(),
        }
    }
}

impl Default for Interruptions {
    fn default() -> Self {
        Self { enabled: true, min_speech_ms: 500, min_words: 0, false_after_ms: 2000, backchannels: Vec::new() }
    }
}
