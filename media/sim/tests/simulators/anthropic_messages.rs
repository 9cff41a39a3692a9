//! Answers come in the events that Anthropic documents, and what it refuses is refused in its words.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use trunkline_sim::{
    anthropic::{AnthropicConfig, AnthropicSim, Outcome, RequestRecord, Rule, Rules, Throttle},
    fault::{Fault, Script},
};

const KEY: &str = "sk-ant-test";
const OLD: &str = "2023-06-01";
const NEW: &str = "2026-10-21";
/// Longer than anything here takes, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn config() -> AnthropicConfig {
    AnthropicConfig {
        api_key: KEY.into(),
        ttft: Duration::from_millis(5),
        token_interval: Duration::from_millis(1),
        ..AnthropicConfig::default()
    }
}

fn rules(rules: Vec<Rule>) -> Rules {
    Rules { rules, ..Rules::default() }
}

async fn start(config: AnthropicConfig) -> AnthropicSim {
    AnthropicSim::start("127.0.0.1:0".parse().unwrap(), config, None).await.unwrap()
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap()
}

fn get(sim: &AnthropicSim, path: &str) -> reqwest::RequestBuilder {
    client().get(sim.base_url() + path).header("x-api-key", KEY).header("anthropic-version", NEW)
}

async fn json_of(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn user(text: &str) -> Value {
    json!({"model": "claude-haiku-4-5", "max_tokens": 1_000, "stream": true, "system": "You answer the telephone.",
        "messages": [{"role": "user", "content": text}]})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn request(sim: &AnthropicSim, version: &str, body: &Value) -> reqwest::RequestBuilder {
    let url = sim.base_url() + "/v1/messages";
    client().post(url).header("x-api-key", KEY).header("anthropic-version", version).json(body)
}

async fn post(sim: &AnthropicSim, body: &Value) -> reqwest::Response {
    request(sim, NEW, body).send().await.unwrap()
}

/// A stream's events by name until its end, data that is no JSON as null, and whether the end was a clean one.
async fn events(response: reqwest::Response) -> (Vec<(String, Value)>, bool) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let (mut text, mut clean) = (String::new(), true);
    let mut stream = response.bytes_stream();
    while let Some(bytes) = stream.next().await {
        match bytes {
            Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Err(_) => clean = false,
        }
    }
    let event = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap_or_default();
        (name.strip_prefix("event: ").unwrap().to_owned(), data)
    };
    (text.split("\n\n").filter(|it| !it.is_empty()).map(event).collect(), clean)
}

fn said(events: &[(String, Value)]) -> String {
    events.iter().filter_map(|(_, data)| data.pointer("/delta/text")?.as_str()).collect()
}

async fn record(sim: &AnthropicSim, accept: impl Fn(&RequestRecord) -> bool) -> RequestRecord {
    let found = sim.requests().wait_for(LIMIT, |records| records.iter().find(|record| accept(record)).cloned());
    found.await.expect("the request is in the log in time")
}

