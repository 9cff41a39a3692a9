//! A tenant's settings: what holds for all that it does, where an agent doesn't say otherwise.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::check::{Checker, FieldErrors};

/// How long something may be kept, in days: ten years at most.
const DAYS: std::ops::RangeInclusive<i32> = 1..=3650;
/// How many calls at once a tenant may be allowed.
const CALLS: std::ops::RangeInclusive<i32> = 1..=100_000;

/// A tenant's settings. What is stored may lack any of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantSettings {
    /// How long what was said is kept.
    pub retention: Retention,
    /// What is kept out of transcripts.
    pub redaction: Redaction,
    /// Calls at once, ringing ones included; above it, callers hear busy. Null: as many as the platform takes.
    #[schema(minimum = 1, maximum = 100_000)]
    pub max_concurrent_calls: Option<i32>,
    /// Whether calls are recorded where the agent does not say. Null: as the platform does.
    pub recording_enabled: Option<bool>,
}

/// How long what was said is kept after the call's end, in days. Null: until it is erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Transcripts, and what was made of them.
    #[schema(minimum = 1, maximum = 3650)]
    pub transcripts_days: Option<i32>,
    /// Recordings.
    #[schema(minimum = 1, maximum = 3650)]
    pub recordings_days: Option<i32>,
}

/// What the recogniser leaves out of what it hears, so that neither the transcript nor the model has it. Recordings do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redaction {
    /// Numbers, such as a card's. The agent doesn't hear them either.
    pub numbers: bool,
}

/// Settings to replace. `null` brings back a setting's default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SettingsPatch {
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Retention>)]
    retention: Option<Option<Retention>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Redaction>)]
    redaction: Option<Option<Redaction>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 100_000)]
    max_concurrent_calls: Option<Option<i32>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    recording_enabled: Option<Option<bool>>,
}

/// A key that is there, even as `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl TenantSettings {
    /// With what a patch has replaced, and the names of what that is.
    pub(super) fn patched(&self, patch: SettingsPatch) -> Result<(Self, Vec<&'static str>), FieldErrors> {
        let mut new = self.clone();
        if let Some(retention) = patch.retention {
            new.retention = retention.unwrap_or_default();
        }
        if let Some(redaction) = patch.redaction {
            new.redaction = redaction.unwrap_or_default();
        }
        if let Some(calls) = patch.max_concurrent_calls {
            new.max_concurrent_calls = calls;
        }
        if let Some(enabled) = patch.recording_enabled {
            new.recording_enabled = enabled;
        }
        new.check()?;
        let changed = [
            ("retention", new.retention != self.retention),
            ("redaction", new.redaction != self.redaction),
            ("max_concurrent_calls", new.max_concurrent_calls != self.max_concurrent_calls),
            ("recording_enabled", new.recording_enabled != self.recording_enabled),
        ];
        Ok((new, changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()))
    }

    fn check(&self) -> Result<(), FieldErrors> {
        let mut check = Checker::default();
        check.inside("settings", |check| {
            check.inside("retention", |check| {
                check.optional_range("transcripts_days", self.retention.transcripts_days, DAYS);
                check.optional_range("recordings_days", self.retention.recordings_days, DAYS);
            });
            check.optional_range("max_concurrent_calls", self.max_concurrent_calls, CALLS);
        });
        check.finish()
    }
}
