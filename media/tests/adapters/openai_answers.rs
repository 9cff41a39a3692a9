//! What a model answers, in the vendor's shape or in one that is only compatible, and what the call hears of it.

use std::time::Duration;

use crate::responder::{Answer, Piece, Responder, chat::*};
use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline_media::{
    ids::GenerationId,
    llm::{LlmEvent, LlmLimits, openai::fuzz::fuzz_chunks},
};

#[tokio::test]
async fn text_comes_in_pieces_then_usage_then_the_end() {
    let server = Responder::start([Answer::Stream(vec![
        Piece::Data(": keep-alive\n\n".into()),
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"reasoning_content": "hm"})),
        text("Hel"),
        text("lo."),
        finish("stop"),
        usage(),
        done(),
    ])])
    .await;
    let mut stream = start(&llm(vec![model(&server)], limits()));
    assert_eq!(stream.generation, GenerationId(4));
    for event in [said("Hel"), said("lo."), USED, LlmEvent::Done] {
        assert_eq!(next(&mut stream).await, Some(event));
    }
    assert_eq!(next(&mut stream).await, None);
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(seen.headers["x-client-request-id"], "call-7-4");
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!((&body["stream"], &body["model"]), (&json!(true), &json!("m")));
    assert_eq!(body["tools"][0]["function"]["name"], "find");
}

#[tokio::test]
async fn a_tool_call_comes_whole_and_without_waiting_for_usage() {
    let server = Responder::start([Answer::Stream(vec![
        delta(json!({"role": "assistant", "content": null,
            "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "find", "arguments": ""}}]})),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\":"}}]})),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"Rome\"}"}}]})),
        finish("tool_calls"),
        Piece::Hang,
    ])])
    .await;
    let events = heard(start(&llm(vec![model(&server)], limits()))).await;
    assert_eq!(events, [called("c1", json!({"city": "Rome"})), LlmEvent::Done]);
}

#[tokio::test]
async fn compatible_servers_are_understood() {
    let two = || vec![called("c1", json!({"n": 1})), called("c2", json!({"n": 2})), LlmEvent::Done];
    let whole = |id: &str, n: u8| {
        delta(json!({"role": "assistant", "content": "",
            "tool_calls": [{"index": 0, "id": id, "function": {"name": "find", "arguments": format!("{{\"n\":{n}}}")}}]}))
    };
    // Every index is 0, and the reason is that of a text.
    assert_eq!(heard_of(vec![whole("c1", 1), whole("c2", 2), finish("stop"), done()]).await, two());
    // No `[DONE]`; no reason; a reason of its own; arguments as an object.
    assert_eq!(heard_of(vec![whole("c1", 1), whole("c2", 2), finish("eos")]).await, two());
    assert_eq!(heard_of(vec![whole("c1", 1), whole("c2", 2), done()]).await, two());
    let object = delta(json!({"tool_calls": [{"function": {"name": "find", "arguments": {"n": 1}}}]}));
    let events = heard_of(vec![object, finish("stop"), done()]).await;
    assert_eq!(events, [called("call_4_0", json!({"n": 1})), LlmEvent::Done]);
    // Usage with the last words, or not at all.
    let last = data(&json!({"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3}}));
    assert_eq!(heard_of(vec![last, done()]).await, [said("Hi."), USED, LlmEvent::Done]);
    assert_eq!(heard_of(vec![text("Hi."), finish("stop"), done()]).await, [said("Hi."), LlmEvent::Done]);
    // Events that are no JSON, as some gateways send to keep the connection alive.
    let noise = Piece::Data("data: ping\n\ndata: {\n\n".into());
    assert_eq!(heard_of(vec![noise, text("Hi."), finish("stop"), done()]).await, [said("Hi."), LlmEvent::Done]);
}

#[tokio::test]
async fn half_a_tool_call_is_none() {
    let half = || {
        delta(
            json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "find", "arguments": "{\"city\":"}}]}),
        )
    };
    let first =
        Responder::start([Answer::Stream(vec![half(), Piece::Cut]), Answer::Stream(vec![half(), Piece::Cut])]).await;
    let second = Responder::start([answer("Here.")]).await;
    let events = heard(start(&llm(vec![model(&first), model(&second)], limits()))).await;
    assert_eq!(events, [fault("first_token", "connection lost"), said("Here."), USED, LlmEvent::Done]);
}

#[tokio::test]
async fn an_answer_with_nothing_in_it_is_a_failure_where_the_vendor_cut_it() {
    let cut = Responder::start([Answer::Stream(vec![finish("length"), usage(), done()])]).await;
    let second = Responder::start([answer("Here.")]).await;
    let events = heard(start(&llm(vec![model(&cut), model(&second)], limits()))).await;
    assert_eq!(events[..2], [fault("first_token", "nothing was answered, code length"), said("Here.")]);
    assert_eq!(heard_of(vec![finish("stop"), done()]).await, [LlmEvent::Done], "a model may have nothing to say");
}

#[tokio::test]
async fn an_answer_without_end_ends() {
    let limits = LlmLimits { total: Duration::from_millis(1_500), ..limits() };
    let drip: Vec<Piece> = (0..200).flat_map(|_| [text("and "), Piece::Wait(Duration::from_millis(20))]).collect();
    let server = Responder::start([Answer::Stream(drip)]).await;
    let events = heard(start(&llm(vec![model(&server)], limits))).await;
    assert_eq!(events[1..], [failed("limit total reached")]);
    // One larger than memory should hold is cut by its size.
    let flood: Vec<Piece> = (0..80).map(|_| text(&"x".repeat(64 * 1024))).collect();
    let events = heard_of(flood).await;
    assert_eq!(events.last(), Some(&failed("the answer is too large")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_reader_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz_chunks(&data);
    }

    #[test]
    fn whatever_tool_calls_come_out_can_be_run_and_answered(deltas in proptest::collection::vec(any_delta(), 0..12)) {
        let lines: Vec<String> = deltas
            .iter()
            .map(|delta| json!({"choices": [{"delta": {"tool_calls": [delta]}}]}).to_string())
            .collect();
        fuzz_chunks(lines.join("\n").as_bytes());
    }
}

/// A piece of a tool call with anything missing, repeated or of the wrong type.
fn any_delta() -> impl Strategy<Value = Value> {
    let any_of = |values: Vec<Value>| proptest::sample::select(values);
    (
        any_of(vec![json!(null), json!(0), json!(1), json!("0")]),
        any_of(vec![json!(null), json!(""), json!("c1"), json!("c2"), json!("call_0_1"), json!(7)]),
        any_of(vec![json!(null), json!(""), json!("find"), json!("book"), json!([])]),
        any_of(vec![json!(null), json!(""), json!("{"), json!("}"), json!("{}"), json!({"a": 1}), json!(5), json!("x")]),
    )
        .prop_map(|(index, id, name, arguments)| {
            json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}})
        })
}
