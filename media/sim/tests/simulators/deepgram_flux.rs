//! Streaming Flux over a real socket.

use std::time::Duration;

use crate::deepgram_client::{Client, End, config, library, spoken, start};
use serde_json::Value;
use trunkline_sim::deepgram::{DeepgramConfig, FluxTiming};

const FLUX: &str = "/v2/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000";

/// The turn events but for `Update`.
fn events(messages: &[Value]) -> Vec<(&str, &str)> {
    let turns = messages.iter().filter(|m| m["type"] == "TurnInfo" && m["event"] != "Update");
    turns.map(|m| (m["event"].as_str().unwrap(), m["transcript"].as_str().unwrap())).collect()
}

fn assert_numbered(messages: &[Value]) {
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(message["sequence_id"], number, "{message}");
    }
}

#[tokio::test]
async fn pauses_are_guessed_and_resumed_and_the_turn_ends_once() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, &format!("{FLUX}&eager_eot_threshold=0.5")).await.unwrap();
    client.audio(&spoken("jfk", 0.5, 1.0)).await;
    let (messages, end) = client.close_stream().await;
    assert_eq!(end, End::Closed(None), "Flux closes without a status");
    assert_numbered(&messages);
    assert_eq!(messages[0]["type"], "Connected");

    let library = library();
    let whole = library.get("jfk").unwrap().transcript();
    let ask_not = "and so my fellow americans ask not";
    let for_you = "and so my fellow americans ask not what your country can do for you";
    let events = events(&messages);
    let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
    let pause = ["EagerEndOfTurn", "TurnResumed"];
    // americans | ask | not | what … you | ask … country
    let mut wanted = vec!["StartOfTurn"];
    wanted.extend(pause.repeat(names.iter().filter(|name| **name == "TurnResumed").count()));
    wanted.extend(["EagerEndOfTurn", "EndOfTurn"]);
    assert_eq!(names, wanted);
    for text in ["and so my fellow americans", ask_not, for_you, whole] {
        assert!(events.contains(&("EagerEndOfTurn", text)), "{text}: {events:?}");
    }
    assert_eq!(events.last(), Some(&("EndOfTurn", whole)));

    let last = messages.iter().find(|m| m["event"] == "EndOfTurn").unwrap();
    assert_eq!((&last["trigger"], &last["turn_index"]), (&"model".into(), &0.into()));
    let words = last["words"].as_array().unwrap();
    let gap = last["audio_window_end"].as_f64().unwrap() - words.last().unwrap()["end"].as_f64().unwrap();
    assert!((0.25..0.29).contains(&gap), "{gap}");
    assert!(last["end_of_turn_confidence"].as_f64().unwrap() >= 0.7);
}

#[tokio::test]
async fn without_an_eager_threshold_there_is_no_guessing() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, FLUX).await.unwrap();
    client.audio(&spoken("jfk", 0.0, 0.5)).await;
    client.audio(&spoken("goforward", 0.5, 1.0)).await;
    let (messages, _) = client.close_stream().await;
    assert_numbered(&messages);
    let names: Vec<&str> = events(&messages).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["StartOfTurn", "EndOfTurn", "StartOfTurn", "EndOfTurn"]);
    let last = messages.iter().rfind(|m| m["event"] == "EndOfTurn").unwrap();
    assert_eq!((&last["turn_index"], &last["transcript"]), (&1.into(), &"go forward ten meters".into()));
}

#[tokio::test]
async fn updates_come_four_times_a_second_of_audio() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, FLUX).await.unwrap();
    client.audio(&[0xff; 8_000 * 3]).await;
    let (messages, _) = client.close_stream().await;
    let updates: Vec<&Value> = messages.iter().filter(|m| m["event"] == "Update").collect();
    assert_eq!(updates.len(), 12);
    assert!(updates.iter().all(|m| m["transcript"] == "" && m["words"].as_array().unwrap().is_empty()));
}

