//! ElevenLabs' messages. The one place that knows their JSON; wire format of the vendor's AsyncAPI for `stream-input` and
//! `multi-stream-input`.
//!
//! What arrives is read with tolerance: the vendor spells the same field in several ways, sometimes twice in one message.

use std::{borrow::Cow, fmt, time::Duration};

use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::tts::{AlignedChar, VoiceSettings};

/// What we send. `context` is `None` on `stream-input`, which has no contexts.
pub(super) enum ClientMessage<'a> {
    /// The first message of a context, or of a `stream-input` socket. Settings are allowed here only.
    Open { context: Option<&'a str>, settings: &'a VoiceSettings },
    /// Text to be spoken now, whatever the vendor's schedule of buffering says.
    Text { context: Option<&'a str>, text: &'a str },
    /// Speak whatever is buffered.
    Flush { context: &'a str },
    /// No more of this context: flushed audio still comes, then the final message.
    CloseContext { context: &'a str },
    /// Restarts the inactivity clock of a context, or of a `multi-stream-input` socket without one.
    KeepAlive { context: Option<&'a str> },
    /// The same for `stream-input`, where an empty text would end the stream.
    KeepStreamAlive,
    /// The last message of a `stream-input` socket: the remaining audio and the final message follow.
    EndOfStream,
    /// The last message of a `multi-stream-input` socket.
    CloseSocket,
}

#[derive(Serialize, Default)]
struct ClientFrame<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice_settings: Option<&'a VoiceSettings>,
    #[serde(skip_serializing_if = "is_false")]
    flush: bool,
    #[serde(skip_serializing_if = "is_false")]
    close_context: bool,
    #[serde(skip_serializing_if = "is_false")]
    close_socket: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl ClientMessage<'_> {
    pub(super) fn to_json(&self) -> String {
        let none = ClientFrame::default();
        let frame = match *self {
            Self::Open { context, settings } => {
                let settings = Some(settings).filter(|settings| **settings != VoiceSettings::default());
                ClientFrame { text: Some(" "), context_id: context, voice_settings: settings, ..none }
            }
            Self::Text { context, text } => ClientFrame { text: Some(text), context_id: context, flush: true, ..none },
            Self::Flush { context } => ClientFrame { context_id: Some(context), flush: true, ..none },
            Self::CloseContext { context } => ClientFrame { context_id: Some(context), close_context: true, ..none },
            Self::KeepAlive { context } => ClientFrame { text: Some(""), context_id: context, ..none },
            Self::KeepStreamAlive => ClientFrame { text: Some(" "), ..none },
            Self::EndOfStream => ClientFrame { text: Some(""), ..none },
            Self::CloseSocket => ClientFrame { close_socket: true, ..none },
        };
        serde_json::to_string(&frame).expect("a struct of strings, flags and finite numbers is JSON")
    }
}

/// What arrives. Audio stays base64 in the message's own buffer until it is decoded into place.
pub(super) struct ServerMessage<'a> {
    /// Always absent on `stream-input`.
    pub(super) context: Option<Cow<'a, str>>,
    audio: Option<Cow<'a, str>>,
    /// Empty if the vendor sent none, or none that can be read.
    pub(super) alignment: Vec<AlignedChar>,
    pub(super) is_final: bool,
    /// The message says that something failed; the socket is closed next.
    pub(super) error: Option<ErrorFrame<'a>>,
}

/// The vendor's report of a failure. Its prose is for telling failures apart, never for showing: it may quote what was sent.
pub(super) struct ErrorFrame<'a> {
    pub(super) code: Code,
    pub(super) message: Cow<'a, str>,
}

impl<'a> ServerMessage<'a> {
    /// Reads a message; `None` if it is not one.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        let frame: ServerFrame<'a> = serde_json::from_str(json).ok()?;
        let audio = frame.audio.map(|text| text.0).filter(|text| !text.is_empty());
        let is_final = frame.is_final_camel.or(frame.is_final).unwrap_or(false);
        let failed = frame.error.is_some() || (frame.message.is_some() && audio.is_none() && !is_final);
        let error = failed.then(|| ErrorFrame {
            code: frame.error.map_or_else(Code::default, |raw| Code::of_json(raw.get())),
            message: frame.message.map_or_else(Cow::default, |raw| prose(raw.get())),
        });
        let given = |raw: Option<&RawValue>| raw.map(alignment).filter(|chars| !chars.is_empty());
        Some(Self {
            context: frame.context_camel.or(frame.context).map(|text| text.0),
            audio,
            alignment: given(frame.alignment)
                .or_else(|| given(frame.normalized_camel))
                .or_else(|| given(frame.normalized))
                .unwrap_or_default(),
            is_final,
            error,
        })
    }

    /// Decodes the audio to the end of `out`. False if there was none, or none that can be decoded; `out` is then as it was.
    pub(super) fn decode_audio(&self, out: &mut Vec<u8>) -> bool {
        let Some(audio) = &self.audio else { return false };
        let before = out.len();
        if STANDARD.decode_append(audio.as_bytes(), out).is_err() {
            out.truncate(before);
        }
        out.len() > before
    }
}

