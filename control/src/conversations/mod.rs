//! Conversations: what callers and agents said, as it was heard. Calls write them while they go on ([`journal`], [`calls`]); the API
//! reads them.

pub mod analysis;
pub mod calls;
pub mod dials;
#[cfg(test)]
mod dials_tests;
pub mod erase;
pub mod journal;
pub mod legs;
mod list;
mod query;
pub mod reach;
pub mod receipts;
pub mod retention;
mod store;
mod views;

#[cfg(test)]
mod tests;

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::query::moment;
use self::{
    erase::Erasure,
    list::Listed,
    query::{EventQuery, Filter, ListQuery},
    views::{Conversation, ConversationSummary, Event},
};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed, Viewer},
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, now},
    recordings::transcription,
};

#[cfg(test)]
pub(crate) use self::store::counted;

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, remove)).routes(routes!(events))
}

/// A page of conversations.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationList {
    /// Newest first.
    conversations: Vec<ConversationSummary>,
    pagination: Pagination,
}

/// A page of a conversation's timeline.
#[derive(Debug, Serialize, ToSchema)]
struct EventList {
    /// In order.
    events: Vec<Event>,
    pagination: Pagination,
}

/// List conversations
///
/// Newest first. The total is exact, but with a time of day or a text it is counted up to 10,000: where there are more,
/// `total_is_lower_bound` says so. No page begins behind the first 10,000: narrow the dates instead.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations", operation_id = "list_conversations", security(("bearer" = [])),
    params(PageQuery, ListQuery),
    responses((status = 200, description = "A page of them", body = Envelope<ConversationList>), ReadRefusals)
)]
async fn list(
    State(control): State<Control>,
    caller: Allowed<Viewer>,
    Params(page): Params<PageQuery>,
    Params(query): Params<ListQuery>,
) -> Result<Reply<ConversationList>, ApiError> {
    let page = Page::try_from(&page)?;
    let filter = Filter::try_from(query)?;
    let mut tx = control.db.begin_list(caller.tenant, list::plans(&filter)).await?;
    let Listed { conversations, total, more } = list::list(&mut tx, caller.tenant, &filter, page).await?;
    tx.commit().await?;
    let pagination = Pagination { total_is_lower_bound: more, ..Pagination::new(page, total) };
    Ok(Reply::ok("Conversations retrieved successfully", ConversationList { conversations, pagination }))
}

/// Read a conversation
///
/// With its transcript: what was heard, in the order in which it was said.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}", tag = "conversations", operation_id = "read_conversation", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, description = "The conversation", body = Envelope<Conversation>), ReadRefusals)
)]
async fn read(
    State(control): State<Control>,
    caller: Allowed<Viewer>,
    id: PathId,
) -> Result<Reply<Conversation>, ApiError> {
    let id = id.or(ErrorCode::ConversationNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let found = store::read(&mut tx, caller.tenant, id).await?;
    let Some(summary) = found else { return Err(ApiError::not_found(ErrorCode::ConversationNotFound)) };
    let turns = store::transcript(&mut tx, caller.tenant, id).await?;
    let again = transcription::read(&mut tx, caller.tenant, id).await?;
    tx.commit().await?;
    Ok(Reply::ok("Conversation retrieved successfully", Conversation::new(summary, turns, again)))
}

/// Read a conversation's timeline
///
/// What happened in the call, in order: turns and what was heard of them, latencies, interruptions, tool calls, faults.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/events", tag = "conversations", operation_id = "list_conversation_events", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path), PageQuery, EventQuery),
    responses((status = 200, description = "A page of it", body = Envelope<EventList>), ReadRefusals)
)]
async fn events(
    State(control): State<Control>,
    caller: Allowed<Viewer>,
    id: PathId,
    Params(page): Params<PageQuery>,
    Params(query): Params<EventQuery>,
) -> Result<Reply<EventList>, ApiError> {
    let id = id.or(ErrorCode::ConversationNotFound)?;
    let page = Page::try_from(&page)?;
    let kind = query.kind()?;
    let mut tx = control.db.begin(caller.tenant).await?;
    if !store::exists(&mut tx, caller.tenant, id).await? {
        return Err(ApiError::not_found(ErrorCode::ConversationNotFound));
    }
    let (events, total) = store::events(&mut tx, caller.tenant, id, kind.as_deref(), page).await?;
    tx.commit().await?;
    let pagination = Pagination::new(page, total);
    Ok(Reply::ok("Conversation events retrieved successfully", EventList { events, pagination }))
}

/// Erase a conversation
///
/// Its transcript, recording and all that was made of them, the caller's number and what the call was begun with. Its times, its outcome
/// and its score stay, so that analytics do not change. Erasing it again changes nothing.
#[utoipa::path(
    delete, path = "/v1/conversations/{conversation_id}", tag = "conversations", operation_id = "erase_conversation", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    responses(
        (status = 200, description = "It is erased", body = Envelope<Empty>),
        (status = 409, description = "The call is not over", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn remove(State(control): State<Control>, caller: Allowed<Admin>, id: PathId) -> Result<Reply<Empty>, ApiError> {
    let id = id.or(ErrorCode::ConversationNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    match erase::erase(&mut tx, caller.tenant, id, now()).await? {
        Erasure::NotThere => return Err(ApiError::not_found(ErrorCode::ConversationNotFound)),
        Erasure::Live => return Err(ApiError::conflict("The call is not over: hang it up first")),
        Erasure::Erased => {
            audit_log::note(&mut tx, &caller, "conversation.erased", id, json!({})).await?;
            tx.commit().await?;
        }
    }
    Ok(Reply::ok("Conversation erased", Empty))
}

/// How Postgres goes about the page of a tenant's conversations that this query string asks for: for whoever wants to see why it is fast.
#[cfg(any(test, feature = "testing"))]
pub async fn explain_list(control: &Control, tenant: crate::tenant::TenantId, query: &str) -> Result<String, ApiError> {
    let uri: axum::http::Uri = format!("/?{query}").parse().map_err(|error| ApiError::internal(&error))?;
    let page = axum::extract::Query::<PageQuery>::try_from_uri(&uri).map_err(|error| ApiError::internal(&error))?;
    let filter = axum::extract::Query::<ListQuery>::try_from_uri(&uri).map_err(|error| ApiError::internal(&error))?;
    let filter = Filter::try_from(filter.0)?;
    let mut tx = control.db.begin_list(tenant, list::plans(&filter)).await?;
    Ok(list::explain(&mut tx, tenant, &filter, Page::try_from(&page.0)?).await?)
}
