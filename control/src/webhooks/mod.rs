//! Outgoing webhooks: a tenant's own systems are told of its calls.
//!
//! What happens is written by the database, in the transaction in which it happens (triggers on conversations and recordings, as for those
//! who watch live): whoever changes a call, in whichever place, cannot forget to tell. Deliveries are jobs ([`crate::jobs`]), at least once
//! and for one endpoint and one conversation in order: a later one waits for an earlier one that is being retried, until that is dead.
//!
//! A payload has ids and state, and what erasing a conversation would leave: no transcript, nothing that was made of one but its outcome
//! and score, no number. What was said is then in one place, where it can be erased, and not in the logs of whoever receives; a receiver
//! who wants it reads the conversation by its id.
//!
//! Requests are signed as <https://www.standardwebhooks.com> has it, so that its libraries verify them.

pub mod deliveries;
mod model;
pub mod rotation;
pub mod signature;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::{Path, State};
use serde_json::json;
use trunkline_base::Secret;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use self::model::{Endpoint, Event};
use self::{
    deliveries::Redelivery,
    model::{Delivery, DeliveryList, EndpointList, EndpointPatch, NewEndpoint, Redelivered, Shown, WithSecret},
};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed},
    check::Checker,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals},
    vault::Fields,
};

/// How many endpoints a tenant may have: each is told of every call.
const MOST: i64 = 20;
/// The longest address, in bytes: as the guard of addresses has it.
const LONGEST_URL: usize = trunkline_base::guard::MAX_URL;

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(change, remove))
        .routes(routes!(log))
        .routes(routes!(redeliver))
}

/// Make a webhook
///
/// From now on the address is told of these events, each with a POST of JSON that is signed with the secret as Standard Webhooks has it:
/// `webhook-id`, `webhook-timestamp` and `webhook-signature` headers. Whatever is not answered with 2xx within 10 s is tried again for 24
/// hours, in order for each conversation. An event may come more than once, with the same `webhook-id`. An answer of 410 disables the
/// webhook, and so do three days of failures. The secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "outgoing-webhooks", operation_id = "create_webhook", security(("bearer" = [])), request_body = NewEndpoint,
    responses(
        (status = 201, description = "Made", body = Envelope<WithSecret>),
        (status = 409, description = "There are as many as there may be", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn create(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(body): Body<NewEndpoint>,
) -> Result<Reply<WithSecret>, ApiError> {
    let tenant = caller.tenant;
    let mut check = Checker::default();
    check_fields(&mut check, Some(&body.url), Some(&body.events), Some(&body.description));
    check.finish().map_err(|errors| ApiError::validation(&errors))?;
    check_url(&control, &body.url).await?;
    let secret = signature::new_secret();
    let sealed = control.vault.seal(&secrets(&secret, None));
    let events = model::names(&body.events);
    let id = Uuid::now_v7();
    let new = store::NewStored {
        id,
        url: &body.url,
        description: &body.description,
        events: &events,
        is_enabled: body.enabled,
        sealed: &sealed,
    };
    let mut tx = control.db.begin(tenant).await?;
    if store::count(&mut tx, tenant).await? >= MOST {
        return Err(ApiError::conflict(format!("There are {MOST} webhooks already, which is as many as there may be")));
    }
    store::insert(&mut tx, tenant, &new).await?;
    let endpoint = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    audit_log::note(&mut tx, &caller, "webhook.created", id, json!({ "events": events })).await?;
    tx.commit().await?;
    let secret = Some(Shown(secret.expose().to_owned()));
    Ok(Reply::created("Webhook created; its secret is not shown again", WithSecret { secret, endpoint }))
}

/// List webhooks
///
/// Without their secrets.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "outgoing-webhooks", operation_id = "list_webhooks", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<EndpointList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<EndpointList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (webhooks, total) = store::list(&mut tx, caller.tenant, page).await?;
    tx.commit().await?;
    Ok(Reply::ok("Webhooks", EndpointList { webhooks, pagination: Pagination::new(page, total) }))
}

/// Change a webhook
///
/// `rotate_secret` gives it a new secret, which this answer alone shows; for 24 hours each request has a signature of the former one too.
/// Enabling it again forgets why it was disabled; what it was not told meanwhile it is told if that is delivered again.
#[utoipa::path(
    patch, path = "/v1/webhooks/{id}", tag = "outgoing-webhooks", operation_id = "change_webhook", security(("bearer" = [])),
    params(("id" = Uuid, Path)), request_body = EndpointPatch,
    responses((status = 200, description = "As it is now", body = Envelope<WithSecret>), WriteRefusals)
)]
async fn change(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    id: PathId,
    Body(patch): Body<EndpointPatch>,
) -> Result<Reply<WithSecret>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::NotFound)?;
    let mut check = Checker::default();
    check_fields(&mut check, patch.url.as_deref(), patch.events.as_deref(), patch.description.as_deref());
    check.finish().map_err(|errors| ApiError::validation(&errors))?;
    if let Some(url) = &patch.url {
        // Whoever may not see it is not told what is wrong with the address.
        let mut tx = control.db.begin(tenant).await?;
        store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
        drop(tx);
        check_url(&control, url).await?;
    }
    let events = patch.events.as_deref().map(model::names);
    let mut tx = control.db.begin(tenant).await?;
    let encrypted = store::lock_secrets(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    let changes = store::Changes {
        url: patch.url.as_deref(),
        description: patch.description.as_deref(),
        events: events.as_deref(),
        is_enabled: patch.enabled,
    };
    store::update(&mut tx, tenant, id, &changes).await?;
    let mut secret = None;
    if patch.rotate_secret {
        let former = control.vault.open(&encrypted).map_err(|error| ApiError::internal(&error))?;
        let new = signature::new_secret();
        let sealed = control.vault.seal(&secrets(&new, former.get("secret")));
        store::rotate_secret(&mut tx, tenant, id, &sealed).await?;
        secret = Some(Shown(new.expose().to_owned()));
    }
    let endpoint = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    let changed = patch.changed();
    if !changed.is_empty() {
        audit_log::note(&mut tx, &caller, "webhook.changed", id, json!({ "changed": changed })).await?;
    }
    tx.commit().await?;
    Ok(Reply::ok("Webhook changed", WithSecret { secret, endpoint }))
}

