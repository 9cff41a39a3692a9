//! The JSON of Twilio's Media Streams: the one place that knows its keys.
//!
//! Everything is optional and borrowed from the text. Keys come in any order, unknown ones are skipped, and a number may be written as
//! a string or a string as a number, for the vendor's own pages do both.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// Any message in, with the part that its `event` names filled.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) event: Scalar<'a>,
    #[serde(borrow, rename = "streamSid")]
    pub(super) stream_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) start: Option<Start<'a>>,
    #[serde(borrow)]
    pub(super) media: Option<Media<'a>>,
    #[serde(borrow)]
    pub(super) dtmf: Option<Dtmf<'a>>,
    #[serde(borrow)]
    pub(super) mark: Option<Mark<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Start<'a> {
    #[serde(borrow)]
    pub(super) account_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) stream_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) call_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) media_format: Option<MediaFormat<'a>>,
    #[serde(borrow)]
    pub(super) custom_parameters: Option<BTreeMap<String, Scalar<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct MediaFormat<'a> {
    #[serde(borrow)]
    pub(super) encoding: Scalar<'a>,
    #[serde(borrow)]
    pub(super) sample_rate: Scalar<'a>,
    #[serde(borrow)]
    pub(super) channels: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Media<'a> {
    #[serde(borrow)]
    pub(super) track: Scalar<'a>,
    #[serde(borrow)]
    pub(super) timestamp: Scalar<'a>,
    #[serde(borrow)]
    pub(super) payload: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dtmf<'a> {
    #[serde(borrow)]
    pub(super) digit: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mark<'a> {
    #[serde(borrow)]
    pub(super) name: Scalar<'a>,
}

/// A string, or a number or truth value written out; what is absent or null is empty. It is borrowed unless an escape sequence stands
/// in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Scalar<'a>(Cow<'a, str>);

impl Scalar<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole number in it; fractions are cut.
    pub(super) fn number(&self) -> Option<u64> {
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
