//! Speech over HTTP: whole or in chunks, with or without timestamps.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{Sender, channel},
    time::sleep,
};

use super::{
    Shared, account,
    error::ApiError,
    format::Format,
    fragments::{Coverage, Fragment, fragments},
    log::{Connection, Happened},
    options::{file_format, output_format},
};
use crate::{fault::Fault, pace::Pace};

/// How many chunks may wait for a client that reads slowly.
const UNREAD_CHUNKS: usize = 16;
/// Long enough for what was sent to reach the socket before the connection is cut.
const FLUSH: Duration = Duration::from_millis(5);

/// How speech is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Whole { timestamps: bool },
    Streamed { timestamps: bool },
}

type Parameters = Query<BTreeMap<String, String>>;
type Request = (State<Arc<Shared>>, Path<String>, Parameters, HeaderMap, Bytes);

pub(super) async fn whole(request: Request) -> Response {
    answer(request, Delivery::Whole { timestamps: false }).await
}

pub(super) async fn whole_with_timestamps(request: Request) -> Response {
    answer(request, Delivery::Whole { timestamps: true }).await
}

pub(super) async fn streamed(request: Request) -> Response {
    answer(request, Delivery::Streamed { timestamps: false }).await
}

pub(super) async fn streamed_with_timestamps(request: Request) -> Response {
    answer(request, Delivery::Streamed { timestamps: true }).await
}

async fn answer(request: Request, delivery: Delivery) -> Response {
    let (State(shared), Path(voice), Query(query), headers, body) = request;
    let connection = shared.watch.connect();
    let fault = shared.config.script.next();
    match &fault {
        Some(Fault::Refuse { status, retry_after }) => {
            return refuse(&connection, ApiError::refusal(*status, *retry_after));
        }
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    let format = match delivery {
        Delivery::Whole { timestamps: false } => file_format,
        Delivery::Whole { timestamps: true } | Delivery::Streamed { .. } => output_format,
    };
    let asked = shared.check_header(&headers).and_then(|()| shared.check_voice(&voice)).and_then(|()| format(&query));
    let asked = asked.and_then(|format| Ok((format, text_of(&body)?)));
    let spoken = match asked {
        Ok((format, text)) => speak(shared, connection.clone(), &text, format, delivery, fault).await,
        Err(error) => Err(error),
    };
    spoken.unwrap_or_else(|error| refuse(&connection, error))
}

fn refuse(connection: &Connection, error: ApiError) -> Response {
    connection.log("", Happened::Failed(error.code.clone()));
    error.into_response()
}

/// The text to speak.
fn text_of(body: &[u8]) -> Result<String, ApiError> {
    let body: Value =
        serde_json::from_slice(body).map_err(|_| ApiError::unprocessable("", "json_invalid", "JSON decode error"))?;
    let text = body.get("text").ok_or_else(|| ApiError::unprocessable("text", "missing", "Field required"))?;
    let wrong = || ApiError::unprocessable("text", "string_type", "Input should be a valid string");
    let text = text.as_str().ok_or_else(wrong)?;
    let model = body.get("model_id").and_then(Value::as_str).unwrap_or("eleven_multilingual_v2");
    let most = account::check_model(model)?;
    if text.trim().is_empty() {
        Err(ApiError::invalid("text", "The text must not be empty."))
    } else if text.chars().count() > most {
        Err(ApiError::too_long(most))
    } else {
        Ok(text.to_owned())
    }
}

async fn speak(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    text: &str,
    format: Format,
    delivery: Delivery,
    fault: Option<Fault>,
) -> Result<Response, ApiError> {
    let config = &shared.config;
    connection.log("", Happened::Text { text: text.into(), flush: true });
    let speech = config.voice.speak(text, format.rate).await.map_err(|error| {
        tracing::warn!(%error, "the simulated voice can't speak");
        ApiError::internal()
    })?;
    let mut pace = Pace::new(config.seed, connection.number << 16, config.jitter);
    sleep(pace.delay(config.first_byte_delay)).await;
    let (length, timestamps, media_type) = match delivery {
        Delivery::Whole { timestamps } => (Duration::MAX, timestamps, "application/json"),
        Delivery::Streamed { timestamps } => (config.fragment, timestamps, "application/x-ndjson"),
    };
    let length = length.min(format.length_of(speech.samples.len()));
    let fragments = fragments(&speech, format, length, Coverage::Each, config.odd_fragments);
    let (sender, mut receiver) = channel(UNREAD_CHUNKS);
    let sending = Sending { sender, connection, fault, pace, interval: config.chunk_interval, timestamps };
    let stopped = shared.stopped.clone();
    tokio::spawn(async move {
        let sender = sending.sender.clone();
        let cut = tokio::select! {
            cut = sending.run(fragments) => cut,
            () = stopped.cancelled() => true,
        };
        if cut {
            sleep(FLUSH).await;
            let _ = sender
                .send(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the script drops this connection")))
                .await;
        }
    });
    let mut response =
        Body::from_stream(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))).into_response();
    let headers = response.headers_mut();
    let media_type = if timestamps { media_type } else { format.content_type() };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

struct Sending {
    sender: Sender<io::Result<Bytes>>,
    connection: Arc<Connection>,
    fault: Option<Fault>,
    pace: Pace,
    interval: Duration,
    timestamps: bool,
}

impl Sending {
    /// Sends all fragments. Returns whether the connection is to be cut.
    async fn run(mut self, fragments: Vec<Fragment>) -> bool {
        let mut sent = Duration::ZERO;
        for (index, fragment) in fragments.into_iter().enumerate() {
            if index > 0 {
                sleep(self.pace.delay(self.interval)).await;
            }
            let due = self.fault.take_if(|fault| match fault {
                Fault::DropAfter(after)
                | Fault::StallAfter(after)
                | Fault::GarbageAfter(after)
                | Fault::ErrorAfter(after, _) => sent >= *after,
                Fault::Refuse { .. } | Fault::Hang => false,
            });
            let spoilt = match due {
                // A response that has begun has no way to report an error.
                Some(Fault::DropAfter(_) | Fault::ErrorAfter(..)) => return true,
                Some(Fault::StallAfter(_)) => {
                    self.sender.closed().await;
                    return false;
                }
                Some(Fault::GarbageAfter(_)) => self.sender.send(Ok(Bytes::from_static(b"{\"audio\": \x01\n"))).await,
                Some(Fault::Refuse { .. } | Fault::Hang) | None => Ok(()),
            };
            sent += fragment.length;
            let happened = Happened::Audio { bytes: fragment.bytes.len(), length: fragment.length };
            self.connection.log("", happened);
            let chunk = if self.timestamps { with_timestamps(&fragment) } else { fragment.bytes.into() };
            if spoilt.is_err() || self.sender.send(Ok(chunk)).await.is_err() {
                return false;
            }
        }
        self.connection.log("", Happened::Final);
        false
    }
}

fn with_timestamps(fragment: &Fragment) -> Bytes {
    let alignment = fragment.alignment.as_ref().map_or(Value::Null, super::wire::Alignment::seconds);
    let audio = STANDARD.encode(&fragment.bytes);
    let line = json!({"audio_base64": audio, "alignment": alignment, "normalized_alignment": alignment});
    format!("{line}\n").into()
}
