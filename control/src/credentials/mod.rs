//! Credentials: what a tenant is known by at its vendors. Their values go in and never come out.

mod form;
mod lease;
mod model;
mod pem;
mod probe;
mod renewal;
pub mod rotation;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::json;
use trunkline_base::Secret;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::model::{
    CreatedCredential, CreatedStatus, CredentialList, CredentialPatch, NewCredential, TestReport, TestRequest,
};
pub use self::pem::private_key;
pub use self::{
    form::CredentialType,
    model::{Credential, TestStatus},
};
pub(crate) use self::{form::Form, probe::probe};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed, Viewer},
    check::Checker,
    error::{ApiError, ErrorCode},
    http::{Body, Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals},
    integrations,
    removal::Removal,
    vendors::Provider,
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, change, remove)).routes(routes!(test))
}

/// Keep a credential
#[utoipa::path(
    post, path = "/v1/integrations/credentials", tag = "integrations", operation_id = "create_credential", security(("bearer" = [])), request_body = NewCredential,
    responses((status = 201, description = "Kept, encrypted", body = Envelope<CreatedCredential>), WriteRefusals)
)]
async fn create(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(body): Body<NewCredential>,
) -> Result<Reply<CreatedCredential>, ApiError> {
    let tenant = caller.tenant;
    check_name(Some(&body.credential_name))?;
    let mut tx = control.db.begin(tenant).await?;
    let integration = integrations::store::get(&mut tx, tenant, body.integration_id)
        .await?
        .ok_or_else(|| ApiError::not_found(ErrorCode::IntegrationNotFound))?;
    drop(tx);
    let secrets = read_secrets(&control, integration.provider, body.credential_type, body.credentials).await?;
    let id = Uuid::now_v7();
    let new = store::NewCredential {
        id,
        integration_id: integration.id,
        name: &body.credential_name,
        credential_type: body.credential_type,
        secrets: &secrets,
    };
    let mut tx = control.db.begin(tenant).await?;
    store::insert(&mut tx, tenant, &new).await?;
    let details = json!({ "provider": integration.provider, "fields_set": secrets.fields_set });
    audit_log::note(&mut tx, &caller, "credential.created", id, details).await?;
    tx.commit().await?;
    let created = CreatedCredential {
        credential_id: id,
        status: CreatedStatus::Created,
        last_test_status: TestStatus::NotTested,
    };
    Ok(Reply::created("Credential created successfully", created))
}

/// List credentials
#[utoipa::path(
    get, path = "/v1/integrations/credentials", tag = "integrations", operation_id = "list_credentials", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<CredentialList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<CredentialList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (credentials, total) = store::list(&mut tx, caller.tenant, page).await?;
    Ok(Reply::ok("Credentials", CredentialList { credentials, pagination: Pagination::new(page, total) }))
}

/// Read a credential's metadata
#[utoipa::path(
    get, path = "/v1/integrations/credentials/{id}", tag = "integrations", operation_id = "read_credential", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, description = "Without its values", body = Envelope<Credential>), ReadRefusals)
)]
async fn read(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    id: PathId,
) -> Result<Reply<Credential>, ApiError> {
    let id = id.or(ErrorCode::CredentialNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let credential = store::get(&mut tx, caller.tenant, id).await?;
    credential.map(|it| Reply::ok("Credential", it)).ok_or_else(missing)
}

/// Rename a credential, or replace its fields
///
/// New fields replace all that there were, and count as not tested.
#[utoipa::path(
    patch, path = "/v1/integrations/credentials/{id}", tag = "integrations", operation_id = "change_credential", security(("bearer" = [])), params(("id" = Uuid, Path)),
    request_body = CredentialPatch,
    responses((status = 200, description = "As it is now", body = Envelope<Credential>), WriteRefusals)
)]
async fn change(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    id: PathId,
    Body(patch): Body<CredentialPatch>,
) -> Result<Reply<Credential>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::CredentialNotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    let before = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    drop(tx);
    check_name(patch.credential_name.as_deref())?;
    let secrets = match patch.credentials {
        Some(values) => Some(read_secrets(&control, before.provider, before.credential_type, values).await?),
        None => None,
    };
    let mut tx = control.db.begin(tenant).await?;
    if patch.credential_name.is_some() || secrets.is_some() {
        store::update(&mut tx, tenant, id, patch.credential_name.as_deref(), secrets.as_ref()).await?;
        let fields_set = secrets.as_ref().map(|secrets| &secrets.fields_set);
        let details = json!({ "renamed": patch.credential_name.is_some(), "fields_set": fields_set });
        audit_log::note(&mut tx, &caller, "credential.changed", id, details).await?;
    }
    let after = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(Reply::ok("Credential changed", after))
}

