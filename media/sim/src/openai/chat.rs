//! `POST /v1/chat/completions`: from a request to its answer, or to the fault that is scripted for it.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{sync::mpsc, time};

use super::{
    Quirks, Shared,
    chunks::Completion,
    error::ApiError,
    request::{ChatRequest, Format},
};
use crate::{
    event::{SimEventKind, report},
    fault::Fault,
    model::{Answer, Ending, Mishap, Outcome, Step, Streaming, dropped},
    pace::Pace,
};

/// How many chunks may wait for a client that reads slowly.
const UNREAD_CHUNKS: usize = 64;

pub(super) async fn completions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let arrived = Instant::now();
    let fault = shared.config.script.next();
    let ending = shared.records.open(arrived, &headers, &body);
    let answered = answer(&shared, &headers, &body, fault, ending).await;
    let mut response = answered.unwrap_or_else(|error| error.response(shared.config.quirks.error_shape));
    let elapsed = HeaderValue::from(u64::try_from(arrived.elapsed().as_millis()).unwrap_or(u64::MAX));
    response.headers_mut().insert("openai-processing-ms", elapsed);
    response
}

async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    body: &[u8],
    fault: Option<Fault>,
    mut ending: Ending,
) -> Result<Response, ApiError> {
    let config = &shared.config;
    let request = match &fault {
        Some(Fault::Refuse { status, retry_after }) => Err(ApiError::refusal(*status, *retry_after, config.throttle)),
        Some(Fault::Hang) => std::future::pending().await,
        _ => shared
            .authorise(headers)
            .and_then(|()| ChatRequest::parse(body))
            .and_then(|request| check_format(request, &config.quirks)),
    };
    let request = request.and_then(|request| {
        let known = config.models.is_empty() || config.models.contains(&request.model);
        if known { Ok(request) } else { Err(ApiError::unknown_model(&request.model)) }
    });
    let request = request.inspect_err(|error| ending.end(Outcome::Refused(error.status.as_u16())))?;
    report(config.events.as_ref(), || SimEventKind::LlmRequest {
        id: ending.id().to_owned(),
        client_request_id: headers.get("x-client-request-id").and_then(|id| id.to_str().ok()).map(Into::into),
        user: request.prompt.user.clone(),
    });
    ending.announce(config.events.clone());
    let answer = config.rules.answer(&request.prompt);
    let mut pace = Pace::new(config.seed, ending.number(), config.jitter);
    time::sleep(pace.delay(answer.ttft.unwrap_or(config.ttft))).await;
    if request.stream {
        Ok(stream(shared, &request, &answer, pace, fault, ending))
    } else {
        whole(shared, &request, &answer, pace, fault, ending).await
    }
}

fn check_format(request: ChatRequest, quirks: &Quirks) -> Result<ChatRequest, ApiError> {
    let refused = match request.format {
        Format::Text => false,
        Format::Json => quirks.no_response_format,
        Format::Schema => quirks.no_response_format || quirks.no_json_schema,
    };
    if refused {
        let message = "This response_format type is unavailable now";
        return Err(ApiError::invalid(message, "response_format.type"));
    }
    Ok(request)
}

fn stream(
    shared: &Arc<Shared>,
    request: &ChatRequest,
    answer: &Answer,
    pace: Pace,
    fault: Option<Fault>,
    ending: Ending,
) -> Response {
    let config = &shared.config;
    let id = ending.id().to_owned();
    let steps: Vec<Step> =
        Completion { id: &id, request, answer, quirks: &config.quirks, seed: config.seed ^ ending.number() }.stream();
    let (sender, mut receiver) = mpsc::channel(UNREAD_CHUNKS);
    let interval = answer.token_interval.unwrap_or(config.token_interval);
    let mishap = fault.and_then(|fault| {
        Mishap::of(fault, "data: {\"id\": \u{1}chatcmpl-,,\n\n", |code| {
            format!("data: {}\n\n", ApiError::midway(code).body(config.quirks.error_shape))
        })
    });
    let streaming = Streaming::new(sender, ending, mishap, pace, interval);
    let stopped = shared.stopped.clone();
    tokio::spawn(async move {
        streaming.run(steps, stopped).await;
    });
    let body = Body::from_stream(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn whole(
    shared: &Shared,
    request: &ChatRequest,
    answer: &Answer,
    mut pace: Pace,
    fault: Option<Fault>,
    mut ending: Ending,
) -> Result<Response, ApiError> {
    let config = &shared.config;
    let id = ending.id().to_owned();
    let completion = Completion { id: &id, request, answer, quirks: &config.quirks, seed: config.seed };
    let interval = pace.delay(answer.token_interval.unwrap_or(config.token_interval));
    time::sleep(interval * u32::try_from(completion.content_tokens()).unwrap_or(u32::MAX)).await;
    match fault {
        Some(Fault::DropAfter(_)) => {
            ending.end(Outcome::Faulted);
            Ok(Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(dropped())])).into_response())
        }
        Some(Fault::StallAfter(_)) => std::future::pending().await,
        Some(Fault::GarbageAfter(_)) => {
            ending.end(Outcome::Faulted);
            Ok(([(header::CONTENT_TYPE, "application/json")], "{\"id\": \"chatcmpl-").into_response())
        }
        Some(Fault::ErrorAfter(_, code)) => {
            ending.end(Outcome::Faulted);
            Err(ApiError::midway(&code))
        }
        _ => {
            let body = completion.whole();
            if let Some(content) = body.pointer("/choices/0/message/content").and_then(Value::as_str) {
                ending.token(content);
            }
            ending.end(Outcome::Completed);
            Ok(Json(body).into_response())
        }
    }
}
