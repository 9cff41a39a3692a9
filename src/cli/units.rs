//! Lengths of time as people type them.

use std::time::Duration;

/// Reads `300ms`, `2s`, `1.5s` or `2m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("{text:?} is no length of time: write it as 300ms, 2s or 1.5s")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("{text:?} is no length of time: its number cannot be read"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("{text:?} is too long"))
}

/// Seconds with two digits, right-aligned in seven columns: a clock at the beginning of a line.
pub(super) fn clock(at: Duration) -> String {
    format!("{:>7.2}", at.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_need_a_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "2", "s", "-1s", "1.2.3s", "2 s", "1e9s", "99999999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
