//! One whole answer to one question, for what is not said to anybody: no stream, no fallback, no retry. Whoever asks has time, and decides
//! about trying again.
//!
//! An answer in JSON is asked for as strictly as the server lets us: by its schema, then as JSON of any kind, then by the prompt alone.
//! A server refuses a form that it doesn't know before it has worked, so asking for less costs a round trip and no tokens.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use trunkline_base::{Personal, Secret};

use super::error::{Limit, LlmError};
use crate::net::{BaseUrl, Http};

/// How much of an answer is read.
const MAX_ANSWER: usize = 1024 * 1024;

/// Who is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where the model is served: what `/chat/completions` follows.
    pub base_url: BaseUrl,
    /// The key; compatible servers may do without.
    pub api_key: Secret,
    /// The vendor's name for the model.
    pub model: String,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whoever builds upon the model.
    System,
    /// Whoever asks.
    User,
    /// The model, in an earlier answer.
    Assistant,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// All that was said, in order.
    pub messages: Vec<(Role, Personal<String>)>,
    /// What the answer is to look like, as JSON Schema; `None`: JSON of any kind.
    pub schema: Option<Value>,
    /// How long all of it may take.
    pub limit: Duration,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Completion {
    /// What the model said.
    pub text: Personal<String>,
    /// Whether it said all that it wanted.
    pub is_whole: bool,
    /// Tokens of the question; 0 where the server doesn't count.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// Asks a model for an answer in JSON.
pub async fn complete(http: &Http, asked: &Asked, question: &Question) -> Result<Completion, LlmError> {
    let asking = async {
        let forms = [question.schema.as_ref().map(by_schema), Some(json!({ "type": "json_object" })), None];
        let mut refused = None;
        // The last one asks for no form.
        for form in forms.iter().enumerate().filter(|(n, form)| form.is_some() || *n == 2).map(|(_, form)| form) {
            match once(http, asked, question, form.as_ref()).await {
                Err(error) if form.is_some() && is_about_the_form(&error) => refused = Some(error),
                // What is refused without a form too was not refused for it: the first refusal says more.
                Err(error) if is_about_the_form(&error) => return Err(refused.unwrap_or(error)),
                other => return other,
            }
        }
        Err(LlmError::Request)
    };
    timeout(question.limit, Box::pin(asking)).await.unwrap_or(Err(LlmError::Timeout(Limit::Total)))
}

/// Not strict: that takes schemas of a few forms only, and what comes is checked by whoever asks.
fn by_schema(schema: &Value) -> Value {
    json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": false } })
}

/// Whether asking for less may help.
fn is_about_the_form(error: &LlmError) -> bool {
    matches!(error, LlmError::Refused { status: 400 | 422 | 501, code, .. } if code.code() != "context_length_exceeded")
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

async fn once(http: &Http, asked: &Asked, question: &Question, form: Option<&Value>) -> Result<Completion, LlmError> {
    let url = format!("{}/chat/completions", asked.base_url.as_str().trim_end_matches('/'));
    let messages =
        question.messages.iter().map(|(role, text)| Message { role: role.name(), content: text.expose() }).collect();
    let body = Request { model: &asked.model, messages, response_format: form };
    let request: RequestBuilder = http.direct().post(url).json(&body);
    let request = if asked.api_key.is_empty() { request } else { request.bearer_auth(asked.api_key.expose()) };
    let request = request.build().map_err(|_| LlmError::Request)?;
    let sent = http.execute(asked.base_url.trust(), request).await;
    let mut response = sent.map_err(|error| LlmError::from_guarded(&error))?;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| LlmError::from_http(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(LlmError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(LlmError::refused(status.as_u16(), &headers, &body));
    }
    super::wire::completion(&body).ok_or(LlmError::Garbage)
}
