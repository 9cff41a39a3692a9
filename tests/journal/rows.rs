//! From media frames to the values of rows: two whole calls on virtual time, journalled as their events come. The transcript is in the order
//! in which speech began, it holds what was heard, and the latency stands beside the caller's turn that was answered.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trunkline::journal::{ConversationRow, Journal, Rows, Status, TurnRow};
use trunkline_base::Personal;
use trunkline_media::{
    event::{CallEventKind, EndReason, Speaker, TurnSource},
    ids::TurnId,
    testing::FakeReply,
    time::MediaTime,
    turn::{PastTurn, Resumed},
};

use crate::world::{World, ms};

/// All rows of a call, taken as it goes.
fn written(world: &World, mut journal: Journal) -> Rows {
    let mut all = Rows::default();
    for event in world.log() {
        journal.handle_event(event);
        all.merge(journal.take());
    }
    all
}

/// The transcript, by when speech began.
fn transcript(rows: &Rows) -> Vec<TurnRow> {
    let mut turns = rows.turns.clone();
    turns.sort_by_key(|turn| (turn.started_ms, turn.turn));
    turns
}

/// Its rows without numbers, times and latencies, which follow below.
fn said(rows: &Rows) -> Vec<Value> {
    let mut rows: Vec<Value> = transcript(rows).iter().map(|row| serde_json::to_value(row).unwrap()).collect();
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

    let written = written(&world, Journal::default());
    let heard = world.words_in(STORY, world.samples_heard(2));
    assert!(heard.len() > 20 && heard.len() < 60, "{heard:?}");
    assert_eq!(
        said(&written),
        [
            json!({ "speaker": "agent", "text": "Hello!", "interrupted": false, "source": "greeting" }),
            json!({ "speaker": "customer", "text": "Tell me a story, please.", "interrupted": false, "source": "speech" }),
            json!({ "speaker": "agent", "text": heard, "generated_text": STORY, "interrupted": true, "source": "llm" }),
            json!({ "speaker": "customer", "text": "No, that is enough.", "interrupted": false, "source": "speech" }),
            json!({ "speaker": "agent", "text": "Goodbye then.", "interrupted": false, "source": "llm" }),
        ]
    );

    let turns = transcript(&written);
    let numbers: BTreeSet<u32> = turns.iter().map(|turn| turn.turn).collect();
    assert_eq!(numbers.len(), 5, "one number a turn, over both sides");
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

    let ended_ms = world.log().last().map(|event| event.at.as_millis());
    let conversation = ConversationRow {
        status: Some(Status::Completed),
        answered_ms: Some(0),
        ended_ms,
        end_reason: Some(EndReason::AgentHangup),
        reattached: 0,
    };
    assert_eq!(written.conversation, Some(conversation));
    assert!(written.ended);
    // One row an event, but for transcripts that were replaced.
    let kinds: Vec<&str> = written.events.iter().map(|row| row.kind.as_str()).collect();
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

    let written = written(&world, Journal::default());
    let heard = world.words_in(STORY, world.samples_heard(1));
    assert!(heard.len() > 30, "of both streams: {heard:?}");
    assert_eq!(
        said(&written),
        [
            json!({ "speaker": "agent", "text": heard, "generated_text": STORY, "interrupted": true, "source": "greeting" })
        ]
    );
    let conversation = written.conversation.unwrap();
    assert_eq!((conversation.status, conversation.end_reason), (Some(Status::Failed), Some(EndReason::MediaLost)));
    assert_eq!(conversation.reattached, 1);
}

#[tokio::test(start_paused = true)]
async fn a_row_comes_when_its_turn_is_over_and_again_with_its_latency() {
    let mut world = World::builder().says("At eight.").start();
    world.caller_says("When do you open?").await;
    world.until_replies_ended(1).await;
    world.phone().hang_up();
    world.until_ended().await;

    let mut journal = Journal::default();
    let mut takes: Vec<Vec<(u32, bool)>> = Vec::new();
    for event in world.log() {
        journal.handle_event(event);
        let rows = journal.take();
        assert!(rows.events.len() <= 1 && journal.take().is_empty(), "what was taken is gone");
        if !rows.turns.is_empty() {
            takes.push(rows.turns.iter().map(|turn| (turn.turn, turn.latency.is_some())).collect());
        }
        let over = matches!(event.kind, CallEventKind::Ended { .. });
        assert_eq!(rows.ended, over);
    }
    assert_eq!(takes, [[(1, false)], [(1, true)], [(2, false)]]);
}

