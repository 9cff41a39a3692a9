//! One generation: the models of the list in order, each within its time, until one answers.
//!
//! Until something of an answer has gone out, a failure costs the caller nothing but time: the model is asked once more if that may help
//! at once, then the next one is. After that, another model's continuation would contradict what was said, so a failure is final.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_openai::{Client, error::OpenAIError, traits::RequestOptionsBuilder};
use futures_util::{Stream, StreamExt};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use trunkline_base::{Clock, Personal, SystemClock};

use super::{
    Endpoint, Shared,
    assembly::Assembly,
    error::{Code, Limit, LlmError},
    http::{BodyEnd, Ending, Transport},
    wire::{ChatRequest, Chunk, Usage},
};
use crate::{
    ids::GenerationId,
    llm::{LlmEvent, LlmRequest},
    net::BaseUrl,
};

/// The pause before a model is asked once more.
const FAST_RETRY: Duration = Duration::from_millis(100);

/// A vendor may ask for a longer pause, but not for more than this while another model waits.
const MAX_PAUSE_BEFORE_FALLBACK: Duration = Duration::from_millis(500);

/// With less time than this left, a model isn't asked once more.
const MIN_ATTEMPT: Duration = Duration::from_millis(300);

/// How long the count of tokens is waited for once the answer is over.
const USAGE_WAIT: Duration = Duration::from_millis(500);

/// How many events may be something else than JSON: some gateways keep the connection alive with them.
const MAX_GARBAGE: u32 = 8;

/// Warming a connection, the answer included.
const WARM: Duration = Duration::from_secs(3);

/// How much of the answer to warming is read, so that the connection can be used again.
const MAX_WARM: usize = 1024 * 1024;

/// Runs a generation to its end. Dropping it closes its connection.
pub(super) async fn generate(shared: Arc<Shared>, request: LlmRequest, events: mpsc::Sender<LlmEvent>) {
    let deadline = SystemClock.now() + shared.limits.total;
    let mut answer = Answer { events, deadline, begun: false };
    let mut endpoints = shared.models.iter().peekable();
    while let Some(endpoint) = endpoints.next() {
        let has_fallback = endpoints.peek().is_some();
        let error = match ask(&shared, endpoint, &request, &mut answer, has_fallback).await {
            Ok(()) | Err(Stop::Unwanted) => return,
            Err(Stop::Failed(error)) => error,
        };
        let in_time = SystemClock.now() < deadline;
        let event = if has_fallback && !answer.begun && in_time {
            LlmEvent::Fault { phase: error.phase(answer.begun).into(), cause: error.to_string() }
        } else {
            LlmEvent::Failed { cause: error.to_string() }
        };
        let is_final = matches!(event, LlmEvent::Failed { .. });
        if answer.send(event).await.is_err() || is_final {
            return;
        }
    }
}

/// Why an attempt ended without an answer.
enum Stop {
    /// Nobody listens any more.
    Unwanted,
    /// The model failed.
    Failed(LlmError),
}

impl From<LlmError> for Stop {
    fn from(error: LlmError) -> Self {
        Self::Failed(error)
    }
}

/// What has gone out.
struct Answer {
    events: mpsc::Sender<LlmEvent>,
    deadline: Instant,
    /// Whether text or a tool call has.
    begun: bool,
}

impl Answer {
    async fn send(&mut self, event: LlmEvent) -> Result<(), Stop> {
        self.begun |= matches!(event, LlmEvent::Text { .. } | LlmEvent::ToolCall { .. });
        // The last word is delivered even after the limit that it is about.
        let patience = self.deadline.max(SystemClock.now() + USAGE_WAIT);
        match timeout_at(patience, self.events.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Stop::Unwanted),
        }
    }
}

/// Asks one model, and once more if that may help.
async fn ask(
    shared: &Shared,
    endpoint: &Endpoint,
    request: &LlmRequest,
    answer: &mut Answer,
    has_fallback: bool,
) -> Result<(), Stop> {
    let budget = endpoint.model.first_token.unwrap_or(shared.limits.first_token);
    let first_token = SystemClock.now() + budget;
    let error = match attempt(shared, endpoint, request, answer, first_token).await {
        Err(Stop::Failed(error)) if error.is_transient() && !answer.begun => error,
        other => return other,
    };
    let pause = error.retry_after().unwrap_or(FAST_RETRY).max(FAST_RETRY);
    let until = SystemClock.now() + pause + MIN_ATTEMPT;
    let in_time = until <= first_token.min(answer.deadline);
    if !in_time || (has_fallback && pause > MAX_PAUSE_BEFORE_FALLBACK) {
        return Err(error.into());
    }
    tracing::debug!(model = %endpoint.model.model, cause = %error, pause_ms = pause.as_millis(), "asking once more");
    sleep(pause).await;
    attempt(shared, endpoint, request, answer, first_token).await
}

