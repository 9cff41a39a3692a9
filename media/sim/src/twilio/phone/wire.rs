//! The messages of a media stream: what the phone sends, and a strict reading of what it receives.

use std::{borrow::Cow, fmt::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::StreamRequest;
use crate::phone::{Inbound, Wire};
pub use crate::phone::{Invalid, Sids};

/// One stream's messages.
pub(crate) struct StreamWire<'a> {
    counters: Counters,
    request: &'a StreamRequest,
}

impl<'a> StreamWire<'a> {
    pub(crate) fn new(request: &'a StreamRequest) -> Self {
        Self { counters: Counters::default(), request }
    }
}

impl Wire for StreamWire<'_> {
    fn opening(&mut self) -> Vec<Frame> {
        let start = self.counters.start(&self.request.sids, &self.request.parameters);
        vec![Frame::text(CONNECTED), Frame::text(start)]
    }

    fn media(&mut self, timestamp_ms: u64, audio: &[u8]) -> Vec<Frame> {
        vec![Frame::text(self.counters.media(&self.request.sids, timestamp_ms, audio))]
    }

    fn dtmf(&mut self, key: char) -> Frame {
        Frame::text(self.counters.dtmf(&self.request.sids, key))
    }

    fn mark(&mut self, name: &str) -> Frame {
        Frame::text(self.counters.mark(&self.request.sids, name))
    }

    fn cleared(&mut self) -> Option<Frame> {
        None
    }

    fn stop(&mut self) -> Option<Frame> {
        Some(Frame::text(self.counters.stop(&self.request.sids)))
    }

    fn parse(&mut self, message: &Frame, audio: &mut Vec<u8>) -> Result<Inbound, Invalid> {
        match message {
            Frame::Text(text) => parse(text.as_str(), &self.request.sids.stream, audio),
            other => Err(Invalid::Binary(other.len())),
        }
    }
}

/// `sequenceNumber` and `chunk` of what is sent next.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sequence: u64,
    chunk: u64,
}

impl Counters {
    fn next(&mut self) -> String {
        self.sequence += 1;
        self.sequence.to_string()
    }

    pub(crate) fn start(&mut self, sids: &Sids, parameters: &[(String, String)]) -> String {
        let parameters: serde_json::Map<_, _> =
            parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        json!({
            "event": "start",
            "sequenceNumber": self.next(),
            "start": {
                "accountSid": sids.account,
                "streamSid": sids.stream,
                "callSid": sids.call,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            },
            "streamSid": sids.stream,
        })
        .to_string()
    }

