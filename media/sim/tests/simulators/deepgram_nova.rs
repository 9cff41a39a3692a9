//! Streaming Nova over a real socket. Audio is sent faster than it plays: the simulator's clock is the audio's.

use std::time::Duration;

use crate::deepgram_client::{Client, End, LIMIT, all_closed, config, linear, nova_transcript, spoken, start};
use serde_json::Value;
use trunkline_sim::deepgram::{Message, SimEventKind};

const TELEPHONE: &str = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&interim_results=true&endpointing=300\
                         &utterance_end_ms=1000&vad_events=true&smart_format=true&tag=test-call";

fn of_type<'a>(messages: &'a [Value], name: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["type"] == name).collect()
}

#[tokio::test]
async fn an_utterance_has_interims_one_final_and_an_end() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, TELEPHONE).await.unwrap();
    assert!(client.response.headers().contains_key("dg-request-id"));
    client.audio(&spoken("goforward", 0.5, 2.0)).await;
    let (messages, end) = client.close_stream().await;
    assert_eq!(end, End::Closed(Some((1000, String::new()))));

    let results = of_type(&messages, "Results");
    let interims: Vec<&str> = results
        .iter()
        .filter(|m| m["is_final"] == false)
        .map(|m| nova_transcript(m))
        .filter(|t| !t.is_empty())
        .collect();
    assert_eq!(interims.first(), Some(&"go"), "the first interim comes with the first word");
    assert!(interims.iter().all(|interim| "go forward ten meters".starts_with(interim)), "{interims:?}");
    assert!(interims.len() >= 2, "{interims:?}");

    let finals: Vec<&Value> = results.iter().copied().filter(|m| m["speech_final"] == true).collect();
    assert_eq!(finals.len(), 1);
    let last = finals[0];
    assert_eq!(nova_transcript(last), "go forward ten meters");
    assert_eq!((&last["is_final"], &last["from_finalize"]), (&true.into(), &false.into()));
    assert_eq!(last["channel_index"], serde_json::json!([0, 1]));
    assert!(last["metadata"]["request_id"].is_string() && last["metadata"]["model_info"]["arch"] == "nova-3");
    let words = last["channel"]["alternatives"][0]["words"].as_array().unwrap();
    assert_eq!(words.len(), 4);
    let word_end = words[3]["end"].as_f64().unwrap();
    let speech_final_at = last["start"].as_f64().unwrap() + last["duration"].as_f64().unwrap();
    assert!((0.29..0.34).contains(&(speech_final_at - word_end)), "{word_end} {speech_final_at}");

    let ends = of_type(&messages, "UtteranceEnd");
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0]["last_word_end"].as_f64().unwrap(), word_end);
    let started = of_type(&messages, "SpeechStarted");
    assert_eq!(started.len(), 1);
    assert!((1.0..1.1).contains(&started[0]["timestamp"].as_f64().unwrap()));
    let metadata = of_type(&messages, "Metadata");
    let seconds = 0.5 + 2.786 + 2.0;
    assert!((metadata[0]["duration"].as_f64().unwrap() - seconds).abs() < 0.01);
    assert_eq!(messages.last().unwrap()["type"], "Metadata");
}

#[tokio::test]
async fn every_encoding_and_rate_is_understood() {
    let sim = start(config()).await;
    let mulaw = spoken("cards_001", 0.3, 0.5);
    let alaw: Vec<u8> = linear(&mulaw, 1)
        .chunks(2)
        .map(|pair| trunkline_sim::audio::alaw_encode(i16::from_le_bytes([pair[0], pair[1]])))
        .collect();
    for (query, audio) in [
        ("encoding=alaw&sample_rate=8000", alaw),
        ("encoding=linear16&sample_rate=8000", linear(&mulaw, 1)),
        ("encoding=linear16&sample_rate=16000", linear(&mulaw, 2)),
        ("encoding=linear16&sample_rate=24000", linear(&mulaw, 3)),
        ("encoding=linear16&sample_rate=48000", linear(&mulaw, 6)),
    ] {
        let mut client =
            Client::connect(&sim, &format!("/v1/listen?model=nova-3&endpointing=false&{query}")).await.unwrap();
        client.audio(&audio).await;
        let (messages, _) = client.close_stream().await;
        assert_eq!(nova_transcript(of_type(&messages, "Results").last().unwrap()), "ten of clubs", "{query}");
    }
    assert_eq!(sim.unrecognised(), 0);
}

