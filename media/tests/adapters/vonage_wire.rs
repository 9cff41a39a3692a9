//! Vonage's media messages are read in every shape that has been seen, and what we send is what a socket of Vonage's survives.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use trunkline_media::{
    audio::{AudioFormat, Encoding, SampleRate},
    ids::{Epoch, MarkId},
    telephony::{
        BadMessage, Inbound, MediaCodec, Outbound, SocketMessage,
        vonage::{
            Expected, VonageCodec,
            fuzz::{fuzz_decode, fuzz_events, fuzz_signature},
        },
    },
};

const CALL: &str = "63f61863-4a51-4f6b-86e1-46edebcf9356";
const RATES: [(SampleRate, usize); 3] =
    [(SampleRate::HZ_8000, 320), (SampleRate::HZ_16000, 640), (SampleRate::HZ_24000, 960)];

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire/vonage").join(name);
    std::fs::read_to_string(path).expect("a fixture of the repository")
}

fn text(name: &str) -> SocketMessage {
    SocketMessage::Text(fixture(name))
}

fn linear(rate: SampleRate) -> AudioFormat {
    AudioFormat { encoding: Encoding::Linear16, rate }
}

fn expected(rate: SampleRate) -> Expected {
    Expected { rate, call_uuid: CALL.into(), account: "a1b2c3d4".into() }
}

/// A codec whose stream has begun.
fn begun(rate: SampleRate) -> VonageCodec {
    let mut codec = VonageCodec::default();
    let connected = format!(
        r#"{{"event":"websocket:connected","content-type":"audio/l16;rate={}","call_uuid":"{CALL}","account":"a"}}"#,
        rate.hz()
    );
    assert!(matches!(codec.decode(&SocketMessage::Text(connected)), Ok(Inbound::Started(_))));
    codec
}

fn read(json: &str) -> Result<Inbound, BadMessage> {
    begun(SampleRate::HZ_16000).decode(&SocketMessage::Text(json.to_owned()))
}

#[test]
fn a_whole_stream_is_read() {
    let mut codec = VonageCodec::default();
    assert_eq!(codec.encode(&Outbound::Clear), None, "nothing can be sent before the rate is known");
    let Ok(Inbound::Started(started)) = codec.decode(&text("in_connected.json")) else { panic!("no start") };
    assert_eq!((started.stream.as_str(), started.account_sid.as_str()), (CALL, "a1b2c3d4"));
    assert_eq!(started.format, linear(SampleRate::HZ_16000));
    assert_eq!(started.parameters.get("token").map(String::as_str), Some("abc"));
    let frame = Bytes::from(vec![7; 640]);
    let audio = codec.decode(&SocketMessage::Binary(frame.clone()));
    assert_eq!(audio, Ok(Inbound::Audio { timestamp: None, payload: frame }));
    for name in ["in_dtmf.json", "in_dtmf_nested.json"] {
        let Ok(Inbound::Dtmf { digit }) = codec.decode(&text(name)) else { panic!("no digit in {name}") };
        assert_eq!(*digit.expose(), '5');
    }
    assert_eq!(codec.decode(&text("in_notify.json")), Ok(Inbound::Mark { name: "e2-7".into() }));
    assert_eq!(codec.decode(&text("in_cleared.json")), Ok(Inbound::Ignored));
    let broken = SocketMessage::Close { code: None, reason: String::new() };
    assert_eq!(codec.decode(&broken), Ok(Inbound::Closed { code: None }));
}

#[test]
fn our_headers_are_found_in_an_object_too() {
    let mut codec = VonageCodec::default();
    let Ok(Inbound::Started(started)) = codec.decode(&text("in_connected_nested.json")) else { panic!("no start") };
    assert_eq!((started.stream.as_str(), started.account_sid.as_str()), (CALL, "a1b2c3d4"));
    assert_eq!(started.format, linear(SampleRate::HZ_8000));
    assert_eq!(started.parameters.get("token").map(String::as_str), Some("abc"));
}

#[test]
fn every_frame_that_leaves_has_the_size_of_its_rate() {
    for (rate, bytes) in RATES {
        let codec = begun(rate);
        let sent = |payload: Vec<u8>| codec.encode(&Outbound::Audio(payload.into()));
        let whole = vec![3; bytes];
        assert_eq!(sent(whole.clone()), Some(SocketMessage::Binary(whole.into())));
        let mut padded = vec![3; 100];
        padded.resize(bytes, 0);
        assert_eq!(sent(vec![3; 100]), Some(SocketMessage::Binary(padded.into())));
        assert_eq!(sent(vec![3; bytes + 2]), None, "two frames are no message");
    }
}

