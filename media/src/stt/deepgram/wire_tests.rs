use super::*;
use crate::{audio::AudioFormat, net::BaseUrl, stt::SttLimits};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/wire/deepgram/", $name, ".json"))
    };
}

fn config(model: &str) -> SttConfig {
    SttConfig {
        base_url: BaseUrl::operator("https://api.deepgram.com"),
        api_key: trunkline_base::Secret::new("dg-secret"),
        model: model.into(),
        language: Some("en-US".into()),
        keyterms: vec!["Trunk line".into(), "Jfk".into(), " ".into()],
        redact_numbers: false,
        format: AudioFormat::MULAW_8K,
        eager: false,
        endpointing: Duration::from_millis(300),
        tag: "call-1".into(),
        limits: SttLimits::default(),
    }
}

fn pairs(config: &SttConfig) -> Vec<(String, String)> {
    listen_url(config).unwrap().query_pairs().into_owned().collect()
}

#[test]
fn nova_is_asked_for_segments_and_endpoints() {
    let url = listen_url(&config("nova-3")).unwrap();
    assert_eq!(
        url.as_str(),
        "wss://api.deepgram.com/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&channels=1&interim_results=true\
         &endpointing=300&utterance_end_ms=1000&vad_events=true&punctuate=true&language=en-US&keyterm=Trunk+line\
         &keyterm=Jfk&tag=call-1"
    );
}

#[test]
fn flux_gets_only_its_own_parameters() {
    let known =
        ["model", "encoding", "sample_rate", "eot_threshold", "eager_eot_threshold", "keyterm", "language_hint", "tag"];
    for model in ["flux-general-en", "flux-general-multi"] {
        for eager in [false, true] {
            let config = SttConfig { eager, ..config(model) };
            assert_eq!(listen_url(&config).unwrap().path(), "/v2/listen");
            let pairs = pairs(&config);
            assert!(pairs.iter().all(|(name, _)| known.contains(&name.as_str())), "{pairs:?}");
            assert_eq!(pairs.iter().any(|(name, _)| name == "eager_eot_threshold"), eager);
            assert_eq!(pairs.iter().any(|(name, _)| name == "language_hint"), model.ends_with("multi"));
            assert_eq!(pairs.iter().filter(|(name, _)| name == "keyterm").count(), 2);
        }
    }
}

#[test]
fn numbers_are_left_out_on_request() {
    for model in ["nova-3", "flux-general-en"] {
        let redact = |config: &SttConfig| pairs(config).into_iter().find(|(name, _)| name == "redact");
        assert_eq!(redact(&config(model)), None);
        let redacting = SttConfig { redact_numbers: true, ..config(model) };
        assert_eq!(redact(&redacting), Some(("redact".into(), "numbers".into())));
    }
}

#[test]
fn a_base_url_may_be_a_proxy_with_a_path() {
    let config = SttConfig { base_url: BaseUrl::operator("http://127.0.0.1:9000/deepgram/?x=1#y"), ..config("nova-3") };
    let url = listen_url(&config).unwrap();
    assert!(url.as_str().starts_with("ws://127.0.0.1:9000/deepgram/v1/listen?model=nova-3&"), "{url}");
    assert!(!url.as_str().contains('#') && !url.as_str().contains("x=1"));
    for bad in ["", "api.deepgram.com", "ftp://host", "mailto:a@b"] {
        assert_eq!(
            listen_url(&SttConfig { base_url: BaseUrl::operator(bad), ..config.clone() }),
            Err(BadBaseUrl),
            "{bad}"
        );
    }
}

#[test]
fn the_key_is_never_part_of_the_url() {
    assert!(!listen_url(&config("nova-3")).unwrap().as_str().contains("dg-secret"));
}

#[test]
fn every_message_of_nova_is_read() {
    let ServerMessage::Results(results) = parse(fixture!("nova_results")).unwrap() else { panic!() };
    assert!(results.is_final && !results.speech_final && !results.from_finalize);
    assert_eq!((results.start, results.duration), (0.0, 1.039));
    let best = &results.channel.alternatives[0];
    assert_eq!(best.transcript, "Hello");
    assert_eq!((best.words[0].start, best.words[0].end), (Some(0.1), Some(0.4)));
    assert_eq!(parse(fixture!("nova_speech_started")).unwrap(), ServerMessage::SpeechStarted { timestamp: 9.54 });
    assert_eq!(parse(fixture!("nova_utterance_end")).unwrap(), ServerMessage::UtteranceEnd { last_word_end: 2.395 });
    assert_eq!(parse(fixture!("nova_metadata")).unwrap(), ServerMessage::Metadata {});
    let ServerMessage::Error(problem) = parse(fixture!("nova_error")).unwrap() else { panic!() };
    assert_eq!(problem.code, "SchemaError");
}

#[test]
fn every_message_of_flux_is_read() {
    assert_eq!(parse(fixture!("flux_connected")).unwrap(), ServerMessage::Connected {});
    let ServerMessage::TurnInfo(info) = parse(fixture!("flux_turn_info")).unwrap() else { panic!() };
    assert_eq!(info.event, TurnEvent::EndOfTurn);
    assert_eq!((info.transcript.as_str(), info.audio_window_end, info.words.len()), ("Hello there.", 1.6, 2));
    let ServerMessage::Error(problem) = parse(fixture!("flux_error")).unwrap() else { panic!() };
    assert_eq!(problem.code, "INTERNAL_SERVER_ERROR");
    assert!(matches!(parse(fixture!("flux_warning")).unwrap(), ServerMessage::Warning(_)));
    assert_eq!(parse(fixture!("configure_failure")).unwrap(), ServerMessage::ConfigureFailure {});
}

#[test]
fn refusals_are_read_in_both_shapes() {
    let older: Refusal = serde_json::from_str(fixture!("refusal_401")).unwrap();
    assert_eq!(older.err_code, "INVALID_AUTH");
    let newer: Refusal = serde_json::from_str(fixture!("refusal_400")).unwrap();
    assert_eq!((newer.err_code.as_str(), newer.err_msg.as_str()), ("INVALID_JSON", "Invalid JSON submitted."));
}

#[test]
fn what_is_new_missing_or_null_is_tolerated() {
    assert_eq!(parse(r#"{"type":"Hologram","x":[1,{"y":2}]}"#).unwrap(), ServerMessage::Unknown);
    assert_eq!(parse(r#"{"type":"Results"}"#).unwrap(), ServerMessage::Results(Results::default()));
    assert_eq!(
        parse(r#"{"type":"Results","channel":{"alternatives":null},"start":null,"is_final":null}"#).unwrap(),
        ServerMessage::Results(Results::default())
    );
    let ServerMessage::TurnInfo(info) = parse(r#"{"type":"TurnInfo","event":"Pondering"}"#).unwrap() else { panic!() };
    assert_eq!(info.event, TurnEvent::Unknown);
    assert_eq!(parse(r#"{"type":"UtteranceEnd"}"#).unwrap(), ServerMessage::UtteranceEnd { last_word_end: -1.0 });
}

#[test]
fn what_is_no_message_is_an_error() {
    for bad in ["", "{", "[]", "null", "{}", r#"{"type":7}"#, r#"{"type":"Results","start":"soon"}"#] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
