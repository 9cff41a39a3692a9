//! Between the text of Twilio's Media Streams and [`Inbound`] / [`Outbound`].

use std::{fmt::Write, time::Duration};

use base64_simd::{Out, STANDARD};
use bytes::BytesMut;
use trunkline_base::Personal;

use super::wire::{Dtmf, Mark, Media, MediaFormat, Message, Start};
use crate::{
    audio::AudioFormat,
    ids::MarkId,
    telephony::{
        BadMessage, Inbound, MediaCodec, Outbound, SocketMessage, Started, StreamId,
        bad::{check_payload, check_text},
    },
};

/// Payloads are decoded into blocks of this size, so that an allocation serves half a second of audio.
const BLOCK: usize = 4 * 1024;

/// The codec of one media socket: it learns the stream's name from `start` and holds every later message to it.
#[derive(Debug, Default)]
pub struct TwilioCodec {
    stream: Option<StreamId>,
    buf: BytesMut,
}

impl TwilioCodec {
    /// The stream, once it has begun.
    pub fn stream(&self) -> Option<&StreamId> {
        self.stream.as_ref()
    }
}

impl MediaCodec for TwilioCodec {
    fn decode(&mut self, message: &SocketMessage) -> Result<Inbound, BadMessage> {
        let text = match message {
            SocketMessage::Text(text) => text,
            SocketMessage::Binary(_) => return Err(BadMessage::Binary),
            SocketMessage::Close { code, .. } => return Ok(Inbound::Closed { code: *code }),
        };
        let inbound = decode(text, self.stream.as_ref().map(StreamId::as_str), &mut self.buf)?;
        if let Inbound::Started(started) = &inbound {
            self.stream = Some(started.stream.clone());
        }
        Ok(inbound)
    }

    fn encode(&self, outbound: &Outbound) -> Option<SocketMessage> {
        let stream = self.stream.as_ref()?;
        let mut text = String::new();
        match outbound {
            Outbound::Audio(payload) => encode_media(&mut text, stream, payload),
            Outbound::Mark(mark) => encode_mark(&mut text, stream, *mark),
            Outbound::Clear => encode_clear(&mut text, stream),
        }
        Some(SocketMessage::Text(text))
    }
}

/// Reads one message. `stream` is the stream that the socket began with, `None` before it began; `buf` is where payloads are decoded
/// to, and the audio that is handed out shares its memory.
pub fn decode(text: &str, stream: Option<&str>, buf: &mut BytesMut) -> Result<Inbound, BadMessage> {
    check_text(text)?;
    let message: Message<'_> = serde_json::from_str(text).map_err(|_| BadMessage::Malformed)?;
    match message.event.as_str() {
        "connected" => return Ok(Inbound::Connected),
        "start" if stream.is_some() => return Err(BadMessage::StartedTwice),
        "start" => {
            let start = message.start.ok_or(BadMessage::Malformed)?;
            return started(start, message.stream_sid.as_str()).map(|started| Inbound::Started(Box::new(started)));
        }
        "media" | "dtmf" | "mark" | "stop" => {}
        "" => return Err(BadMessage::Malformed),
        _ => return Err(BadMessage::UnknownEvent),
    }
    let stream = stream.ok_or(BadMessage::BeforeStart)?;
    if message.stream_sid.as_str() != stream {
        return Err(BadMessage::WrongStream);
    }
    match message.event.as_str() {
        "media" => audio(&message.media.ok_or(BadMessage::Malformed)?, buf),
        "dtmf" => digit(&message.dtmf.ok_or(BadMessage::Malformed)?),
        "mark" => mark(&message.mark.ok_or(BadMessage::Malformed)?),
        _ => Ok(Inbound::Stopped),
    }
}