#[tokio::test]
async fn a_reply_comes_in_named_events() {
    let sim = start(AnthropicConfig { rules: rules(vec![Rule::reply("hours", "We open at nine.")]), ..config() }).await;
    let response = post(&sim, &user("What are your hours?")).await;
    assert!(response.headers()["request-id"].to_str().unwrap().starts_with("req_"));
    assert!(response.headers()["anthropic-ratelimit-input-tokens-reset"].to_str().unwrap().ends_with('Z'));
    let (events, clean) = events(response).await;
    assert!(clean && events.iter().all(|(name, data)| data["type"] == **name));
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let delta = "content_block_delta";
    let (opening, closing) =
        (["message_start", "ping", "content_block_start"], ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(names, [&opening[..], &[delta; 4], &closing].concat());
    let message = &events[0].1["message"];
    assert_eq!(
        (&message["content"], &message["stop_reason"], &message["model"]),
        (&json!([]), &Value::Null, &"claude-haiku-4-5-20251001".into())
    );
    assert!(message["usage"]["input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(said(&events), "We open at nine.");
    let end = &events[names.len() - 2].1;
    assert_eq!(
        (&end["delta"], &end["usage"]),
        (&json!({"stop_reason": "end_turn", "stop_sequence": null}), &json!({"output_tokens": 4}))
    );
    let logged = record(&sim, |record| record.outcome == Outcome::Completed).await;
    assert_eq!((logged.said(), &logged.id), ("We open at nine.".into(), &message["id"].as_str().unwrap().to_owned()));
    assert!(!logged.headers.contains_key("x-api-key"));
}

#[tokio::test]
async fn thoughts_come_first_unless_they_are_disabled() {
    let sim = start(AnthropicConfig { thought: Some("Let me see.".into()), ..config() }).await;
    let (thinking, _) = events(post(&sim, &user("hello")).await).await;
    assert_eq!(thinking[2].1["content_block"]["type"], "thinking");
    let kinds: Vec<&Value> = thinking.iter().filter_map(|(_, data)| data.pointer("/delta/type")).collect();
    assert_eq!(kinds[..5], ["thinking_delta", "thinking_delta", "thinking_delta", "signature_delta", "text_delta"]);
    let quiet = with(user("hello"), "thinking", json!({"type": "disabled"}));
    let (quiet, _) = events(post(&sim, &quiet).await).await;
    assert_eq!(quiet[2].1["content_block"]["type"], "text");
}

#[tokio::test]
async fn a_tool_call_comes_in_pieces_and_its_result_is_answered() {
    let rules = rules(vec![
        Rule { reply: "One moment.".into(), ..Rule::call("book", "book_slot", json!({"day": "Tuesday"})) },
        Rule::call("list", "list_slots", Value::Null),
        Rule::after("book_slot", "Booked at {tool.at}."),
    ]);
    let sim = start(AnthropicConfig { rules, ..config() }).await;
    let tools = json!([{"name": "book_slot", "input_schema": {"type": "object"}}, {"name": "list_slots", "input_schema": {"type": "object"}}]);
    let (events_, _) = events(post(&sim, &with(user("book Tuesday"), "tools", tools.clone())).await).await;
    let start =
        events_.iter().find_map(|(_, data)| data.get("content_block").filter(|it| it["type"] == "tool_use")).unwrap();
    assert_eq!((&start["name"], &start["input"]), (&json!("book_slot"), &json!({})));
    let pieces: Vec<&str> =
        events_.iter().filter_map(|(_, data)| data.pointer("/delta/partial_json")?.as_str()).collect();
    assert!(pieces.len() > 2 && pieces[0].is_empty());
    assert_eq!(serde_json::from_str::<Value>(&pieces.concat()).unwrap(), json!({"day": "Tuesday"}));
    assert_eq!(events_[events_.len() - 2].1["delta"]["stop_reason"], "tool_use");

    let (empty, _) = events(post(&sim, &with(user("list"), "tools", tools.clone())).await).await;
    let pieces: Vec<&str> =
        empty.iter().filter_map(|(_, data)| data.pointer("/delta/partial_json")?.as_str()).collect();
    assert_eq!(pieces, [""]);

    let mut body = with(with(user("book Tuesday"), "tools", tools), "stream", json!(false));
    let (_, whole) = json_of(request(&sim, NEW, &body)).await;
    assert_eq!(whole["content"][0], json!({"type": "text", "text": "One moment."}));
    assert_eq!(
        (&whole["content"][1]["input"], &whole["stop_reason"]),
        (&json!({"day": "Tuesday"}), &"tool_use".into())
    );
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": whole["content"]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": whole["content"][1]["id"], "content": "{\"at\":\"noon\"}"}]}));
    let (_, answer) = json_of(request(&sim, NEW, &body)).await;
    assert_eq!(
        (&answer["content"][0]["text"], &answer["stop_reason"]),
        (&"Booked at noon.".into(), &"end_turn".into())
    );
}

#[tokio::test]
async fn limits_and_stop_sequences_end_a_reply() {
    let sim = start(config()).await;
    for (name, value, text, reason, sequence) in [
        ("max_tokens", json!(3), "You said: one", "max_tokens", Value::Null),
        ("stop_sequences", json!(["three", "two"]), "You said: one ", "stop_sequence", json!("two")),
    ] {
        let body = with(with(user("one two three"), "stream", json!(false)), name, value);
        let (_, answer) = json_of(request(&sim, NEW, &body)).await;
        assert_eq!(
            (&answer["content"][0]["text"], &answer["stop_reason"], &answer["stop_sequence"]),
            (&text.into(), &reason.into(), &sequence)
        );
    }
}

#[tokio::test]
async fn every_tool_call_needs_its_result() {
    let sim = start(config()).await;
    let said = json!({"role": "user", "content": "x"});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let called = json!({"role": "assistant", "content": [call("a"), call("b")]});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "done"});
    let text = json!({"type": "text", "text": "x"});
    let answered = |blocks: &[Value]| json!({"role": "user", "content": blocks});
    for (messages, complaint) in [
        (
            vec![said.clone(), called.clone()],
            "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: a, b",
        ),
        (vec![said.clone(), called.clone(), said.clone()], "immediately after: a, b"),
        (vec![said.clone(), called.clone(), answered(&[result("b")])], "immediately after: a"),
        (
            vec![said.clone(), called.clone(), answered(&[text.clone(), result("a"), result("b")])],
            "must come before other content",
        ),
        (vec![said.clone(), answered(&[result("a")])], "unexpected `tool_use_id` found in `tool_result` blocks: a"),
    ] {
        let (status, body) = json_of(request(&sim, NEW, &with(user("x"), "messages", messages.into()))).await;
        assert_eq!((status, &body["error"]["type"]), (400, &"invalid_request_error".into()));
        assert!(body["error"]["message"].as_str().unwrap().contains(complaint), "{body}");
    }
    let paired = json!([said, called, answered(&[result("b"), result("a"), text])]);
    assert_eq!(post(&sim, &with(user("x"), "messages", paired)).await.status(), 200);
}

