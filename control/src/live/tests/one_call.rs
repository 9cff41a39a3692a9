//! A call's stream.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::{World, after, answered, ended, event, said};
use crate::{
    conversations::journal::CallRows,
    testing::{Event, Events},
};

fn path(id: impl std::fmt::Display) -> String {
    format!("/v1/conversations/{id}/live")
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

async fn take(events: &mut Events, n: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    while taken.len() < n {
        taken.push(events.next().await.expect("the stream goes on"));
    }
    taken
}

fn latency(turn: i32) -> Value {
    json!({ "turn": turn, "reply": 0, "endpoint_delay": { "secs": 0, "nanos": 600_000_000 },
            "response_latency": { "secs": 1, "nanos": 250_000_000 }, "playout": { "secs": 0, "nanos": 0 } })
}

#[tokio::test]
async fn a_call_is_told_while_it_lasts_and_taken_up_again_anywhere_in_it() {
    let world = World::new().await;
    let call = world.ring().await;
    let mut events = world.api.listen(&world.user, &path(call), None).await;
    let ringing = events.next().await.unwrap();
    assert_eq!((ringing.name.as_str(), &ringing.data["status"]), ("state", &json!("ringing")));
    assert_eq!(ringing.id.as_deref(), Some("-1.1"));

    let began =
        vec![event(0, "answered", json!({})), event(1, "turn_started", json!({ "turn": 0, "speaker": "agent" }))];
    world.write(call, CallRows { events: began, ..answered() }).await;
    world.write(call, said(2, 0, "agent", "Hello!")).await;
    let mut asked = said(3, 1, "customer", "Where am I?");
    asked.events.push(event(4, "latency", latency(1)));
    world.write(call, asked).await;
    let live = take(&mut events, 6).await;
    assert_eq!(names(&live), ["state", "timeline", "timeline", "transcript", "transcript", "latency"]);
    let [active, _, began, hello, asked, latency] = live.as_slice() else { panic!() };
    assert_eq!((&active.data["status"], &active.data["answered_at"]), (&json!("active"), &json!(after(2))));
    assert_eq!(
        began.data,
        json!({ "seq": 1, "at_ms": 100, "kind": "turn_started", "data": { "turn": 0, "speaker": "agent" } })
    );
    assert_eq!(
        hello.data,
        json!({ "turn": 0, "speaker": "agent", "text": "Hello!", "timestamp": "2026-03-01T10:00:02Z", "interrupted": false,
                "started_ms": 0, "ended_ms": 900 })
    );
    assert_eq!((&asked.data["speaker"], &asked.data["started_ms"]), (&json!("customer"), &json!(1000)));
    assert_eq!(
        latency.data,
        json!({ "turn": 1, "endpoint_delay_ms": 600, "transcription_delay_ms": null, "ttft_ms": null, "ttfb_ms": null,
                "playout_ms": 0, "response_latency_ms": 1250 })
    );

    // From every event on, the rest is the same.
    let mut all = vec![ringing];
    all.extend(live);
    for (n, event) in all.iter().enumerate().skip(1) {
        let mut again = world.api.listen(&world.user, &path(call), event.id.as_deref()).await;
        let rest = take(&mut again, all.len() - 1 - n).await;
        assert_eq!(rest, all[n + 1..], "behind {:?}", event.id);
    }
    // Who begins in the middle is told all so far; an id that was never given counts as none.
    for last in [None, Some("x"), Some("900.2"), Some("3.900"), Some("1764324000123456")] {
        let mut late = world.api.listen(&world.user, &path(call), last).await;
        let told = take(&mut late, 6).await;
        assert_eq!(told[0].data, all[1].data, "{last:?}");
        assert_eq!(told[1..], all[2..], "{last:?}");
    }

    let mut goodbye = said(5, 2, "agent", "Goodbye.");
    goodbye.ended = ended().ended;
    goodbye.events.push(event(6, "ended", json!({ "reason": "caller_hangup" })));
    world.write(call, goodbye).await;
    let last = events.rest().await;
    assert_eq!(names(&last), ["transcript", "timeline", "state", "end"]);
    assert_eq!((&last[2].data["status"], &last[2].data["duration_seconds"]), (&json!("completed"), &json!(30)));
    assert_eq!(last[3].data, json!({ "reason": "conversation_over" }));
    // Who was away when it ended has missed nothing.
    let missed = world.api.listen(&world.user, &path(call), all.last().unwrap().id.as_deref()).await;
    assert_eq!(missed.rest().await, last);
}

#[tokio::test]
async fn a_call_that_is_over_is_told_in_one_event_and_whoever_has_that_need_not_come_back() {
    let world = World::new().await;
    let call = world.ring().await;
    world.write(call, CallRows { ended: ended().ended, ..said(0, 0, "agent", "Hello!") }).await;
    let over = world.api.listen(&world.user, &path(call), None).await.rest().await;
    assert_eq!(names(&over), ["state", "end"]);
    assert_eq!(over[0].data["status"], "completed");
    assert_eq!(over[1].id, None, "the last event that can be gone on from is the state");
    let request = |last: &str| {
        Request::builder()
            .uri(path(call))
            .header("authorization", format!("Bearer {}", world.user.token.expose()))
            .header("last-event-id", last)
            .body(Body::empty())
            .unwrap()
    };
    let answer = world.api.request(request(over[0].id.as_deref().unwrap())).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (204, &Value::Null));
    // A column that changes later is told.
    let owner = world.api.scratch.superuser().await;
    sqlx::query("update conversations set version = version + 1").execute(owner.pool()).await.unwrap();
    let again = world.api.listen(&world.user, &path(call), over[0].id.as_deref()).await.rest().await;
    assert_eq!(names(&again), ["state", "end"]);
}

/// A turn that was not heard is no transcript, and a long call is read in pieces.
#[tokio::test]
async fn a_long_call_is_told_whole() {
    let world = World::new().await;
    let call = world.ring().await;
    world.write(call, answered()).await;
    let mut rows = said(0, 0, "agent", "");
    rows.events.extend((1..=700).map(|n| event(n, "dtmf", json!({ "digit": "1" }))));
    world.write(call, rows).await;
    let mut events = world.api.listen(&world.user, &path(call), None).await;
    let told = take(&mut events, 702).await;
    assert_eq!(names(&told[..3]), ["state", "timeline", "timeline"]);
    assert_eq!(told[1].data["kind"], "turn_ended");
    let seqs: Vec<i64> = told[1..].iter().map(|event| event.data["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (0..=700).collect::<Vec<_>>());
    world.write(call, ended()).await;
    assert_eq!(names(&events.rest().await), ["state", "end"]);
}

#[tokio::test]
async fn a_conversation_that_is_removed_ends_its_stream() {
    let world = World::new().await;
    let call = world.ring().await;
    let mut events = world.api.listen(&world.user, &path(call), None).await;
    events.next().await.unwrap();
    let owner = world.api.scratch.superuser().await;
    sqlx::query("delete from conversations").execute(owner.pool()).await.unwrap();
    world.tell(call, super::News::State);
    assert_eq!(names(&events.rest().await), ["end"]);
}

#[tokio::test]
async fn a_stream_is_one_for_whoever_stands_between() {
    let world = World::new().await;
    let call = world.ring().await;
    for path in ["/v1/live", &path(call)] {
        let answer = world.api.get(&world.user, path).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status, 200);
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-accel-buffering"), "no");
        let mut events = world.api.listen(&world.user, path, None).await;
        assert_eq!(events.block().await.unwrap(), "retry: 2000\n: listening", "at once, whatever comes");
    }
}
