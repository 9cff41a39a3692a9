//! Telephone numbers as they are dialled from anywhere.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// A telephone number in E.164 (ITU-T): `+`, then 2 to 15 digits of which the first is not 0.
///
/// It is somebody's: `Debug` and `Display` show a placeholder, so that it cannot reach a log by accident. Serialising it is deliberate
/// (a row, a vendor's request) and shows the number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct E164(String);

/// A text is not a number in E.164. It doesn't quote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotE164;

impl E164 {
    /// Reads a number. Spaces, brackets and the like are refused, not removed: what they mean differs by country.
    pub fn parse(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        let ok = (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if ok { Ok(Self(text.to_owned())) } else { Err(NotE164) }
    }

    /// The number, for those who are meant to have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for E164 {
    type Err = NotE164;

    fn from_str(text: &str) -> Result<Self, NotE164> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

impl fmt::Display for NotE164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a number in E.164, such as +14155550100")
    }
}

impl std::error::Error for NotE164 {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_print_nothing() {
        for text in ["+12", "+14155550100", "+999999999999999"] {
            let number = E164::parse(text).unwrap();
            assert_eq!(number.expose(), text);
            assert_eq!(format!("{number} {number:?}"), "[personal] [personal]");
            assert_eq!(serde_json::to_string(&number).unwrap(), format!("\"{text}\""));
        }
    }

    #[test]
    fn what_is_no_number_is_refused_and_not_quoted() {
        for text in [
            "",
            "+",
            "+1",
            "14155550100",
            "+04155550100",
            "+1 415 555 0100",
            "+1415555010O",
            "+1234567890123456",
            "+١٢٣",
        ] {
            assert_eq!(E164::parse(text), Err(NotE164), "{text}");
        }
        let error = serde_json::from_str::<E164>("\"415-555-0100\"").unwrap_err().to_string();
        assert!(!error.contains("415-555"), "{error}");
    }
}
