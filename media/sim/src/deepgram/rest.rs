//! The HTTP half: checking a key, granting short-lived tokens, and transcribing a file.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    fault::Fault,
    recogniser::{Recogniser, Word},
};

use super::{
    Shared,
    auth::Caller,
    callback,
    codec::{Decoder, Undecodable},
    errors::{DG_REQUEST_ID, VendorError, request_id_header},
    query::{NovaQuery, Parameters},
    wire::{self, Identity},
};

/// Silence between words that separates the utterances of a file, in seconds.
const UTTERANCE_SPLIT: f64 = 0.8;

/// `GET /v1/projects`: which projects the key sees. Not for granted tokens.
pub(super) async fn projects(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let project = || json!({ "projects": [{ "project_id": shared.project, "name": "Simulated project" }] });
    managed(&shared, &headers, project).await
}

/// `GET /v1/auth/token`: what the key may do.
pub(super) async fn auth_token(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let details = || {
        json!({
            "api_key_id": shared.project,
            "scopes": ["member", "usage:write"],
            "created": "2026-01-01T00:00:00.000Z",
        })
    };
    managed(&shared, &headers, details).await
}

/// `POST /v1/auth/grant`: a token that opens streams for a while.
pub(super) async fn auth_grant(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let wanted: Option<Value> = (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap_or_default());
    let ttl = wanted.and_then(|wanted| wanted.get("ttl_seconds").and_then(Value::as_f64));
    let grant = || {
        let (token, seconds) = shared.keyring.grant(ttl);
        json!({ "access_token": token, "expires_in": seconds })
    };
    managed(&shared, &headers, grant).await
}

/// `POST /v1/listen`: a whole file at once; the answer comes at once or, with `callback`, later and elsewhere.
pub(super) async fn listen(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(response) = suffer(&shared).await {
        return response;
    }
    if shared.keyring.check(&headers).is_none() {
        return VendorError::unauthorised().into_response();
    }
    let identity = Identity { request: Uuid::new_v4(), model_uuid: shared.model, model: String::new() };
    match transcribe(&shared, &Parameters::parse(query.as_deref()), &headers, &body, identity) {
        Err(error) => error.into_response(),
        Ok((request, result, callback)) => {
            let body = match callback {
                None => result,
                Some(url) => {
                    tokio::spawn(callback::deliver(shared.clone(), url, result));
                    json!({ "request_id": request })
                }
            };
            let mut response = Json(body).into_response();
            response.headers_mut().insert(DG_REQUEST_ID, request_id_header(request));
            response
        }
    }
}

type Transcribed = (Uuid, Value, Option<String>);

fn transcribe(
    shared: &Shared,
    parameters: &Parameters,
    headers: &HeaderMap,
    body: &[u8],
    mut identity: Identity,
) -> Result<Transcribed, VendorError> {
    let query = NovaQuery::read(parameters)?;
    identity.model = query.model.clone();
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("application/json") {
        return Err(VendorError::bad_request("This simulator fetches no remote content: post the audio itself."));
    }
    let mut decoder = Decoder::new(query.format, query.channels);
    let mut channels = Vec::new();
    let corrupt = || VendorError::bad_request("Bad Request: failed to process audio: corrupt or unsupported data");
    decoder.decode(body, &mut channels).map_err(|Undecodable| corrupt())?;
    if channels.iter().all(Vec::is_empty) {
        return Err(corrupt());
    }
    if !query.multichannel {
        channels.truncate(1);
    }
    let heard: Vec<Vec<Word>> = channels.iter().map(|samples| recognise(shared, samples)).collect();
    let mut metadata = wire::metadata(&identity, decoder.seconds(), heard.len());
    let extra: serde_json::Map<String, Value> = query
        .extra
        .iter()
        .filter_map(|pair| pair.split_once(':'))
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    if !extra.is_empty() {
        metadata["extra"] = extra.into();
    }
    let results: Vec<Value> = heard.iter().map(|words| json!({ "alternatives": [wire::alternative(words)] })).collect();
    let mut results = json!({ "channels": results });
    if query.utterances {
        let utterances = heard.iter().enumerate().flat_map(|(channel, words)| utterances(channel, words));
        results["utterances"] = utterances.collect();
    }
    Ok((identity.request, json!({ "metadata": metadata, "results": results }), query.callback))
}

fn recognise(shared: &Shared, samples: &[i16]) -> Vec<Word> {
    let mut recogniser = Recogniser::new(shared.config.library.clone());
    recogniser.push(samples);
    recogniser.flush();
    shared.unrecognised.fetch_add(recogniser.unrecognised(), std::sync::atomic::Ordering::Relaxed);
    std::iter::from_fn(|| recogniser.poll_word()).collect()
}

fn utterances(channel: usize, words: &[Word]) -> Vec<Value> {
    words
        .chunk_by(|one, next| next.start_s - one.end_s < UTTERANCE_SPLIT)
        .map(|words| {
            json!({
                "start": words.first().map(|word| word.start_s),
                "end": words.last().map(|word| word.end_s),
                "confidence": wire::mean_confidence(words),
                "channel": channel,
                "transcript": wire::transcript(words),
                "words": wire::nova_words(words),
                "id": Uuid::new_v4(),
            })
        })
        .collect()
}

/// Answers what only the key itself may ask.
async fn managed(shared: &Shared, headers: &HeaderMap, answer: impl FnOnce() -> Value) -> Response {
    if let Some(response) = suffer(shared).await {
        return response;
    }
    match shared.keyring.check(headers) {
        Some(Caller::Key) => Json(answer()).into_response(),
        Some(Caller::Token) => VendorError::not_for_tokens().into_response(),
        None => VendorError::unauthorised().into_response(),
    }
}

/// The answer that a scripted fault gives instead of the real one.
async fn suffer(shared: &Shared) -> Option<Response> {
    let wait = async |time: Duration| {
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    };
    match shared.config.rest_script.next()? {
        Fault::Refuse { status, retry_after } => Some(VendorError::of_status(status, retry_after).into_response()),
        Fault::Hang => {
            shared.shutdown.cancelled().await;
            Some(VendorError::of_status(503, None).into_response())
        }
        Fault::StallAfter(time) => {
            wait(time).await;
            shared.shutdown.cancelled().await;
            Some(VendorError::of_status(503, None).into_response())
        }
        Fault::DropAfter(time) => {
            wait(time).await;
            let cut = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
            Some(Body::from_stream(stream::iter([Err::<Bytes, _>(cut)])).into_response())
        }
        Fault::GarbageAfter(time) => {
            wait(time).await;
            Some((StatusCode::OK, [(CONTENT_TYPE, "application/json")], "{\"results\":{\"chan").into_response())
        }
        Fault::ErrorAfter(time, code) => {
            wait(time).await;
            Some(VendorError::of_code(&code).into_response())
        }
    }
}
