//! The audit log: who changed what, and when. Each entry is written in the transaction of what it tells, so none is missing and none
//! tells what did not happen.

mod query;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::query::{Filter, LogQuery};
use crate::{
    Control,
    auth::{Admin, Allowed, Principal},
    db::{DbError, Tx},
    error::ApiError,
    http::{Envelope, Page, PageQuery, Pagination, Params, ReadRefusals, Reply},
};

/// Writes what a caller does to something, in the transaction that does it. What stands before the action's "." is the kind of thing.
pub(crate) async fn note(
    tx: &mut Tx,
    caller: &Principal,
    action: &str,
    target: Uuid,
    details: Value,
) -> Result<(), DbError> {
    let kind = action.split_once('.').map_or(action, |(kind, _)| kind);
    store::record(tx, caller.tenant, &caller.actor, action, kind, Some(target), details).await
}

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Something that somebody did.
#[derive(Debug, Serialize, ToSchema)]
struct Entry {
    /// Its id.
    id: Uuid,
    /// When.
    at: DateTime<Utc>,
    /// Who: `user:<id>` or `key:<id>`.
    actor: String,
    /// What, such as `agent.changed`.
    action: String,
    /// To what kind of thing.
    target_kind: String,
    /// To which.
    target_id: Option<String>,
    /// What more there is to say, without anything secret or personal.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    details: Value,
}

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
struct EntryList {
    /// Newest first.
    entries: Vec<Entry>,
    pagination: Pagination,
}

/// Read the audit log
///
/// Newest first. Nothing that the API does removes an entry.
#[utoipa::path(
    get, path = "/v1/audit-log", tag = "audit-log", operation_id = "list_audit_log", security(("bearer" = [])),
    params(PageQuery, LogQuery),
    responses((status = 200, description = "A page of it", body = Envelope<EntryList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Params(page): Params<PageQuery>,
    Params(query): Params<LogQuery>,
) -> Result<Reply<EntryList>, ApiError> {
    let page = Page::try_from(&page)?;
    let filter = Filter::try_from(query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (total, more) = store::count(&mut tx, caller.tenant, &filter).await?;
    let entries = store::list(&mut tx, caller.tenant, &filter, page).await?;
    let pagination = Pagination { total_is_lower_bound: more, ..Pagination::new(page, total) };
    Ok(Reply::ok("Audit log", EntryList { entries, pagination }))
}
