//! Chat completions as the [`super::Responder`] answers them, and a model that asks it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;
use trunkline_base::{Personal, Secret};
use trunkline_media::{
    ids::GenerationId,
    llm::{
        Llm, LlmEvent, LlmLimits, LlmRequest, LlmStream, Message, ToolCall, ToolSpec,
        openai::{OpenAi, OpenAiConfig, OpenAiModel},
    },
    net::{BaseUrl, Net},
};

use super::{Answer, Piece, Responder};

pub(crate) const KEY: &str = "sk-very-secret";

pub(crate) fn data(event: &Value) -> Piece {
    Piece::Data(format!("data: {event}\n\n"))
}

pub(crate) fn delta(delta: Value) -> Piece {
    data(&json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}], "usage": null}))
}

pub(crate) fn text(text: &str) -> Piece {
    delta(json!({"content": text}))
}

pub(crate) fn finish(reason: &str) -> Piece {
    data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

pub(crate) fn usage() -> Piece {
    data(&json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}}))
}

pub(crate) fn done() -> Piece {
    Piece::Data("data: [DONE]\n\n".into())
}

pub(crate) fn answer(words: &str) -> Answer {
    Answer::Stream(vec![
        delta(json!({"role": "assistant", "content": ""})),
        text(words),
        finish("stop"),
        usage(),
        done(),
    ])
}

pub(crate) fn refused(status: u16, code: &str) -> Answer {
    let body = json!({"error": {"message": format!("Wrong key {KEY} for +14155550100"), "type": "t", "code": code}});
    Answer::status(status, body.to_string())
}

pub(crate) fn limits() -> LlmLimits {
    LlmLimits { first_token: Duration::from_secs(5), ..LlmLimits::default() }
}

pub(crate) fn model(server: &Responder) -> OpenAiModel {
    OpenAiModel::new(BaseUrl::operator(format!("{}/v1/", server.url())), Secret::new(KEY), "m")
}

pub(crate) fn llm(models: Vec<OpenAiModel>, limits: LlmLimits) -> OpenAi {
    let net = Net::new(&[]).expect("the usual authorities");
    OpenAi::new(OpenAiConfig { models, limits, tag: "call-7".into() }, &net).expect("a good configuration")
}

pub(crate) fn start(llm: &OpenAi) -> LlmStream {
    let tool = ToolSpec { name: "find".into(), description: "Finds.".into(), parameters: json!({"type": "object"}) };
    llm.start(LlmRequest {
        generation: GenerationId(4),
        messages: vec![Message::Caller { text: Personal::new("private words".into()) }],
        tools: Arc::from([tool]),
    })
}

pub(crate) async fn next(stream: &mut LlmStream) -> Option<LlmEvent> {
    timeout(Duration::from_secs(20), stream.events.recv()).await.expect("nothing comes")
}

/// Everything that the model says, its texts joined.
pub(crate) async fn heard(mut stream: LlmStream) -> Vec<LlmEvent> {
    let mut events: Vec<LlmEvent> = Vec::new();
    while let Some(event) = next(&mut stream).await {
        match (events.last_mut(), event) {
            (Some(LlmEvent::Text { text }), LlmEvent::Text { text: more }) => {
                *text = Personal::new(format!("{}{}", text.expose(), more.expose()));
            }
            (_, event) => events.push(event),
        }
    }
    events
}

pub(crate) fn said(words: &str) -> LlmEvent {
    LlmEvent::Text { text: Personal::new(words.to_owned()) }
}

pub(crate) fn failed(cause: &str) -> LlmEvent {
    LlmEvent::Failed { cause: cause.to_owned() }
}

pub(crate) fn fault(phase: &str, cause: &str) -> LlmEvent {
    LlmEvent::Fault { phase: phase.to_owned(), cause: cause.to_owned() }
}

pub(crate) const USED: LlmEvent = LlmEvent::Usage { prompt_tokens: 11, completion_tokens: 3 };

pub(crate) fn called(id: &str, arguments: Value) -> LlmEvent {
    let call = ToolCall { id: id.into(), name: "find".into(), arguments: Personal::new(arguments) };
    LlmEvent::ToolCall { call }
}

/// The events of one answer made of these pieces.
pub(crate) async fn heard_of(pieces: Vec<Piece>) -> Vec<LlmEvent> {
    let server = Responder::start([Answer::Stream(pieces)]).await;
    heard(start(&llm(vec![model(&server)], limits()))).await
}
