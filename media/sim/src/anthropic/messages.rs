//! `POST /v1/messages`: from a request to its answer, or to the fault that is scripted for it.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio::{sync::mpsc, time};

use super::{
    RequestId, Shared,
    error::ApiError,
    events::{Message, written},
    request::MessageRequest,
};
use crate::{
    event::{SimEventKind, report},
    fault::Fault,
    model::{Answer, Ending, Mishap, Outcome, Streaming, dropped},
    pace::Pace,
};

/// How many events may wait for a client that reads slowly.
const UNREAD_EVENTS: usize = 64;
/// What is no event of the protocol.
const NOISE: &str = "event: content_block_delta\ndata: {\"type\": \u{1}content_,,\n\n";

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let arrived = Instant::now();
    let Ok(body) = body else { return ApiError::too_large().response(&request_id) };
    let fault = shared.config.script.next();
    let ending = shared.records.open(arrived, &headers, &body);
    let answered = answer(&shared, &headers, &body, fault, ending, &request_id).await;
    answered.unwrap_or_else(|error| error.response(&request_id))
}

async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    body: &[u8],
    fault: Option<Fault>,
    mut ending: Ending,
    request_id: &str,
) -> Result<Response, ApiError> {
    let config = &shared.config;
    let request = match &fault {
        Some(Fault::Refuse { status, retry_after }) => Err(ApiError::refusal(*status, *retry_after, config.throttle)),
        Some(Fault::Hang) => std::future::pending().await,
        _ => shared.admit(headers).and_then(|version| MessageRequest::parse(body, version, |name| shared.model(name))),
    };
    let request = request.and_then(|request| {
        let known = config.any_model || shared.model(&request.model).is_some();
        if known { Ok(request) } else { Err(ApiError::not_found(&format!("model: {}", request.model))) }
    });
    let request = request.inspect_err(|error| ending.end(Outcome::Refused(error.status)))?;
    report(config.events.as_ref(), || SimEventKind::LlmRequest {
        id: ending.id().to_owned(),
        client_request_id: None,
        user: request.prompt.user.clone(),
    });
    ending.announce(config.events.clone());
    let answer = config.rules.answer(&request.prompt);
    let mut pace = Pace::new(config.seed, ending.number(), config.jitter);
    time::sleep(pace.delay(answer.ttft.unwrap_or(config.ttft))).await;
    if request.stream {
        Ok(stream(shared, &request, &answer, pace, fault, ending, request_id))
    } else {
        whole(shared, &request, &answer, pace, fault, ending).await
    }
}

fn stream(
    shared: &Arc<Shared>,
    request: &MessageRequest,
    answer: &Answer,
    pace: Pace,
    fault: Option<Fault>,
    ending: Ending,
    request_id: &str,
) -> Response {
    let config = &shared.config;
    let id = ending.id().to_owned();
    let steps = Message { id: &id, request, answer, thought: thought(shared, request) }.stream();
    let (sender, mut receiver) = mpsc::channel(UNREAD_EVENTS);
    let mishap = fault
        .and_then(|fault| Mishap::of(fault, NOISE, |kind| written("error", &ApiError::midway(kind).body(request_id))));
    let interval = answer.token_interval.unwrap_or(config.token_interval);
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
    request: &MessageRequest,
    answer: &Answer,
    mut pace: Pace,
    fault: Option<Fault>,
    mut ending: Ending,
) -> Result<Response, ApiError> {
    let id = ending.id().to_owned();
    let message = Message { id: &id, request, answer, thought: thought(shared, request) };
    let interval = pace.delay(answer.token_interval.unwrap_or(shared.config.token_interval));
    time::sleep(interval * u32::try_from(message.spoken_tokens()).unwrap_or(u32::MAX)).await;
    match fault {
        Some(Fault::DropAfter(_)) => {
            ending.end(Outcome::Faulted);
            Ok(Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(dropped())])).into_response())
        }
        Some(Fault::StallAfter(_)) => std::future::pending().await,
        Some(Fault::GarbageAfter(_)) => {
            ending.end(Outcome::Faulted);
            Ok(([(header::CONTENT_TYPE, "application/json")], "{\"id\": \"msg_").into_response())
        }
        Some(Fault::ErrorAfter(_, kind)) => {
            ending.end(Outcome::Faulted);
            Err(ApiError::midway(&kind))
        }
        _ => {
            let text = message.text();
            if !text.is_empty() {
                ending.token(&text);
            }
            ending.end(Outcome::Completed);
            Ok(Json(message.whole()).into_response())
        }
    }
}

fn thought<'a>(shared: &'a Shared, request: &MessageRequest) -> Option<&'a str> {
    shared.config.thought.as_deref().filter(|_| request.thinks)
}
