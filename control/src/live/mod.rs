//! What happens in calls, while it happens, as server-sent events.
//!
//! Two designs were open. One carries the events themselves from a call to its listeners, and must then keep some for those who come
//! back, on the node that they come back to. The other, which this is, only pokes: what is committed to the database is the log, and a
//! [`Hub`] tells listeners, here and by Redis on other nodes, that there is something new to read. So a stream can be taken up again on
//! any node and nothing is lost; a listener's queue is the table, so a slow one costs nothing; a poke that is lost costs time, for
//! everybody looks by themselves now and then; and Redis carries ids, never what was said. The price is a read a listener for each batch
//! of the journal, up to five a second, and that what is not stored is not told: a transcript's interim texts.
//!
//! A call's own stream reads its timeline, which is numbered ([`call`]). A tenant's stream reads `call_changes`, a small table that a
//! trigger fills, three or four rows a call, swept after an hour ([`overview`]): an index over all conversations by their last change
//! would have to be kept for ever, for what is of interest for minutes.

mod call;
mod hub;
mod model;
mod overview;
mod pulse;
mod relay;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod watcher;

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use trunkline_base::CallId;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::hub::{Hub, News};
use self::{
    call::{Beginning, CallSource, Told},
    hub::{Full, Place},
    model::{End, Latency, LiveCall, Snapshot, Ticket, TimelineEntry, Transcript},
    overview::OverviewSource,
    pulse::Pulse,
    watcher::Watcher,
};
use crate::{
    Control,
    auth::{Allowed, Viewer},
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Envelope, Params, PathId, ReadRefusals, Reply},
    tenant::TenantId,
};

/// When somebody for whom there is no place may try again.
const BUSY: Duration = Duration::from_secs(10);
/// When somebody whom a node refuses that stops may try again: elsewhere, or after it has started anew.
const STOPPING: Duration = Duration::from_secs(2);

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::with_openapi(Events::openapi())
        .routes(routes!(tenant))
        .routes(routes!(conversation))
        .routes(routes!(create_ticket))
}

/// What the data of events look like.
#[derive(OpenApi)]
#[openapi(components(schemas(LiveCall, Snapshot, Transcript, Latency, TimelineEntry, End)))]
struct Events;

/// What a stream may be opened with in its address.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// A ticket of `POST /v1/live/tickets`, where no header can be sent. A header goes before it.
    #[param(max_length = 64)]
    ticket: Option<String>,
    /// The same as the header Last-Event-ID, for a client that opens a new stream with a new ticket. The header goes before it.
    #[param(max_length = 64)]
    last_event_id: Option<String>,
}

/// The id of the last event that a client has had. One that was not given here counts as none: a browser could not do anything about it.
struct LastEventId(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let header = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let Params(query) = Params::<StreamQuery>::from_request_parts(parts, state).await?;
        Ok(Self(header.or(query.last_event_id)))
    }
}

/// Watch all calls
///
/// Server-sent events. `snapshot` comes first and has the calls that are not over (`Snapshot`); it replaces what a client knew. Then, for
/// each call that changes, `ringing`, `active`, `moved` (to another node) or `ended`, with the call as it is then (`LiveCall`): changes
/// that come close together may be one event, and an event may come twice. `end` comes last and says why (`End`). With the id of the last
/// event, a stream goes on where it was, for 50 minutes; after that it begins with a snapshot again. There is a comment every 15 s.
#[utoipa::path(
    get, path = "/v1/live", tag = "live", operation_id = "watch_calls", security(("bearer" = []), ("ticket" = [])),
    params(StreamQuery, ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event")),
    responses(
        (status = 200, description = "Events, until the token expires", content_type = "text/event-stream", body = String),
        (status = 429, description = "The tenant has too many streams", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn tenant(
    State(control): State<Control>,
    watcher: Watcher,
    LastEventId(last): LastEventId,
) -> Result<Response, ApiError> {
    let place = enter(&control, watcher.tenant, None)?;
    let lasts = watcher.lasts();
    let since = last.as_deref().and_then(overview::parse_id);
    let (source, first) = OverviewSource::begin(control.db, watcher, since).await?;
    Ok(stream::respond(source, Pulse::new(place, lasts), first))
}

/// Watch a call
///
/// Server-sent events, from the call's beginning. `state` has the call (`LiveCall`) whenever that changes; `transcript` a turn that is
/// over (`Transcript`: in the order in which turns end; read them by `started_ms`); `latency` how long an answer took (`Latency`);
/// `timeline` anything else (`TimelineEntry`), such as who begins to speak. `end` comes last and says why (`End`). With the id of the last
/// event, a stream goes on behind it, on any node, and nothing is lost. Of a call that is over, what was missed and its final state are
/// sent, and without an id the final state alone. There is a comment every 15 s.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/live", tag = "live", operation_id = "watch_call",
    security(("bearer" = []), ("ticket" = [])),
    params(
        ("conversation_id" = Uuid, Path), StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event"),
    ),
    responses(
        (status = 200, description = "Events, until the call is over or the token expires", content_type = "text/event-stream", body = String),
        (status = 204, description = "The call is over, and all of it was sent: do not come back"),
        (status = 429, description = "The tenant has too many streams", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn conversation(
    State(control): State<Control>,
    watcher: Watcher,
    id: PathId,
    LastEventId(last): LastEventId,
) -> Result<Response, ApiError> {
    let id = CallId::from(id.or(ErrorCode::ConversationNotFound)?);
    // Before it is looked for, so that nothing is missed in between.
    let place = enter(&control, watcher.tenant, Some(id))?;
    let lasts = watcher.lasts();
    let told = last.as_deref().and_then(Told::parse);
    match CallSource::begin(control.db, watcher, id, told).await? {
        Beginning::Unknown => Err(ApiError::not_found(ErrorCode::ConversationNotFound)),
        Beginning::AllTold => Ok(StatusCode::NO_CONTENT.into_response()),
        Beginning::Found(source, first) => Ok(stream::respond(source, Pulse::new(place, lasts), first)),
    }
}

/// Make a ticket
///
/// It opens one stream, once, within 60 s, as `?ticket=`: a browser's EventSource sends no header. The stream ends when the token expires
/// that the ticket was made with.
#[utoipa::path(
    post, path = "/v1/live/tickets", tag = "live", operation_id = "create_live_ticket", security(("bearer" = [])),
    responses((status = 201, description = "A ticket", body = Envelope<Ticket>), ReadRefusals)
)]
async fn create_ticket(State(control): State<Control>, caller: Allowed<Viewer>) -> Result<Reply<Ticket>, ApiError> {
    let (ticket, hash) = watcher::mint();
    let expires_at = watcher::keep(&control.db, &caller, &hash).await?;
    Ok(Reply::created("Ticket created", Ticket { ticket: ticket.expose().to_owned(), expires_at }))
}

fn enter(control: &Control, tenant: TenantId, call: Option<CallId>) -> Result<Place, ApiError> {
    control.live.enter(tenant, call).map_err(|full| match full {
        Full::Tenant => {
            let message = "The tenant has too many live streams here: close some, or watch all calls by one";
            ApiError::new(ErrorCode::RateLimited, message).retry_after(BUSY)
        }
        Full::Node => ApiError::overloaded("There are too many live streams on this node; try again", BUSY),
        Full::Closing => ApiError::overloaded("This node is stopping; try again", STOPPING),
    })
}