#[tokio::test]
async fn a_turn_is_forced_to_end_or_times_out() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, FLUX).await.unwrap();
    let audio = spoken("goforward", 0.0, 0.0);
    client.audio(&audio[..(1.6 * 8_000.0) as usize]).await;
    client.text(r#"{"type":"ForceEndTurn"}"#).await;
    let forced = loop {
        let message = client.message().await;
        if message["event"] == "EndOfTurn" {
            break message;
        }
    };
    assert_eq!((&forced["trigger"], &forced["transcript"]), (&"manual".into(), &"go forward".into()));

    let mut client = Client::connect(&sim, &format!("{FLUX}&eot_timeout_ms=700")).await.unwrap();
    client.audio(&spoken("jfk", 0.0, 1.0)).await;
    let (messages, _) = client.close_stream().await;
    let triggers: Vec<&str> =
        messages.iter().filter(|m| m["event"] == "EndOfTurn").map(|m| m["trigger"].as_str().unwrap()).collect();
    assert_eq!(triggers, ["timeout", "timeout", "model"], "the pauses of over a second end turns");
    let texts: Vec<&str> =
        messages.iter().filter(|m| m["event"] == "EndOfTurn").map(|m| m["transcript"].as_str().unwrap()).collect();
    assert_eq!(texts.join(" "), library().get("jfk").unwrap().transcript());
}

#[tokio::test]
async fn thresholds_are_configured_while_it_runs() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, FLUX).await.unwrap();
    assert_eq!(client.message().await["type"], "Connected");
    client.text(r#"{"type":"Configure","thresholds":{"eager_eot_threshold":0.4},"keyterms":["a"]}"#).await;
    let answer = client.message().await;
    assert_eq!(answer["type"], "ConfigureSuccess");
    assert_eq!(
        answer["thresholds"],
        serde_json::json!({"eot_threshold": 0.7, "eager_eot_threshold": 0.4, "eot_timeout_ms": 5000})
    );
    client.text(r#"{"type":"Configure","thresholds":{"eot_threshold":0.1}}"#).await;
    assert_eq!(client.message().await["type"], "ConfigureFailure");
    client.audio(&spoken("cards_001", 0.2, 1.0)).await;
    let (messages, _) = client.close_stream().await;
    assert_eq!(events(&messages).last(), Some(&("EndOfTurn", "ten of clubs")));
    assert!(events(&messages).contains(&("EagerEndOfTurn", "ten of clubs")));
}

#[tokio::test]
async fn keepalive_and_garbage_are_fatal() {
    let sim = start(config()).await;
    for text in [r#"{"type":"KeepAlive"}"#, r#"{"type":"Finalize"}"#, "garbage"] {
        let mut client = Client::connect(&sim, FLUX).await.unwrap();
        client.text(text).await;
        let (messages, end) = client.rest().await;
        assert_numbered(&messages);
        let last = messages.last().unwrap();
        assert_eq!((&last["type"], &last["code"]), (&"Error".into(), &"UNPARSABLE_CLIENT_MESSAGE".into()));
        assert!(matches!(end, End::Closed(Some((1011, _)))), "{end:?}");
    }
}

#[tokio::test]
async fn an_inactive_client_is_told_so() {
    let flux = FluxTiming { idle_timeout: Duration::from_millis(50), ..FluxTiming::default() };
    let sim = start(DeepgramConfig { flux, ..config() }).await;
    let mut client = Client::connect(&sim, FLUX).await.unwrap();
    let (messages, _) = client.rest().await;
    assert_eq!(messages.last().unwrap()["code"], "INACTIVE_CLIENT");
}

#[tokio::test]
async fn unknown_speech_is_a_turn_too() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, &format!("{FLUX}&eager_eot_threshold=0.5")).await.unwrap();
    // Played backwards it is speech, but no recording.
    let backwards: Vec<u8> = spoken("goforward", 1.5, 0.5).into_iter().rev().collect();
    client.audio(&backwards).await;
    let (messages, _) = client.close_stream().await;
    let events = events(&messages);
    assert!(events.iter().all(|(_, text)| text.split(' ').all(|word| word == "[unrecognised]")), "{events:?}");
    assert_eq!(events.last().unwrap().0, "EndOfTurn");
    assert!(sim.unrecognised() >= 1);
}