#[tokio::test(start_paused = true)]
async fn usage_belongs_to_the_turn_under_way() {
    let mut world = World::builder().says("At eight.").start();
    world.caller_says("When do you open?").await;
    world.until_replies_ended(1).await;
    world.phone().hang_up();
    world.until_ended().await;
    let mut journal = Journal::default();
    let usage = |provider: &str| CallEventKind::Usage {
        provider: provider.into(),
        unit: "things".into(),
        quantity: 7,
        wasted: false,
    };
    let mut turns = Vec::new();
    for event in world.log() {
        journal.handle_event(event);
        let _ = journal.take();
        for provider in ["stt", "llm", "tts"] {
            let mut more = event.clone();
            more.kind = usage(provider);
            journal.handle_event(&more);
        }
        let rows = journal.take();
        assert!(rows.usage.iter().all(|row| (row.seq, row.quantity) == (event.seq, 7)));
        turns.push(rows.usage.iter().map(|row| row.turn).collect::<Vec<_>>());
    }
    turns.dedup();
    let of = |turn| vec![None, turn, turn];
    assert_eq!(turns, [of(None), of(Some(1)), of(None), of(Some(2)), of(None)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_from_its_rows_in_another_process() {
    let mut world = World::builder().greeting("Hello!").says(STORY).start();
    world.until_replies_ended(1).await;
    world.caller_says("Tell me a story, please.").await;
    world.until_speaking(2).await;
    // The process dies here: the turn under way is lost.
    let first = written(&world, Journal::default());
    assert!(!first.ended);
    let told = |event: &Value| event["turn"].as_u64();
    let next_turn = first.events.iter().filter_map(|row| told(&row.data)).max().unwrap() as u32 + 1;
    let history: Vec<PastTurn> = transcript(&first).iter().filter_map(TurnRow::past).collect();
    let past = |speaker, text: &str| PastTurn { speaker, text: Personal::new(text.into()) };
    assert_eq!(history, [past(Speaker::Agent, "Hello!"), past(Speaker::Caller, "Tell me a story, please.")]);
    let resumed = Resumed {
        history,
        clock: MediaTime::from_millis(20_000),
        next_seq: first.events.last().unwrap().seq + 1,
        next_turn: TurnId(next_turn),
    };
    drop(world);

    let mut world = World::builder().resumed(resumed).says("Once there was a fox.").start();
    world.until_replies_ended(2).await;
    world.phone().hang_up();
    world.until_ended().await;
    let second = written(&world, Journal::resumed());
    let mut all = first.clone();
    all.merge(second.clone());
    assert_eq!(all.turns.len(), first.turns.len() + second.turns.len(), "no turn has another's number");
    let seqs: BTreeSet<u64> = all.events.iter().map(|row| row.seq).collect();
    assert_eq!(seqs.len(), all.events.len(), "no event has another's number");
    let turns = transcript(&all);
    let sources: Vec<_> = turns.iter().map(|turn| turn.source).collect();
    assert_eq!(sources, [TurnSource::Greeting, TurnSource::Speech, TurnSource::Resume, TurnSource::Llm]);
    let conversation = all.conversation.unwrap();
    assert_eq!((conversation.status, conversation.answered_ms), (Some(Status::Completed), Some(0)));
    assert_eq!(conversation.reattached, 1);
}

#[test]
fn a_sign_of_listening_is_not_taken_up_again() {
    let row = |source| TurnRow {
        turn: 1,
        speaker: Speaker::Caller.into(),
        started_ms: 0,
        ended_ms: 1,
        text: "mm-hm".into(),
        generated_text: None,
        interrupted: false,
        source,
        latency: None,
    };
    assert_eq!(row(TurnSource::Backchannel).past(), None);
    assert!(row(TurnSource::Speech).past().is_some());
}