/// Remove a webhook
///
/// With the log of its deliveries. What it has not been told yet it is not told.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "outgoing-webhooks", operation_id = "remove_webhook", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "Removed", body = Envelope<Empty>), ReadRefusals)
)]
async fn remove(caller: Allowed<Admin>, State(control): State<Control>, id: PathId) -> Result<Reply<Empty>, ApiError> {
    let id = id.or(ErrorCode::NotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    if !store::remove(&mut tx, caller.tenant, id).await? {
        return Err(missing());
    }
    audit_log::note(&mut tx, &caller, "webhook.removed", id, json!({})).await?;
    tx.commit().await?;
    Ok(Reply::ok("Webhook removed", Empty))
}

/// Read a webhook's deliveries
///
/// What it was told in the last 30 days, and what is under way, the newest first; each with its last attempt.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries", tag = "outgoing-webhooks", operation_id = "list_webhook_deliveries", security(("bearer" = [])),
    params(("id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<DeliveryList>), ReadRefusals)
)]
async fn log(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    id: PathId,
    Params(query): Params<PageQuery>,
) -> Result<Reply<DeliveryList>, ApiError> {
    let id = id.or(ErrorCode::NotFound)?;
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    store::get(&mut tx, caller.tenant, id).await?.ok_or_else(missing)?;
    let (deliveries, total) = deliveries::list(&mut tx, caller.tenant, id, page).await?;
    tx.commit().await?;
    Ok(Reply::ok("Deliveries", DeliveryList { deliveries, pagination: Pagination::new(page, total) }))
}

/// Deliver something again
///
/// What was delivered, or has failed: with the same `webhook-id`, at once, and not in any order.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/deliveries/{delivery_id}/redeliver", tag = "outgoing-webhooks", operation_id = "redeliver_webhook",
    security(("bearer" = [])), params(("id" = Uuid, Path), ("delivery_id" = Uuid, Path)),
    responses(
        (status = 202, description = "It will be delivered", body = Envelope<Redelivered>),
        (status = 409, description = "It is being delivered, or the webhook is disabled", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn redeliver(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Result<Reply<Redelivered>, ApiError> {
    // What is no UUID is nothing's id, like in a path with one.
    let Ok(Path((id, delivery))) = path else { return Err(missing()) };
    let (Ok(id), Ok(delivery)) = (Uuid::try_parse(&id), Uuid::try_parse(&delivery)) else { return Err(missing()) };
    let tenant = caller.tenant;
    let mut tx = control.db.begin(tenant).await?;
    match deliveries::redeliver(&mut tx, tenant, id, delivery).await? {
        Redelivery::NotThere => return Err(missing()),
        Redelivery::UnderWay => return Err(ApiError::conflict("The delivery is under way")),
        Redelivery::Disabled => return Err(ApiError::conflict("The webhook is disabled: enable it first")),
        Redelivery::Queued => {}
    }
    audit_log::note(&mut tx, &caller, "webhook.redelivered", id, json!({ "delivery_id": delivery })).await?;
    tx.commit().await?;
    Ok(Reply::accepted("It will be delivered again", Redelivered { id: delivery, status: "pending" }))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::NotFound)
}

fn check_fields(check: &mut Checker, url: Option<&str>, events: Option<&[Event]>, description: Option<&str>) {
    if let Some(url) = url {
        check.require("url", url.len() <= LONGEST_URL, format!("must have at most {LONGEST_URL} bytes"));
    }
    if let Some(events) = events {
        check.count("events", events.len(), 1..=Event::ALL.len());
        let mut seen = events.to_vec();
        seen.sort_unstable();
        seen.dedup();
        check.require("events", seen.len() == events.len(), "must not name an event twice");
    }
    check.optional_text("description", description, 0..=200);
}

/// The same guard decides again whenever something is delivered.
async fn check_url(control: &Control, url: &str) -> Result<(), ApiError> {
    let refused = |why: String| ApiError::field("url", format!("cannot be told anything: {why}"));
    control.vendors.check_url(url).await.map_err(refused)
}

/// What is kept of secrets: the one that counts, and the one before it.
fn secrets(secret: &Secret, former: Option<&Secret>) -> Fields {
    let former = former.map(|former| ("previous".to_owned(), former.clone()));
    std::iter::once(("secret".to_owned(), secret.clone())).chain(former).collect()
}
