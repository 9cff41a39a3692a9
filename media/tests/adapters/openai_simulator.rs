//! The driver against the simulator of the vendor, which was written from the vendor's wire format alone.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::time::timeout;
use trunkline_base::{Personal, Secret};
use trunkline_media::{
    ids::GenerationId,
    llm::{
        Llm, LlmEvent, LlmLimits, LlmRequest, LlmStream, Message, ToolSpec,
        openai::{self, OpenAi, OpenAiModel},
    },
    net::{BaseUrl, Net},
};
use trunkline_sim::{
    fault::{Fault, Script},
    openai::{ErrorShape, OpenAiConfig, OpenAiSim, Outcome, Quirks, Rule, Rules, Throttle},
    server::TlsIdentity,
};

const KEY: &str = "sk-simulated";
const LIMIT: Duration = Duration::from_secs(20);

fn rules() -> Rules {
    let find = || Rule::call("find", "find", json!({"city": "Rome"}));
    let two = Rule {
        when: Some("both".into()),
        tool_calls: [find().tool_calls, find().tool_calls].concat(),
        ..Rule::default()
    };
    let long = Rule::reply("long", &"word ".repeat(400));
    Rules { rules: vec![find(), two, long, Rule::after("find", "It is there.")], ..Rules::default() }
}

async fn simulator(config: OpenAiConfig, tls: Option<&TlsIdentity>) -> OpenAiSim {
    let config = OpenAiConfig {
        rules: rules(),
        ttft: Duration::from_millis(20),
        token_interval: Duration::from_millis(5),
        ..config
    };
    OpenAiSim::start((Ipv4Addr::LOCALHOST, 0).into(), config, tls).await.expect("a free port")
}

fn model(sim: &OpenAiSim) -> OpenAiModel {
    OpenAiModel::new(BaseUrl::operator(sim.base_url()), Secret::new(KEY), "gpt-4o-mini")
}

fn limits() -> LlmLimits {
    LlmLimits { first_token: Duration::from_secs(8), ..LlmLimits::default() }
}

fn llm(models: Vec<OpenAiModel>, limits: LlmLimits, net: &Net) -> OpenAi {
    OpenAi::new(openai::OpenAiConfig { models, limits, tag: "call-7".into() }, net).expect("a good configuration")
}

fn plain(models: Vec<OpenAiModel>) -> OpenAi {
    llm(models, limits(), &Net::new(&[]).expect("the usual authorities"))
}

fn caller(words: &str) -> Message {
    Message::Caller { text: Personal::new(words.to_owned()) }
}

fn ask(llm: &OpenAi, messages: Vec<Message>) -> LlmStream {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool = ToolSpec { name: "find".into(), description: "Finds a city.".into(), parameters };
    llm.start(LlmRequest { generation: GenerationId(3), messages, tools: Arc::from([tool]) })
}

async fn next(stream: &mut LlmStream) -> Option<LlmEvent> {
    timeout(LIMIT, stream.events.recv()).await.expect("nothing comes")
}

/// What came: the text joined, then everything else.
async fn heard(mut stream: LlmStream) -> (String, Vec<LlmEvent>) {
    let (mut words, mut others) = (String::new(), Vec::new());
    while let Some(event) = next(&mut stream).await {
        match event {
            LlmEvent::Text { text } => words.push_str(text.expose()),
            other => others.push(other),
        }
    }
    (words, others)
}

/// The arguments of the tool calls among the events.
fn called(events: &[LlmEvent]) -> Vec<Value> {
    let calls = events.iter().filter_map(|event| match event {
        LlmEvent::ToolCall { call } => Some(call),
        _ => None,
    });
    calls.map(|call| call.arguments.expose().clone()).collect()
}

fn script(faults: impl IntoIterator<Item = Fault>) -> OpenAiConfig {
    OpenAiConfig { script: Script::new(faults.into_iter().map(Some)), ..OpenAiConfig::default() }
}

