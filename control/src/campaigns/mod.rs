//! Campaigns: an agent calls many people, one after the other and many at once.
//!
//! What becomes of a contact is written where its call's end is, by the database, in that transaction (a trigger on conversations, as for
//! those who are told of calls). Who dials is no matter of this crate: [`claims`] is the seam.

pub mod claims;
mod contacts;
pub mod hours;
mod model;
mod store;
#[cfg(test)]
mod tests;
mod zones;

use axum::extract::State;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use self::model::{Again, Campaign, CampaignStatus, Progress, RetryPolicy};
use self::model::{CampaignList, CampaignPatch, NewCampaign};
use crate::{
    Control, agents, audit_log,
    auth::{Allowed, Member, Viewer},
    check::Checker,
    db::Tx,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals},
    tenant::TenantId,
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(read, change, remove))
        .routes(routes!(start))
        .routes(routes!(pause))
        .merge(contacts::router())
}

/// Make a campaign
///
/// It calls nobody before it is started. Its contacts are added to it.
#[utoipa::path(
    post, path = "/v1/campaigns", tag = "campaigns", operation_id = "create_campaign", security(("bearer" = [])), request_body = NewCampaign,
    responses((status = 201, description = "Made", body = Envelope<Campaign>), WriteRefusals)
)]
async fn create(
    caller: Allowed<Member>,
    State(control): State<Control>,
    Body(body): Body<NewCampaign>,
) -> Result<Reply<Campaign>, ApiError> {
    let tenant = caller.tenant;
    let new = CampaignPatch::from(body);
    validate(&new)?;
    let id = Uuid::now_v7();
    let mut tx = control.db.begin(tenant).await?;
    lock_agent(&mut tx, tenant, new.agent_id).await?;
    store::insert(&mut tx, tenant, id, &new).await?;
    let campaign = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    audit_log::note(&mut tx, &caller, "campaign.created", id, json!({ "agent_id": new.agent_id })).await?;
    tx.commit().await?;
    Ok(Reply::created("Campaign created", campaign))
}

/// List campaigns
#[utoipa::path(
    get, path = "/v1/campaigns", tag = "campaigns", operation_id = "list_campaigns", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<CampaignList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<CampaignList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (campaigns, total) = store::list(&mut tx, caller.tenant, page).await?;
    tx.commit().await?;
    Ok(Reply::ok("Campaigns", CampaignList { campaigns, pagination: Pagination::new(page, total) }))
}

/// Read a campaign
///
/// With how far its contacts are.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "read_campaign", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The campaign", body = Envelope<Campaign>), ReadRefusals)
)]
async fn read(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    id: PathId,
) -> Result<Reply<Campaign>, ApiError> {
    let id = id.or(ErrorCode::NotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let campaign = store::get(&mut tx, caller.tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(Reply::ok("Campaign", campaign))
}

/// Change a campaign
///
/// Also while it runs: what is changed holds for the next calls.
#[utoipa::path(
    patch, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "change_campaign", security(("bearer" = [])),
    params(("id" = Uuid, Path)), request_body = CampaignPatch,
    responses((status = 200, description = "As it is now", body = Envelope<Campaign>), WriteRefusals)
)]
async fn change(
    caller: Allowed<Member>,
    State(control): State<Control>,
    id: PathId,
    Body(patch): Body<CampaignPatch>,
) -> Result<Reply<Campaign>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::NotFound)?;
    validate(&patch)?;
    let mut tx = control.db.begin(tenant).await?;
    store::lock(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    lock_agent(&mut tx, tenant, patch.agent_id).await?;
    let changed = patch.changed();
    if !changed.is_empty() {
        store::update(&mut tx, tenant, id, &patch).await?;
        audit_log::note(&mut tx, &caller, "campaign.changed", id, json!({ "changed": changed })).await?;
    }
    let campaign = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(Reply::ok("Campaign changed", campaign))
}

/// Remove a campaign
///
/// With its contacts; the conversations stay. Calls that are on go on. One that runs has to be paused first.
#[utoipa::path(
    delete, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "remove_campaign", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Removed", body = Envelope<Empty>),
        (status = 409, description = "It is running", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn remove(caller: Allowed<Member>, State(control): State<Control>, id: PathId) -> Result<Reply<Empty>, ApiError> {
    let id = id.or(ErrorCode::NotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    if store::lock(&mut tx, caller.tenant, id).await?.ok_or_else(missing)? == "running" {
        return Err(ApiError::conflict("The campaign is running: pause it first"));
    }
    store::remove(&mut tx, caller.tenant, id).await?;
    audit_log::note(&mut tx, &caller, "campaign.removed", id, json!({})).await?;
    tx.commit().await?;
    Ok(Reply::ok("Campaign removed", Empty))
}

/// Start a campaign
///
/// From now on its contacts are called, within their calling hours; or go on being called after a pause.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}/start", tag = "campaigns", operation_id = "start_campaign", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 202, description = "It runs", body = Envelope<Campaign>),
        (status = 409, description = "It runs already, or has nobody to call", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn start(
    caller: Allowed<Member>,
    State(control): State<Control>,
    id: PathId,
) -> Result<Reply<Campaign>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::NotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    if store::lock(&mut tx, tenant, id).await?.ok_or_else(missing)? == "running" {
        return Err(ApiError::conflict("The campaign is running already"));
    }
    if !store::has_pending(&mut tx, tenant, id).await? {
        return Err(ApiError::conflict("The campaign has nobody to call: add contacts first"));
    }
    store::start(&mut tx, tenant, id).await?;
    let campaign = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    audit_log::note(&mut tx, &caller, "campaign.started", id, json!({})).await?;
    tx.commit().await?;
    Ok(Reply::accepted("The campaign runs", campaign))
}

/// Pause a campaign
///
/// Nobody is called for it from now on. Calls that are on go on.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}/pause", tag = "campaigns", operation_id = "pause_campaign", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 202, description = "It is paused", body = Envelope<Campaign>),
        (status = 409, description = "It is not running", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn pause(
    caller: Allowed<Member>,
    State(control): State<Control>,
    id: PathId,
) -> Result<Reply<Campaign>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::NotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    if store::lock(&mut tx, tenant, id).await?.ok_or_else(missing)? != "running" {
        return Err(ApiError::conflict("The campaign is not running"));
    }
    store::pause(&mut tx, tenant, id).await?;
    let campaign = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    audit_log::note(&mut tx, &caller, "campaign.paused", id, json!({})).await?;
    tx.commit().await?;
    Ok(Reply::accepted("The campaign is paused", campaign))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::NotFound)
}

fn validate(patch: &CampaignPatch) -> Result<(), ApiError> {
    let mut check = Checker::default();
    patch.check(&mut check);
    check.finish().map_err(|errors| ApiError::validation(&errors))
}

/// An agent that calls for a campaign stays until the transaction is over.
async fn lock_agent(tx: &mut Tx, tenant: TenantId, agent: Option<Uuid>) -> Result<(), ApiError> {
    if let Some(agent) = agent {
        agents::store::lock(tx, tenant, agent).await?.ok_or_else(|| ApiError::not_found(ErrorCode::AgentNotFound))?;
    }
    Ok(())
}
