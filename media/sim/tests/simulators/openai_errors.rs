//! What OpenAI refuses is refused in its words, and every scripted fault strikes where it says.

use std::time::Duration;

use crate::openai_common::{KEY, client, config, content, lines, post, record, refused, rules, start, user, with_tool};
use futures_util::StreamExt;
use serde_json::{Value, json};
use trunkline_sim::{
    fault::{Fault, Script},
    openai::{ErrorShape, OpenAiConfig, OpenAiSim, Outcome, Quirks, Rule, Throttle},
};

async fn with_faults(faults: impl IntoIterator<Item = Fault>) -> OpenAiSim {
    let long = Rule { token_interval_ms: Some(20), ..Rule::reply("", &"word ".repeat(400)) };
    let script = Script::new(faults.into_iter().map(Some));
    start(OpenAiConfig { script, rules: rules(vec![long]), ..config() }).await
}

#[tokio::test]
async fn a_key_is_needed_everywhere() {
    let sim = start(config()).await;
    let url = sim.base_url();
    let models: Value =
        client().get(format!("{url}/models")).bearer_auth(KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        models["data"][0],
        json!({"id": "gpt-4.1", "object": "model", "created": 1_744_316_542, "owned_by": "system"})
    );
    for (request, code) in [
        (client().get(format!("{url}/models")).bearer_auth("wrong"), json!("invalid_api_key")),
        (client().get(format!("{url}/models")), Value::Null),
        (
            client().post(format!("{url}/chat/completions")).bearer_auth("wrong").json(&user("x")),
            json!("invalid_api_key"),
        ),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        let body: Value = response.json().await.unwrap();
        assert_eq!((&body["error"]["type"], &body["error"]["code"]), (&json!("invalid_request_error"), &code));
    }
    assert_eq!(client().get(format!("{url}/nothing")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn every_tool_call_needs_its_result() {
    let sim = start(config()).await;
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let said = json!({"role": "user", "content": "x"});
    let called = json!({"role": "assistant", "content": null, "tool_calls": [call("c1"), call("c2")]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "done"});
    let cases = [
        (vec![said.clone(), called.clone()], "did not have response messages: c1, c2"),
        (vec![said.clone(), called.clone(), result("c2")], "did not have response messages: c1"),
        (vec![said.clone(), called.clone(), result("c1"), said.clone()], "did not have response messages: c2"),
        (vec![said.clone(), result("c1")], "must be a response to a preceeding message with 'tool_calls'"),
        (vec![said.clone(), called.clone(), result("c1"), result("c3"), result("c2")], "must be a response"),
    ];
    for (messages, complaint) in cases {
        let (status, body) = refused(&sim, &json!({"model": "gpt-4o", "messages": messages})).await;
        assert_eq!(status, 400);
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert!(body["error"]["message"].as_str().unwrap().contains(complaint), "{body}");
    }
    let paired = [said, called, result("c2"), result("c1")];
    assert_eq!(post(&sim, &json!({"model": "gpt-4o", "messages": paired})).await.status(), 200);
    record(&sim, |record| record.outcome == Outcome::Refused(400)).await;
}

#[tokio::test]
async fn senseless_requests_are_refused() {
    let sim = start(config()).await;
    let changed = |name: &str, value: Value| {
        let mut body = user("x");
        body[name] = value;
        body
    };
    let cases = [
        (changed("model", Value::Null), 400, json!("model")),
        (changed("messages", json!([])), 400, json!("messages")),
        (changed("messages", json!([{"role": "caller", "content": "x"}])), 400, json!("messages.[0].role")),
        (changed("messages", json!([{"role": "user", "content": null}])), 400, json!("messages.[0].content")),
        (changed("stream", json!(false)), 400, json!("stream_options")),
        (changed("invented", json!(1)), 400, json!("invented")),
        (changed("tools", json!([{"name": "flat"}])), 400, json!("tools[0].type")),
        (changed("tools", json!([])), 400, json!("tools")),
        (changed("tool_choice", json!("auto")), 400, json!("tool_choice")),
        (changed("max_tokens", json!(0)), 400, json!("max_tokens")),
        (changed("model", json!("gpt-none")), 404, Value::Null),
    ];
    for (body, expected, param) in cases {
        let (status, answer) = refused(&sim, &body).await;
        assert_eq!((status, &answer["error"]["param"]), (expected, &param), "{body} gives {answer}");
    }
    let mut body = with_tool("x", "f");
    for (name, value) in
        [("temperature", json!(0.3)), ("max_completion_tokens", json!(50)), ("parallel_tool_calls", json!(false))]
    {
        body[name] = value;
    }
    assert_eq!(post(&sim, &body).await.status(), 200);
}

#[tokio::test]
async fn refusals_carry_the_vendors_body() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let script = Script::new([
        refuse(429, Some(2)),
        refuse(429, None),
        refuse(401, None),
        refuse(500, None),
        refuse(503, None),
        None,
    ]);
    let sim = start(OpenAiConfig { script, ..config() }).await;
    let expected = [
        (429, "rate_limit_exceeded", Some("2")),
        (429, "rate_limit_exceeded", None),
        (401, "invalid_api_key", None),
        (500, "server_error", None),
        (503, "server_is_overloaded", None),
    ];
    for (status, code, retry_after) in expected {
        let response = post(&sim, &user("x")).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), retry_after);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code);
    }
    assert_eq!(post(&sim, &user("x")).await.status(), 200);

    let quota = OpenAiConfig { script: Script::new([refuse(429, None)]), throttle: Throttle::Quota, ..config() };
    let (_, body) = refused(&start(quota).await, &user("x")).await;
    assert_eq!(
        (&body["error"]["type"], &body["error"]["code"]),
        (&json!("insufficient_quota"), &json!("credit_balance_exhausted"))
    );
    let quirks = Quirks { error_shape: ErrorShape::Detail, ..Quirks::default() };
    let (_, body) = refused(&start(OpenAiConfig { quirks, ..config() }).await, &json!({})).await;
    assert!(body["detail"].is_string());
}

