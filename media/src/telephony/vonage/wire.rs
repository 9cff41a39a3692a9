//! The JSON of Vonage's media sockets: the one place that knows its keys.
//!
//! Audio is in binary messages and needs none of it. Texts are few, so that one is read twice where its keys are not known before.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{audio::SampleRate, ids::MarkId, telephony::scalar::Scalar};

/// Any text in, as far as its keys are fixed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) event: Scalar<'a>,
    #[serde(borrow)]
    pub(super) digit: Scalar<'a>,
    #[serde(borrow)]
    pub(super) dtmf: Option<Dtmf<'a>>,
    pub(super) payload: Option<Value>,
}

/// How some send a key: in an object of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dtmf<'a> {
    #[serde(borrow)]
    pub(super) digit: Scalar<'a>,
}

/// The first message: what it says of the audio, and what our endpoint's headers said, which stand beside it or in an object.
pub(super) struct Connected {
    pub(super) content_type: String,
    pub(super) headers: BTreeMap<String, String>,
}

impl Connected {
    /// `None` if it is no object.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut fields: BTreeMap<Cow<'_, str>, Value> = serde_json::from_str(text).ok()?;
        let mut take = |name: &str| fields.remove(name);
        let content_type = take("content-type").and_then(|value| written(&value)).unwrap_or_default();
        let (_event, nested) = (take("event"), take("headers"));
        let mut headers: BTreeMap<String, String> = match nested {
            Some(Value::Object(nested)) => {
                nested.iter().filter_map(|(name, value)| Some((name.clone(), written(value)?))).collect()
            }
            _ => BTreeMap::new(),
        };
        headers.extend(fields.iter().filter_map(|(name, value)| Some((name.as_ref().to_owned(), written(value)?))));
        Some(Self { content_type, headers })
    }
}

/// A header's value: what is not text is written out; what has parts is nothing that we sent.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The rate in `audio/l16;rate=16000`, if it is one that Vonage has.
pub(super) fn rate(content_type: &str) -> Option<SampleRate> {
    let content_type = content_type.to_ascii_lowercase();
    let (kind, parameters) = content_type.split_once(';')?;
    let named = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        (name.trim() == "rate").then(|| value.trim().trim_matches('"').to_owned())
    };
    if kind.trim() != "audio/l16" {
        return None;
    }
    match parameters.split(';').find_map(named)?.as_str() {
        "8000" => Some(SampleRate::HZ_8000),
        "16000" => Some(SampleRate::HZ_16000),
        "24000" => Some(SampleRate::HZ_24000),
        _ => None,
    }
}

/// A rate as a document names it.
pub(super) struct ContentType(pub(super) SampleRate);

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audio/l16;rate={}", self.0.hz())
    }
}

/// The name of the mark that a notification brings back, if it is one of ours.
pub(super) fn mark_of(payload: &Value) -> Option<&str> {
    payload.get("mark")?.as_str().filter(|name| !name.is_empty())
}

/// Asks to be told when what was sent before has been played.
pub(super) fn notify(mark: MarkId) -> String {
    let mut text = String::new();
    write!(text, "{{\"action\":\"notify\",\"payload\":{{\"mark\":\"{mark}\"}}}}")
        .expect("writing to a string does not fail");
    text
}

/// Drops what has not been played.
pub(super) const CLEAR: &str = "{\"action\":\"clear\"}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_however_it_is_spaced() {
        for (text, rate_hz) in [
            ("audio/l16;rate=8000", Some(8_000)),
            ("audio/l16; rate=16000", Some(16_000)),
            ("Audio/L16;channels=1;Rate=\"24000\"", Some(24_000)),
            ("audio/l16;rate=44100", None),
            ("audio/l16", None),
            ("audio/pcmu;rate=8000", None),
            ("", None),
        ] {
            assert_eq!(rate(text).map(SampleRate::hz), rate_hz, "{text}");
        }
        assert_eq!(ContentType(SampleRate::HZ_16000).to_string(), "audio/l16;rate=16000");
    }

    #[test]
    fn headers_are_found_beside_and_inside_and_parts_are_left_out() {
        let text = r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000","token":"out","n":7,
            "headers":{"token":"in","call_uuid":"u","deep":{"a":1}},"list":[1],"none":null}"#;
        let connected = Connected::read(text).unwrap();
        let expected = [("call_uuid", "u"), ("n", "7"), ("none", ""), ("token", "out")];
        assert_eq!(connected.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(Connected::read("[]").is_none());
    }
}
