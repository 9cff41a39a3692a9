//! `GET /v1/conversations/{conversation_id}/recording`: streamed from the store as the client reads it.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use trunkline_control::{
    auth::{Allowed, Viewer},
    error::{ApiError, ErrorBody, ErrorCode},
    http::{PathId, ReadRefusals},
    recordings::store::{self, Found},
    tenant::TenantId,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    objects::{Chunks, Objects, StoreError},
    range::{Wanted, wanted},
    wave::{Joined, Stretch},
};
use crate::calls::Calls;

/// Silence is sent in pieces of this.
static SILENCE: [u8; 32 * 1024] = [0; 32 * 1024];

/// When a recording that is on its way, or a store that is down, may be asked for again.
const LATER: Duration = Duration::from_secs(10);

/// A WAV file: the caller left, the agent right, 16 bit at 8 kHz.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it is only described")]
struct Audio(Vec<u8>);

/// Hear a conversation's recording
///
/// The caller is on the left, the agent on the right, each where it was heard: times of the transcript are times of the file. A call that
/// came back after a failure is one file; what nobody heard in between is silence. `Range` and `If-Range` are honoured, for one range.
/// Where only the carrier has recorded the call, it is the carrier's file, as the carrier gives it.
///
/// 404: the call was not recorded, or its recording is gone. 409: it is still being recorded, or on its way to where it is kept.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/recording", tag = "conversations", operation_id = "read_recording",
    security(("bearer" = [])),
    params(
        ("conversation_id" = Uuid, Path),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` of what the range is to be a part of; of anything else, all is sent"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what the client has"),
    ),
    responses(
        (status = 200, description = "All of it", content_type = "audio/wav", body = Audio),
        (status = 206, description = "The range", content_type = "audio/wav", body = Audio),
        (status = 304, description = "As the client has it"),
        (status = 409, description = "It is not whole yet: the call goes on, or it is on its way to where it is kept", body = ErrorBody),
        (status = 416, description = "The range lies behind its end", body = ErrorBody),
        ReadRefusals,
    )
)]
pub(super) async fn read(
    State(calls): State<Calls>,
    caller: Allowed<Viewer>,
    id: PathId,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = id.or(ErrorCode::ConversationNotFound)?;
    let found = calls.find_recording(caller.tenant, id).await?;
    if let ([], 0, Some(theirs)) = (found.pieces.as_slice(), found.pending, found.of_carrier.first()) {
        return calls.hear_at_carrier(caller.tenant, theirs, &method, &headers).await;
    }
    let joined = whole(&found)?;
    let (status, range) = match wanted(&headers, joined.etag(), joined.len()) {
        Wanted::Known => {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, joined.etag())]).into_response());
        }
        Wanted::Nothing => return Err(behind_its_end(joined.len())),
        Wanted::All => (StatusCode::OK, 0..joined.len()),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let stretches = joined.stretches(range.clone());
        Body::from_stream(open(&calls.0.recordings.0.objects, stretches).await.map_err(unavailable)?)
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "audio/wav")
        .header(header::CONTENT_LENGTH, range.end - range.start)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, joined.etag())
        // It may be erased at any time, and is nobody else's.
        .header(header::CACHE_CONTROL, "private, no-cache")
        .header(header::CONTENT_DISPOSITION, format!("inline; filename=\"{id}.wav\""));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", range.start, range.end - 1, joined.len());
        response = response.header(header::CONTENT_RANGE, range);
    }
    response.body(body).map_err(|error| ApiError::internal(&error))
}

impl Calls {
    /// What there is of a conversation's recording.
    pub(super) async fn find_recording(&self, tenant: TenantId, id: Uuid) -> Result<Found, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let found = store::find(&mut tx, tenant, id).await?;
        tx.commit().await?;
        found.ok_or_else(|| ApiError::not_found(ErrorCode::ConversationNotFound))
    }
}

/// The recording as one file, or why there is none.
pub(super) fn whole(found: &Found) -> Result<Joined, ApiError> {
    if found.pending > 0 {
        let message =
            "The recording is not whole yet: the call goes on, or its recording is on its way to where it is kept";
        return Err(ApiError::conflict(message).retry_after(LATER));
    }
    if found.pieces.is_empty() {
        let message =
            if found.failed > 0 { "The recording failed" } else { "There is no recording of this conversation" };
        return Err(ApiError::new(ErrorCode::NotFound, message));
    }
    Ok(Joined::of(&found.pieces))
}

/// Reads stretches one after another. The first object is open when this returns, so that a store that is down is an answer and not a
/// file that breaks off.
pub(super) async fn open(objects: &Objects, stretches: Vec<Stretch>) -> Result<Chunks, StoreError> {
    let mut first = None;
    let object = stretches.iter().find_map(|stretch| match stretch {
        Stretch::Object { key, range } => Some((key.clone(), range.clone())),
        Stretch::Bytes(_) | Stretch::Silence(_) => None,
    });
    if let Some((key, range)) = object {
        first = Some(objects.open_range(&key, range).await?);
    }
    let objects = objects.clone();
    let opened = stream::iter(stretches).then(move |stretch| {
        let first = if let Stretch::Object { .. } = stretch { first.take() } else { None };
        let objects = objects.clone();
        async move {
            let chunks: Chunks = match stretch {
                Stretch::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
                Stretch::Silence(length) => silence(length),
                Stretch::Object { key, range } => match first {
                    Some(first) => first,
                    None => objects.open_range(&key, range).await?,
                },
            };
            Ok::<_, StoreError>(chunks)
        }
    });
    Ok(opened.try_flatten().boxed())
}

fn silence(length: u64) -> Chunks {
    let left = std::iter::successors(Some(length), |left| left.checked_sub(SILENCE.len() as u64));
    let pieces = left.take_while(|left| *left > 0).map(|left| {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(SILENCE.len());
        Ok(Bytes::from_static(&SILENCE[..piece]))
    });
    stream::iter(pieces).boxed()
}

fn behind_its_end(len: u64) -> ApiError {
    let message = format!("The range lies behind the recording's end: it has {len} bytes");
    let mut error = ApiError::new(ErrorCode::ValidationError, message).status(StatusCode::RANGE_NOT_SATISFIABLE);
    if let Ok(range) = format!("bytes */{len}").parse() {
        error.headers.insert(header::CONTENT_RANGE, range);
    }
    error
}

pub(super) fn unavailable(error: StoreError) -> ApiError {
    if error == StoreError::NotFound {
        // It has been deleted since its row was read.
        return ApiError::new(ErrorCode::NotFound, "There is no recording of this conversation any more");
    }
    tracing::warn!(%error, "a recording cannot be read");
    ApiError::overloaded("Where recordings are kept does not answer; try again", LATER)
}
