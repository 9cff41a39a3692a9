//! What the tests of the OpenAI simulator share.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use trunkline_sim::openai::{OpenAiConfig, OpenAiSim, RequestRecord, Rule, Rules};

pub(crate) const KEY: &str = "sk-test";
/// Longer than anything here takes, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn config() -> OpenAiConfig {
    OpenAiConfig {
        api_key: KEY.into(),
        ttft: Duration::from_millis(5),
        token_interval: Duration::from_millis(1),
        ..OpenAiConfig::default()
    }
}

pub(crate) fn rules(rules: Vec<Rule>) -> Rules {
    Rules { rules, ..Rules::default() }
}

pub(crate) async fn start(config: OpenAiConfig) -> OpenAiSim {
    OpenAiSim::start("127.0.0.1:0".parse().unwrap(), config, None).await.unwrap()
}

/// The client needs some provider of cryptography, also where it uses none.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(LIMIT).build().unwrap()
}

pub(crate) fn user(text: &str) -> Value {
    json!({"model": "gpt-4.1-mini", "stream": true, "stream_options": {"include_obfuscation": false},
        "messages": [{"role": "system", "content": "You answer the telephone."}, {"role": "user", "content": text}]})
}

pub(crate) fn with_tool(text: &str, name: &str) -> Value {
    let mut body = user(text);
    body["tools"] =
        json!([{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}]);
    body
}

pub(crate) async fn post(sim: &OpenAiSim, body: &Value) -> reqwest::Response {
    let url = sim.base_url() + "/chat/completions";
    client().post(url).bearer_auth(KEY).header("x-client-request-id", "turn-7").json(body).send().await.unwrap()
}

pub(crate) async fn refused(sim: &OpenAiSim, body: &Value) -> (u16, Value) {
    let response = post(sim, body).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The lines of a stream until its end, and whether the end was a clean one.
pub(crate) async fn lines(response: reqwest::Response) -> (Vec<String>, bool) {
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
    (text.split("\n\n").filter(|line| !line.is_empty()).map(Into::into).collect(), clean)
}

/// The data of a healthy stream: its chunks, and whether `[DONE]` ended it.
pub(crate) async fn chunks(sim: &OpenAiSim, body: &Value) -> (Vec<Value>, bool) {
    let (lines, clean) = lines(post(sim, body).await).await;
    assert!(clean);
    let mut data: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("data: ")).collect();
    let done = data.pop_if(|last| *last == "[DONE]").is_some();
    (data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect(), done)
}

pub(crate) fn content(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/content")?.as_str()).collect()
}

/// Waits for a request of which `accept` approves.
pub(crate) async fn record(sim: &OpenAiSim, accept: impl Fn(&RequestRecord) -> bool) -> RequestRecord {
    let found = sim.requests().wait_for(LIMIT, |records| records.iter().find(|record| accept(record)).cloned());
    found.await.expect("the request is in the log in time")
}
