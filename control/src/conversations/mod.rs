//! Conversations: what callers and agents said, as it was heard. Calls write them while they go on ([`journal`], [`calls`]); the API
//! reads them.

pub mod calls;
pub mod journal;
mod query;
mod store;
mod views;

#[cfg(test)]
mod tests;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::query::moment;
use self::{
    query::{Filter, ListQuery},
    views::{Conversation, ConversationSummary},
};
use crate::{
    Control,
    auth::{Allowed, Viewer},
    error::{ApiError, ErrorCode},
    http::{Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply},
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

/// A page of conversations.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationList {
    /// Newest first.
    conversations: Vec<ConversationSummary>,
    pagination: Pagination,
}

/// List conversations
///
/// Newest first.
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
    let mut tx = control.db.begin(caller.tenant).await?;
    let (total, more) = store::count(&mut tx, caller.tenant, &filter).await?;
    let conversations = store::list(&mut tx, caller.tenant, &filter, page).await?;
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
    tx.commit().await?;
    Ok(Reply::ok("Conversation retrieved successfully", Conversation::new(summary, turns)))
}
