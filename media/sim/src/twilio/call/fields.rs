//! What the vendor tells in its webhooks about a call and its streams.

use std::time::{Duration, SystemTime};

use url::Url;

use super::state::{CallState, Direction};
use crate::{
    dates,
    twilio::{
        phone::{PhoneEvent, PhoneEventKind, StreamEnd},
        signature::Form,
        twiml::{Method, StreamNoun},
        webhook::{Webhook, WebhookKind},
    },
};

/// The fields of every webhook of a call, with `further` ones at the end.
pub(super) fn call_fields(state: &CallState, further: &Form) -> Form {
    let mut form: Form = [
        ("AccountSid", state.account_sid.as_str()),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", &state.sid),
        ("CallStatus", state.status().as_str()),
        ("Called", &state.to),
        ("Caller", &state.from),
        ("Direction", state.direction.as_str()),
        ("From", &state.from),
        ("To", &state.to),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if state.direction == Direction::Inbound {
        for place in ["Called", "Caller", "From", "To"] {
            form.extend(["City", "State", "Zip"].map(|part| (format!("{place}{part}"), String::new())));
            form.push((format!("{place}Country"), "US".into()));
        }
    }
    form.extend(further.iter().cloned());
    form
}

/// What detection has found.
pub(super) fn detection_fields(word: &str, took: Duration) -> Form {
    vec![
        ("AnsweredBy".to_owned(), word.to_owned()),
        ("MachineDetectionDuration".to_owned(), took.as_millis().to_string()),
    ]
}

/// The stream's own status callback for an event, if it wants one and this is the start or the end.
pub(super) fn stream_callback(
    state: &CallState,
    noun: &StreamNoun,
    stream_sid: &str,
    event: &PhoneEvent,
) -> Option<Webhook> {
    let url = noun.status_callback.clone()?;
    let (name, error) = match &event.kind {
        PhoneEventKind::Started { .. } => ("stream-started", None),
        PhoneEventKind::Ended(StreamEnd::NotOpened { detail, .. } | StreamEnd::Broken(detail)) => {
            ("stream-error", Some(detail.clone()))
        }
        PhoneEventKind::Ended(_) => ("stream-stopped", None),
        _ => return None,
    };
    let mut fields: Form = [
        ("AccountSid", state.account_sid.as_str()),
        ("CallSid", &state.sid),
        ("StreamSid", stream_sid),
        ("StreamName", noun.name.as_deref().unwrap_or(stream_sid)),
        ("StreamEvent", name),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    fields.push(("Timestamp".into(), dates::iso8601(SystemTime::now())));
    fields.extend(error.map(|error| ("StreamError".into(), error)));
    Some(Webhook { kind: WebhookKind::Stream, method: Method::Post, url, fields })
}

/// An address that may be relative to the document that names it. An absolute one stays as written, for it is signed.
pub(super) fn join(base: &str, url: &str) -> String {
    if url.contains("://") {
        return url.to_owned();
    }
    Url::parse(base).and_then(|base| base.join(url)).map_or_else(|_| url.to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_addresses_start_from_their_document() {
        assert_eq!(join("https://h/a/b?c=d", "/x?y=1"), "https://h/x?y=1");
        assert_eq!(join("https://h/a/b?c=d", "x"), "https://h/a/x");
        assert_eq!(join("https://h/a", "http://other"), "http://other");
    }
}
