//! Which part of a recording a request asks for (RFC 9110, 14). Pure.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it. Also where several parts are asked for at once, as the RFC allows, and where the part is one of something older.
    All,
    /// These bytes, of which there is one at least.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
    /// Nothing: the client has it already.
    Known,
}

/// What these headers ask for of something with this tag and length.
pub(super) fn wanted(headers: &HeaderMap, etag: &str, len: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(known) = text(header::IF_NONE_MATCH) {
        let is_ours = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
        if known.split(',').map(str::trim).any(is_ours) {
            return Wanted::Known;
        }
    }
    let Some(range) = text(header::RANGE) else { return Wanted::All };
    // A date says too little of what is there, and a weak tag is none.
    if text(header::IF_RANGE).is_some_and(|tag| tag != etag) {
        return Wanted::All;
    }
    part(range, len).unwrap_or(Wanted::All)
}

/// `None`: it is not understood, which is as if it were not there.
fn part(range: &str, len: u64) -> Option<Wanted> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A number with more digits than fit is beyond any end.
    let number = |text: &str| match text.trim() {
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().unwrap_or(u64::MAX))
        }
        _ => None,
    };
    let range = if first.trim().is_empty() {
        len.saturating_sub(number(last)?)..len
    } else {
        let first = number(first)?;
        let end = if last.trim().is_empty() { len } else { number(last)?.saturating_add(1) };
        if end <= first && !last.trim().is_empty() {
            return None;
        }
        first..end.min(len)
    };
    Some(if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[(&'static str, &str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, value.parse().unwrap());
        }
        wanted(&headers, "\"tag\"", 100)
    }

    #[test]
    fn a_part_is_what_the_rfc_says() {
        let cases: [(&str, Wanted); 20] = [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Part(10..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=99-99", Wanted::Part(99..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("Bytes= 5 - 6 ", Wanted::Part(5..7)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=9-3", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("bytes", Wanted::All),
            ("bytes=", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=a-b", Wanted::All),
        ];
        for (range, expected) in cases {
            assert_eq!(asked(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn a_part_of_something_older_is_all_of_it() {
        let part = ("range", "bytes=0-0");
        assert_eq!(asked(&[]), Wanted::All);
        assert_eq!(asked(&[part, ("if-range", "\"tag\"")]), Wanted::Part(0..1));
        for old in ["\"other\"", "W/\"tag\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(asked(&[part, ("if-range", old)]), Wanted::All, "{old}");
        }
        assert_eq!(asked(&[("if-none-match", "\"other\", W/\"tag\"")]), Wanted::Known);
        assert_eq!(asked(&[part, ("if-none-match", "\"other\"")]), Wanted::Part(0..1));
    }
}
