//! Analytics as the API shows them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::histogram::Histogram;
use crate::{check::Checker, error::ApiError};

/// How far back, today included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) enum Period {
    /// A week.
    #[default]
    #[serde(rename = "7d")]
    Week,
    /// Thirty days.
    #[serde(rename = "30d")]
    Month,
    /// Ninety days.
    #[serde(rename = "90d")]
    Quarter,
}

impl Period {
    pub(super) const fn days(self) -> u64 {
        match self {
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
        }
    }

    /// As it is written; absent and empty are the default.
    fn parse(text: Option<&str>, check: &mut Checker) -> Self {
        match text.unwrap_or_default() {
            "" | "7d" => Self::Week,
            "30d" => Self::Month,
            "90d" => Self::Quarter,
            _ => {
                check.require("period", false, "must be 7d, 30d or 90d");
                Self::Week
            }
        }
    }
}

/// The period as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PeriodQuery {
    /// `7d`, `30d` or `90d`: so many UTC days, today included.
    #[param(pattern = "^(7d|30d|90d)$", default = "7d")]
    period: Option<String>,
}

impl TryFrom<PeriodQuery> for Period {
    type Error = ApiError;

    fn try_from(query: PeriodQuery) -> Result<Self, ApiError> {
        let mut check = Checker::default();
        let period = Self::parse(query.period.as_deref(), &mut check);
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(period)
    }
}

/// The filters of a time series as they are written. An empty one counts as absent.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SeriesQuery {
    /// `7d`, `30d` or `90d`: so many UTC days, today included.
    #[param(pattern = "^(7d|30d|90d)$", default = "7d")]
    period: Option<String>,
    /// Only this agent's calls.
    #[param(value_type = Option<Uuid>)]
    agent_id: Option<String>,
    /// `inbound` or `outbound`.
    #[param(pattern = "^(inbound|outbound)$")]
    direction: Option<String>,
}

/// The filters of a time series, understood.
#[derive(Debug, Default)]
pub(super) struct SeriesFilter {
    pub(super) period: Period,
    pub(super) agent: Option<Uuid>,
    pub(super) direction: Option<String>,
}

impl TryFrom<SeriesQuery> for SeriesFilter {
    type Error = ApiError;

    fn try_from(query: SeriesQuery) -> Result<Self, ApiError> {
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        let mut check = Checker::default();
        let period = Period::parse(query.period.as_deref(), &mut check);
        let agent = given(query.agent_id).map(|id| Uuid::try_parse(&id));
        check.require("agent_id", !matches!(agent, Some(Err(_))), "must be a UUID");
        let direction = given(query.direction);
        let known = direction.as_deref().is_none_or(|direction| ["inbound", "outbound"].contains(&direction));
        check.require("direction", known, "must be inbound or outbound");
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(Self { period, agent: agent.and_then(Result::ok), direction })
    }
}

/// The numbers of a period.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Dashboard {
    /// Calls that are over.
    pub(super) total_calls: i64,
    /// Those that were answered, and ended in any way but a fault.
    pub(super) successful_calls: i64,
    /// The others.
    pub(super) failed_calls: i64,
    /// Of the successful ones, from answer to end, in whole seconds; 0 if there are none.
    pub(super) average_duration: i64,
    /// The average; null if no call has a score.
    pub(super) satisfaction_score: Option<f64>,
    /// The most frequent ones, at most five.
    pub(super) top_outcomes: Vec<OutcomeCount>,
}

/// An outcome, and how many calls had it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct OutcomeCount {
    pub(super) outcome: String,
    pub(super) count: i64,
}

/// A period, day by day.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Series {
    pub(super) period: Period,
    /// One a UTC day, the oldest first.
    pub(super) points: Vec<Point>,
}

/// The calls that began on a day, and are over.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Point {
    /// The UTC day.
    pub(super) date: NaiveDate,
    pub(super) total: i64,
    pub(super) successful: i64,
    pub(super) failed: i64,
    /// Of the successful ones, in whole seconds; 0 if there are none.
    pub(super) average_duration: i64,
    /// The average; null if no call has a score.
    pub(super) satisfaction: Option<f64>,
}

/// How long callers waited for answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LatencyReport {
    period: Period,
    #[serde(flatten)]
    overall: Percentiles,
    /// One a UTC day, the oldest first.
    days: Vec<LatencyDay>,
}

/// How long callers waited on a day.
#[derive(Debug, Serialize, ToSchema)]
struct LatencyDay {
    /// The UTC day on which the calls began.
    date: NaiveDate,
    #[serde(flatten)]
    percentiles: Percentiles,
}

/// Response latencies, in milliseconds; null where no turn was answered.
#[derive(Debug, Serialize, ToSchema)]
struct Percentiles {
    /// How many turns were answered.
    turns: i64,
    p50: Option<i32>,
    p90: Option<i32>,
    p95: Option<i32>,
    p99: Option<i32>,
}

impl From<&Histogram> for Percentiles {
    fn from(histogram: &Histogram) -> Self {
        let [p50, p90, p95, p99] = [0.5, 0.9, 0.95, 0.99].map(|share| histogram.percentile(share));
        Self { turns: histogram.count(), p50, p90, p95, p99 }
    }
}

impl LatencyReport {
    pub(super) fn new(
        period: Period,
        from: NaiveDate,
        to: NaiveDate,
        mut counted: BTreeMap<NaiveDate, Histogram>,
    ) -> Self {
        let mut overall = Histogram::default();
        counted.values().for_each(|day| overall.merge(day));
        let days = from.iter_days().take_while(|day| *day <= to).map(|date| {
            let histogram = counted.remove(&date).unwrap_or_default();
            LatencyDay { date, percentiles: (&histogram).into() }
        });
        Self { period, days: days.collect(), overall: (&overall).into() }
    }
}