#[tokio::test]
async fn a_drop_cuts_the_stream_without_an_end() {
    let sim = with_faults([Fault::DropAfter(Duration::from_millis(100))]).await;
    let (lines, clean) = lines(post(&sim, &user("x")).await).await;
    assert!(!clean && lines.len() > 1 && lines.len() < 400 && !lines.contains(&"data: [DONE]".into()));
    assert_eq!(record(&sim, |record| record.outcome != Outcome::Running).await.outcome, Outcome::Faulted);
}

#[tokio::test]
async fn an_error_inside_the_stream_ends_it() {
    let sim = with_faults([Fault::ErrorAfter(Duration::from_millis(60), "server_error".into())]).await;
    let (lines, clean) = lines(post(&sim, &user("x")).await).await;
    let last: Value = serde_json::from_str(lines.last().unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert!(clean && lines.len() < 400);
    assert_eq!((&last["error"]["code"], &last["error"]["param"]), (&json!("server_error"), &Value::Null));
}

#[tokio::test]
async fn garbage_interrupts_but_does_not_end_the_stream() {
    let short = Rule { token_interval_ms: Some(20), ..Rule::reply("", "one two three four five six seven eight") };
    let script = Script::new([Some(Fault::GarbageAfter(Duration::from_millis(50)))]);
    let sim = start(OpenAiConfig { script, rules: rules(vec![short]), ..config() }).await;
    let (lines, _) = lines(post(&sim, &user("x")).await).await;
    let parsed: Vec<Option<Value>> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|rest| serde_json::from_str(&format!("{{{rest}")).ok())
        .collect();
    let garbage = parsed.iter().position(Option::is_none).unwrap();
    assert!(garbage > 1 && garbage < parsed.len() - 1);
    let healthy: Vec<Value> = parsed.into_iter().flatten().collect();
    assert_eq!(content(&healthy), "one two three four five six seven eight");
    assert_eq!(lines.last().unwrap(), "data: [DONE]");
}

#[tokio::test]
async fn a_stall_says_nothing_more_until_the_client_goes() {
    let sim = with_faults([Fault::StallAfter(Duration::from_millis(60)), Fault::Hang]).await;
    let mut stream = post(&sim, &user("x")).await.bytes_stream();
    let mut heard = 0;
    // Three times the pause between tokens, many times over, tells a stall from a slow machine.
    while let Ok(next) = tokio::time::timeout(Duration::from_secs(1), stream.next()).await {
        heard += next.unwrap().unwrap().len();
    }
    assert!(heard > 0);
    assert_eq!(sim.running(), 1);
    drop(stream);
    record(&sim, |record| record.outcome == Outcome::Disconnected).await;

    let url = sim.base_url() + "/chat/completions";
    let hanging =
        client().post(url).bearer_auth(KEY).json(&user("hang")).timeout(Duration::from_millis(300)).send().await;
    assert!(hanging.unwrap_err().is_timeout());
    record(&sim, |record| record.messages()[1]["content"] == "hang" && record.outcome == Outcome::Disconnected).await;
}

#[tokio::test]
async fn dropping_the_simulator_cuts_its_answers() {
    let sim = with_faults([]).await;
    let requests = sim.requests().clone();
    let mut stream = post(&sim, &user("x")).await.bytes_stream();
    stream.next().await.unwrap().unwrap();
    drop(sim);
    let mut cut = false;
    while let Some(next) = stream.next().await {
        cut = next.is_err();
    }
    assert!(cut);
    let ended = requests.wait_for(crate::openai_common::LIMIT, |records| records[0].ended).await;
    assert!(ended.is_some());
}
