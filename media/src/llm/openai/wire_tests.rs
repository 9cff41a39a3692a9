//! What goes out, as JSON; and that whatever comes in is read.

use std::{path::Path, sync::Arc};

use serde_json::json;
use trunkline_base::{Personal, Secret};

use super::*;
use crate::{
    ids::GenerationId,
    llm::{ToolCall, ToolSpec},
    net::BaseUrl,
};

fn text(text: &str) -> Personal<String> {
    Personal::new(text.to_owned())
}

fn sent(model: &OpenAiModel, messages: Vec<Message>, tools: &[ToolSpec]) -> Value {
    let request = LlmRequest { generation: GenerationId(1), messages, tools: Arc::from(tools) };
    serde_json::to_value(ChatRequest::new(model, &request)).unwrap()
}

fn model() -> OpenAiModel {
    OpenAiModel::new(BaseUrl::operator("http://localhost/v1"), Secret::new("sk-test"), "gpt-4o-mini")
}

fn tool_call(arguments: Value) -> Message {
    let call = ToolCall { id: "c1".into(), name: "find".into(), arguments: Personal::new(arguments) };
    Message::Agent { text: text(""), tool_calls: vec![call] }
}

#[test]
fn a_conversation_with_a_tool_has_the_vendor_s_shape() {
    let tools = [ToolSpec {
        name: "find".into(),
        description: "Finds a city.".into(),
        parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
    }];
    let messages = vec![
        Message::System { text: text("Be brief.") },
        Message::Caller { text: text("Rome?") },
        tool_call(json!({"city": "Rome"})),
        Message::Tool { call: "c1".into(), content: text("{\"found\":true}") },
        Message::Agent { text: text("It is there."), tool_calls: vec![] },
        Message::Agent { text: text(""), tool_calls: vec![] },
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire/openai/out_request.json");
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(sent(&model(), messages, &tools), fixture);
}

#[test]
fn what_is_not_set_is_not_sent() {
    let mut model = model();
    model.stream_options = false;
    let bare = sent(&model, vec![Message::Caller { text: text("hi") }], &[]);
    assert_eq!(bare, json!({"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "hi"}]}));
    model.temperature = Some(0.5);
    model.max_output_tokens = Some(200);
    model.reasoning_effort = Some("low".into());
    let full = sent(&model, vec![], &[]);
    assert_eq!(full["temperature"], 0.5);
    assert_eq!(full["max_completion_tokens"], 200);
    assert_eq!(full["reasoning_effort"], "low");
}

#[test]
fn arguments_that_were_no_json_go_back_as_json() {
    let sent = sent(&model(), vec![tool_call(json!("{\"city\":"))], &[]);
    assert_eq!(sent["messages"][0]["content"], Value::Null);
    let arguments = sent["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"not_json": "{\"city\":"}));
}

#[test]
fn every_event_that_is_json_is_read() {
    let read = |event: Value| serde_json::from_value::<Chunk>(event).unwrap();
    let content = |content: Value| read(json!({"choices": [{"delta": {"content": content}}]})).text;
    assert_eq!(content(json!("hi")).as_deref(), Some("hi"));
    assert_eq!(content(json!("")), None);
    assert_eq!(content(json!(null)), None);
    assert_eq!(content(json!(5)), None);
    assert_eq!(content(json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])).as_deref(), Some("ab"));
    for event in [
        json!(null),
        json!(5),
        json!("text"),
        json!([1]),
        json!({}),
        json!({"choices": null, "usage": null}),
        json!({"choices": [5], "usage": []}),
        json!({"choices": [{"delta": 5, "finish_reason": {}}]}),
        json!({"choices": [{"delta": {"reasoning_content": "hm", "role": "assistant", "tool_calls": "x"}}]}),
    ] {
        assert_eq!(read(event.clone()), Chunk::default(), "{event}");
    }
    assert_eq!(read(json!({"choices": [{"message": {"content": "whole"}}]})).text.as_deref(), Some("whole"));
    assert_eq!(read(json!({"choices": [{"delta": {"refusal": "no"}}]})).text.as_deref(), Some("no"));
    assert_eq!(read(json!({"choices": [{"delta": {}, "finish_reason": "eos"}]})).finish.as_deref(), Some("eos"));
}

#[test]
fn usage_and_errors_are_found_where_servers_put_them() {
    let read = |event: Value| serde_json::from_value::<Chunk>(event).unwrap();
    let usage = Some(Usage { prompt_tokens: 3, completion_tokens: 2 });
    let counts = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    assert_eq!(read(json!({"choices": [], "usage": counts})).usage, usage);
    assert_eq!(read(json!({"choices": [{"delta": {"content": "x"}}], "usage": counts})).usage, usage);
    assert_eq!(read(json!({"choices": [{"usage": counts}]})).usage, usage);
    let code = |event: Value| read(event).error.map(|code| code.code().to_owned());
    assert_eq!(code(json!({"error": {"message": "m", "code": "server_error"}})).as_deref(), Some("server_error"));
    assert_eq!(code(json!({"error": "overloaded"})).as_deref(), Some(""));
    assert_eq!(code(json!({"object": "error", "message": "m", "type": "x"})).as_deref(), Some("x"));
    assert_eq!(code(json!({"error": null})), None);
}