#[tokio::test]
async fn an_answer_over_tls_with_a_trusted_authority_and_only_with_it() {
    let identity = TlsIdentity::generate().unwrap();
    let sim = simulator(OpenAiConfig::default(), Some(&identity)).await;
    let authority = CertificateDer::from_pem_slice(identity.ca_pem().as_bytes()).unwrap();
    let llm = llm(vec![model(&sim)], limits(), &Net::new(&[authority]).unwrap());
    llm.warm();
    let (words, events) = heard(ask(&llm, vec![caller("hello")])).await;
    assert_eq!(words, "You said: hello");
    assert!(matches!(events[..], [LlmEvent::Usage { prompt_tokens: 1.., completion_tokens: 1.. }, LlmEvent::Done]));
    let request = &sim.requests().entries()[0];
    assert_eq!(request.headers["x-client-request-id"], "call-7-3");
    assert!(!request.headers.contains_key("openai-organization"), "nothing is taken from the environment");

    let (words, events) = heard(ask(&plain(vec![model(&sim)]), vec![caller("hello")])).await;
    assert_eq!(words, "");
    assert_eq!(events, [LlmEvent::Failed { cause: "no connection".into() }]);
}

#[tokio::test]
async fn a_tool_s_round_trip_is_accepted() {
    let sim = simulator(OpenAiConfig::default(), None).await;
    let llm = plain(vec![model(&sim)]);
    let mut messages = vec![Message::System { text: Personal::new("Be brief.".into()) }, caller("find it")];
    let (_, events) = heard(ask(&llm, messages.clone())).await;
    let [LlmEvent::ToolCall { call }, LlmEvent::Usage { .. }, LlmEvent::Done] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((call.name.as_str(), call.arguments.expose()), ("find", &json!({"city": "Rome"})));
    messages.push(Message::Agent { text: Personal::default(), tool_calls: vec![call.clone()] });
    messages.push(Message::Tool { call: call.id.clone(), content: Personal::new("{\"found\":true}".into()) });
    let (words, events) = heard(ask(&llm, messages)).await;
    assert_eq!(words, "It is there.", "{events:?}");
}

#[tokio::test]
async fn every_quirk_of_compatible_servers_is_understood() {
    let quirks = [
        Quirks { zero_tool_index: true, ..Quirks::default() },
        Quirks { zero_tool_index: true, whole_tool_call: true, ..Quirks::default() },
        Quirks { no_tool_index: true, ..Quirks::default() },
        Quirks { no_tool_id: true, ..Quirks::default() },
        Quirks { no_tool_id: true, no_tool_index: true, whole_tool_call: true, ..Quirks::default() },
        Quirks { arguments_as_object: true, no_tool_index: true, ..Quirks::default() },
        Quirks { finish_reason: Some("stop".into()), no_usage: true, ..Quirks::default() },
        Quirks { finish_reason: Some("eos".into()), no_done: true, ..Quirks::default() },
        Quirks { no_created: true, role_in_every_delta: true, any_key: true, ..Quirks::default() },
        Quirks { reasoning_content: Some("I should think about it.".into()), ..Quirks::default() },
    ];
    for quirks in quirks {
        let has_usage = !quirks.no_usage;
        let sim = simulator(OpenAiConfig { quirks: quirks.clone(), ..OpenAiConfig::default() }, None).await;
        let llm = plain(vec![model(&sim)]);
        let (_, events) = heard(ask(&llm, vec![caller("both")])).await;
        assert_eq!(called(&events), [json!({"city": "Rome"}), json!({"city": "Rome"})], "{quirks:?} {events:?}");
        let (words, events) = heard(ask(&llm, vec![caller("hello")])).await;
        assert_eq!(words, "You said: hello", "{quirks:?}");
        assert_eq!(events.last(), Some(&LlmEvent::Done));
        assert_eq!(events.len(), if has_usage { 2 } else { 1 }, "{quirks:?} {events:?}");
    }
}

#[tokio::test]
async fn a_failing_first_model_is_followed_by_the_second() {
    let refuse = |status| Fault::Refuse { status, retry_after: None };
    for (faults, phase, cause) in [
        (vec![Fault::Hang], "first_token", "limit first_token reached"),
        (vec![refuse(503), refuse(503)], "first_token", "HTTP status 503"),
        (vec![refuse(401)], "first_token", "HTTP status 401"),
        (vec![Fault::DropAfter(Duration::ZERO), Fault::DropAfter(Duration::ZERO)], "first_token", ""),
        (vec![Fault::StallAfter(Duration::ZERO)], "first_token", "limit first_token reached"),
    ] {
        let first = simulator(script(faults.clone()), None).await;
        let second = simulator(OpenAiConfig::default(), None).await;
        let mut slow = model(&first);
        slow.first_token = Some(Duration::from_secs(1));
        let (words, events) = heard(ask(&plain(vec![slow, model(&second)]), vec![caller("hello")])).await;
        assert_eq!(words, "You said: hello");
        let Some(LlmEvent::Fault { phase: in_phase, cause: because }) = events.first() else { panic!("{events:?}") };
        assert!(in_phase == phase && because.starts_with(cause), "{faults:?}: {in_phase} {because}");
        assert_eq!(first.requests().entries().len(), faults.len(), "{faults:?}");
    }
}