#[test]
fn commands_have_the_page_s_shape() {
    let codec = begun(SampleRate::HZ_16000);
    for (outbound, name) in
        [(Outbound::Mark(MarkId { epoch: Epoch(2), n: 7 }), "out_notify.json"), (Outbound::Clear, "out_clear.json")]
    {
        assert_eq!(codec.encode(&outbound), Some(SocketMessage::Text(fixture(name).trim_end().to_owned())));
    }
}

#[test]
fn a_missing_first_message_is_forgiven_where_all_it_would_say_is_known() {
    let audio = SocketMessage::Binary(Bytes::from(vec![0; 960]));
    assert_eq!(VonageCodec::default().decode(&audio), Err(BadMessage::BeforeStart));

    let mut codec = VonageCodec::expecting(expected(SampleRate::HZ_24000));
    assert_eq!(codec.decode(&text("in_dtmf.json")), Err(BadMessage::BeforeStart));
    let Ok(Inbound::Started(started)) = codec.decode(&audio) else { panic!("no start") };
    assert_eq!((started.format, started.stream.as_str()), (linear(SampleRate::HZ_24000), CALL));
    assert!(started.parameters.is_empty());
    assert!(matches!(codec.decode(&audio), Ok(Inbound::Audio { .. })));
    // It may come late, and is not a second start.
    assert_eq!(codec.decode(&text("in_connected.json")), Ok(Inbound::Ignored));
    assert_eq!(codec.decode(&text("in_connected.json")), Err(BadMessage::StartedTwice));

    // Or say less than it should.
    let mut codec = VonageCodec::expecting(expected(SampleRate::HZ_8000));
    let short = SocketMessage::Text(r#"{"event":"websocket:connected","token":"abc"}"#.into());
    let Ok(Inbound::Started(started)) = codec.decode(&short) else { panic!("no start") };
    assert_eq!((started.format, started.stream.as_str()), (linear(SampleRate::HZ_8000), CALL));
    assert_eq!(started.parameters.get("token").map(String::as_str), Some("abc"));
}

#[test]
fn each_kind_of_nonsense_has_its_name() {
    let large = format!("{{\"event\":\"{}\"}}", "x".repeat(64 * 1024));
    for (text, bad) in [
        ("", BadMessage::Malformed),
        ("[]", BadMessage::Malformed),
        ("{}", BadMessage::Malformed),
        (r#"{"event":"websocket:"#, BadMessage::Malformed),
        (r#"{"event":"websocket:hangup"}"#, BadMessage::UnknownEvent),
        (r#"{"event":"websocket:connected"}"#, BadMessage::StartedTwice),
        (r#"{"event":"websocket:dtmf"}"#, BadMessage::BadDigit),
        (r#"{"event":"websocket:dtmf","digit":"12"}"#, BadMessage::BadDigit),
        (r#"{"dtmf":{"digit":"x"}}"#, BadMessage::BadDigit),
        (&large, BadMessage::TooLarge),
    ] {
        assert_eq!(read(text), Err(bad), "{}", &text[..text.len().min(80)]);
    }
    let Ok(Inbound::Dtmf { digit }) = read(r#"{"event":"websocket:dtmf","digit":5}"#) else { panic!("no digit") };
    assert_eq!(*digit.expose(), '5');
    for foreign in ["{}", "{\"mark\":7}", "\"e2-7\"", "null", "{\"mark\":\"\"}"] {
        let notify = format!(r#"{{"event":"websocket:notify","payload":{foreign}}}"#);
        assert_eq!(read(&notify), Ok(Inbound::Ignored), "{foreign}");
    }
    let mut codec = begun(SampleRate::HZ_16000);
    for (payload, bad) in [(vec![], BadMessage::EmptyPayload), (vec![0; 639], BadMessage::OddPayload)] {
        assert_eq!(codec.decode(&SocketMessage::Binary(payload.into())), Err(bad));
    }
    for (start, bad) in [
        (r#"{"event":"websocket:connected","content-type":"audio/l16;rate=44100","call_uuid":"c","account":"a"}"#, {
            BadMessage::UnsupportedFormat
        }),
        (r#"{"event":"websocket:connected","call_uuid":"c","account":"a"}"#, BadMessage::UnsupportedFormat),
        (
            r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000","account":"a"}"#,
            BadMessage::Malformed,
        ),
        (
            r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000","call_uuid":"c"}"#,
            BadMessage::Malformed,
        ),
        (r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000","call_uuid":"a b","account":"a"}"#, {
            BadMessage::Malformed
        }),
    ] {
        let mut codec = VonageCodec::default();
        assert_eq!(codec.decode(&SocketMessage::Text(start.into())), Err(bad), "{start}");
        assert_eq!(codec.format(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_readers_panic(data in proptest::collection::vec(any::<u8>(), 0..1_000)) {
        fuzz_decode(&data);
        fuzz_events(&data);
        fuzz_signature(&data);
    }
}