fn started(start: Start<'_>, outer: &str) -> Result<Started, BadMessage> {
    let inner = start.stream_sid.as_str();
    if !inner.is_empty() && !outer.is_empty() && inner != outer {
        return Err(BadMessage::WrongStream);
    }
    let stream = StreamId::new(if inner.is_empty() { outer } else { inner }).ok_or(BadMessage::Malformed)?;
    if start.call_sid.is_empty() || start.account_sid.is_empty() {
        return Err(BadMessage::Malformed);
    }
    Ok(Started {
        stream,
        call_sid: start.call_sid.as_str().to_owned(),
        account_sid: start.account_sid.as_str().to_owned(),
        format: start.media_format.as_ref().map_or(Ok(AudioFormat::MULAW_8K), format)?,
        parameters: start
            .custom_parameters
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.as_str().to_owned()))
            .collect(),
    })
}

/// The page promises one format; whatever else comes one day must not be played as noise.
fn format(said: &MediaFormat<'_>) -> Result<AudioFormat, BadMessage> {
    let encoding = matches!(said.encoding.as_str(), "audio/x-mulaw" | "");
    let rate = said.sample_rate.is_empty() || said.sample_rate.number() == Some(8_000);
    let channels = said.channels.is_empty() || said.channels.number() == Some(1);
    if encoding && rate && channels { Ok(AudioFormat::MULAW_8K) } else { Err(BadMessage::UnsupportedFormat) }
}

fn audio(media: &Media<'_>, buf: &mut BytesMut) -> Result<Inbound, BadMessage> {
    if media.track.as_str().starts_with("outbound") {
        return Ok(Inbound::Ignored);
    }
    let timestamp = match media.timestamp.is_empty() {
        true => None,
        false => Some(Duration::from_millis(media.timestamp.number().ok_or(BadMessage::Malformed)?)),
    };
    let encoded = media.payload.as_str().as_bytes();
    let length = STANDARD.decoded_length(encoded).map_err(|_| BadMessage::BadBase64)?;
    check_payload(AudioFormat::MULAW_8K, length)?;
    if buf.capacity() < length {
        *buf = BytesMut::with_capacity(length.max(BLOCK));
    }
    buf.resize(length, 0);
    if STANDARD.decode(encoded, Out::from_slice(buf)).is_err() {
        buf.clear();
        return Err(BadMessage::BadBase64);
    }
    Ok(Inbound::Audio { timestamp, payload: buf.split().freeze() })
}

fn digit(dtmf: &Dtmf<'_>) -> Result<Inbound, BadMessage> {
    let mut chars = dtmf.digit.as_str().chars();
    match (chars.next().map(|c| c.to_ascii_uppercase()), chars.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(Inbound::Dtmf { digit: Personal::new(digit) }),
        _ => Err(BadMessage::BadDigit),
    }
}

fn mark(mark: &Mark<'_>) -> Result<Inbound, BadMessage> {
    if mark.name.is_empty() {
        return Err(BadMessage::Malformed);
    }
    Ok(Inbound::Mark { name: mark.name.as_str().to_owned() })
}

/// Appends a `media` message.
pub fn encode_media(out: &mut String, stream: &StreamId, payload: &[u8]) {
    out.reserve(stream.as_str().len() + STANDARD.encoded_length(payload.len()) + 64);
    out.push_str("{\"event\":\"media\",\"streamSid\":\"");
    out.push_str(stream.as_str());
    out.push_str("\",\"media\":{\"payload\":\"");
    STANDARD.encode_append(payload, out);
    out.push_str("\"}}");
}

/// Appends a `mark` message.
pub fn encode_mark(out: &mut String, stream: &StreamId, mark: MarkId) {
    write!(out, "{{\"event\":\"mark\",\"streamSid\":\"{stream}\",\"mark\":{{\"name\":\"{mark}\"}}}}")
        .expect("writing to a string does not fail");
}

/// Appends a `clear` message.
pub fn encode_clear(out: &mut String, stream: &StreamId) {
    write!(out, "{{\"event\":\"clear\",\"streamSid\":\"{stream}\"}}").expect("writing to a string does not fail");
}
