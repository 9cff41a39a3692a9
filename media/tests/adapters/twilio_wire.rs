//! Twilio's media messages are read in every shape that its pages show, and ours have the shape that its pages ask for.

use std::{path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use trunkline_media::{
    audio::AudioFormat,
    ids::{Epoch, MarkId},
    telephony::{
        BadMessage, Inbound, MediaCodec, Outbound, SocketMessage, StreamId,
        twilio::{TwilioCodec, decode, encode_media, fuzz::fuzz_decode},
    },
};

const STREAM: &str = "MZ00000000000000000000000000000001";

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire/twilio").join(name);
    std::fs::read_to_string(path).expect("a fixture of the repository")
}

fn text(name: &str) -> SocketMessage {
    SocketMessage::Text(fixture(name))
}

fn read(text: &str) -> Result<Inbound, BadMessage> {
    decode(text, Some("MZ1"), &mut BytesMut::new())
}

fn begun() -> TwilioCodec {
    let mut codec = TwilioCodec::default();
    codec.decode(&text("in_start.json")).expect("a good start");
    codec
}

#[test]
fn a_whole_stream_is_read() {
    let mut codec = TwilioCodec::default();
    assert_eq!(codec.decode(&text("in_connected.json")), Ok(Inbound::Connected));
    let Ok(Inbound::Started(started)) = codec.decode(&text("in_start.json")) else { panic!("no start") };
    assert_eq!(started.stream.as_str(), STREAM);
    assert_eq!(started.call_sid, "CA00000000000000000000000000000001");
    assert_eq!(started.account_sid, "AC00000000000000000000000000000001");
    assert_eq!(started.format, AudioFormat::MULAW_8K);
    assert_eq!(started.parameters.get("nonce").map(String::as_str), Some("abc"));
    assert_eq!(started.parameters.get("tenant").map(String::as_str), Some("7"));
    let Ok(Inbound::Audio { timestamp, payload }) = codec.decode(&text("in_media.json")) else { panic!("no audio") };
    assert_eq!((timestamp, payload.len()), (Some(Duration::from_millis(5)), 160));
    assert!(payload.iter().all(|byte| *byte == 0xFF));
    let Ok(Inbound::Dtmf { digit }) = codec.decode(&text("in_dtmf.json")) else { panic!("no digit") };
    assert_eq!(*digit.expose(), '1');
    assert_eq!(codec.decode(&text("in_mark.json")), Ok(Inbound::Mark { name: "my label".into() }));
    assert_eq!(codec.decode(&text("in_stop.json")), Ok(Inbound::Stopped));
    let closed = SocketMessage::Close { code: Some(1000), reason: String::new() };
    assert_eq!(codec.decode(&closed), Ok(Inbound::Closed { code: Some(1000) }));
}

#[test]
fn what_we_send_has_the_page_s_shape() {
    let codec = begun();
    let mark = MarkId { epoch: Epoch(2), n: 7 };
    for (outbound, name) in [
        (Outbound::Audio(Bytes::from(vec![0xFF; 160])), "out_media.json"),
        (Outbound::Mark(mark), "out_mark.json"),
        (Outbound::Clear, "out_clear.json"),
    ] {
        let SocketMessage::Text(sent) = codec.encode(&outbound).unwrap() else { panic!("not text") };
        assert_eq!(sent, fixture(name).trim_end());
    }
    assert_eq!(
        TwilioCodec::default().encode(&Outbound::Clear),
        None,
        "nothing can be sent before the stream has a name"
    );
}

#[test]
fn key_order_unknown_keys_and_spelling_of_numbers_do_not_matter() {
    let audio =
        Ok(Inbound::Audio { timestamp: Some(Duration::from_millis(20)), payload: Bytes::from_static(b"hello") });
    for text in [
        r#"{"streamSid":"MZ1","media":{"payload":"aGVsbG8=","timestamp":20,"chunk":2,"track":"inbound"},"sequenceNumber":3,"event":"media"}"#,
        r#"{"future":{"a":[1,{"b":null}]},"event":"media","media":{"x":1,"payload":"aGVsbG8=","timestamp":"20"},"streamSid":"MZ1"}"#,
        "\n {\"event\":\"m\\u0065dia\",\"media\":{\"payload\":\"aGVsbG8\\u003d\",\"timestamp\":\"20\",\"track\":null},\"streamSid\":\"MZ\\u0031\"} \n",
    ] {
        assert_eq!(read(text), audio, "{text}");
    }
    let start = r#"{"event":"start","start":{"callSid":"CA1","accountSid":"AC1","customParameters":{"n":7,"none":null},
        "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":"8000","channels":"1"}},"streamSid":"MZ1"}"#;
    let Ok(Inbound::Started(started)) = decode(start, None, &mut BytesMut::new()) else { panic!("no start") };
    assert_eq!(started.parameters.get("n").map(String::as_str), Some("7"));
    assert_eq!(started.parameters.get("none").map(String::as_str), Some(""));
}