#[tokio::test]
async fn audio_in_the_wrong_encoding_is_unrecognised() {
    let sim = start(config()).await;
    let mut client =
        Client::connect(&sim, "/v1/listen?model=nova-3&encoding=linear16&sample_rate=8000&endpointing=300")
            .await
            .unwrap();
    client.audio(&spoken("goforward", 0.5, 2.0)).await;
    let (messages, _) = client.close_stream().await;
    let results = of_type(&messages, "Results");
    assert!(results.iter().any(|m| nova_transcript(m).contains("[unrecognised]")));
    assert!(results.iter().all(|m| !nova_transcript(m).contains("forward")));
    assert!(sim.unrecognised() >= 1);
}

#[tokio::test]
async fn long_speech_is_final_in_parts_that_make_up_the_whole() {
    let sim = start(config()).await;
    let url = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&endpointing=false";
    let mut client = Client::connect(&sim, url).await.unwrap();
    client.audio(&spoken("jfk", 0.2, 1.0)).await;
    let (messages, _) = client.close_stream().await;
    let results = of_type(&messages, "Results");
    assert!(results.len() >= 3 && results.iter().all(|m| m["is_final"] == true && m["speech_final"] == false));
    let texts: Vec<&str> = results.iter().map(|m| nova_transcript(m)).filter(|text| !text.is_empty()).collect();
    assert_eq!(texts.join(" "), crate::deepgram_client::library().get("jfk").unwrap().transcript());
    let mut at = 0.0;
    for result in results {
        let start = result["start"].as_f64().unwrap();
        assert!((start - at).abs() < 0.002, "parts adjoin: {start} after {at}");
        at = start + result["duration"].as_f64().unwrap();
    }
}

#[tokio::test]
async fn finalize_flushes_what_was_said() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, TELEPHONE).await.unwrap();
    let audio = spoken("goforward", 0.5, 0.0);
    client.audio(&audio[..(0.5 * 8_000.0 + 1.6 * 8_000.0) as usize]).await;
    client.text(r#"{"type":"Finalize"}"#).await;
    let answer = loop {
        let message = client.message().await;
        if message["from_finalize"] == true {
            break message;
        }
    };
    assert_eq!((&answer["is_final"], &answer["speech_final"]), (&true.into(), &true.into()));
    assert_eq!(nova_transcript(&answer), "go forward");
}

