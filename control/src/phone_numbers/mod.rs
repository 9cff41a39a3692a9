//! Phone numbers: which number rings which agent. One counts once its carrier has confirmed that the credential's account owns it.

mod model;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use serde_json::json;
use trunkline_base::E164;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use self::model::{Carrier, PhoneNumber};
use self::model::{NewPhoneNumber, PhoneNumberList, PhoneNumberPatch};
use crate::{
    Control, agents, audit_log,
    auth::{Admin, Allowed, Viewer},
    credentials,
    db::{DbError, Tx},
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals},
    tenant::TenantId,
    vendors::Provider,
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(change, remove))
}

/// Add a number
///
/// Its carrier is asked whether the credential's account owns it.
#[utoipa::path(
    post, path = "/v1/phone-numbers", tag = "phone-numbers", operation_id = "create_phone_number", security(("bearer" = [])), request_body = NewPhoneNumber,
    responses(
        (status = 201, description = "Added, and confirmed", body = Envelope<PhoneNumber>),
        (status = 409, description = "The number is taken", body = ErrorBody),
        (status = 502, description = "The carrier failed, or refused the credential", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn create(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(body): Body<NewPhoneNumber>,
) -> Result<Reply<PhoneNumber>, ApiError> {
    let tenant = caller.tenant;
    if let Some(agent) = body.agent_id {
        let mut tx = control.db.begin(tenant).await?;
        agents::store::get(&mut tx, tenant, agent).await?.ok_or_else(no_agent)?;
    }
    let provider_sid = confirm(&control, tenant, body.provider, body.credential_id, &body.phone_number).await?;
    let mut tx = control.db.begin(tenant).await?;
    lock(&mut tx, tenant, Some(body.credential_id), body.agent_id).await?;
    let new = store::ConfirmedNumber {
        id: Uuid::now_v7(),
        carrier: body.provider,
        number: &body.phone_number,
        provider_sid: &provider_sid,
        credential_id: body.credential_id,
        agent_id: body.agent_id,
    };
    store::insert(&mut tx, tenant, &new).await.map_err(taken)?;
    let number = store::get(&mut tx, tenant, new.id).await?.ok_or_else(missing)?;
    let details = json!({ "provider": body.provider, "credential_id": body.credential_id, "agent_id": body.agent_id });
    audit_log::note(&mut tx, &caller, "phone_number.created", new.id, details).await?;
    tx.commit().await?;
    Ok(Reply::created("Phone number added", number.at(&control)))
}

/// List numbers
#[utoipa::path(
    get, path = "/v1/phone-numbers", tag = "phone-numbers", operation_id = "list_phone_numbers", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<PhoneNumberList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<PhoneNumberList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (numbers, total) = store::list(&mut tx, caller.tenant, page).await?;
    let phone_numbers = numbers.into_iter().map(|number| number.at(&control)).collect();
    Ok(Reply::ok("Phone numbers", PhoneNumberList { phone_numbers, pagination: Pagination::new(page, total) }))
}

/// Change who answers a number, or with which credential it is reached
///
/// With another credential, its carrier is asked again.
#[utoipa::path(
    patch, path = "/v1/phone-numbers/{id}", tag = "phone-numbers", operation_id = "change_phone_number", security(("bearer" = [])), params(("id" = Uuid, Path)),
    request_body = PhoneNumberPatch,
    responses(
        (status = 200, description = "As it is now", body = Envelope<PhoneNumber>),
        (status = 409, description = "The number is taken", body = ErrorBody),
        (status = 502, description = "The carrier failed, or refused the credential", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn change(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    id: PathId,
    Body(patch): Body<PhoneNumberPatch>,
) -> Result<Reply<PhoneNumber>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::PhoneNumberNotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    let before = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    let agent = patch.agent_id.flatten();
    if let Some(agent) = agent {
        agents::store::get(&mut tx, tenant, agent).await?.ok_or_else(no_agent)?;
    }
    drop(tx);
    let confirmed = match patch.credential_id {
        Some(credential) => {
            Some((credential, confirm(&control, tenant, before.provider, credential, &before.phone_number).await?))
        }
        None => None,
    };
    let mut tx = control.db.begin(tenant).await?;
    lock(&mut tx, tenant, patch.credential_id, agent).await?;
    if let Some((credential, provider_sid)) = &confirmed {
        store::confirm(&mut tx, tenant, id, *credential, provider_sid).await.map_err(taken)?;
    }
    if patch.agent_id.is_some() {
        store::set_agent(&mut tx, tenant, id, agent).await?;
    }
    let after = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    if confirmed.is_some() || patch.agent_id.is_some() {
        let details = json!({ "credential_id": after.credential_id, "agent_id": after.agent_id });
        audit_log::note(&mut tx, &caller, "phone_number.changed", id, details).await?;
    }
    tx.commit().await?;
    Ok(Reply::ok("Phone number changed", after.at(&control)))
}

/// Remove a number
#[utoipa::path(
    delete, path = "/v1/phone-numbers/{id}", tag = "phone-numbers", operation_id = "remove_phone_number", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, description = "Nobody answers it any more", body = Envelope<Empty>), ReadRefusals)
)]
async fn remove(caller: Allowed<Admin>, State(control): State<Control>, id: PathId) -> Result<Reply<Empty>, ApiError> {
    let id = id.or(ErrorCode::PhoneNumberNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    if !store::remove(&mut tx, caller.tenant, id).await? {
        return Err(missing());
    }
    audit_log::note(&mut tx, &caller, "phone_number.removed", id, json!({})).await?;
    tx.commit().await?;
    Ok(Reply::ok("Phone number removed", Empty))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::PhoneNumberNotFound)
}

fn no_agent() -> ApiError {
    ApiError::not_found(ErrorCode::AgentNotFound)
}

fn no_credential() -> ApiError {
    ApiError::not_found(ErrorCode::CredentialNotFound)
}

/// The same words whoever has it.
fn taken(error: DbError) -> ApiError {
    match error {
        DbError::Unique(_) => ApiError::conflict("The phone number is in use"),
        other => other.into(),
    }
}

/// Asks the carrier whether the credential's account owns a number: its id there. No transaction is open meanwhile.
async fn confirm(
    control: &Control,
    tenant: TenantId,
    carrier: Carrier,
    credential: Uuid,
    number: &E164,
) -> Result<String, ApiError> {
    let provider = Provider::from(carrier);
    let mut tx = control.db.begin(tenant).await?;
    let credential = credentials::store::get_encrypted(&mut tx, tenant, credential).await?.ok_or_else(no_credential)?;
    drop(tx);
    if credential.provider != provider {
        return Err(ApiError::field("credential_id", format!("is a credential of {}", credential.provider)));
    }
    let fields = control.vault.open(&credential.encrypted).map_err(|error| ApiError::internal(&error))?;
    let sid = control.vendors.owns_number(provider, &fields, number.expose()).await?;
    let not_owned = || ApiError::field("phone_number", "is not a number that the credential's account owns");
    sid.ok_or_else(not_owned)
}

/// What the number refers to may have been removed while the carrier was asked; from here on it stays.
async fn lock(tx: &mut Tx, tenant: TenantId, credential: Option<Uuid>, agent: Option<Uuid>) -> Result<(), ApiError> {
    if let Some(credential) = credential
        && !credentials::store::lock(tx, tenant, credential).await?
    {
        return Err(no_credential());
    }
    if let Some(agent) = agent {
        agents::store::lock(tx, tenant, agent).await?.ok_or_else(no_agent)?;
    }
    Ok(())
}
