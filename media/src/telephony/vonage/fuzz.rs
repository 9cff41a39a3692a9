//! What a fuzzer calls, and what the tests call with arbitrary input: see each function for what it checks.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use trunkline_base::Secret;

use super::{
    codec::{Expected, VonageCodec},
    event::{AnswerWebhook, EventKind, EventWebhook},
    signature::{Account, Payload, unverified, verify},
};
use crate::{
    audio::SampleRate,
    ids::{Epoch, MarkId},
    telephony::{Inbound, MediaCodec, Outbound, SocketMessage},
};

/// Reads `data` as a text and as audio, before and after a stream has begun, and writes it as audio.
///
/// # Panics
/// If a message that was read is not what the codec promises, or what was written is not one whole frame.
pub fn fuzz_decode(data: &[u8]) {
    let expected = Expected { rate: SampleRate::HZ_16000, call_uuid: "c".into(), account: "a".into() };
    let mut begun = VonageCodec::expecting(expected.clone());
    let _ = begun.decode(&SocketMessage::Binary(Bytes::from_static(&[0; 640])));
    for mut codec in [VonageCodec::default(), VonageCodec::expecting(expected), begun] {
        let before = codec.format();
        if let Ok(text) = std::str::from_utf8(data) {
            check(&mut codec, before.is_some(), &SocketMessage::Text(text.to_owned()));
        }
        let before = codec.format();
        check(&mut codec, before.is_some(), &SocketMessage::Binary(Bytes::copy_from_slice(data)));
        let sent = codec.encode(&Outbound::Audio(Bytes::copy_from_slice(data)));
        match (codec.format(), sent) {
            (Some(format), Some(SocketMessage::Binary(frame))) => {
                assert!(frame.len() == format.frame_bytes() && frame.starts_with(data));
                assert!(frame[data.len()..].iter().all(|byte| *byte == format.silence_byte()));
            }
            (Some(format), None) => assert!(data.len() > format.frame_bytes()),
            (None, None) => {}
            (format, sent) => panic!("{format:?}: {sent:?}"),
        }
    }
    if let [a, b, ..] = data {
        let mark = MarkId { epoch: Epoch(u32::from(*a)), n: u32::from(*b) };
        let text = super::wire::notify(mark).replace("\"action\":\"notify\"", "\"event\":\"websocket:notify\"");
        let mut codec =
            VonageCodec::expecting(Expected { rate: SampleRate::HZ_8000, call_uuid: "c".into(), account: "a".into() });
        let _ = codec.decode(&SocketMessage::Binary(Bytes::from_static(&[0; 320])));
        let Ok(Inbound::Mark { name }) = codec.decode(&SocketMessage::Text(text)) else {
            panic!("a mark was not read back")
        };
        assert_eq!(MarkId::parse(&name), Some(mark));
    }
}

fn check(codec: &mut VonageCodec, begun: bool, message: &SocketMessage) {
    match codec.decode(message) {
        Ok(Inbound::Audio { payload, .. }) => {
            assert!(begun && !payload.is_empty() && payload.len().is_multiple_of(2));
        }
        Ok(Inbound::Started(started)) => {
            assert!(!begun && codec.format() == Some(started.format));
            assert_eq!(started.stream.as_str(), started.call_sid);
        }
        Ok(Inbound::Dtmf { digit }) => assert!(begun && "0123456789*#ABCD".contains(*digit.expose())),
        Ok(Inbound::Mark { name }) => assert!(begun && !name.is_empty()),
        Ok(_) => assert!(begun),
        Err(bad) => assert!(!bad.label().is_empty() && codec.format().is_some() == begun),
    }
}

/// Reads `data` as a webhook, as JSON and as a query of one parameter.
///
/// # Panics
/// If a webhook that was read names no call, or one that cannot go into a URL.
pub fn fuzz_events(data: &[u8]) {
    let plain = |uuid: &str| uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if let Ok(event) = EventWebhook::of_json(data) {
        assert!(event.uuid.is_some() || event.conversation_uuid.is_some());
        assert!(event.uuid.as_deref().is_none_or(plain));
        assert!(event.status().is_some() == matches!(event.kind, EventKind::Status(_)));
    }
    if let Ok(answer) = AnswerWebhook::of_json(data) {
        assert!(plain(&answer.uuid) && !answer.to.is_empty());
    }
    let text = String::from_utf8_lossy(data).into_owned();
    let query = [("uuid".to_owned(), "0".repeat(32)), ("status".to_owned(), text.clone()), (text, "x".to_owned())];
    assert!(EventWebhook::of_query(&query).is_ok());
}

/// Takes `data` for a token, and for the body that came with one.
///
/// # Panics
/// If one passes that nobody who knows the secret has made.
pub fn fuzz_signature(data: &[u8]) {
    let secret = Secret::new("a secret that no corpus holds");
    let account = Account { api_key: "a1b2c3d4", application_id: "x", signature_secret: &secret };
    let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let text = String::from_utf8_lossy(data);
    for header in [text.to_string(), format!("Bearer {text}")] {
        if let Ok(claims) = unverified(Some(&header)) {
            assert!(!claims.jti.is_empty());
        }
        for payload in [Payload::Upgrade, Payload::Body(data)] {
            assert!(verify(&account, Some(&header), payload, now).is_err(), "{header}");
        }
    }
}