#[tokio::test]
async fn two_channels_are_transcribed_apart() {
    let sim = start(config()).await;
    let url = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&endpointing=300&channels=2&multichannel=true";
    let mut client = Client::connect(&sim, url).await.unwrap();
    let (left, right) = (spoken("goforward", 0.5, 1.0), spoken("cards_001", 0.8, 3.0));
    client.audio(&left.iter().zip(&right).flat_map(|(left, right)| [*left, *right]).collect::<Vec<u8>>()).await;
    let (messages, _) = client.close_stream().await;
    let said = |channel: u64| {
        let of_channel =
            |m: &&&Value| m["channel_index"] == serde_json::json!([channel, 2]) && m["speech_final"] == true;
        of_type(&messages, "Results")
            .iter()
            .filter(of_channel)
            .map(|m| nova_transcript(m).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(said(0), ["go forward ten meters"]);
    assert_eq!(said(1), ["ten of clubs"]);
}

#[tokio::test]
async fn configure_and_bad_messages_are_answered() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, TELEPHONE).await.unwrap();
    client.text(r#"{"type":"Configure","keyterms":["Trunkline"]}"#).await;
    let answer = client.message().await;
    assert_eq!((&answer["type"], &answer["keyterms"][0]), (&"ConfigureSuccess".into(), &"Trunkline".into()));
    client
        .text(&serde_json::json!({ "type": "Configure", "keyterms": [vec!["word"; 501].join(" ")] }).to_string())
        .await;
    assert_eq!(client.message().await["code"], "CONFIGURE_KEYTERM_LIMIT_EXCEEDED");
    client.text("no json").await;
    let answer = client.message().await;
    assert_eq!((&answer["variant"], &answer["message"]), (&"SchemaError".into(), &"no json".into()));
    client.text(r#"{"type":"KeepAlive"}"#).await;
    client.audio(&spoken("cards_001", 0.3, 1.0)).await;
    let (messages, _) = client.close_stream().await;
    assert!(of_type(&messages, "Results").iter().any(|m| nova_transcript(m) == "ten of clubs"), "the stream goes on");
}

#[tokio::test]
async fn an_idle_client_is_closed_with_net_0001_and_keepalive_prevents_it() {
    let limit = Duration::from_millis(800);
    let sim = start(trunkline_sim::deepgram::DeepgramConfig { idle_timeout: limit, ..config() }).await;
    let closed_with_net_0001 = |end: End| match end {
        End::Closed(Some((1011, reason))) => assert!(reason.contains("did not receive audio data"), "{reason}"),
        other => panic!("{other:?}"),
    };

    let began = std::time::Instant::now();
    let mut client = Client::connect(&sim, TELEPHONE).await.unwrap();
    client.audio(&[0xff; 160]).await;
    while began.elapsed() < 2 * limit {
        client.text(r#"{"type":"KeepAlive"}"#).await;
        tokio::time::sleep(limit / 8).await;
    }
    assert_eq!(sim.connections(), 1);
    closed_with_net_0001(client.rest().await.1);

    let mut client = Client::connect(&sim, TELEPHONE).await.unwrap();
    let began = std::time::Instant::now();
    let end = loop {
        client.text(r#"{"type":"KeepAlive"}"#).await;
        match tokio::time::timeout(limit / 8, client.raw()).await {
            Ok(Err(end)) => break end,
            _ => assert!(began.elapsed() < LIMIT, "keepalives without any audio don't keep a connection"),
        }
    };
    closed_with_net_0001(end);
    all_closed(&sim).await;
}

#[tokio::test]
async fn an_empty_message_closes_and_the_wrong_container_is_refused() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, TELEPHONE).await.unwrap();
    client.binary(Vec::new()).await;
    assert_eq!(client.rest().await.1, End::Closed(Some((1000, String::new()))));
    let mut client = Client::connect(&sim, "/v1/listen?model=nova-3").await.unwrap();
    client.audio(&[0xff; 160]).await;
    assert!(matches!(client.rest().await.1, End::Closed(Some((1008, _)))));
}

#[tokio::test]
async fn the_log_tells_what_happened_when() {
    let (events, mut received) = tokio::sync::mpsc::unbounded_channel();
    let sim = start(trunkline_sim::deepgram::DeepgramConfig { events: Some(events), ..config() }).await;
    let mut client = Client::connect(&sim, TELEPHONE).await.unwrap();
    let audio = spoken("cards_001", 0.3, 0.7);
    client.audio(&audio).await;
    let speech_final = sim
        .wait_for(LIMIT, |event| matches!(&event.kind, SimEventKind::Sent { kind: Message::SpeechFinal, .. }))
        .await
        .unwrap();
    assert_eq!(speech_final.tag.as_deref(), Some("test-call"));
    assert!(speech_final.audio > Duration::from_secs(1));
    assert_eq!(sim.live().len(), 1);
    client.close_stream().await;
    drop(client);
    all_closed(&sim).await;
    let log = sim.log();
    assert!(matches!(&log[0].kind, SimEventKind::Opened { path: "/v1/listen", query } if query.len() == 9));
    assert_eq!(log[1].kind, SimEventKind::FirstAudio);
    let closed = &log.last().unwrap().kind;
    assert_eq!(closed, &SimEventKind::Closed { code: Some(1000), audio_bytes: audio.len() as u64 });
    for event in log {
        assert_eq!(received.recv().await.unwrap(), event);
    }
}
