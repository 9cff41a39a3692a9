//! Which conversations a list shows.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{check::Checker, error::ApiError};

/// Longest text that is searched for, in characters.
const MAX_QUERY: usize = 200;
/// Postgres' times begin later than ours.
const YEARS: RangeInclusive<i32> = 0..=9999;

/// The filters as they are written. An empty one counts as absent.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only this agent's.
    #[param(
        pattern = "^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?$",
        example = "019acb5e-5b40-7000-8000-000000000003"
    )]
    agent_id: Option<String>,
    /// `ringing`, `active`, `completed` or `failed`.
    #[param(pattern = "^(ringing|active|completed|failed)?$")]
    status: Option<String>,
    /// `inbound` or `outbound`.
    #[param(pattern = "^(inbound|outbound)?$")]
    direction: Option<String>,
    /// Only those with this outcome.
    #[param(max_length = 100)]
    outcome: Option<String>,
    /// From this on: a date is the whole UTC day, an instant is RFC 3339.
    #[param(
        pattern = "^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?)?$",
        example = "2026-11-01"
    )]
    date_from: Option<String>,
    /// Up to and with this: a date is the whole UTC day, an instant is RFC 3339.
    #[param(
        pattern = "^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?)?$",
        example = "2026-11-30"
    )]
    date_to: Option<String>,
    /// Words of the transcript, as one types them into a search box: `"quoted phrases"`, `or`, `-not`.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// The filters, understood.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) agent: Option<Uuid>,
    pub(super) status: Option<String>,
    pub(super) direction: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub(super) until: Option<DateTime<Utc>>,
    pub(super) text: Option<String>,
}

impl TryFrom<ListQuery> for Filter {
    type Error = ApiError;

    fn try_from(query: ListQuery) -> Result<Self, ApiError> {
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        let mut check = Checker::default();
        let agent = given(query.agent_id).map(|id| Uuid::try_parse(&id));
        check.require("agent_id", !matches!(agent, Some(Err(_))), "must be a UUID");
        let status = given(query.status);
        let statuses = ["ringing", "active", "completed", "failed"];
        let known = status.as_deref().is_none_or(|status| statuses.contains(&status));
        check.require("status", known, "must be ringing, active, completed or failed");
        let direction = given(query.direction);
        let known = direction.as_deref().is_none_or(|direction| ["inbound", "outbound"].contains(&direction));
        check.require("direction", known, "must be inbound or outbound");
        let outcome = given(query.outcome);
        check.optional_text("outcome", outcome.as_deref(), 1..=100);
        no_zero(&mut check, "outcome", outcome.as_deref());
        let text = given(query.q);
        check.optional_text("q", text.as_deref(), 1..=MAX_QUERY);
        no_zero(&mut check, "q", text.as_deref());
        let from = given(query.date_from).map(|date| moment(&date));
        let until = given(query.date_to).map(|date| moment(&date));
        let wrong = "must be a date such as 2026-01-31 or an RFC 3339 instant";
        check.require("date_from", from != Some(None), wrong);
        check.require("date_to", until != Some(None), wrong);
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(Self {
            agent: agent.and_then(Result::ok),
            status,
            direction,
            outcome,
            from: from.flatten().map(|(first, _)| first),
            until: until.flatten().map(|(_, end)| end),
            text,
        })
    }
}

impl Filter {
    /// Whether each end that is given is where a UTC day ends.
    pub(super) fn is_whole_days(&self) -> bool {
        [self.from, self.until].into_iter().flatten().all(|end| end.time() == NaiveTime::MIN)
    }
}

/// What of a conversation's timeline is shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only events of this kind.
    #[param(max_length = 100)]
    kind: Option<String>,
}

impl EventQuery {
    /// The kind, if there is one. An empty one counts as absent.
    pub(super) fn kind(self) -> Result<Option<String>, ApiError> {
        let kind = self.kind.filter(|kind| !kind.is_empty());
        let mut check = Checker::default();
        check.optional_text("kind", kind.as_deref(), 1..=100);
        no_zero(&mut check, "kind", kind.as_deref());
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(kind)
    }
}

/// Postgres' text holds every character but this one.
fn no_zero(check: &mut Checker, key: &str, text: Option<&str>) {
    check.require(key, !text.is_some_and(|text| text.contains('\0')), "must not contain the character 0");
}

/// The first instant of what is named, and the first one behind it.
pub(crate) fn moment(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        let day = date.and_hms_opt(0, 0, 0)?.and_utc();
        return YEARS.contains(&day.year()).then_some((day, day.checked_add_signed(TimeDelta::days(1))?));
    }
    // A "+" that was not percent-encoded arrives as a space.
    let instant = DateTime::parse_from_rfc3339(&text.replace(' ', "+")).ok()?.with_timezone(&Utc);
    YEARS.contains(&instant.year()).then_some((instant, instant.checked_add_signed(TimeDelta::microseconds(1))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_whole_day_and_an_instant_is_itself() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(moment("2026-01-31"), Some((at("2026-01-31T00:00:00Z"), at("2026-02-01T00:00:00Z"))));
        assert_eq!(moment("2026-01-31T10:00:00+02:00").unwrap().0, at("2026-01-31T08:00:00Z"));
        assert_eq!(moment("2026-01-31T10:00:00 02:00").unwrap().0, at("2026-01-31T08:00:00Z"));
        assert_eq!(moment("yesterday"), None);
        assert_eq!(moment("2026-02-30"), None);
        assert_eq!(moment("-9999-01-01"), None);
    }

    #[test]
    fn every_wrong_filter_is_named() {
        let query = ListQuery {
            agent_id: Some("x".into()),
            status: Some("done".into()),
            direction: Some("up".into()),
            date_from: Some("x".into()),
            ..ListQuery::default()
        };
        let details = Filter::try_from(query).unwrap_err().details.unwrap();
        let fields: Vec<_> = details["fields"].as_array().unwrap().iter().map(|field| field["field"].clone()).collect();
        assert_eq!(fields, ["agent_id", "status", "direction", "date_from"]);
    }
}