#[tokio::test]
async fn senseless_requests_are_refused() {
    let sim = start(config()).await;
    let tool = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let cached = json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}});
    let mut unlimited = user("x");
    unlimited.as_object_mut().unwrap().remove("max_tokens");
    for (body, complaint) in [
        (unlimited, "max_tokens: Field required"),
        (with(user("x"), "invented", json!(1)), "invented: Extra inputs are not permitted"),
        (with(user("x"), "temperature", json!(0.2)), "temperature: Extra inputs are not permitted"),
        (with(user("x"), "messages", json!([])), "at least one message"),
        (with(user("x"), "messages", json!([{"role": "system", "content": "x"}])), "Unexpected role \"system\""),
        (
            with(user("x"), "messages", json!([{"role": "assistant", "content": "x"}])),
            "first message must use the \"user\" role",
        ),
        (
            with(
                user("x"),
                "messages",
                json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
            ),
            "prefill",
        ),
        (
            with(user("x"), "messages", json!([{"role": "user", "content": [{"type": "text", "text": ""}]}])),
            "must be non-empty",
        ),
        (with(user("x"), "tools", json!([{"name": "f"}])), "tools.0.input_schema: Field required"),
        (
            with(user("x"), "tools", json!([{"name": "f g", "input_schema": {"type": "object"}}])),
            "should match pattern",
        ),
        (with(user("x"), "tool_choice", json!({"type": "auto"})), "while providing tools"),
        (
            with(with(user("x"), "tools", tool.clone()), "tool_choice", json!({"type": "tool", "name": "g"})),
            "'g' not found",
        ),
        (with(user("x"), "system", json!([cached, cached, cached, cached, cached])), "Found 5"),
        (with(user("x"), "thinking", json!({"type": "enabled", "budget_tokens": 10})), "greater than or equal to 1024"),
    ] {
        let (status, answer) = json_of(request(&sim, NEW, &body)).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(complaint), "{body} gives {answer}");
    }
    let (status, answer) = json_of(request(&sim, NEW, &with(user("x"), "model", "claude-none".into()))).await;
    assert_eq!((status, &answer["error"]), (404, &json!({"type": "not_found_error", "message": "model: claude-none"})));
}

#[tokio::test]
async fn the_version_decides_on_sampling() {
    let sim = start(config()).await;
    let warm = with(user("x"), "temperature", json!(0.3));
    assert_eq!(request(&sim, OLD, &warm).send().await.unwrap().status(), 200);
    let newer = with(warm.clone(), "model", "claude-opus-4-7".into());
    let hot = with(warm, "temperature", json!(1.5));
    for body in [newer, hot] {
        assert_eq!(request(&sim, OLD, &body).send().await.unwrap().status(), 400);
    }
    for (version, complaint) in
        [(None, "anthropic-version: header is required"), (Some("2020-01-01"), "is not a valid version")]
    {
        let mut request = client().post(sim.base_url() + "/v1/messages").header("x-api-key", KEY).json(&user("x"));
        if let Some(version) = version {
            request = request.header("anthropic-version", version);
        }
        let (status, body) = json_of(request).await;
        assert_eq!((status, &body["error"]["type"]), (400, &"invalid_request_error".into()));
        assert!(body["error"]["message"].as_str().unwrap().contains(complaint));
    }
}

#[tokio::test]
async fn a_key_is_needed_everywhere() {
    let sim = start(config()).await;
    let url = sim.base_url();
    let models = |path: &str| client().get(format!("{url}{path}")).header("anthropic-version", OLD);
    assert_eq!(models("/v1/models").bearer_auth(KEY).send().await.unwrap().status(), 200);
    for (request, message) in [
        (models("/v1/models"), "x-api-key header is required"),
        (models("/v1/models/claude-haiku-4-5").header("x-api-key", "wrong"), "invalid x-api-key"),
        // Where both are sent, x-api-key counts.
        (models("/v1/models").header("x-api-key", "wrong").bearer_auth(KEY), "invalid x-api-key"),
        (
            client().post(format!("{url}/v1/messages")).header("anthropic-version", OLD).json(&user("x")),
            "x-api-key header is required",
        ),
    ] {
        let (status, body) = json_of(request).await;
        assert_eq!((status, &body["error"]), (401, &json!({"type": "authentication_error", "message": message})));
        assert!(body["type"] == "error" && body["request_id"].as_str().unwrap().starts_with("req_"));
    }
    assert_eq!(json_of(get(&sim, "/v1/nothing")).await.1["error"]["type"], "not_found_error");
}

