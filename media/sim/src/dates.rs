//! Dates as the vendors write them, always UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// RFC 2822: `Mon, 04 Nov 2024 12:00:00 +0000`.
pub(crate) fn rfc2822(time: SystemTime) -> String {
    let (days, seconds) = split(time);
    let (year, month, day) = civil(days);
    let weekday = DAYS[(days % 7) as usize];
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
}

/// ISO 8601: `2024-11-04T12:00:00.000Z`.
pub(crate) fn iso8601(time: SystemTime) -> String {
    let (days, seconds) = split(time);
    let (year, month, day) = civil(days);
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_millis();
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// A date, or an instant in UTC: `2024-11-04`, `2024-11-04T12:00:00Z`.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.trim_end_matches('Z').split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let part = |text: Option<&str>| text?.parse::<u64>().ok();
    let mut date = date.split('-');
    let (year, month, day) = (part(date.next())?, part(date.next())?, part(date.next())?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let time = time.split('.').next()?;
    let mut time = time.split(':');
    let (hour, minute, second) = (part(time.next())?, part(time.next())?, part(time.next())?);
    let seconds = days(year, month, day) * 86_400 + hour.min(23) * 3_600 + minute.min(59) * 60 + second.min(60);
    Some(UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

/// Howard Hinnant's `days_from_civil`, for dates after 1970.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn split(time: SystemTime) -> (u64, u64) {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    (seconds / 86_400, seconds % 86_400)
}

/// Year, month and day of a count of days since 1970: Howard Hinnant's `civil_from_days`, for dates after it.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn known_dates() {
        for (seconds, rfc, iso) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.007Z"),
            (1_730_721_600, "Mon, 04 Nov 2024 12:00:00 +0000", "2024-11-04T12:00:00.007Z"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 +0000", "2024-02-29T23:59:59.007Z"),
            (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 +0000", "2100-01-01T00:00:00.007Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(7);
            assert_eq!((rfc2822(time).as_str(), iso8601(time).as_str()), (rfc, iso));
            assert_eq!(parse(iso), Some(UNIX_EPOCH + Duration::from_secs(seconds)));
            let day = UNIX_EPOCH + Duration::from_secs(seconds - seconds % 86_400);
            assert_eq!(parse(&iso[..10]), Some(day));
        }
        for bad in ["", "2024", "2024-13-01", "yesterday", "2024-01-01Tnoon"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
