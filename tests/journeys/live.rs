//! Whoever listens hears of a call while it goes on.

use std::time::Duration;

use serde_json::json;
use trunkline::cli::api::Api;
use trunkline_control::testing::{Event, Events};
use trunkline_sim::twilio::phone::Step;

use crate::{
    hearing::words,
    world::{ANSWER, GREETING, Scene, clip, id_of, ms, report, transcript},
};

async fn listen(api: &Api, path: &str, last: Option<&str>) -> Events {
    Events::of(api.listen(path, last).await.unwrap().bytes_stream())
}

/// The text of the next turn that is over.
async fn heard(events: &mut Events) -> (Event, Vec<String>) {
    let event = events.until("transcript").await;
    let words = words(event.data["text"].as_str().unwrap());
    (event, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_followed_from_ring_to_end_on_one_node_and_on_another() {
    let world = Scene::default().start().await;
    let other = world.another_node().await;
    let there = world.api.at(other.public_url());
    let mut calls = listen(&world.api, "/v1/live", None).await;
    let mut calls_there = listen(&there, "/v1/live", None).await;
    for events in [&mut calls, &mut calls_there] {
        assert_eq!(events.until("snapshot").await.data["calls"], json!([]));
    }
    let finish = || Step::WaitForAgentToFinish { quiet: ms(600) };
    let call = world.ring([finish(), Step::Say(clip("cards_001")), finish(), Step::HangUp]);
    // Changes that come close together may be one event: where there is little time, none tells that it rings.
    let first = calls.next().await.unwrap();
    let id = first.data["id"].as_str().unwrap().to_owned();
    assert_eq!(first.data["status"], first.name.as_str());
    let path = format!("/v1/conversations/{id}/live");
    let mut events = listen(&world.api, &path, None).await;
    match first.name.as_str() {
        "ringing" => assert_eq!(calls.until("active").await.data["id"], id.as_str()),
        name => assert_eq!(name, "active"),
    }
    let (greeting, text) = heard(&mut events).await;
    assert_eq!((&greeting.data["speaker"], text), (&json!("agent"), words(GREETING)));
    // The listener goes away in the middle of the call, and comes back to the other node.
    drop(events);
    let mut events = listen(&there, &path, greeting.id.as_deref()).await;
    let (question, text) = heard(&mut events).await;
    assert_eq!((&question.data["speaker"], text), (&json!("customer"), words(&transcript("cards_001"))));
    let latency = events.until("latency").await;
    assert_eq!(latency.data["turn"], question.data["turn"]);
    let rest = events.rest().await;
    let report = report(call).await;
    assert_eq!(id_of(&report), id);
    let said: Vec<_> = rest.iter().filter(|event| event.name == "transcript").collect();
    let [answer] = said.as_slice() else { panic!("{rest:#?}") };
    assert_eq!(words(answer.data["text"].as_str().unwrap()), words(ANSWER));
    let [.., state, end] = rest.as_slice() else { panic!("{rest:#?}") };
    assert_eq!((&state.data["status"], &state.data["end_reason"]), (&json!("completed"), &json!("caller_hangup")));
    assert_eq!((end.name.as_str(), &end.data["reason"]), ("end", &json!("conversation_over")));
    for events in [&mut calls, &mut calls_there] {
        let ended = events.until("ended").await;
        assert_eq!((&ended.data["id"], &ended.data["status"]), (&json!(id), &json!("completed")));
    }
    // What a stream told is what is stored.
    let stored = world.api.get(&format!("/v1/conversations/{id}")).await.unwrap();
    let stored = stored["transcript"].as_array().unwrap();
    let mut told = [&greeting, &question, answer].map(|event| event.data.clone());
    for entry in &mut told {
        entry.as_object_mut().unwrap().remove("turn");
    }
    assert_eq!(*stored, told);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_tells_how_its_last_calls_end_and_then_ends_its_streams() {
    let world = Scene::default().start().await;
    let mut calls = listen(&world.api, "/v1/live", None).await;
    calls.until("snapshot").await;
    let call = world.ring([Step::WaitForEnd { timeout: ms(60_000) }]);
    calls.until("active").await;
    let begun = std::time::Instant::now();
    world.server.stop(ms(500)).await;
    let ended = calls.until("ended").await;
    assert_eq!(ended.data["end_reason"], "drained");
    let rest = calls.rest().await;
    assert_eq!(rest.last().unwrap().data, json!({ "reason": "draining" }));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    report(call).await;
}