/// A string read without copying unless it holds escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

// Two spellings in one message would be a duplicate under `alias`, hence a field for each.
#[derive(Deserialize)]
struct ServerFrame<'a> {
    #[serde(borrow, default)]
    audio: Option<Text<'a>>,
    #[serde(borrow, default, rename = "context_id")]
    context: Option<Text<'a>>,
    #[serde(borrow, default, rename = "contextId")]
    context_camel: Option<Text<'a>>,
    #[serde(default)]
    is_final: Option<bool>,
    #[serde(default, rename = "isFinal")]
    is_final_camel: Option<bool>,
    #[serde(borrow, default)]
    alignment: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "normalizedAlignment")]
    normalized_camel: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "normalized_alignment")]
    normalized: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AlignmentFrame<'a> {
    #[serde(borrow, default)]
    chars: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    characters: Option<Vec<Text<'a>>>,
    #[serde(default, rename = "charStartTimesMs")]
    char_starts: Option<Vec<f64>>,
    #[serde(default, rename = "charsStartTimesMs")]
    chars_starts: Option<Vec<f64>>,
    #[serde(default, rename = "char_start_times_ms")]
    snake_starts: Option<Vec<f64>>,
    #[serde(default, rename = "charDurationsMs")]
    char_durations: Option<Vec<f64>>,
    #[serde(default, rename = "charsDurationsMs")]
    chars_durations: Option<Vec<f64>>,
    #[serde(default, rename = "char_durations_ms")]
    snake_durations: Option<Vec<f64>>,
}

/// Reads an alignment on its own: one of a shape that nobody foresaw must not cost the audio beside it.
fn alignment(raw: &RawValue) -> Vec<AlignedChar> {
    let Ok(Some(frame)) = serde_json::from_str::<Option<AlignmentFrame<'_>>>(raw.get()) else { return Vec::new() };
    let chars = frame.chars.or(frame.characters).unwrap_or_default();
    let starts = frame.char_starts.or(frame.chars_starts).or(frame.snake_starts).unwrap_or_default();
    let durations = frame.char_durations.or(frame.chars_durations).or(frame.snake_durations).unwrap_or_default();
    let mut aligned = Vec::with_capacity(chars.len());
    for ((text, start), duration) in chars.iter().zip(starts).zip(durations) {
        // One entry may be a letter and its combining marks: they share its time.
        let (start, duration) = (milliseconds(start), milliseconds(duration));
        let mut marks = text.0.chars();
        if let Some(ch) = marks.next() {
            aligned.push(AlignedChar { ch, start, duration });
            aligned.extend(marks.map(|ch| AlignedChar { ch, start: start + duration, duration: Duration::ZERO }));
        }
    }
    aligned
}

/// Times within one piece of audio; anything else is nonsense and is brought back to an hour at most.
fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.clamp(0.0, 3_600_000.0) / 1_000.0)
}

/// A machine code of the vendor's, such as `quota_exceeded`; empty where there was none. Anything but lower-case letters and
/// underscores is refused, so that neither prose nor a key can be one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Code(String);

impl Code {
    const MAX: usize = 64;

