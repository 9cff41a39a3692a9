//! The HTTP underneath: a transport that neither retries nor quotes, and bounds what it reads.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use reqwest::{
    Body, Response,
    header::{AUTHORIZATION, HeaderMap},
};
use tokio::{runtime::Handle, time::timeout};
use tokio_tungstenite::tungstenite::http;

use super::error::LlmError;
use crate::net::{Http, Trust};

/// How much of an answer is read. It bounds every buffer behind it: the library's queue of events has no bound of its own.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// How much of an error's body is read.
const MAX_ERROR: usize = 64 * 1024;

/// How long the end of a body is waited for after `[DONE]` …
const DRAIN: Duration = Duration::from_millis(500);

/// … and how much may come until then.
const MAX_DRAIN: usize = 4 * 1024;

/// How an answer's body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// It did not: the stream was left, which the library does at the vendor's `[DONE]`.
    Left,
    /// Nothing more came.
    Whole,
    /// It was cut.
    Cut,
    /// It was longer than [`MAX_ANSWER`].
    TooLarge,
}

/// Where the transport of one request notes how its answer ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<AtomicU8>);

impl Ending {
    pub(super) fn get(&self) -> BodyEnd {
        match self.0.load(Ordering::Acquire) {
            0 => BodyEnd::Left,
            1 => BodyEnd::Whole,
            2 => BodyEnd::Cut,
            _ => BodyEnd::TooLarge,
        }
    }

    fn set(&self, end: BodyEnd) {
        let number = match end {
            BodyEnd::Left => 0,
            BodyEnd::Whole => 1,
            BodyEnd::Cut => 2,
            BodyEnd::TooLarge => 3,
        };
        self.0.store(number, Ordering::Release);
    }
}

/// Sends one request once. A status that is no success becomes an [`LlmError`] here, before the library reads and logs its body.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    pub(super) http: Http,
    pub(super) trust: Trust,
    pub(super) ending: Ending,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Answer {
        let Self { http, trust, ending } = self.clone();
        Box::pin(async move {
            let mut request = factory.build().await?;
            if let Some(key) = request.headers_mut().get_mut(AUTHORIZATION) {
                key.set_sensitive(true);
            }
            let response = http.execute(trust, request).await.map_err(|error| boxed(LlmError::from_guarded(&error)))?;
            if !response.status().is_success() {
                return Err(boxed(refused(response).await));
            }
            Ok(http::Response::new(bounded(response, ending)).into())
        })
    }
}

fn boxed(error: LlmError) -> OpenAIError {
    OpenAIError::Boxed(Box::new(error))
}

async fn refused(mut response: Response) -> LlmError {
    let status = response.status().as_u16();
    let headers: HeaderMap = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_ERROR {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    LlmError::refused(status, &headers, &body)
}

/// The answer's body, up to a bound, which notes how it ended.
fn bounded(response: Response, ending: Ending) -> Body {
    Body::wrap_stream(Bounded {
        body: Some(response.bytes_stream().boxed()),
        left: MAX_ANSWER,
        tail: Vec::new(),
        ending,
    })
}

struct Bounded {
    body: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    left: usize,
    /// The last bytes that came.
    tail: Vec<u8>,
    ending: Ending,
}

/// What ends a stream.
const DONE: &[u8] = b"[DONE]";

impl Bounded {
    fn note_tail(&mut self, bytes: &[u8]) {
        // White space follows.
        const KEPT: usize = DONE.len() + 4;
        let new = &bytes[bytes.len().saturating_sub(KEPT)..];
        self.tail.extend_from_slice(new);
        self.tail.drain(..self.tail.len().saturating_sub(KEPT));
    }
}

impl Stream for Bounded {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let (end, item) = match ready!(body.poll_next_unpin(cx)) {
            Some(Ok(bytes)) if bytes.len() <= self.left => {
                self.left -= bytes.len();
                self.note_tail(&bytes);
                return Poll::Ready(Some(Ok(bytes)));
            }
            Some(Ok(_)) => (BodyEnd::TooLarge, Some(Err(io::Error::other("the answer is too large")))),
            Some(Err(_)) => (BodyEnd::Cut, Some(Err(io::Error::other("connection lost")))),
            None => (BodyEnd::Whole, None),
        };
        self.ending.set(end);
        self.body = None;
        Poll::Ready(item)
    }
}

/// The library leaves the body at `[DONE]`, a moment before its end: read to that end, the connection can serve the next turn. A body
/// that is left before `[DONE]` is a cancelled answer, and its connection is closed.
impl Drop for Bounded {
    fn drop(&mut self) {
        let is_done = self.tail.windows(DONE.len()).any(|window| window == DONE);
        let (true, Some(mut body), Ok(runtime)) = (is_done, self.body.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            let mut left = MAX_DRAIN;
            let drain = async {
                while let Some(Ok(bytes)) = body.next().await {
                    left = left.saturating_sub(bytes.len());
                    if left == 0 {
                        return;
                    }
                }
            };
            let _ = timeout(DRAIN, drain).await;
        });
    }
}