/// Asks one model once and passes on what it answers.
async fn attempt(
    shared: &Shared,
    endpoint: &Endpoint,
    request: &LlmRequest,
    answer: &mut Answer,
    first_token: Instant,
) -> Result<(), Stop> {
    let ending = Ending::default();
    let opened = timeout_at(first_token.min(answer.deadline), open(shared, endpoint, request, &ending)).await;
    let mut chunks = match opened {
        Ok(opened) => opened?,
        Err(_) if answer.deadline <= first_token => return Err(LlmError::Timeout(Limit::Total).into()),
        Err(_) => return Err(LlmError::Timeout(Limit::FirstToken).into()),
    };
    let mut reading = Reading::new(request, first_token);
    loop {
        let until = reading.until.min(answer.deadline);
        let item = match timeout_at(until, chunks.next()).await {
            Ok(item) => item,
            Err(_) if reading.finish.is_some() => break,
            Err(_) if answer.deadline <= reading.until => return Err(LlmError::Timeout(Limit::Total).into()),
            Err(_) => return Err(LlmError::Timeout(reading.limit).into()),
        };
        match item {
            Some(Ok(chunk)) => reading.handle_chunk(chunk, answer, shared.limits.idle).await?,
            Some(Err(error)) => match LlmError::from_library(error) {
                LlmError::Garbage if reading.garbage < MAX_GARBAGE => reading.garbage += 1,
                LlmError::Lost if ending.get() == BodyEnd::TooLarge => return Err(LlmError::TooLarge.into()),
                // The answer is whole; only the count of tokens is lost.
                LlmError::Lost if reading.finish.is_some() => break,
                error => return Err(error.into()),
            },
            // The library leaves the body at `[DONE]`, which is an end even where no reason was given.
            None if reading.finish.is_some() || ending.get() == BodyEnd::Left => break,
            None => return Err(LlmError::Ended.into()),
        }
    }
    reading.end(answer).await
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Chunk, OpenAIError>> + Send>>;

async fn open(shared: &Shared, endpoint: &Endpoint, request: &LlmRequest, ending: &Ending) -> Result<Chunks, LlmError> {
    let transport =
        Transport { http: shared.http.clone(), trust: endpoint.model.base_url.trust(), ending: ending.clone() };
    let client = Client::build(shared.http.direct().clone(), endpoint.config.clone()).with_http_service(transport);
    let id = format!("{}-{}", shared.tag, request.generation);
    let chat = client.chat().header("X-Client-Request-Id", id).map_err(|_| LlmError::Request)?;
    let body = ChatRequest::new(&endpoint.model, request);
    chat.create_stream_byot::<_, Chunk>(body).await.map(|chunks| chunks as Chunks).map_err(LlmError::from_library)
}

/// One answer while it is read.
struct Reading {
    /// When the next thing has to be here, and by which limit.
    until: Instant,
    limit: Limit,
    generation: GenerationId,
    tools: Assembly,
    usage: Option<Usage>,
    finish: Option<String>,
    garbage: u32,
}

impl Reading {
    fn new(request: &LlmRequest, first_token: Instant) -> Self {
        Self {
            until: first_token,
            limit: Limit::FirstToken,
            generation: request.generation,
            tools: Assembly::default(),
            usage: None,
            finish: None,
            garbage: 0,
        }
    }

    async fn handle_chunk(&mut self, chunk: Chunk, answer: &mut Answer, idle: Duration) -> Result<(), Stop> {
        if let Some(code) = chunk.error {
            return Err(LlmError::InStream(code).into());
        }
        let is_token = chunk.text.is_some() || !chunk.tool_calls.is_empty();
        if let Some(text) = chunk.text {
            answer.send(LlmEvent::Text { text: Personal::new(text) }).await?;
        }
        for delta in chunk.tool_calls {
            self.tools.push(delta).map_err(|_| LlmError::TooLarge)?;
        }
        self.usage = chunk.usage.or(self.usage);
        if self.finish.is_some() {
            return Ok(());
        }
        if let Some(finish) = chunk.finish {
            self.finish = Some(finish);
            self.pass_tool_calls(answer).await?;
            self.until = SystemClock.now() + USAGE_WAIT;
        } else if is_token || self.limit == Limit::Idle {
            self.limit = Limit::Idle;
            self.until = SystemClock.now() + idle;
        }
        Ok(())
    }

    async fn pass_tool_calls(&mut self, answer: &mut Answer) -> Result<(), Stop> {
        for call in self.tools.finish(self.generation) {
            answer.send(LlmEvent::ToolCall { call }).await?;
        }
        Ok(())
    }

    async fn end(mut self, answer: &mut Answer) -> Result<(), Stop> {
        self.pass_tool_calls(answer).await?;
        if let Some(reason @ ("length" | "content_filter")) = self.finish.as_deref()
            && !answer.begun
        {
            return Err(LlmError::Empty(Code::word(reason)).into());
        }
        if let Some(Usage { prompt_tokens, completion_tokens }) = self.usage {
            answer.send(LlmEvent::Usage { prompt_tokens, completion_tokens }).await?;
        }
        answer.send(LlmEvent::Done).await
    }
}

/// Opens a connection to each place where a model is served, by a request that costs nothing; its answer doesn't matter.
pub(super) async fn warm(shared: Arc<Shared>) {
    let mut warmed: Vec<&BaseUrl> = Vec::new();
    for Endpoint { model, .. } in &shared.models {
        if warmed.contains(&&model.base_url) {
            continue;
        }
        warmed.push(&model.base_url);
        let request = shared.http.direct().get(format!("{}/models", &*model.base_url));
        let request = request.bearer_auth(model.api_key.expose()).build();
        let answer = async {
            let mut response = shared.http.execute(model.base_url.trust(), request.ok()?).await.ok()?;
            let mut read = 0;
            while let Some(chunk) = response.chunk().await.ok()? {
                read += chunk.len();
                if read > MAX_WARM {
                    return None;
                }
            }
            Some(())
        };
        let is_warm = matches!(timeout(WARM, answer).await, Ok(Some(())));
        tracing::debug!(model = %model.model, is_warm, "connection ahead of the first request");
    }
}
