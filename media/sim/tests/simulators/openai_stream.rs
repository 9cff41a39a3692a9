//! A streamed answer is made of the chunks OpenAI documents, comes from what the request says, and stops when its client goes.

use std::time::{Duration, Instant};

use crate::openai_common::{
    KEY, LIMIT, chunks, client, config, content, lines, post, record, rules, start, user, with_tool,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;
use trunkline_sim::{
    event::SimEventKind,
    openai::{OpenAiConfig, OpenAiSim, Outcome, Quirks, Rule},
    server::TlsIdentity,
};

#[tokio::test]
async fn a_reply_comes_word_by_word_with_the_documented_frame() {
    let sim = start(OpenAiConfig { rules: rules(vec![Rule::reply("HOURS", "We open at nine.")]), ..config() }).await;
    let response = post(&sim, &user("What are your hours?")).await;
    assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    let (lines, clean) = lines(response).await;
    assert!(clean && lines.iter().any(|line| line.starts_with(": ")));
    assert_eq!(lines.last().unwrap(), "data: [DONE]");
    let data: Vec<Value> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|rest| serde_json::from_str(&format!("{{{rest}")).unwrap())
        .collect();
    let deltas: Vec<&Value> = data.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0], &json!({"role": "assistant", "content": "", "refusal": null}));
    let words: Vec<&str> = deltas[1..5].iter().map(|delta| delta["content"].as_str().unwrap()).collect();
    assert_eq!(words, ["We", " open", " at", " nine."]);
    assert_eq!(deltas[5], &json!({}));
    for chunk in &data {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], data[0]["id"]);
        assert_eq!(chunk["model"], "gpt-4.1-mini");
        assert!(chunk["created"].is_u64() && chunk.get("usage").is_none() && chunk.get("obfuscation").is_none());
    }
    let reasons: Vec<&Value> = data.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert!(reasons[..5].iter().all(|reason| reason.is_null()));
    assert_eq!(reasons[5], "stop");
}

#[tokio::test]
async fn usage_and_padding_come_only_when_asked_for() {
    let sim = start(config()).await;
    let mut body = user("one two");
    body["stream_options"] = json!({"include_usage": true});
    let (chunks, done) = chunks(&sim, &body).await;
    assert!(done);
    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 4);
    let total = last["usage"]["prompt_tokens"].as_u64().unwrap() + 4;
    assert_eq!(last["usage"]["total_tokens"], total);
    assert!(before.iter().all(|chunk| chunk["usage"].is_null() && chunk["obfuscation"].is_string()));
    assert_eq!(content(&chunks), "You said: one two");
}

