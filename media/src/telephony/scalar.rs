//! A value of a carrier's JSON, however it is written: their pages write numbers as strings and strings as numbers.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// A string, or a number or truth value written out; what is absent or null is empty. It is borrowed unless an escape sequence stands
/// in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::telephony) struct Scalar<'a>(Cow<'a, str>);

impl Scalar<'_> {
    pub(in crate::telephony) fn as_str(&self) -> &str {
        &self.0
    }

    pub(in crate::telephony) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole number in it; fractions are cut.
    pub(in crate::telephony) fn number(&self) -> Option<u64> {
        let text = self.0.trim();
        text.parse().ok().or_else(|| {
            let value: f64 = text.parse().ok()?;
            (value.is_finite() && value >= 0.0).then_some(value as u64)
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Scalar)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(v.to_owned()))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(v.to_string()))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(v.to_string()))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
        if v.is_finite() { Ok(Cow::Owned(v.to_string())) } else { Err(E::invalid_value(Unexpected::Float(v), &self)) }
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(if v { "true" } else { "false" }))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(json: &str) -> Option<Scalar<'_>> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn numbers_may_be_strings_and_strings_numbers() {
        assert_eq!(scalar("\"8000\"").unwrap().number(), Some(8_000));
        assert_eq!(scalar("8000").unwrap().number(), Some(8_000));
        assert_eq!(scalar("5.7").unwrap().number(), Some(5));
        assert_eq!(scalar("-5").unwrap().number(), None);
        assert_eq!(scalar("\"soon\"").unwrap().number(), None);
        assert_eq!(scalar("null").unwrap(), Scalar::default());
        assert_eq!(scalar("[1]"), None);
        assert_eq!(scalar("{}"), None);
    }

    #[test]
    fn a_string_is_borrowed_unless_something_is_escaped_in_it() {
        assert!(matches!(scalar("\"media\"").unwrap().0, Cow::Borrowed("media")));
        let escaped = scalar("\"m\\u0065dia\"").unwrap();
        assert!(matches!(&escaped.0, Cow::Owned(s) if s == "media"));
    }
}
