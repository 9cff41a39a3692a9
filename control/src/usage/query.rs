//! Which usage is shown.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{check::Checker, error::ApiError};

/// Longest time that is told at once, in days.
const LONGEST: i64 = 366;

/// The filters as they are written. An empty one counts as absent.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// The first UTC day, or an RFC 3339 instant in it; the first of the last day's month if it is absent.
    date_from: Option<String>,
    /// The last UTC day, or an RFC 3339 instant in it; today if it is absent. At most 366 days are told at once.
    date_to: Option<String>,
    /// `day` for a line a day.
    #[param(pattern = "^day$")]
    group_by: Option<String>,
}

/// The filters, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsageFilter {
    pub(super) from: NaiveDate,
    /// Inclusive.
    pub(super) to: NaiveDate,
    pub(super) by_day: bool,
}

impl UsageFilter {
    pub(super) fn new(query: UsageQuery, today: NaiveDate) -> Result<Self, ApiError> {
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        let mut check = Checker::default();
        let from = given(query.date_from).map(|date| day(&date));
        let to = given(query.date_to).map(|date| day(&date));
        let wrong = "must be a date such as 2026-01-31 or an RFC 3339 instant";
        check.require("date_from", from != Some(None), wrong);
        check.require("date_to", to != Some(None), wrong);
        let group_by = given(query.group_by);
        check.require("group_by", group_by.as_deref().is_none_or(|by| by == "day"), "must be day");
        let to = to.flatten().unwrap_or(today);
        let from = from.flatten().unwrap_or_else(|| to.with_day(1).unwrap_or(to));
        check.require("date_to", from <= to, "must not be before date_from");
        let days = to.signed_duration_since(from).num_days() + 1;
        check.require("date_from", days <= LONGEST, format!("must be at most {LONGEST} days before date_to"));
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(Self { from, to, by_day: group_by.is_some() })
    }
}

/// The UTC day of what is named. Postgres' dates end with the year 5874897, and ours with 9999.
fn day(text: &str) -> Option<NaiveDate> {
    let day = match text.parse::<NaiveDate>() {
        Ok(day) => day,
        // A "+" that was not percent-encoded arrives as a space.
        Err(_) => DateTime::parse_from_rfc3339(&text.replace(' ', "+")).ok()?.with_timezone(&Utc).date_naive(),
    };
    (0..=9999).contains(&day.year()).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_dates_it_is_this_month() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        let of = |from: Option<&str>, to: Option<&str>| {
            let query = UsageQuery { date_from: from.map(Into::into), date_to: to.map(Into::into), group_by: None };
            UsageFilter::new(query, date("2026-03-17")).map(|filter| (filter.from, filter.to))
        };
        assert_eq!(of(None, None).unwrap(), (date("2026-03-01"), date("2026-03-17")));
        assert_eq!(of(None, Some("2026-02-10")).unwrap(), (date("2026-02-01"), date("2026-02-10")));
        assert_eq!(of(Some("2026-03-16T23:00:00-02:00"), Some("")).unwrap(), (date("2026-03-17"), date("2026-03-17")));
        for (from, to) in
            [("x", "2026-01-01"), ("2026-03-02", "2026-03-01"), ("2025-01-01", "2026-03-01"), ("", "-9999-01-01")]
        {
            assert!(of(Some(from), Some(to)).is_err(), "{from} {to}");
        }
    }
}
