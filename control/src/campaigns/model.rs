//! Campaigns as the API takes and shows them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize};
use trunkline_base::E164;
use utoipa::ToSchema;
use uuid::Uuid;

use super::hours::CallingHours;
use crate::{check::Checker, http::Pagination};

/// How many calls at once a campaign may have.
const CONCURRENCY: std::ops::RangeInclusive<i32> = 1..=1000;
/// How many calls a second it may place.
const RATE: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// How often somebody may be called.
const ATTEMPTS: std::ops::RangeInclusive<i32> = 1..=20;
/// How long a contact may have to wait until the next attempt, in seconds: a week.
const DELAY: std::ops::RangeInclusive<i32> = 0..=604_800;
/// How long a call may ring, in seconds.
const RING: std::ops::RangeInclusive<i32> = 5..=120;

/// What is done after an attempt that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// How often a contact is called in all: 1 is not again.
    #[schema(minimum = 1, maximum = 20, example = 3)]
    pub max_attempts: i32,
    /// How long after the attempt's end, in seconds.
    #[schema(minimum = 0, maximum = 604_800, example = 900)]
    pub delay_s: i32,
}

/// What is done after attempts that came to nothing, by their outcome. What is not here is final: `answered`, `invalid_number`, and
/// `canceled`, which somebody has hung up while it rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// The line was busy. Default: 3 attempts, 15 minutes apart.
    pub busy: Again,
    /// Nobody answered. Default: 3 attempts, an hour apart.
    pub no_answer: Again,
    /// The call was declined. Default: 1 attempt.
    pub rejected: Again,
    /// A machine answered. Default: 1 attempt.
    pub voicemail: Again,
    /// The carrier, a vendor or the service failed. Default: 3 attempts, 5 minutes apart.
    pub failed: Again,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let again = |max_attempts, delay_s| Again { max_attempts, delay_s };
        Self {
            busy: again(3, 900),
            no_answer: again(3, 3600),
            rejected: again(1, 3600),
            voicemail: again(1, 3600),
            failed: again(3, 300),
        }
    }
}

/// A campaign to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCampaign {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200, example = "Renewals in December")]
    pub(super) name: String,
    /// Who calls.
    pub(super) agent_id: Uuid,
    /// From which of the tenant's confirmed numbers. Default: the agent's, its oldest if it has several; else the tenant's only one.
    #[schema(value_type = Option<String>, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550100")]
    pub(super) from_number: Option<E164>,
    /// Calls at once. Default: 10.
    #[serde(default = "concurrency")]
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    pub(super) concurrency: i32,
    /// Calls placed a second, as far as the carrier's account allows as many. Default: 1.
    #[serde(default = "rate")]
    #[schema(minimum = 0.01, maximum = 100.0, default = 1.0)]
    pub(super) calls_per_second: f64,
    /// How long a call may ring, in seconds. Default: 45.
    #[serde(default = "ring")]
    #[schema(minimum = 5, maximum = 120, default = 45)]
    pub(super) ring_timeout_s: i32,
    /// When people may be called, where they are.
    #[serde(default)]
    pub(super) calling_hours: CallingHours,
    /// The zone of contacts that have none of their own and whose numbers do not tell one: a name such as `America/New_York`.
    #[serde(default = "utc")]
    #[schema(value_type = String, max_length = 64, pattern = "^[A-Za-z0-9_+/-]+$", default = "UTC", example = "America/New_York")]
    pub(super) timezone: String,
    /// What is done after attempts that came to nothing.
    #[serde(default)]
    pub(super) retry: RetryPolicy,
}

const fn concurrency() -> i32 {
    10
}

const fn rate() -> f64 {
    1.0
}

const fn ring() -> i32 {
    45
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What to change of a campaign. What is left out stays; what is changed holds for the next calls.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CampaignPatch {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200, example = "Renewals in January")]
    pub(super) name: Option<String>,
    /// Who calls.
    pub(super) agent_id: Option<Uuid>,
    /// From which number. Null: the agent's, or the tenant's only one.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550100")]
    pub(super) from_number: Option<Option<E164>>,
    /// Calls at once.
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) concurrency: Option<i32>,
    /// Calls placed a second.
    #[schema(minimum = 0.01, maximum = 100.0)]
    pub(super) calls_per_second: Option<f64>,
    /// How long a call may ring, in seconds.
    #[schema(minimum = 5, maximum = 120)]
    pub(super) ring_timeout_s: Option<i32>,
    /// When people may be called.
    pub(super) calling_hours: Option<CallingHours>,
    /// The zone of contacts without one.
    #[schema(value_type = Option<String>, max_length = 64, pattern = "^[A-Za-z0-9_+/-]+$", example = "America/New_York")]
    pub(super) timezone: Option<String>,
    /// What is done after attempts that came to nothing.
    pub(super) retry: Option<RetryPolicy>,
}

