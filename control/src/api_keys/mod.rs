//! API keys: how a tenant's own programs are known. A key belongs to its tenant and not to whoever made it, so it goes on working
//! when they leave; its list says who that was.

pub(crate) mod key;
mod model;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use self::model::ApiKey;
use self::{
    key::NewKey,
    model::{ApiKeyList, CreatedApiKey, NewApiKey, Shown},
};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed},
    check::Checker,
    error::{ApiError, ErrorCode},
    http::{
        Body, Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals, now,
    },
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// Make an API key
///
/// The key itself is in this answer and nowhere else: what is kept of it cannot be turned back. Its role is at most one's own.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "api-keys", operation_id = "create_api_key", security(("bearer" = [])), request_body = NewApiKey,
    responses((status = 201, description = "Made", body = Envelope<CreatedApiKey>), WriteRefusals)
)]
async fn create(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(body): Body<NewApiKey>,
) -> Result<Reply<CreatedApiKey>, ApiError> {
    let tenant = caller.tenant;
    let mut check = Checker::default();
    check.text("name", &body.name, 1..=100);
    let in_time = body.expires_at.is_none_or(|at| at > now());
    check.require("expires_at", in_time, "must be in the future; leave it out for a key that does not expire");
    check.finish().map_err(|errors| ApiError::validation(&errors))?;
    caller.must_reach(body.role)?;
    let key = NewKey::generate();
    let id = Uuid::now_v7();
    let new = store::NewStoredKey {
        id,
        key_id: &key.key_id,
        hash: &control.auth.api_keys.hash(key.whole.expose()),
        name: &body.name,
        role: body.role,
        expires_at: body.expires_at,
        created_by: &caller.actor,
    };
    let mut tx = control.db.begin(tenant).await?;
    store::insert(&mut tx, tenant, &new).await?;
    let api_key = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    let details = json!({ "key_id": api_key.key_id, "role": api_key.role, "expires_at": api_key.expires_at });
    audit_log::note(&mut tx, &caller, "api_key.created", id, details).await?;
    tx.commit().await?;
    let created = CreatedApiKey { key: Shown(key.whole.expose().to_owned()), api_key };
    Ok(Reply::created("API key created; it is not shown again", created))
}

/// List API keys
///
/// Those that are not revoked, without the keys themselves.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "api-keys", operation_id = "list_api_keys", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<ApiKeyList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<ApiKeyList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (api_keys, total) = store::list(&mut tx, caller.tenant, page).await?;
    Ok(Reply::ok("API keys", ApiKeyList { api_keys, pagination: Pagination::new(page, total) }))
}

/// Revoke an API key
///
/// It is refused from the next request on.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "api-keys", operation_id = "revoke_api_key", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, description = "Revoked", body = Envelope<Empty>), ReadRefusals)
)]
async fn revoke(caller: Allowed<Admin>, State(control): State<Control>, id: PathId) -> Result<Reply<Empty>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::ApiKeyNotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    if !store::revoke(&mut tx, tenant, id).await? {
        return Err(missing());
    }
    audit_log::note(&mut tx, &caller, "api_key.revoked", id, json!({})).await?;
    tx.commit().await?;
    Ok(Reply::ok("API key revoked", Empty))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::ApiKeyNotFound)
}
