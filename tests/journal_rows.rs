//! From media frames to the values of rows: two whole calls on virtual time, journalled as their events come. The transcript is in the order
//! in which speech began, it holds what was heard, and the latency stands beside the caller's turn that was answered.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "../media/tests/world/mod.rs"]
mod world;

use serde_json::{Value, json};
use trunkline::journal::{Journal, Status};
use trunkline_media::{event::EndReason, testing::FakeReply};

use self::world::{World, ms};

fn journal(world: &World) -> Journal {
    let mut journal = Journal::default();
    for event in world.log() {
        journal.handle_event(event);
    }
    journal
}

/// The rows of the transcript without the times and latencies, which follow below.
fn rows(journal: &Journal) -> Vec<Value> {
    let mut rows: Vec<Value> = journal.turns().iter().map(|row| serde_json::to_value(row).unwrap()).collect();
    for row in &mut rows {
        for time in ["started_ms", "ended_ms", "latency", "turn"] {
            row.as_object_mut().unwrap().remove(time);
        }
    }
    rows
}

const STORY: &str = "Once there was a fox who lived in a wood. He was fond of grapes, and of little else.";

#[tokio::test(start_paused = true)]
async fn a_call_leaves_exactly_these_rows() {
    let mut world = World::builder()
        .greeting("Hello!")
        .says(STORY)
        .answer(FakeReply::text("Goodbye then.").then_call("call-1", "end_call", json!({})))
        .start();
    world.until_replies_ended(1).await;
    let asked_at = world.now();
    world.caller_says("Tell me a story, please.").await;
    world.until_speaking(2).await;
    world.run_for(ms(1_500)).await;
    world.caller_says_slowly("No, that is enough.").await;
    world.until_ended().await;

    let journal = journal(&world);
    let heard = world.words_in(STORY, world.samples_heard(2));
    assert!(heard.len() > 20 && heard.len() < 60, "{heard:?}");
    assert_eq!(
        rows(&journal),
        [
            json!({ "speaker": "agent", "text": "Hello!", "interrupted": false, "source": "greeting" }),
            json!({ "speaker": "customer", "text": "Tell me a story, please.", "interrupted": false, "source": "speech" }),
            json!({ "speaker": "agent", "text": heard, "generated_text": STORY, "interrupted": true, "source": "llm" }),
            json!({ "speaker": "customer", "text": "No, that is enough.", "interrupted": false, "source": "speech" }),
            json!({ "speaker": "agent", "text": "Goodbye then.", "interrupted": false, "source": "llm" }),
        ]
    );

    let turns = journal.turns();
    assert!(turns.is_sorted_by_key(|turn| turn.started_ms));
    assert!(turns.iter().all(|turn| turn.started_ms < turn.ended_ms), "{turns:?}");
    // The caller spoke when the media clock says so, 24 characters long.
    assert_eq!((turns[1].started_ms, turns[1].ended_ms), (asked_at.as_millis(), asked_at.as_millis() + 1_200));
    // The latency is the answered turn's, and follows from the rows themselves.
    for (asked, answered) in [(1, 2), (3, 4)] {
        let latency = turns[asked].latency.expect("an answered turn has its latency");
        let between = turns[answered].started_ms - turns[asked].ended_ms;
        assert_eq!(latency.response_latency.as_millis() as u64, between);
        assert!(latency.endpoint_delay >= ms(500) && latency.endpoint_delay < ms(1_000), "{latency:?}");
        assert_eq!(latency.transcription_delay, Some(ms(300)));
        assert_eq!(latency.ttft.map(|ttft| ttft.as_millis()), Some(200));
        assert_eq!(latency.ttfb.map(|ttfb| ttfb.as_millis()), Some(100));
    }
    assert!([0, 2, 4].into_iter().all(|agent| turns[agent].latency.is_none()));

    let conversation = journal.conversation();
    assert_eq!((conversation.status, conversation.end_reason), (Status::Completed, Some(EndReason::AgentHangup)));
    assert_eq!((conversation.answered_ms, conversation.reattached), (Some(0), 0));
    assert_eq!(conversation.ended_ms, world.log().last().map(|event| event.at.as_millis()));
    // One row an event, but for transcripts that were replaced.
    let kinds: Vec<&str> = journal.events().iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds[..4], ["answered", "stream_attached", "reply_started", "turn_started"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "transcript").count(), 2, "the final ones");
    assert_eq!(kinds.iter().filter(|kind| **kind == "interruption").count(), 1);
    assert_eq!(kinds.last(), Some(&"ended"));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_lost_in_mid_sentence_leaves_what_was_heard() {
    let mut world = World::builder().greeting(STORY).start();
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.phones[0].break_connection();
    world.run_for(ms(1_000)).await;
    world.connect_again().await;
    world.run_for(ms(1_000)).await;
    world.phones[1].break_connection();
    world.until_ended().await;

    let journal = journal(&world);
    let heard = world.words_in(STORY, world.samples_heard(1));
    assert!(heard.len() > 30, "of both streams: {heard:?}");
    assert_eq!(
        rows(&journal),
        [
            json!({ "speaker": "agent", "text": heard, "generated_text": STORY, "interrupted": true, "source": "greeting" })
        ]
    );
    let conversation = journal.conversation();
    assert_eq!((conversation.status, conversation.end_reason), (Status::Failed, Some(EndReason::MediaLost)));
    assert_eq!(conversation.reattached, 1);
}
