//! When people may be called, by the clock on their wall. Pure.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// All there are.
    const ALL: [Self; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    fn of(day: NaiveDate) -> Self {
        Self::ALL[day.weekday().num_days_from_monday() as usize]
    }
}

/// An hour and a minute, as `09:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "09:00")]
pub struct ClockTime(NaiveTime);

impl ClockTime {
    fn read(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number =
            |text: &str| (text.len() == 2 && text.bytes().all(|it| it.is_ascii_digit())).then(|| text.parse().ok())?;
        NaiveTime::from_hms_opt(number(hour)?, number(minute)?, 0).map(Self)
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.format("%H:%M"))
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| serde::de::Error::custom("must be a time such as 09:30"))
    }
}

/// When people may be called, where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallingHours {
    /// On which days. Default: all.
    #[schema(min_items = 1, max_items = 7)]
    pub days: Vec<Weekday>,
    /// From when. Default: 09:00.
    pub start: ClockTime,
    /// Until when, without that minute: if it is not after `start`, on the day after. The same as `start` is the whole day. Default: 20:00.
    pub end: ClockTime,
}

impl Default for CallingHours {
    fn default() -> Self {
        let at = |hour| ClockTime(NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default());
        Self { days: Weekday::ALL.to_vec(), start: at(9), end: at(20) }
    }
}

impl CallingHours {
    /// Whether somebody in this zone may be called now.
    pub fn are_open(&self, zone: Tz, now: DateTime<Utc>) -> bool {
        let there = now.with_timezone(&zone).naive_local();
        // What began yesterday may last until today.
        let days = [there.date().checked_sub_days(Days::new(1)), Some(there.date())];
        days.into_iter().flatten().any(|day| self.of_day(day).is_some_and(|(start, end)| (start..end).contains(&there)))
    }

    /// When somebody in this zone may next be called: now, if they may. A start that the clock skips is when it goes on.
    pub fn next(&self, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.are_open(zone, now) {
            return Some(now);
        }
        let today = now.with_timezone(&zone).date_naive();
        // A week and a day: a start that the clock has gone past may be of today.
        (0..=8)
            .filter_map(|n| self.of_day(today.checked_add_days(Days::new(n))?))
            .flat_map(|(start, _)| instants(zone, start))
            .find(|start| *start > now)
    }

    /// From when until when on a day, by the clock.
    fn of_day(&self, day: NaiveDate) -> Option<(NaiveDateTime, NaiveDateTime)> {
        if !self.days.contains(&Weekday::of(day)) {
            return None;
        }
        let last = if self.end.0 > self.start.0 { day } else { day.checked_add_days(Days::new(1))? };
        Some((day.and_time(self.start.0), last.and_time(self.end.0)))
    }
}