    /// The one message that is sent 50 times a second: written into one allocation.
    pub(crate) fn media(&mut self, sids: &Sids, timestamp_ms: u64, audio: &[u8]) -> String {
        self.sequence += 1;
        self.chunk += 1;
        let mut text = String::with_capacity(200 + audio.len().div_ceil(3) * 4);
        write!(
            text,
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{timestamp_ms}","payload":""#,
            self.sequence, self.chunk,
        )
        .expect("writing to a String can't fail");
        STANDARD.encode_string(audio, &mut text);
        write!(text, r#""}},"streamSid":"{}"}}"#, sids.stream).expect("writing to a String can't fail");
        text
    }

    pub(crate) fn dtmf(&mut self, sids: &Sids, digit: char) -> String {
        let dtmf = json!({"track": "inbound_track", "digit": digit.to_string()});
        json!({"event": "dtmf", "streamSid": sids.stream, "sequenceNumber": self.next(), "dtmf": dtmf}).to_string()
    }

    pub(crate) fn mark(&mut self, sids: &Sids, name: &str) -> String {
        let mark = json!({"name": name});
        json!({"event": "mark", "sequenceNumber": self.next(), "streamSid": sids.stream, "mark": mark}).to_string()
    }

    pub(crate) fn stop(&mut self, sids: &Sids) -> String {
        let stop = json!({"accountSid": sids.account, "callSid": sids.call});
        json!({"event": "stop", "sequenceNumber": self.next(), "stop": stop, "streamSid": sids.stream}).to_string()
    }
}

pub(crate) const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    stream_sid: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Reads a message; `audio` is emptied and filled with its audio, if it has any.
pub(crate) fn parse(text: &str, stream_sid: &str, audio: &mut Vec<u8>) -> Result<Inbound, Invalid> {
    audio.clear();
    let message: Message<'_> = serde_json::from_str(text).map_err(|error| Invalid::Json(error.to_string()))?;
    let inbound = match (message.event.as_ref(), message.media, message.mark) {
        ("media", Some(media), None) => {
            STANDARD.decode_vec(media.payload.as_bytes(), audio)?;
            Inbound::Media
        }
        ("mark", None, Some(mark)) => Inbound::Mark(mark.name.into_owned()),
        ("clear", None, None) => Inbound::Clear,
        ("media" | "mark" | "clear", ..) => return Err(Invalid::Fields(message.event.into_owned())),
        _ => return Err(Invalid::Event(message.event.into_owned())),
    };
    if message.stream_sid != stream_sid {
        return Err(Invalid::Stream(message.stream_sid.into_owned()));
    }
    Ok(inbound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sids() -> Sids {
        Sids { account: "AC1".into(), call: "CA1".into(), stream: "MZ1".into() }
    }

    #[test]
    fn messages_have_the_vendors_shape() {
        let mut counters = Counters::default();
        let messages = [
            counters.start(&sids(), &[("nonce".into(), "a\"b".into())]),
            counters.media(&sids(), 0, &[0xff; 3]),
            counters.dtmf(&sids(), '#'),
            counters.media(&sids(), 20, &[0xff; 160]),
            counters.mark(&sids(), "m"),
            counters.stop(&sids()),
        ]
        .map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
        let sequence: Vec<_> = messages.iter().map(|message| message["sequenceNumber"].as_str().unwrap()).collect();
        assert_eq!(sequence, ["1", "2", "3", "4", "5", "6"]);
        assert!(messages.iter().all(|message| message["streamSid"] == "MZ1"));
        assert_eq!(messages[0]["start"]["customParameters"], json!({"nonce": "a\"b"}));
        assert_eq!(messages[0]["start"]["mediaFormat"]["sampleRate"], 8000);
        let media = json!({"track": "inbound", "chunk": "1", "timestamp": "0", "payload": "////"});
        assert_eq!(messages[1]["media"], media);
        assert_eq!((&messages[3]["media"]["chunk"], &messages[3]["media"]["timestamp"]), (&json!("2"), &json!("20")));
        assert_eq!(messages[3]["media"]["payload"].as_str().unwrap().len(), 216);
        assert_eq!(messages[2]["dtmf"], json!({"track": "inbound_track", "digit": "#"}));
        assert_eq!(messages[5]["stop"], json!({"accountSid": "AC1", "callSid": "CA1"}));
    }

    #[test]
    fn the_three_messages_of_a_server() {
        let mut audio = vec![9];
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AAEC"}}"#;
        assert_eq!(parse(media, "MZ1", &mut audio), Ok(Inbound::Media));
        assert_eq!(audio, [0, 1, 2]);
        let mark = r#"{"mark":{"name":"utt-1:\u00e9"},"streamSid":"MZ1","event":"mark"}"#;
        assert_eq!(parse(mark, "MZ1", &mut audio), Ok(Inbound::Mark("utt-1:é".into())));
        assert_eq!(parse(r#"{"event":"clear","streamSid":"MZ1"}"#, "MZ1", &mut audio), Ok(Inbound::Clear));
    }

    #[test]
    fn anything_else_is_invalid() {
        let mut audio = Vec::new();
        let mut parse = |text: &str| parse(text, "MZ1", &mut audio).unwrap_err();
        assert_eq!(parse(r#"{"event":"clear","streamSid":"MZ2"}"#), Invalid::Stream("MZ2".into()));
        assert_eq!(parse(r#"{"event":"hangup","streamSid":"MZ1"}"#), Invalid::Event("hangup".into()));
        assert_eq!(parse(r#"{"event":"media","streamSid":"MZ1"}"#), Invalid::Fields("media".into()));
        let both = r#"{"event":"clear","streamSid":"MZ1","mark":{"name":"x"}}"#;
        assert_eq!(parse(both), Invalid::Fields("clear".into()));
        assert!(matches!(parse(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"%"}}"#), Invalid::Payload(_)));
        for text in [
            "",
            "{",
            "[]",
            r#"{"event":"clear"}"#,
            r#"{"event":"clear","streamSid":"MZ1","extra":1}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AA==","track":"outbound"}}"#,
            r#"{"event":"mark","streamSid":"MZ1","mark":{"name":7}}"#,
        ] {
            assert!(matches!(parse(text), Invalid::Json(_)), "{text}");
        }
    }
}