#[tokio::test]
async fn too_many_requests_pass_and_no_credit_does_not() {
    let busy = || script([Fault::Refuse { status: 429, retry_after: Some(1) }]);
    let sim = simulator(busy(), None).await;
    assert_eq!(heard(ask(&plain(vec![model(&sim)]), vec![caller("hello")])).await.0, "You said: hello");
    assert_eq!(sim.requests().entries().len(), 2);

    let sim = simulator(OpenAiConfig { throttle: Throttle::Quota, ..busy() }, None).await;
    let (_, events) = heard(ask(&plain(vec![model(&sim)]), vec![caller("hello")])).await;
    assert!(matches!(&events[..], [LlmEvent::Failed { cause }] if cause.contains("429")), "{events:?}");
    assert_eq!(sim.requests().entries().len(), 1);
}

#[tokio::test]
async fn errors_of_every_shape_tell_the_status_and_never_the_key() {
    for error_shape in [ErrorShape::OpenAi, ErrorShape::Text, ErrorShape::Object, ErrorShape::Detail] {
        let quirks = Quirks { error_shape, ..Quirks::default() };
        let sim = simulator(OpenAiConfig { quirks, ..OpenAiConfig::default() }, None).await;
        let wrong = OpenAiModel { api_key: Secret::new("sk-wrong-key"), ..model(&sim) };
        let (_, events) = heard(ask(&plain(vec![wrong]), vec![caller("hello")])).await;
        let printed = format!("{events:?}");
        assert!(printed.contains("401") && !printed.contains("sk-wrong"), "{printed}");
        assert_eq!(sim.requests().entries().len(), 1, "a wrong key is not tried again");
    }
}

#[tokio::test]
async fn a_failure_in_mid_answer_is_final() {
    let after = Duration::from_millis(300);
    for fault in [Fault::DropAfter(after), Fault::StallAfter(after), Fault::ErrorAfter(after, "server_error".into())] {
        let first = simulator(script([fault.clone()]), None).await;
        let second = simulator(OpenAiConfig::default(), None).await;
        let limits = LlmLimits { idle: Duration::from_secs(1), ..limits() };
        let llm = llm(vec![model(&first), model(&second)], limits, &Net::new(&[]).unwrap());
        let (words, events) = heard(ask(&llm, vec![caller("long")])).await;
        assert!(words.starts_with("word "), "{fault:?}: {events:?}");
        assert!(matches!(events[..], [LlmEvent::Failed { .. }]), "{fault:?}: {events:?}");
        assert_eq!(second.requests().entries().len(), 0);
    }
}

#[tokio::test]
async fn garbage_in_the_stream_is_passed_over() {
    let sim = simulator(script([Fault::GarbageAfter(Duration::from_millis(20))]), None).await;
    let (words, events) = heard(ask(&plain(vec![model(&sim)]), vec![caller("hello")])).await;
    assert_eq!(words, "You said: hello", "{events:?}");
    assert_eq!(events.last(), Some(&LlmEvent::Done));
}

#[tokio::test]
async fn dropping_the_stream_cancels_the_answer_at_the_vendor() {
    let sim = simulator(OpenAiConfig::default(), None).await;
    let llm = plain(vec![model(&sim)]);
    let mut stream = ask(&llm, vec![caller("long")]);
    assert!(matches!(next(&mut stream).await, Some(LlmEvent::Text { .. })));
    assert_eq!(sim.running(), 1);
    drop(stream);
    let ended = sim.requests().wait_for(LIMIT, |requests| requests.first()?.ended.map(|_| requests[0].outcome)).await;
    assert_eq!(ended, Some(Outcome::Disconnected));
}
