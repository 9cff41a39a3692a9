//! Between Vonage's media socket and [`Inbound`] / [`Outbound`]: raw samples in binary messages, events and commands in texts.
//!
//! A socket belongs to one call and its messages do not name it, so that who the call is has to come from us: our endpoint's headers
//! come back in the first message. Some stacks have been seen to send audio before it, or never to send it; a socket whose address says
//! all that is needed can be read [`VonageCodec::expecting`] that.

use bytes::{Bytes, BytesMut};
use trunkline_base::Personal;

use super::wire::{CLEAR, Connected, Message, mark_of, notify, rate};
use crate::{
    audio::{AudioFormat, Encoding, SampleRate},
    telephony::{
        BadMessage, Inbound, MediaCodec, Outbound, SocketMessage, Started, StreamId,
        bad::{check_payload, check_text},
    },
};

/// The endpoint's header that names the caller's leg.
pub const CALL_HEADER: &str = "call_uuid";

/// The endpoint's header that names the account.
pub const ACCOUNT_HEADER: &str = "account";

/// The endpoint's header that admits to the call.
pub const TOKEN_HEADER: &str = "token";

/// What a socket is known to be for before it has said anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The rate that was asked for.
    pub rate: SampleRate,
    /// The caller's leg.
    pub call_uuid: String,
    /// The account's key.
    pub account: String,
}

/// The codec of one media socket: it learns the rate from the first message, and cuts nothing: what it is given to send is one frame.
#[derive(Debug, Default)]
pub struct VonageCodec {
    format: Option<AudioFormat>,
    expected: Option<Expected>,
    /// The stream began with audio: the first message may still come, and means nothing any more.
    unannounced: bool,
}

impl VonageCodec {
    /// One that begins with the first audio if the first message is missing. Such a stream has no parameters, and so no token: it is
    /// admitted by something else, or not at all.
    pub const fn expecting(expected: Expected) -> Self {
        Self { format: None, expected: Some(expected), unannounced: false }
    }

    /// What the audio is, once the stream has begun.
    pub const fn format(&self) -> Option<AudioFormat> {
        self.format
    }

    fn text(&mut self, text: &str) -> Result<Inbound, BadMessage> {
        check_text(text)?;
        let message: Message<'_> = serde_json::from_str(text).map_err(|_| BadMessage::Malformed)?;
        match message.event.as_str() {
            "websocket:connected" if self.unannounced => {
                self.unannounced = false;
                Ok(Inbound::Ignored)
            }
            "websocket:connected" if self.format.is_some() => Err(BadMessage::StartedTwice),
            "websocket:connected" => self.connected(text),
            _ if self.format.is_none() => Err(BadMessage::BeforeStart),
            "websocket:dtmf" => digit(&message),
            "" if message.dtmf.is_some() => digit(&message),
            "websocket:notify" => {
                let mark = message.payload.as_ref().and_then(mark_of);
                Ok(mark.map_or(Inbound::Ignored, |name| Inbound::Mark { name: name.to_owned() }))
            }
            "websocket:cleared" => Ok(Inbound::Ignored),
            "" => Err(BadMessage::Malformed),
            _ => Err(BadMessage::UnknownEvent),
        }
    }

    fn connected(&mut self, text: &str) -> Result<Inbound, BadMessage> {
        let Connected { content_type, headers } = Connected::read(text).ok_or(BadMessage::Malformed)?;
        let expected = self.expected.as_ref();
        let rate = match (content_type.as_str(), expected) {
            ("", Some(expected)) => expected.rate,
            (content_type, _) => rate(content_type).ok_or(BadMessage::UnsupportedFormat)?,
        };
        let said = |name: &str, otherwise: fn(&Expected) -> &str| {
            let value = headers.get(name).filter(|value| !value.is_empty());
            value.cloned().or_else(|| Some(otherwise(expected?).to_owned())).ok_or(BadMessage::Malformed)
        };
        let (call, account) = (said(CALL_HEADER, |it| &it.call_uuid)?, said(ACCOUNT_HEADER, |it| &it.account)?);
        let mut started = started(call, account, rate)?;
        started.parameters = headers;
        self.format = Some(started.format);
        Ok(Inbound::Started(Box::new(started)))
    }

    fn audio(&mut self, payload: &Bytes) -> Result<Inbound, BadMessage> {
        let Some(format) = self.format else {
            let expected = self.expected.as_ref().ok_or(BadMessage::BeforeStart)?;
            let started = started(expected.call_uuid.clone(), expected.account.clone(), expected.rate)?;
            check_payload(started.format, payload.len())?;
            self.format = Some(started.format);
            self.unannounced = true;
            // These 20 ms are lost: one message cannot be two.
            return Ok(Inbound::Started(Box::new(started)));
        };
        check_payload(format, payload.len())?;
        Ok(Inbound::Audio { timestamp: None, payload: payload.clone() })
    }
}

impl MediaCodec for VonageCodec {
    fn decode(&mut self, message: &SocketMessage) -> Result<Inbound, BadMessage> {
        match message {
            SocketMessage::Text(text) => self.text(text),
            SocketMessage::Binary(payload) => self.audio(payload),
            SocketMessage::Close { code, .. } => Ok(Inbound::Closed { code: *code }),
        }
    }

    /// Audio is at most one frame; what is missing to a whole one is filled up with silence, for Vonage drops a socket on any other
    /// size. More than a frame is nothing that can be sent: `None`.
    fn encode(&self, outbound: &Outbound) -> Option<SocketMessage> {
        let format = self.format?;
        Some(match outbound {
            Outbound::Audio(payload) => SocketMessage::Binary(whole_frame(format, payload)?),
            Outbound::Mark(mark) => SocketMessage::Text(notify(*mark)),
            Outbound::Clear => SocketMessage::Text(CLEAR.to_owned()),
        })
    }
}

fn started(call: String, account: String, rate: SampleRate) -> Result<Started, BadMessage> {
    Ok(Started {
        // The socket has no name of its own; its call has.
        stream: StreamId::new(&call).ok_or(BadMessage::Malformed)?,
        call_sid: call,
        account_sid: account,
        format: AudioFormat { encoding: Encoding::Linear16, rate },
        parameters: std::collections::BTreeMap::new(),
    })
}

fn whole_frame(format: AudioFormat, payload: &Bytes) -> Option<Bytes> {
    let frame = format.frame_bytes();
    match payload.len() {
        len if len == frame => Some(payload.clone()),
        len if len < frame => {
            let mut padded = BytesMut::with_capacity(frame);
            padded.extend_from_slice(payload);
            padded.resize(frame, format.silence_byte());
            Some(padded.freeze())
        }
        _ => None,
    }
}

fn digit(message: &Message<'_>) -> Result<Inbound, BadMessage> {
    let said = match message.digit.as_str() {
        "" => message.dtmf.as_ref().map_or("", |dtmf| dtmf.digit.as_str()),
        digit => digit,
    };
    let mut chars = said.chars();
    match (chars.next().map(|c| c.to_ascii_uppercase()), chars.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(Inbound::Dtmf { digit: Personal::new(digit) }),
        _ => Err(BadMessage::BadDigit),
    }
}
