//! Numbers that a tenant calls no more: no campaign does, and nobody who asks for a call.

pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::{Path, State, rejection::PathRejection};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trunkline_base::E164;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Control, audit_log,
    auth::{Allowed, Member, Principal, Viewer},
    db::{DbError, Tx},
    error::{ApiError, ErrorCode},
    http::{Body, Empty, Envelope, Page, PageQuery, Pagination, Params, ReadRefusals, Reply, WriteRefusals},
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(add, list)).routes(routes!(remove))
}

/// A number to call no more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDoNotCall {
    /// In E.164.
    #[schema(value_type = String, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550111")]
    phone_number: E164,
}

/// A number that is called no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DoNotCall {
    /// In E.164.
    #[schema(example = "+14155550111")]
    phone_number: String,
    /// Since when it is on the list.
    created_at: DateTime<Utc>,
}

/// A page of numbers, the last added first.
#[derive(Debug, Serialize, ToSchema)]
struct DoNotCallList {
    numbers: Vec<DoNotCall>,
    pagination: Pagination,
}

/// Call a number no more
///
/// Nobody calls it from now on, and no campaign does, whenever it was added there. A number that is on the list already stays as it is.
#[utoipa::path(
    post, path = "/v1/do-not-call", tag = "campaigns", operation_id = "add_do_not_call", security(("bearer" = [])), request_body = NewDoNotCall,
    responses((status = 201, description = "It is on the list", body = Envelope<DoNotCall>), WriteRefusals)
)]
async fn add(
    caller: Allowed<Member>,
    State(control): State<Control>,
    Body(body): Body<NewDoNotCall>,
) -> Result<Reply<DoNotCall>, ApiError> {
    let mut tx = control.db.begin(caller.tenant).await?;
    let listed = store::add(&mut tx, caller.tenant, &body.phone_number).await?;
    note(&mut tx, &caller, "do_not_call.added").await?;
    tx.commit().await?;
    Ok(Reply::created("The number is called no more", listed))
}

/// List numbers that are called no more
#[utoipa::path(
    get, path = "/v1/do-not-call", tag = "campaigns", operation_id = "list_do_not_call", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<DoNotCallList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<DoNotCallList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (numbers, total) = store::list(&mut tx, caller.tenant, page).await?;
    tx.commit().await?;
    Ok(Reply::ok(
        "Numbers that are called no more",
        DoNotCallList { numbers, pagination: Pagination::new(page, total) },
    ))
}

/// Let a number be called again
///
/// Contacts that were left out for it are not added to their campaigns by that.
#[utoipa::path(
    delete, path = "/v1/do-not-call/{number}", tag = "campaigns", operation_id = "remove_do_not_call", security(("bearer" = [])),
    params(("number" = String, Path, description = "In E.164", example = "+14155550111")),
    responses((status = 200, description = "It may be called", body = Envelope<Empty>), ReadRefusals)
)]
async fn remove(
    caller: Allowed<Member>,
    State(control): State<Control>,
    number: Result<Path<String>, PathRejection>,
) -> Result<Reply<Empty>, ApiError> {
    // What is no number is on no list.
    let missing = || ApiError::not_found(ErrorCode::NotFound);
    let number: E164 = number.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(missing)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    if !store::remove(&mut tx, caller.tenant, &number).await? {
        return Err(missing());
    }
    note(&mut tx, &caller, "do_not_call.removed").await?;
    tx.commit().await?;
    Ok(Reply::ok("The number may be called again", Empty))
}

/// Whose number it was, the log does not keep.
async fn note(tx: &mut Tx, caller: &Principal, action: &str) -> Result<(), DbError> {
    audit_log::store::record(tx, caller.tenant, &caller.actor, action, "do_not_call", None, json!({})).await
}