/// Tells null from what is not there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl From<NewCampaign> for CampaignPatch {
    fn from(new: NewCampaign) -> Self {
        Self {
            name: Some(new.name),
            agent_id: Some(new.agent_id),
            from_number: Some(new.from_number),
            concurrency: Some(new.concurrency),
            calls_per_second: Some(new.calls_per_second),
            ring_timeout_s: Some(new.ring_timeout_s),
            calling_hours: Some(new.calling_hours),
            timezone: Some(new.timezone),
            retry: Some(new.retry),
        }
    }
}

impl CampaignPatch {
    pub(super) fn check(&self, check: &mut Checker) {
        check.optional_text("name", self.name.as_deref(), 1..=200);
        check.optional_range("concurrency", self.concurrency, CONCURRENCY);
        check.optional_range("calls_per_second", self.calls_per_second, RATE);
        check.optional_range("ring_timeout_s", self.ring_timeout_s, RING);
        if let Some(hours) = &self.calling_hours {
            check.inside("calling_hours", |check| {
                check.require("days", (1..=7).contains(&hours.days.len()), "must have between 1 and 7 entries");
            });
        }
        if let Some(zone) = &self.timezone {
            check.require(
                "timezone",
                zone.parse::<Tz>().is_ok(),
                "must be a time zone's name, such as America/New_York",
            );
        }
        if let Some(RetryPolicy { busy, no_answer, rejected, voicemail, failed }) = self.retry {
            let all = [
                ("busy", busy),
                ("no_answer", no_answer),
                ("rejected", rejected),
                ("voicemail", voicemail),
                ("failed", failed),
            ];
            check.inside("retry", |check| {
                for (outcome, again) in all {
                    check.inside(outcome, |check| {
                        check.range("max_attempts", again.max_attempts, ATTEMPTS);
                        check.range("delay_s", again.delay_s, DELAY);
                    });
                }
            });
        }
    }

    /// The names of what is given.
    pub(super) fn changed(&self) -> Vec<&'static str> {
        let given = [
            ("name", self.name.is_some()),
            ("agent_id", self.agent_id.is_some()),
            ("from_number", self.from_number.is_some()),
            ("concurrency", self.concurrency.is_some()),
            ("calls_per_second", self.calls_per_second.is_some()),
            ("ring_timeout_s", self.ring_timeout_s.is_some()),
            ("calling_hours", self.calling_hours.is_some()),
            ("timezone", self.timezone.is_some()),
            ("retry", self.retry.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// It was never started.
    Draft,
    /// Its contacts are called.
    Running,
    /// Nobody is called for it until it is started again.
    Paused,
    /// All its contacts have their outcome.
    Completed,
}

impl std::str::FromStr for CampaignStatus {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "draft" => Ok(Self::Draft),
            "running" => Ok(Self::Running),
            "paused" => Ok(Self::Paused),
            "completed" => Ok(Self::Completed),
            _ => Err(()),
        }
    }
}

/// How far a campaign's contacts are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    /// How many there are.
    #[schema(example = 3)]
    pub total: i64,
    /// How many are yet to be called, again perhaps.
    #[schema(example = 1)]
    pub pending: i64,
    /// How many are being called.
    #[schema(example = 1)]
    pub calling: i64,
    /// How many have their final outcome.
    #[schema(example = 1)]
    pub done: i64,
    /// Those by outcome.
    #[schema(example = json!({ "answered": 1 }))]
    pub outcomes: BTreeMap<String, i64>,
    /// How many were left out as they were there already.
    #[schema(example = 0)]
    pub duplicates_removed: i64,
    /// How many were left out as their numbers are on the do-not-call list.
    #[schema(example = 0)]
    pub do_not_call_removed: i64,
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Campaign {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    #[schema(example = "Renewals in December")]
    pub name: String,
    /// Who calls.
    pub agent_id: Uuid,
    /// From which number; null: the agent's, or the tenant's only one.
    #[schema(example = "+14155550100")]
    pub from_number: Option<String>,
    /// How far it is.
    pub status: CampaignStatus,
    /// Why the service has paused it, as nobody could have been called; null if it has not.
    #[schema(example = json!(null))]
    pub paused_reason: Option<String>,
    /// Calls at once.
    #[schema(example = 10)]
    pub concurrency: i32,
    /// Calls placed a second.
    #[schema(example = 1.0)]
    pub calls_per_second: f64,
    /// How long a call may ring, in seconds.
    #[schema(example = 45)]
    pub ring_timeout_s: i32,
    /// When people may be called, where they are.
    pub calling_hours: CallingHours,
    /// The zone of contacts without one.
    #[schema(example = "America/New_York")]
    pub timezone: String,
    /// What is done after attempts that came to nothing.
    pub retry: RetryPolicy,
    /// How far its contacts are.
    pub contacts: Progress,
    /// When it was first started.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last contact had its outcome.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed.
    pub updated_at: DateTime<Utc>,
}

/// A page of campaigns, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignList {
    pub(super) campaigns: Vec<Campaign>,
    pub(super) pagination: Pagination,
}