    pub(super) fn new(code: &str) -> Self {
        let plain = code.len() <= Self::MAX && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        Self(if plain { code.to_owned() } else { String::new() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of a frame's `error`: a string, or an object that holds one.
    fn of_json(json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(serde_json::Value::String(code)) => Self::new(&code),
            Ok(serde_json::Value::Object(map)) => ["code", "error", "status", "type"]
                .iter()
                .filter_map(|key| map.get(*key)?.as_str())
                .map(Self::new)
                .find(|code| !code.is_empty())
                .unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// Of an HTTP error's body: `{"detail": {"code", "status", …}}`, where older answers have `status` alone.
    pub(super) fn of_body(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            detail: &'a RawValue,
        }
        std::str::from_utf8(body)
            .ok()
            .and_then(|text| serde_json::from_str::<Body<'_>>(text).ok())
            .map_or_else(Self::default, |body| Self::of_json(body.detail.get()))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "no code" } else { &self.0 })
    }
}

fn prose(json: &str) -> Cow<'_, str> {
    serde_json::from_str::<Text<'_>>(json).map_or_else(|_| Cow::default(), |text| text.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> String {
        let path = format!("{}/../fixtures/wire/elevenlabs/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    fn aligned(alignment: &[AlignedChar]) -> Vec<(char, u128, u128)> {
        alignment.iter().map(|one| (one.ch, one.start.as_millis(), one.duration.as_millis())).collect()
    }

    #[test]
    fn both_spellings_say_the_same() {
        for name in ["audio-camel.json", "audio-snake.json", "audio-both.json"] {
            let json = fixture(name);
            let message = ServerMessage::parse(&json).unwrap();
            assert_eq!(message.context.as_deref(), Some("call-3-1"), "{name}");
            assert_eq!(aligned(&message.alignment), [('H', 0, 80), ('i', 80, 90)], "{name}");
            let mut audio = vec![7];
            assert!(message.decode_audio(&mut audio), "{name}");
            assert_eq!(audio, [7, 0xFF, 0xFE, 0x7F, 0x00], "{name}");
            assert!(!message.is_final && message.error.is_none(), "{name}");
        }
    }

    #[test]
    fn audio_without_escapes_is_borrowed() {
        let message = ServerMessage::parse(r#"{"audio":"//5/AA=="}"#).unwrap();
        assert!(matches!(message.audio, Some(Cow::Borrowed(_))));
        let escaped = ServerMessage::parse(r#"{"audio":"\/\/5\/AA=="}"#).unwrap();
        let mut audio = Vec::new();
        assert!(escaped.decode_audio(&mut audio));
        assert_eq!(audio, [0xFF, 0xFE, 0x7F, 0x00]);
    }

    #[test]
    fn alignment_may_be_null_missing_or_strange() {
        for alignment in ["null", "[]", "7", r#"{"chars":["a"]}"#, r#"{"chars":["a"],"charStartTimesMs":["x"]}"#] {
            let json = format!(r#"{{"audio":"//5/AA==","alignment":{alignment}}}"#);
            let message = ServerMessage::parse(&json).unwrap();
            assert!(message.alignment.is_empty() && message.decode_audio(&mut Vec::new()), "{alignment}");
        }
    }

    #[test]
    fn a_final_message_has_no_audio() {
        for name in ["final-camel.json", "final-snake.json"] {
            let json = fixture(name);
            let message = ServerMessage::parse(&json).unwrap();
            assert!(message.is_final && message.error.is_none(), "{name}");
            assert!(!message.decode_audio(&mut Vec::new()), "{name}");
        }
    }

    #[test]
    fn an_error_frame_gives_its_code() {
        let json = fixture("error-quota.json");
        assert_eq!(ServerMessage::parse(&json).unwrap().error.unwrap().code.as_str(), "quota_exceeded");
        let json = fixture("error-contexts.json");
        assert_eq!(ServerMessage::parse(&json).unwrap().error.unwrap().code.as_str(), "max_active_conversations");
    }

    #[test]
    fn an_http_error_gives_its_code() {
        assert_eq!(Code::of_body(fixture("http-401.json").as_bytes()).as_str(), "invalid_api_key");
        assert_eq!(Code::of_body(br#"{"detail":{"status":"system_busy"}}"#).as_str(), "system_busy");
        for body in [&b"{}"[..], b"<html>", b"\xff", br#"{"detail":[{"msg":"x"}]}"#, br#"{"detail":"Not Found"}"#] {
            assert!(Code::of_body(body).is_empty());
        }
    }

    #[test]
    fn neither_prose_nor_a_key_is_a_code() {
        for text in ["Your text was: hello", "sk_0123456789abcdef", "UPPER", &"a".repeat(65)] {
            assert!(Code::new(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn audio_that_cannot_be_decoded_leaves_no_trace() {
        let mut audio = vec![1, 2];
        assert!(!ServerMessage::parse(r#"{"audio":"AAAA*"}"#).unwrap().decode_audio(&mut audio));
        assert_eq!(audio, [1, 2]);
    }

    #[test]
    fn what_we_send() {
        let voice = VoiceSettings { speed: Some(1.5), ..VoiceSettings::default() };
        let context = Some("c");
        for (message, json) in [
            (ClientMessage::Open { context, settings: &VoiceSettings::default() }, r#"{"text":" ","context_id":"c"}"#),
            (ClientMessage::Open { context: None, settings: &voice }, r#"{"text":" ","voice_settings":{"speed":1.5}}"#),
            (ClientMessage::Text { context, text: "Hi. " }, r#"{"text":"Hi. ","context_id":"c","flush":true}"#),
            (ClientMessage::Flush { context: "c" }, r#"{"context_id":"c","flush":true}"#),
            (ClientMessage::CloseContext { context: "c" }, r#"{"context_id":"c","close_context":true}"#),
            (ClientMessage::KeepAlive { context: None }, r#"{"text":""}"#),
            (ClientMessage::KeepAlive { context }, r#"{"text":"","context_id":"c"}"#),
            (ClientMessage::KeepStreamAlive, r#"{"text":" "}"#),
            (ClientMessage::EndOfStream, r#"{"text":""}"#),
            (ClientMessage::CloseSocket, r#"{"close_socket":true}"#),
        ] {
            assert_eq!(message.to_json(), json);
        }
    }
}