/// Remove a credential
///
/// Refused while an installed integration or a phone number uses it.
#[utoipa::path(
    delete, path = "/v1/integrations/credentials/{id}", tag = "integrations", operation_id = "remove_credential", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Removed, and its values forgotten", body = Envelope<Empty>),
        (status = 409, description = "Something uses it", body = crate::error::ErrorBody),
        ReadRefusals,
    )
)]
async fn remove(caller: Allowed<Admin>, State(control): State<Control>, id: PathId) -> Result<Reply<Empty>, ApiError> {
    let id = id.or(ErrorCode::CredentialNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let removal = store::remove(&mut tx, caller.tenant, id).await?;
    if removal == Removal::Removed {
        audit_log::note(&mut tx, &caller, "credential.removed", id, json!({})).await?;
    }
    tx.commit().await?;
    let in_use = "An installed integration or a phone number uses the credential";
    removal.answer("Credential removed", in_use, ErrorCode::CredentialNotFound)
}

/// Test a credential
///
/// Makes a real request to the vendor. That it refuses, fails or takes longer than 10 s is a result too, and is remembered as the
/// credential's last test. Where the vendor replaces a refresh token on use, the new one is kept.
#[utoipa::path(
    post, path = "/v1/integrations/test-credential", tag = "integrations", operation_id = "test_credential", security(("bearer" = [])), request_body = TestRequest,
    responses(
        (status = 200, description = "What came of it", body = Envelope<TestReport>),
        (status = 409, description = "The credential was changed during its test", body = crate::error::ErrorBody),
        WriteRefusals,
    )
)]
async fn test(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(body): Body<TestRequest>,
) -> Result<Reply<TestReport>, ApiError> {
    let mut tx = control.db.begin(caller.tenant).await?;
    let credential = store::get_encrypted(&mut tx, caller.tenant, body.credential_id).await?.ok_or_else(missing)?;
    drop(tx);
    let tested = probe(&control, caller.tenant, &credential).await?;
    Ok(Reply::ok("Connection test completed", tested.into()))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::CredentialNotFound)
}

fn check_name(name: Option<&str>) -> Result<(), ApiError> {
    let mut check = Checker::default();
    check.optional_text("credential_name", name, 1..=100);
    check.finish().map_err(|errors| ApiError::validation(&errors))
}

/// Checks a credential's values, its address too, and encrypts them.
async fn read_secrets(
    control: &Control,
    provider: Provider,
    credential_type: CredentialType,
    values: BTreeMap<String, Secret>,
) -> Result<store::Secrets, ApiError> {
    let form = Form::of(provider, credential_type).ok_or_else(|| {
        let types: Vec<&str> = Form::all_of(provider).map(|form| form.credential_type.name()).collect();
        ApiError::field("credential_type", format!("must be {} for {provider}", types.join(" or ")))
    })?;
    let fields = form.read(values).map_err(|errors| ApiError::validation(&errors))?;
    if let Some(url) = fields.get("endpoint_url") {
        control
            .vendors
            .check_url(url.expose())
            .await
            .map_err(|why| ApiError::field("credentials.endpoint_url", why))?;
    }
    Ok(store::Secrets {
        sealed: control.vault.seal(&fields),
        fields_set: fields.names(),
        account: form.account_of(&fields),
    })
}
