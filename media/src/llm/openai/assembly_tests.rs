//! What the vendor sends, and what compatible servers make of it.

use serde_json::{Value, json};

use super::*;
use crate::llm::openai::wire::Chunk;

/// The calls that these `tool_calls` deltas make, as `(id, name, arguments)`.
fn assembled(deltas: &[Value]) -> Vec<(String, String, Value)> {
    let mut assembly = Assembly::default();
    for delta in deltas {
        let event = json!({"choices": [{"index": 0, "delta": {"tool_calls": delta}}]});
        let chunk: Chunk = serde_json::from_value(event).unwrap();
        for delta in chunk.tool_calls {
            assembly.push(delta).unwrap();
        }
    }
    let calls = assembly.finish(GenerationId(7));
    calls.into_iter().map(|call| (call.id, call.name, call.arguments.into_inner())).collect()
}

fn call(id: &str, name: &str, arguments: Value) -> (String, String, Value) {
    (id.into(), name.into(), arguments)
}

#[test]
fn pieces_are_joined_by_their_index() {
    let calls = assembled(&[
        json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "find", "arguments": ""}}]),
        json!([{"index": 0, "function": {"arguments": "{\"city\":"}}]),
        json!([{"index": 1, "id": "c2", "type": "function", "function": {"name": "book", "arguments": ""}}]),
        json!([{"index": 0, "function": {"arguments": "\"Rome\"}"}}, {"index": 1, "function": {"arguments": "{}"}}]),
    ]);
    assert_eq!(calls, [call("c1", "find", json!({"city": "Rome"})), call("c2", "book", json!({}))]);
}

#[test]
fn a_new_id_is_a_new_call_though_every_index_is_zero() {
    let calls = assembled(&[
        json!([{"index": 0, "id": "c1", "function": {"name": "find", "arguments": "{\"a\":1}"}}]),
        json!([{"index": 0, "id": "c2", "function": {"name": "find", "arguments": "{\"a\""}}]),
        json!([{"index": 0, "function": {"arguments": ":2}"}}]),
    ]);
    assert_eq!(calls, [call("c1", "find", json!({"a": 1})), call("c2", "find", json!({"a": 2}))]);
}

#[test]
fn an_index_or_an_id_may_be_missing_or_both() {
    let calls = assembled(&[
        json!([{"id": "c1", "function": {"name": "find", "arguments": "{\"a\""}}]),
        json!([{"function": {"arguments": ":1}"}}]),
        json!([{"function": {"name": "book", "arguments": "{"}}]),
        json!([{"function": {"arguments": "}"}}]),
        json!([{"function": {"name": "book", "arguments": "{\"b\":2}"}}]),
    ]);
    assert_eq!(
        calls,
        [
            call("c1", "find", json!({"a": 1})),
            call("call_7_1", "book", json!({})),
            call("call_7_2", "book", json!({"b": 2})),
        ]
    );
    // The id may come late, and be a number.
    let calls = assembled(&[
        json!([{"index": 0, "function": {"name": "find", "arguments": ""}}]),
        json!([{"index": 0, "id": 5, "function": {"arguments": "{}"}}]),
    ]);
    assert_eq!(calls, [call("5", "find", json!({}))]);
}

#[test]
fn an_id_or_a_name_may_be_repeated() {
    let calls = assembled(&[
        json!([{"index": 0, "id": "c1", "function": {"name": "find", "arguments": "{\"a\""}}]),
        json!([{"index": 0, "id": "c1", "function": {"name": "find", "arguments": ":1}"}}]),
        json!([{"index": 1, "id": "c1", "function": {"name": "find", "arguments": "{}"}}]),
        json!({"index": 1, "id": "", "function": {"name": "", "arguments": ""}}),
    ]);
    assert_eq!(calls, [call("c1", "find", json!({"a": 1})), call("call_7_1", "find", json!({}))]);
    let calls = assembled(&[
        json!([{"index": 0, "function": {"name": "find", "arguments": "{\"a\""}}]),
        json!([{"index": 0, "function": {"name": "find", "arguments": ":1}"}}]),
    ]);
    assert_eq!(calls, [call("call_7_0", "find", json!({"a": 1}))]);
}

#[test]
fn arguments_may_be_an_object_nothing_or_no_json() {
    for (arguments, read) in [
        (json!({"a": [1]}), json!({"a": [1]})),
        (json!(null), json!({})),
        (json!(""), json!({})),
        (json!("  "), json!({})),
        (json!("null"), json!({})),
        (json!("\"{\\\"a\\\":1}\""), json!({"a": 1})),
        (json!("{\"a\":"), json!("{\"a\":")),
        (json!("[1]"), json!("[1]")),
        (json!("Rome"), json!("Rome")),
    ] {
        let calls = assembled(&[json!([{"index": 0, "id": "c", "function": {"name": "f", "arguments": arguments}}])]);
        assert_eq!(calls, [call("c", "f", read)], "{arguments}");
    }
}

#[test]
fn a_call_without_a_name_is_none() {
    assert_eq!(assembled(&[json!([{"index": 0, "id": "c", "function": {"arguments": "{}"}}])]), []);
    assert_eq!(assembled(&[json!([null, 5, "x", {}, []])]), []);
}

#[test]
fn there_are_bounds() {
    let piece = |index, size| ToolDelta {
        index: Some(index),
        name: Some("f".into()),
        arguments: Arguments::Piece("x".repeat(size)),
        ..ToolDelta::default()
    };
    let mut assembly = Assembly::default();
    for index in 0..MAX_CALLS as u64 {
        assert_eq!(assembly.push(piece(index, 1)), Ok(()));
    }
    assert_eq!(assembly.push(piece(99, 1)), Err(TooLarge));
    let mut assembly = Assembly::default();
    assert_eq!(assembly.push(piece(0, MAX_ARGUMENTS)), Ok(()));
    assert_eq!(assembly.push(piece(0, 1)), Err(TooLarge));
}
