//! The sockets' messages, in both directions.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    buffer::SCHEDULE_ITEM,
    config::{AlignmentKeys, ContextKey, KeyStyle},
    error::Failure,
};
use crate::voice::CharTime;

/// A message from the client. Which fields count depends on the socket.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ClientMessage {
    pub(super) text: Option<String>,
    pub(super) context_id: Option<String>,
    pub(super) flush: bool,
    pub(super) try_trigger: bool,
    pub(super) close_context: bool,
    pub(super) close_socket: bool,
    /// What may only be set in a first message, if any of it is there.
    pub(super) settings: Option<Value>,
    pub(super) schedule: Option<Vec<usize>>,
    pub(super) key: Option<String>,
}

impl ClientMessage {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Failure::invalid(format!("The message is not valid JSON: {error}")))?;
        let fields = value.as_object().ok_or_else(|| Failure::invalid("The message must be a JSON object."))?;
        let key = match string(fields, "xi-api-key")?.or(string(fields, "xi_api_key")?) {
            Some(key) => Some(key),
            None => string(fields, "authorization")?.map(|value| bearer(&value).to_owned()),
        };
        let message = Self {
            text: string(fields, "text")?,
            context_id: string(fields, "context_id")?,
            flush: flag(fields, "flush")?,
            try_trigger: flag(fields, "try_trigger_generation")?,
            close_context: flag(fields, "close_context")?,
            close_socket: flag(fields, "close_socket")?,
            settings: settings(fields),
            schedule: schedule(fields)?,
            key,
        };
        check_voice_settings(fields)?;
        Ok(message)
    }
}

/// The key of an `Authorization` value.
pub(super) fn bearer(value: &str) -> &str {
    value.strip_prefix("Bearer ").unwrap_or(value)
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn string(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, Failure> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Failure::invalid(format!("'{name}' must be a string."))),
    }
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, Failure> {
    match present(fields, name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Failure::invalid(format!("'{name}' must be a boolean."))),
    }
}

fn settings(fields: &Map<String, Value>) -> Option<Value> {
    let names = ["voice_settings", "generation_config", "generator_config", "pronunciation_dictionary_locators"];
    let given: Map<String, Value> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), present(fields, name)?.clone()))).collect();
    (!given.is_empty()).then_some(Value::Object(given))
}

fn schedule(fields: &Map<String, Value>) -> Result<Option<Vec<usize>>, Failure> {
    let config = present(fields, "generation_config").or_else(|| present(fields, "generator_config"));
    let Some(items) = config.and_then(|config| config.get("chunk_length_schedule")).filter(|items| !items.is_null())
    else {
        return Ok(None);
    };
    let wrong = || Failure::invalid("'chunk_length_schedule' must be a list of numbers from 50 to 500.");
    let items = items.as_array().ok_or_else(wrong)?;
    let number = |item: &Value| {
        let number = item.as_u64().filter(|number| SCHEDULE_ITEM.contains(number))?;
        usize::try_from(number).ok()
    };
    items.iter().map(|item| number(item).ok_or_else(wrong)).collect::<Result<_, _>>().map(Some)
}

fn check_voice_settings(fields: &Map<String, Value>) -> Result<(), Failure> {
    let Some(settings) = present(fields, "voice_settings") else { return Ok(()) };
    let ranges = [("stability", 0.0, 1.0), ("similarity_boost", 0.0, 1.0), ("style", 0.0, 1.0), ("speed", 0.7, 1.2)];
    for (name, least, most) in ranges {
        let Some(value) = settings.get(name).filter(|value| !value.is_null()) else { continue };
        if !value.as_f64().is_some_and(|value| (least..=most).contains(&value)) {
            return Err(Failure::invalid(format!("'{name}' must be a number from {least} to {most}.")));
        }
    }
    Ok(())
}

/// A fragment of audio as a message.
pub(super) fn audio(bytes: &[u8], alignment: Option<&Alignment>, context: Option<&str>, style: KeyStyle) -> Value {
    let alignment = alignment.map_or(Value::Null, |alignment| alignment.milliseconds(style.alignment));
    let mut message = json!({
        "audio": STANDARD.encode(bytes),
        "isFinal": null,
        "alignment": alignment,
        "normalizedAlignment": alignment,
    });
    name_context(&mut message, context, style);
    message
}

/// The last message of a context, or of a socket without contexts.
pub(super) fn last(context: Option<&str>, style: KeyStyle) -> Value {
    let mut message =
        if context.is_some() { json!({"isFinal": true}) } else { json!({"isFinal": true, "audio": null}) };
    name_context(&mut message, context, style);
    message
}

fn name_context(message: &mut Value, context: Option<&str>, style: KeyStyle) {
    let Some(context) = context else { return };
    if style.context != ContextKey::Snake {
        message["contextId"] = context.into();
    }
    if style.context != ContextKey::Camel {
        message["context_id"] = context.into();
    }
}

/// The characters that begin in a fragment; their times count from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alignment(pub(super) Vec<CharTime>);

impl Alignment {
    fn milliseconds(&self, keys: AlignmentKeys) -> Value {
        let (starts, durations) = match keys {
            AlignmentKeys::Documented => ("charStartTimesMs", "charsDurationsMs"),
            AlignmentKeys::Singular => ("charStartTimesMs", "charDurationsMs"),
            AlignmentKeys::Plural => ("charsStartTimesMs", "charsDurationsMs"),
        };
        let list = |of: fn(&CharTime) -> Value| self.0.iter().map(of).collect::<Value>();
        let mut value = json!({"chars": list(|time| time.ch.to_string().into())});
        value[starts] = list(|time| time.start_ms.into());
        value[durations] = list(|time| time.duration_ms.into());
        value
    }

    /// As the HTTP API writes it.
    pub(super) fn seconds(&self) -> Value {
        let list = |of: fn(&CharTime) -> Value| self.0.iter().map(of).collect::<Value>();
        json!({
            "characters": list(|time| time.ch.to_string().into()),
            "character_start_times_seconds": list(|time| (f64::from(time.start_ms) / 1_000.0).into()),
            "character_end_times_seconds": list(|time| (f64::from(time.start_ms + time.duration_ms) / 1_000.0).into()),
        })
    }
}
