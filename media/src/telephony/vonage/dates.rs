//! Times as Vonage writes them.

use std::time::SystemTime;

use crate::jwt::seconds;

/// `2026-01-01T00:00:00.000Z`, with a fraction or without, in milliseconds since 1970. Vonage writes UTC and nothing else.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix(['Z', 'z']).unwrap_or(text).split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
    let (hour, minute, second): (u64, u64, f64) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    let good = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && (0.0..61.0).contains(&second);
    // Days from the civil calendar, whose year begins in March so that a leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    good.then(|| (days * 86_400 + hour * 3_600 + minute * 60) * 1_000 + (second * 1_000.0).round() as u64)
}

/// A time as `2026-01-01T00:00:00Z`.
pub(super) fn iso8601(time: SystemTime) -> String {
    let (days, second) = (seconds(time) / 86_400 + 719_468, seconds(time) % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", Some(0)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600_000)),
            ("2024-02-29 23:59:59.5", Some(1_709_251_199_500)),
            ("2026-13-01T00:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-01-01", None),
            ("99999999999999999999-01-01T00:00:00Z", None),
            ("2026-01-01T00:00:NaNZ", None),
        ] {
            assert_eq!(milliseconds(text), ms, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for second in [0, 951_782_400, 1_709_251_199, 1_767_225_600, 4_102_444_800] {
            let written = iso8601(UNIX_EPOCH + Duration::from_secs(second));
            assert_eq!(milliseconds(&written), Some(second * 1_000), "{written}");
        }
        assert_eq!(iso8601(UNIX_EPOCH + Duration::from_secs(951_782_400)), "2000-02-29T00:00:00Z");
    }
}
