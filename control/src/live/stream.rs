//! A stream's body: what there is to say, a comment while there is nothing, and a last event that says why it ends.
//!
//! It is pulled by the connection. A listener that does not read is not read for: what it has not taken stays in the database, and the
//! connection is cut when nothing of what is on its way is taken for a while ([`crate::http::Limited`]).

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream;
use serde::Serialize;

use super::{
    model::{End, Reason},
    pulse::{Beat, Pulse},
};
use crate::db::DbError;

/// How often a comment is sent while there is nothing else to send: proxies cut what is silent, often after 60 s, some after 30.
const QUIET: Duration = Duration::from_secs(15);
/// When a client is to come back.
const RETRY: Duration = Duration::from_secs(2);
/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);

static ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What is new.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// In order.
    pub(super) events: Vec<Event>,
    /// Whether there is more already.
    pub(super) more: bool,
    /// Whether nothing will follow.
    pub(super) over: bool,
}

/// Where a stream's events come from.
pub(super) trait Source: Send + 'static {
    /// What is new since the last look.
    fn look(&mut self) -> impl Future<Output = Result<Look, DbError>> + Send;

    /// Whether the listener may still listen.
    fn has_standing(&mut self) -> impl Future<Output = Result<bool, DbError>> + Send;
}

/// An event with data of JSON, and an id where it can be taken up again from.
pub(super) fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    let event = match id {
        Some(id) => event.id(id),
        None => event,
    };
    // JSON has no line breaks of its own. What cannot be written is a bug.
    event.data(serde_json::to_string(data).unwrap_or_default())
}

/// The answer that goes on. `first` is what was found when it was made.
pub(super) fn respond(source: impl Source, pulse: Pulse, first: Look) -> Response {
    // At once, so that whoever stands between learns that it has begun.
    let hello = Event::default().retry(RETRY).comment("listening");
    let mut state = State { source, pulse, events: VecDeque::from([hello]), ended: false };
    if state.take(first) {
        state.pulse.look_again();
    }
    let events = stream::unfold(state, |mut state| async {
        let event = state.next().await?;
        Some((Ok::<_, Infallible>(event), state))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(QUIET)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING.clone(), HeaderValue::from_static("no"));
    response
}

struct State<S> {
    source: S,
    pulse: Pulse,
    events: VecDeque<Event>,
    ended: bool,
}

impl<S: Source> State<S> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            match self.pulse.next().await {
                Beat::Look => {
                    if self.look().await {
                        self.pulse.look_again();
                    }
                }
                Beat::Closing => {
                    while self.look().await {}
                    self.end(Reason::Draining);
                }
                Beat::Expired => self.end(Reason::TokenExpired),
                Beat::Standing => match tokio::time::timeout(LIMIT, self.source.has_standing()).await {
                    Ok(Ok(false)) => self.end(Reason::AccessRevoked),
                    // Nobody is thrown out because the database is away.
                    Ok(Ok(true) | Err(DbError::Unavailable(_))) | Err(_) => {}
                    Ok(Err(error)) => self.fail(&error),
                },
            }
        }
    }

    /// Says whether there is more already.
    async fn look(&mut self) -> bool {
        match tokio::time::timeout(LIMIT, self.source.look()).await {
            Ok(Ok(look)) => return self.take(look),
            // It is looked again later.
            Ok(Err(DbError::Unavailable(_))) | Err(_) => {
                metrics::counter!("trunkline_live_looks_failed_total").increment(1);
            }
            Ok(Err(error)) => self.fail(&error),
        }
        false
    }

    fn take(&mut self, look: Look) -> bool {
        self.events.extend(look.events);
        if look.over {
            self.end(Reason::ConversationOver);
        }
        look.more && !look.over
    }

    fn fail(&mut self, error: &DbError) {
        tracing::error!(%error, "a live stream failed");
        self.end(Reason::Error);
    }

    fn end(&mut self, reason: Reason) {
        if !self.ended {
            self.ended = true;
            self.events.push_back(event("end", None, &End { reason }).retry(RETRY));
            metrics::counter!("trunkline_live_streams_total", "reason" => reason.name()).increment(1);
        }
    }
}
