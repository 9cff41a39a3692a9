//! The messages of a media socket: what Vonage sends, and a reading of what it receives as strict as its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    ncco::SocketEndpoint,
    rate::{Down, Up},
};
use crate::phone::{
    Inbound, Invalid, Wire,
    playback::{PlaybackRules, TICK_BYTES},
};

/// Messages that the buffer holds: about a minute.
const BUFFER: usize = 3_072;
/// How long a key is pressed, in milliseconds.
const KEY: u32 = 260;

/// One socket's messages.
pub(super) struct SocketWire {
    /// What `websocket:connected` says, beside the endpoint's headers.
    connected: Map<String, Value>,
    returns_cleared: bool,
    factor: usize,
    up: Up,
    down: Down,
    /// The caller's audio that is no whole frame yet, µ-law.
    pending: Vec<u8>,
    /// The payloads of marks, by what they are called here.
    payloads: BTreeMap<String, Value>,
}

impl SocketWire {
    pub(super) fn new(endpoint: &SocketEndpoint, caller_id: &str, returns_cleared: bool) -> Self {
        let mut connected = endpoint.headers.clone();
        connected.insert("event".into(), "websocket:connected".into());
        connected.insert("content-type".into(), endpoint.content_type.as_str().into());
        connected.insert("caller-id".into(), caller_id.into());
        let factor = (endpoint.rate / crate::audio::TELEPHONE_RATE) as usize;
        Self {
            connected,
            returns_cleared,
            factor,
            up: Up::new(factor),
            down: Down::new(factor),
            pending: Vec::new(),
            payloads: BTreeMap::new(),
        }
    }

    fn command(&mut self, text: &str) -> Result<Inbound, Invalid> {
        let command: Value = serde_json::from_str(text).map_err(|error| Invalid::Json(error.to_string()))?;
        match command.get("action").and_then(Value::as_str) {
            Some("clear") => Ok(Inbound::Clear),
            Some("notify") => {
                let payload = command.get("payload").filter(|payload| payload.is_object());
                let payload = payload.ok_or_else(|| Invalid::Fields("notify".into()))?;
                // Told apart by what is in them, as the server does.
                let name = payload.to_string();
                self.payloads.insert(name.clone(), payload.clone());
                Ok(Inbound::Mark(name))
            }
            Some(other) => Err(Invalid::Event(other.to_owned())),
            None => Err(Invalid::Json("there is no action".into())),
        }
    }
}

impl Wire for SocketWire {
    fn rules(&self) -> PlaybackRules {
        PlaybackRules { limit: BUFFER * TICK_BYTES, returns_cleared: self.returns_cleared }
    }

    fn opening(&mut self) -> Vec<Message> {
        vec![Message::text(Value::Object(self.connected.clone()).to_string())]
    }

    fn media(&mut self, _timestamp_ms: u64, audio: &[u8]) -> Vec<Message> {
        self.pending.extend_from_slice(audio);
        let whole = self.pending.len() / TICK_BYTES * TICK_BYTES;
        let frames: Vec<u8> = self.pending.drain(..whole).collect();
        frames.chunks(TICK_BYTES).map(|frame| Message::binary(Bytes::from(self.up.convert(frame)))).collect()
    }

    fn dtmf(&mut self, key: char) -> Message {
        Message::text(json!({"event": "websocket:dtmf", "digit": key.to_string(), "duration": KEY}).to_string())
    }

    fn mark(&mut self, name: &str) -> Message {
        let payload = self.payloads.get(name).cloned().unwrap_or_default();
        Message::text(json!({"event": "websocket:notify", "payload": payload}).to_string())
    }

    fn cleared(&mut self) -> Option<Message> {
        Some(Message::text(json!({"event": "websocket:cleared"}).to_string()))
    }

    fn stop(&mut self) -> Option<Message> {
        None
    }

    fn parse(&mut self, message: &Message, audio: &mut Vec<u8>) -> Result<Inbound, Invalid> {
        audio.clear();
        match message {
            Message::Text(text) => self.command(text.as_str()),
            Message::Binary(frame) => {
                let wanted = TICK_BYTES * self.factor;
                if frame.len() != wanted * 2 {
                    return Err(Invalid::FrameSize { samples: frame.len() / 2, wanted });
                }
                self.down.convert(frame, audio);
                Ok(Inbound::Media)
            }
            other => Err(Invalid::Binary(other.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(rate: u32) -> SocketWire {
        let headers = json!({"token": "abc", "call_uuid": "u"});
        let endpoint = SocketEndpoint {
            uri: "wss://h.example/m".into(),
            content_type: format!("audio/l16;rate={rate}"),
            rate,
            headers: headers.as_object().unwrap().clone(),
            authorization: None,
        };
        SocketWire::new(&endpoint, "447700900123", false)
    }

    fn text(message: &Message) -> Value {
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    #[test]
    fn messages_have_the_vendors_shape() {
        let mut wire = wire(16_000);
        let expected = json!({
            "event": "websocket:connected", "content-type": "audio/l16;rate=16000", "caller-id": "447700900123",
            "token": "abc", "call_uuid": "u",
        });
        assert_eq!(text(&wire.opening()[0]), expected);
        assert_eq!(text(&wire.dtmf('#')), json!({"event": "websocket:dtmf", "digit": "#", "duration": 260}));
        assert_eq!(text(&wire.cleared().unwrap()), json!({"event": "websocket:cleared"}));
        let mut audio = Vec::new();
        let notify = Message::text(r#"{"action":"notify","payload":{"mark":"e1-2","n":[1]}}"#);
        let Ok(Inbound::Mark(name)) = wire.parse(&notify, &mut audio) else { panic!("a notification") };
        let back = json!({"event": "websocket:notify", "payload": {"mark": "e1-2", "n": [1]}});
        assert_eq!(text(&wire.mark(&name)), back);
        // Audio leaves in frames, however it comes.
        assert!(wire.media(0, &[0xff; 100]).is_empty());
        let sent = wire.media(0, &[0xff; 300]);
        assert_eq!(sent.iter().map(Message::len).collect::<Vec<_>>(), [640, 640]);
    }

    #[test]
    fn only_whole_frames_are_taken() {
        for (rate, bytes) in [(8_000, 320), (16_000, 640), (24_000, 960)] {
            let mut wire = wire(rate);
            let mut audio = vec![9];
            assert_eq!(wire.parse(&Message::binary(vec![0; bytes]), &mut audio), Ok(Inbound::Media));
            assert_eq!(audio.len(), TICK_BYTES);
            let invalid = wire.parse(&Message::binary(vec![0; bytes + 2]), &mut audio).unwrap_err();
            assert!(invalid.is_fatal());
            let wanted = bytes / 2;
            assert_eq!(invalid.to_string(), format!("unexpected frame size {}, when required {wanted}", wanted + 1));
        }
    }

    #[test]
    fn what_is_no_command_is_ignored() {
        let mut wire = wire(8_000);
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"action":"hangup"}"#,
            r#"{"action":"notify"}"#,
            r#"{"action":"notify","payload":"x"}"#,
        ] {
            let invalid = wire.parse(&Message::text(text), &mut Vec::new()).unwrap_err();
            assert!(!invalid.is_fatal(), "{text}");
        }
    }
}