#[tokio::test]
async fn models_are_listed_in_pages_and_found_by_their_alias() {
    let sim = start(config()).await;
    let (_, all) = json_of(get(&sim, "/v1/models")).await;
    assert_eq!((all["data"].as_array().unwrap().len(), &all["has_more"]), (6, &json!(false)));
    let (_, first) = json_of(get(&sim, "/v1/models?limit=4")).await;
    assert_eq!((&first["first_id"], &first["has_more"]), (&all["data"][0]["id"], &json!(true)));
    let last = first["last_id"].as_str().unwrap();
    let (_, rest) = json_of(get(&sim, &format!("/v1/models?after_id={last}"))).await;
    assert_eq!((&rest["data"][0], &rest["has_more"]), (&all["data"][4], &json!(false)));
    let (_, before) = json_of(get(&sim, &format!("/v1/models?limit=2&before_id={last}"))).await;
    assert_eq!((&before["data"][0], &before["has_more"]), (&all["data"][1], &json!(true)));
    assert_eq!(json_of(get(&sim, "/v1/models?limit=0")).await.0, 400);
    let (_, model) = json_of(get(&sim, "/v1/models/claude-haiku-4-5")).await;
    assert_eq!((&model["id"], &model["type"]), (&"claude-haiku-4-5-20251001".into(), &"model".into()));
    assert_eq!(json_of(get(&sim, "/v1/models/claude-haiku-4")).await.0, 404);
}

#[tokio::test]
async fn refusals_carry_the_vendors_body() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let statuses = [
        (402, "billing_error"),
        (403, "permission_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ];
    let faults = || Script::new(statuses.map(|(status, _)| refuse(status, (status == 429).then_some(7))));
    let sim = start(AnthropicConfig { script: faults(), models_script: faults(), ..config() }).await;
    for (status, kind) in statuses {
        for response in [post(&sim, &user("x")).await, get(&sim, "/v1/models").send().await.unwrap()] {
            assert_eq!(response.status().as_u16(), status);
            let retry = response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
            assert_eq!(retry.as_deref(), (status == 429).then_some("7"));
            assert_eq!(response.json::<Value>().await.unwrap()["error"]["type"], kind);
        }
    }
    let spent =
        AnthropicConfig { models_script: Script::new([refuse(429, None)]), throttle: Throttle::Spend, ..config() };
    let response = get(&start(spent).await, "/v1/models").send().await.unwrap();
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_eq!(
        response.json::<Value>().await.unwrap()["error"]["details"]["error_code"],
        "enforced_spend_limit_reached"
    );
}

#[tokio::test]
async fn faults_strike_a_stream_where_they_say() {
    let long = Rule { token_interval_ms: Some(20), ..Rule::reply("", &"word ".repeat(400)) };
    let after = Duration::from_millis(80);
    let faults =
        [Fault::DropAfter(after), Fault::ErrorAfter(after, "overloaded_error".into()), Fault::StallAfter(after)];
    let sim =
        start(AnthropicConfig { rules: rules(vec![long]), script: Script::new(faults.map(Some)), ..config() }).await;
    let (cut, clean) = events(post(&sim, &user("x")).await).await;
    assert!(!clean && cut.len() > 3 && cut.len() < 400 && cut.iter().all(|(name, _)| name != "message_stop"));
    record(&sim, |record| record.outcome == Outcome::Faulted).await;
    let (failed, clean) = events(post(&sim, &user("x")).await).await;
    let (name, data) = failed.last().unwrap();
    assert!(clean && name == "error" && data["request_id"].is_string());
    assert_eq!(data["error"], json!({"type": "overloaded_error", "message": "Overloaded"}));
    let mut stream = post(&sim, &user("x")).await.bytes_stream();
    // Many pauses between tokens in a row tell a stall from a slow machine.
    while let Ok(next) = tokio::time::timeout(Duration::from_secs(1), stream.next()).await {
        next.unwrap().unwrap();
    }
    assert_eq!(sim.running(), 1);
    drop(stream);
    record(&sim, |record| record.outcome == Outcome::Disconnected).await;

    let script = Script::new([Some(Fault::GarbageAfter(Duration::from_millis(2)))]);
    let sim = start(AnthropicConfig { script, ..config() }).await;
    let (noisy, _) = events(post(&sim, &user("one two three four five")).await).await;
    assert!(noisy.iter().any(|(_, data)| data.is_null()) && noisy.last().unwrap().0 == "message_stop");
    assert_eq!(said(&noisy), "You said: one two three four five");
}