#[test]
fn each_kind_of_nonsense_has_its_name() {
    let large = format!("{{\"event\":\"{}\"}}", "x".repeat(64 * 1024));
    for (text, bad) in [
        (r#"{"event":"media","streamSid":"#, BadMessage::Malformed),
        ("[]", BadMessage::Malformed),
        ("", BadMessage::Malformed),
        ("{}", BadMessage::Malformed),
        (r#"{"event":"media","streamSid":"MZ1"}"#, BadMessage::Malformed),
        (r#"{"event":"media","streamSid":"MZ1","media":{"timestamp":"soon","payload":"/w=="}}"#, BadMessage::Malformed),
        (r#"{"event":"mark","streamSid":"MZ1","mark":{}}"#, BadMessage::Malformed),
        (r#"{"event":"video","streamSid":"MZ1"}"#, BadMessage::UnknownEvent),
        (r#"{"event":"media","streamSid":"MZ2","media":{"payload":"/w=="}}"#, BadMessage::WrongStream),
        (r#"{"event":"stop"}"#, BadMessage::WrongStream),
        (
            r#"{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","accountSid":"AC1"}}"#,
            BadMessage::StartedTwice,
        ),
        (r#"{"event":"media","streamSid":"MZ1","media":{"payload":""}}"#, BadMessage::EmptyPayload),
        (r#"{"event":"media","streamSid":"MZ1","media":{"payload":"/w="}}"#, BadMessage::BadBase64),
        (r#"{"event":"media","streamSid":"MZ1","media":{"payload":"a!b="}}"#, BadMessage::BadBase64),
        (r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"12"}}"#, BadMessage::BadDigit),
        (r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"x"}}"#, BadMessage::BadDigit),
        (&large, BadMessage::TooLarge),
    ] {
        assert_eq!(read(text), Err(bad), "{}", &text[..text.len().min(80)]);
    }
    let before = decode(r#"{"event":"media","streamSid":"MZ1"}"#, None, &mut BytesMut::new());
    assert_eq!(before, Err(BadMessage::BeforeStart));
    for (start, bad) in [
        (
            r#"{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","accountSid":"AC1","mediaFormat":{"encoding":"audio/x-l16","sampleRate":16000}}}"#,
            BadMessage::UnsupportedFormat,
        ),
        (
            r#"{"event":"start","streamSid":"MZ1","start":{"streamSid":"MZ2","callSid":"CA1","accountSid":"AC1"}}"#,
            BadMessage::WrongStream,
        ),
        (
            r#"{"event":"start","streamSid":"MZ\"1","start":{"callSid":"CA1","accountSid":"AC1"}}"#,
            BadMessage::Malformed,
        ),
        (r#"{"event":"start","streamSid":"MZ1","start":{"accountSid":"AC1"}}"#, BadMessage::Malformed),
    ] {
        assert_eq!(decode(start, None, &mut BytesMut::new()), Err(bad), "{start}");
    }
}

#[test]
fn a_bad_message_leaves_the_stream_as_it_was() {
    let mut codec = begun();
    assert_eq!(codec.decode(&SocketMessage::Binary(Bytes::from_static(&[1, 2]))), Err(BadMessage::Binary));
    assert_eq!(codec.decode(&SocketMessage::Text("{".into())), Err(BadMessage::Malformed));
    assert_eq!(codec.decode(&text("in_start.json")), Err(BadMessage::StartedTwice));
    let bad = format!(r#"{{"event":"media","streamSid":"{STREAM}","media":{{"payload":"////!w=="}}}}"#);
    assert_eq!(codec.decode(&SocketMessage::Text(bad)), Err(BadMessage::BadBase64));
    assert!(matches!(codec.decode(&text("in_media.json")), Ok(Inbound::Audio { payload, .. }) if payload.len() == 160));
}

#[test]
fn audio_of_our_own_track_is_not_the_caller_s() {
    let ours = r#"{"event":"media","streamSid":"MZ1","media":{"track":"outbound","payload":"/w=="}}"#;
    assert_eq!(read(ours), Ok(Inbound::Ignored));
}

#[test]
fn frames_that_share_a_block_do_not_overwrite_each_other() {
    let stream = StreamId::new("MZ1").unwrap();
    let mut buf = BytesMut::new();
    let frames: Vec<Bytes> = (0..100u8)
        .map(|n| {
            let mut text = String::new();
            encode_media(&mut text, &stream, &[n; 160]);
            let Ok(Inbound::Audio { payload, .. }) = decode(&text, Some("MZ1"), &mut buf) else { panic!("no audio") };
            payload
        })
        .collect();
    for (n, frame) in frames.iter().enumerate() {
        assert!(frame.len() == 160 && frame.iter().all(|byte| usize::from(*byte) == n), "{n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_codec_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_decode(&data);
    }

    #[test]
    fn no_cut_or_changed_message_makes_the_codec_panic(
        which in 0usize..6, cut in 0usize..600, place in 0usize..600, byte in 0x20u8..0x7F,
    ) {
        let names = ["in_connected.json", "in_start.json", "in_media.json", "in_dtmf.json", "in_mark.json", "in_stop.json"];
        let mut data = fixture(names[which]).replace(STREAM, "MZ1").into_bytes();
        let length = data.len();
        data[place % length] = byte;
        fuzz_decode(&data);
        data.truncate(cut);
        fuzz_decode(&data);
    }

    #[test]
    fn any_audio_is_read_back(payload in proptest::collection::vec(any::<u8>(), 1..4_000)) {
        let mut text = String::new();
        encode_media(&mut text, &StreamId::new("MZ1").unwrap(), &payload);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        prop_assert_eq!(read(&text), Ok(Inbound::Audio { timestamp: None, payload: payload.into() }));
    }
}
