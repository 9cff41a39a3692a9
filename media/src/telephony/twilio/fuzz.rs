//! What a fuzzer calls, and what the tests call with arbitrary input: see each function for what it checks.

use bytes::BytesMut;

use super::codec::{decode, encode_mark, encode_media};
use crate::{
    ids::{Epoch, MarkId},
    telephony::{BadMessage, Inbound, StreamId},
};

/// Reads `data` as a message, before and after a stream has begun, and as a payload and a mark that are written and read back.
///
/// # Panics
/// If a message that was read is not what the codec promises, or what was written is not read back.
pub fn fuzz_decode(data: &[u8]) {
    let mut buf = BytesMut::new();
    if let Ok(text) = std::str::from_utf8(data) {
        for stream in [None, Some("MZ1")] {
            match decode(text, stream, &mut buf) {
                Ok(Inbound::Audio { payload, .. }) => {
                    assert!(stream.is_some() && !payload.is_empty());
                    read_back(&payload);
                }
                Ok(Inbound::Started(started)) => {
                    assert_eq!(stream, None);
                    assert_eq!(StreamId::new(started.stream.as_str()).as_ref(), Some(&started.stream));
                }
                Ok(Inbound::Dtmf { digit }) => assert!("0123456789*#ABCD".contains(*digit.expose())),
                Ok(_) => {}
                Err(bad) => assert!(!bad.label().is_empty()),
            }
        }
    }
    read_back(data);
    if let [a, b, ..] = data {
        let mark = MarkId { epoch: Epoch(u32::from(*a)), n: u32::from(*b) };
        let mut text = String::new();
        encode_mark(&mut text, &stream(), mark);
        let Ok(Inbound::Mark { name }) = decode(&text, Some("MZ1"), &mut buf) else {
            panic!("a mark was not read back")
        };
        assert_eq!(MarkId::parse(&name), Some(mark));
    }
}

fn read_back(payload: &[u8]) {
    let mut text = String::new();
    encode_media(&mut text, &stream(), payload);
    let read = decode(&text, Some("MZ1"), &mut BytesMut::new());
    match payload {
        [] => assert_eq!(read, Err(BadMessage::EmptyPayload)),
        _ if text.len() > crate::telephony::MAX_TEXT => assert_eq!(read, Err(BadMessage::TooLarge)),
        _ => assert_eq!(read, Ok(Inbound::Audio { timestamp: None, payload: payload.to_vec().into() })),
    }
}

fn stream() -> StreamId {
    StreamId::new("MZ1").expect("the name is a plain one")
}