#[tokio::test]
async fn a_tool_call_is_split_over_deltas_and_its_result_is_answered() {
    let arguments = json!({"day": "Tuesday", "note": "{user}"});
    let rules = rules(vec![
        Rule { reply: "One moment.".into(), ..Rule::call("book", "book_slot", arguments) },
        Rule::after("book_slot", "Booked at {tool.at}."),
    ]);
    let sim = start(OpenAiConfig { rules, ..config() }).await;
    let mut body = with_tool("Book Tuesday", "book_slot");
    let (chunks, _) = chunks(&sim, &body).await;
    assert_eq!(content(&chunks), "One moment.");
    let deltas: Vec<&Value> =
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0")).collect();
    assert!(deltas.len() > 3);
    assert_eq!((&deltas[0]["index"], &deltas[0]["type"]), (&json!(0), &json!("function")));
    assert_eq!(deltas[0]["function"], json!({"name": "book_slot", "arguments": ""}));
    assert!(
        deltas[1..].iter().all(|delta| delta.get("id").is_none() && delta["index"] == 0 && delta.get("type").is_none())
    );
    let joined: String = deltas.iter().map(|delta| delta["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(serde_json::from_str::<Value>(&joined).unwrap(), json!({"day": "Tuesday", "note": "Book Tuesday"}));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    let call =
        json!({"id": deltas[0]["id"], "type": "function", "function": {"name": "book_slot", "arguments": joined}});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
    messages.push(json!({"role": "tool", "tool_call_id": deltas[0]["id"], "content": "{\"at\":\"noon\"}"}));
    assert_eq!(content(&crate::openai_common::chunks(&sim, &body).await.0), "Booked at noon.");
}

#[tokio::test]
async fn a_limit_of_tokens_cuts_the_reply() {
    let sim = start(config()).await;
    for name in ["max_tokens", "max_completion_tokens"] {
        let mut body = user("one two three");
        body[name] = 3.into();
        let (chunks, _) = chunks(&sim, &body).await;
        assert_eq!(content(&chunks), "You said: one");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
    }
}

#[tokio::test]
async fn without_streaming_the_answer_is_one_object() {
    let rules = rules(vec![Rule::call("book", "book_slot", json!({"day": 2}))]);
    let sim = start(OpenAiConfig { rules, ..config() }).await;
    let mut body = user("hello");
    body["stream"] = false.into();
    body["stream_options"] = Value::Null;
    let answer: Value = post(&sim, &body).await.json().await.unwrap();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["content"], "You said: hello");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["completion_tokens"], 3);

    let mut body = with_tool("book it", "book_slot");
    body["stream"] = false.into();
    body["stream_options"] = Value::Null;
    let answer: Value = post(&sim, &body).await.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{\"day\":2}");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_answer() {
    let long = Rule { token_interval_ms: Some(50), ..Rule::reply("story", &"once upon a time ".repeat(500)) };
    let slow = Rule { ttft_ms: Some(60_000), ..Rule::reply("think", "never said") };
    let sim = start(OpenAiConfig { rules: rules(vec![long, slow]), ..config() }).await;
    let mut stream = post(&sim, &user("Tell me a story")).await.bytes_stream();
    stream.next().await.unwrap().unwrap();
    assert_eq!(sim.running(), 1);
    drop(stream);
    let ended = record(&sim, |record| record.outcome != Outcome::Running).await;
    assert_eq!(ended.outcome, Outcome::Disconnected);
    assert!(ended.tokens.len() < 400);

    let waiting = tokio::spawn({
        let url = sim.base_url() + "/chat/completions";
        async move { client().post(url).bearer_auth(KEY).json(&user("think")).send().await }
    });
    record(&sim, |record| record.messages()[1]["content"] == "think").await;
    waiting.abort();
    record(&sim, |record| record.messages()[1]["content"] == "think" && record.outcome == Outcome::Disconnected).await;
    assert_eq!(sim.running(), 0);
}

#[tokio::test]
async fn delays_are_kept_and_everything_is_logged() {
    let (events, mut seen) = unbounded_channel();
    let config = OpenAiConfig {
        ttft: Duration::from_millis(120),
        token_interval: Duration::from_millis(20),
        events: Some(events),
        ..config()
    };
    let sim = start(config).await;
    let asked = Instant::now();
    let (chunks, _) = chunks(&sim, &user("a b c d")).await;
    assert!(asked.elapsed() >= Duration::from_millis(220));
    let logged = record(&sim, |record| record.outcome == Outcome::Completed).await;
    assert_eq!(logged.headers["x-client-request-id"], "turn-7");
    assert!(!logged.headers.contains_key("authorization"));
    assert_eq!(logged.messages()[1]["content"], "a b c d");
    assert_eq!(logged.said(), content(&chunks));
    assert_eq!(chunks[0]["id"], logged.id);
    assert!(logged.tokens[0].0 - logged.received >= Duration::from_millis(119));
    assert!(logged.tokens[5].0 - logged.received >= Duration::from_millis(219));

    let mut kinds = Vec::new();
    while let Ok(event) = seen.try_recv() {
        kinds.push(event.kind);
    }
    let request = SimEventKind::LlmRequest {
        id: logged.id.clone(),
        client_request_id: Some("turn-7".into()),
        user: "a b c d".into(),
    };
    assert_eq!(kinds[0], request);
    assert_eq!(kinds[2], SimEventKind::LlmDelta { id: logged.id.clone(), index: 1, text: " said:".into() });
    assert_eq!(kinds.last().unwrap(), &SimEventKind::LlmEnd { id: logged.id, disconnected: false });
    assert_eq!(kinds.len(), 8);
}

#[tokio::test]
async fn compatible_servers_deviate_one_by_one() {
    let rules = rules(vec![Rule {
        tool_calls: vec![
            serde_json::from_value(json!({"name": "look_up", "arguments": {"name": "Ann"}})).unwrap(),
            serde_json::from_value(json!({"name": "look_up", "arguments": {"name": "Bob"}})).unwrap(),
        ],
        ..Rule::reply("look", "Looking.")
    }]);
    let answer = async |quirks: Value| {
        let quirks: Quirks = serde_json::from_value(quirks).unwrap();
        let sim = start(OpenAiConfig { rules: rules.clone(), quirks, ..config() }).await;
        let mut body = with_tool("look", "look_up");
        body["stream_options"]["include_usage"] = true.into();
        chunks(&sim, &body).await
    };
    let calls = |chunks: &[Value]| -> Vec<Value> {
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0").cloned()).collect()
    };
    let (chunks, done) = answer(json!({"no_usage": true, "no_done": true, "no_created": true})).await;
    assert!(!done && chunks.iter().all(|chunk| chunk.get("usage").is_none() && chunk.get("created").is_none()));
    let (chunks, _) = answer(json!({"whole_tool_call": true, "zero_tool_index": true})).await;
    let whole = calls(&chunks);
    assert_eq!(whole.len(), 2);
    assert!(whole.iter().all(|call| call["index"] == 0) && whole[0]["id"] != whole[1]["id"]);
    assert_eq!(whole[1]["function"]["arguments"], "{\"name\":\"Bob\"}");
    let (chunks, _) = answer(json!({"arguments_as_object": true, "no_tool_index": true, "no_tool_id": true})).await;
    assert_eq!(
        calls(&chunks)[0],
        json!({"type": "function", "function": {"name": "look_up", "arguments": {"name": "Ann"}}})
    );
    let (chunks, _) =
        answer(json!({"finish_reason": "eos", "role_in_every_delta": true, "reasoning_content": "Hm, look"})).await;
    let reasons: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|it| !it.is_null()).collect();
    assert_eq!(reasons, ["eos"]);
    assert_eq!(chunks[1]["choices"][0]["delta"], json!({"role": "assistant", "reasoning_content": "Hm,"}));
    assert_eq!(content(&chunks), "Looking.");
}

#[tokio::test]
async fn it_serves_over_tls() {
    let client_without_trust = client();
    let identity = TlsIdentity::generate().unwrap();
    let sim = OpenAiSim::start("127.0.0.1:0".parse().unwrap(), config(), Some(&identity)).await.unwrap();
    let url = sim.base_url() + "/models";
    assert!(url.starts_with("https://"));
    let authority = reqwest::Certificate::from_pem(identity.ca_pem().as_bytes()).unwrap();
    let trusting = reqwest::Client::builder().timeout(LIMIT).tls_certs_only([authority]).build().unwrap();
    let models: Value = trusting.get(&url).bearer_auth(KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(models["object"], "list");
    assert!(client_without_trust.get(&url).bearer_auth(KEY).send().await.is_err());
}