/// When a zone's clock shows a time, which may be twice, or goes past it.
fn instants(zone: Tz, local: NaiveDateTime) -> impl Iterator<Item = DateTime<Utc>> {
    let mut local = local;
    let (first, second) = loop {
        match zone.from_local_datetime(&local) {
            LocalResult::Single(at) => break (at, None),
            LocalResult::Ambiguous(first, second) => break (first, Some(second)),
            // No clock has ever been put forward by more than a day.
            LocalResult::None => local += TimeDelta::minutes(1),
        }
    };
    std::iter::once(first).chain(second).map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BERLIN: Tz = Tz::Europe__Berlin;

    fn hours(days: &[&str], start: &str, end: &str) -> CallingHours {
        serde_json::from_value(json!({ "days": days, "start": start, "end": end })).unwrap()
    }

    fn every_day(start: &str, end: &str) -> CallingHours {
        serde_json::from_value(json!({ "start": start, "end": end })).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_minute_is_in_and_the_last_is_out_where_the_contact_is() {
        let nine_to_eight = CallingHours::default();
        // 1 July 2026: London is an hour ahead of UTC, Kolkata five and a half, Honolulu ten behind.
        for (zone, opens, closes) in [
            (Tz::Europe__London, "2026-07-01T08:00:00Z", "2026-07-01T19:00:00Z"),
            (Tz::Asia__Kolkata, "2026-07-01T03:30:00Z", "2026-07-01T14:30:00Z"),
            (Tz::Pacific__Honolulu, "2026-07-01T19:00:00Z", "2026-07-02T06:00:00Z"),
            (Tz::UTC, "2026-07-01T09:00:00Z", "2026-07-01T20:00:00Z"),
        ] {
            let moment = TimeDelta::milliseconds(1);
            assert!(!nine_to_eight.are_open(zone, at(opens) - moment), "{zone}");
            assert_eq!(nine_to_eight.next(zone, at(opens) - moment), Some(at(opens)), "{zone}");
            assert!(nine_to_eight.are_open(zone, at(opens)), "{zone}");
            assert!(nine_to_eight.are_open(zone, at(closes) - moment), "{zone}");
            assert!(!nine_to_eight.are_open(zone, at(closes)), "{zone}");
            assert_eq!(nine_to_eight.next(zone, at(closes)), Some(at(opens) + TimeDelta::days(1)), "{zone}");
        }
    }

    #[test]
    fn the_day_is_that_of_the_contact() {
        let mondays = hours(&["monday"], "09:00", "17:00");
        // Sunday evening in UTC is Monday morning in Auckland.
        let sunday = at("2026-07-05T21:30:00Z");
        assert!(mondays.are_open(Tz::Pacific__Auckland, sunday));
        assert!(!mondays.are_open(Tz::UTC, sunday));
        assert_eq!(mondays.next(Tz::UTC, sunday), Some(at("2026-07-06T09:00:00Z")));
        // Once it is over, a week goes by.
        assert_eq!(mondays.next(Tz::UTC, at("2026-07-06T17:00:00Z")), Some(at("2026-07-13T09:00:00Z")));
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_on_which_they_begin() {
        let night = hours(&["friday"], "22:00", "02:00");
        assert!(!night.are_open(BERLIN, at("2026-07-03T19:59:00Z")));
        assert!(night.are_open(BERLIN, at("2026-07-03T20:00:00Z")));
        assert!(night.are_open(BERLIN, at("2026-07-03T23:59:00Z")));
        assert!(!night.are_open(BERLIN, at("2026-07-04T00:00:00Z")));
        // Friday at one in the morning is Thursday's night.
        assert!(!night.are_open(BERLIN, at("2026-07-02T23:00:00Z")));
        let always = every_day("00:00", "00:00");
        assert!(
            always.are_open(BERLIN, at("2026-07-03T21:59:59Z")) && always.are_open(BERLIN, at("2026-07-03T22:00:00Z"))
        );
    }

    #[test]
    fn a_clock_that_is_put_forward_skips_a_start_and_shortens_a_day() {
        // On 29 March 2026, two o'clock in Berlin is three.
        let early = every_day("02:30", "06:00");
        let before = at("2026-03-29T00:59:59Z");
        assert!(!early.are_open(BERLIN, before));
        assert_eq!(early.next(BERLIN, before), Some(at("2026-03-29T01:00:00Z")));
        assert!(early.are_open(BERLIN, at("2026-03-29T01:00:00Z")));
        assert!(!early.are_open(BERLIN, at("2026-03-29T04:00:00Z")));
        // Nine o'clock is an hour earlier in UTC than the day before.
        let day = CallingHours::default();
        assert_eq!(day.next(BERLIN, at("2026-03-28T19:00:00Z")), Some(at("2026-03-29T07:00:00Z")));
        assert_eq!(day.next(BERLIN, at("2026-03-27T19:00:00Z")), Some(at("2026-03-28T08:00:00Z")));
        // A whole hour that the clock skips is no time at all: the next day's is.
        let skipped = every_day("02:00", "03:00");
        assert!(!skipped.are_open(BERLIN, at("2026-03-29T01:00:00Z")));
        assert_eq!(skipped.next(BERLIN, at("2026-03-29T02:00:00Z")), Some(at("2026-03-30T00:00:00Z")));
    }

    #[test]
    fn a_clock_that_is_put_back_shows_an_hour_twice() {
        // On 25 October 2026, three o'clock in Berlin is two again.
        let early = every_day("02:30", "06:00");
        assert_eq!(early.next(BERLIN, at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
        assert!(early.are_open(BERLIN, at("2026-10-25T00:30:00Z")));
        // The clock shows ten past two again, at which nobody is called, and then half past.
        let again = at("2026-10-25T01:10:00Z");
        assert!(!early.are_open(BERLIN, again));
        assert_eq!(early.next(BERLIN, again), Some(at("2026-10-25T01:30:00Z")));
        assert!(early.are_open(BERLIN, at("2026-10-25T01:30:00Z")));
        assert!(!early.are_open(BERLIN, at("2026-10-25T05:00:00Z")));
        assert_eq!(CallingHours::default().next(BERLIN, again), Some(at("2026-10-25T08:00:00Z")));
    }

    #[test]
    fn times_are_written_as_they_are_read_and_nothing_else_is_one() {
        let written = serde_json::to_value(every_day("07:05", "23:59")).unwrap();
        assert_eq!((&written["start"], &written["end"]), (&"07:05".into(), &"23:59".into()));
        for text in ["24:00", "9:00", "09:60", "09:00:00", "+9:00", "09-00", "", "٠٩:٠٠"] {
            assert_eq!(ClockTime::read(text), None, "{text}");
        }
    }
}
