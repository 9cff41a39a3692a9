//! Integrations: the catalogue of vendors, and what of it a tenant has installed.

mod model;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::model::{InstallRequest, InstallationList, Installed, InstalledStatus, IntegrationList};
pub use self::model::{Installation, Integration};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed, Viewer},
    credentials,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals},
    removal::Removal,
    vendors::{Provider, VendorError},
};

/// How many calls a second a carrier's account may be said to allow.
const CALLS_PER_SECOND: std::ops::RangeInclusive<f64> = 0.1..=500.0;

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(install))
        .routes(routes!(installed))
        .routes(routes!(uninstall))
}

/// List the catalogue
#[utoipa::path(
    get, path = "/v1/integrations", tag = "integrations", operation_id = "list_integrations", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of it", body = Envelope<IntegrationList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<IntegrationList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (integrations, total) = store::list(&mut tx, caller.tenant, page).await?;
    Ok(Reply::ok("Integrations", IntegrationList { integrations, pagination: Pagination::new(page, total) }))
}

/// Read an entry of the catalogue
#[utoipa::path(
    get, path = "/v1/integrations/{id}", tag = "integrations", operation_id = "read_integration", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, description = "The entry", body = Envelope<Integration>), ReadRefusals)
)]
async fn read(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    id: PathId,
) -> Result<Reply<Integration>, ApiError> {
    let id = id.or(ErrorCode::IntegrationNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let integration = store::get(&mut tx, caller.tenant, id).await?;
    integration
        .map(|it| Reply::ok("Integration", it))
        .ok_or_else(|| ApiError::not_found(ErrorCode::IntegrationNotFound))
}

/// Install an integration
///
/// Its credential is tested first. The first installation of a provider becomes the tenant's default.
#[utoipa::path(
    post, path = "/v1/integrations/install", tag = "integrations", operation_id = "install_integration", security(("bearer" = [])), request_body = InstallRequest,
    responses(
        (status = 201, description = "Installed", body = Envelope<Installed>),
        (status = 409, description = "The credential's test failed, or it is installed already", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn install(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(body): Body<InstallRequest>,
) -> Result<Reply<Installed>, ApiError> {
    let tenant = caller.tenant;
    if let Some(rate) = body.config.get("calls_per_second")
        && !rate.as_f64().is_some_and(|rate| CALLS_PER_SECOND.contains(&rate))
    {
        let (least, most) = CALLS_PER_SECOND.into_inner();
        return Err(ApiError::field("config.calls_per_second", format!("must be a number between {least} and {most}")));
    }
    let mut tx = control.db.begin(tenant).await?;
    let integration = store::get(&mut tx, tenant, body.integration_id)
        .await?
        .ok_or_else(|| ApiError::not_found(ErrorCode::IntegrationNotFound))?;
    let credential = credentials::store::get_encrypted(&mut tx, tenant, body.credential_id)
        .await?
        .ok_or_else(|| ApiError::not_found(ErrorCode::CredentialNotFound))?;
    if credential.integration_id != integration.id {
        return Err(ApiError::field("credential_id", format!("is a credential of {}", credential.provider)));
    }
    if store::is_installed(&mut tx, tenant, integration.id, credential.id).await? {
        return Err(already());
    }
    drop(tx);
    let tested = credentials::probe(&control, tenant, &credential).await?;
    tested.outcome.map_err(|error| test_failed(&error))?;
    let mut tx = control.db.begin(tenant).await?;
    // It may have been removed while the vendor was asked.
    if !credentials::store::lock(&mut tx, tenant, credential.id).await? {
        return Err(ApiError::not_found(ErrorCode::CredentialNotFound));
    }
    let id = Uuid::now_v7();
    let new = store::NewInstallation {
        id,
        integration_id: integration.id,
        credential_id: credential.id,
        config: &body.config.into(),
    };
    if !store::install(&mut tx, tenant, &new).await? {
        return Err(already());
    }
    let details = json!({ "provider": integration.provider, "credential_id": credential.id });
    audit_log::note(&mut tx, &caller, "installation.created", id, details).await?;
    tx.commit().await?;
    let installed = Installed {
        installation_id: id,
        integration_id: integration.id,
        credential_id: credential.id,
        status: InstalledStatus::Installed,
        webhook_url: webhook_url(&control, integration.provider),
    };
    Ok(Reply::created("Integration installed", installed))
}

/// List what is installed
#[utoipa::path(
    get, path = "/v1/integrations/installed", tag = "integrations", operation_id = "list_installed_integrations", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of it", body = Envelope<InstallationList>), ReadRefusals)
)]
async fn installed(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<InstallationList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (mut installations, total) = store::list_installed(&mut tx, caller.tenant, page).await?;
    for installation in &mut installations {
        installation.webhook_url = webhook_url(&control, installation.provider);
    }
    Ok(Reply::ok(
        "Installed integrations",
        InstallationList { installations, pagination: Pagination::new(page, total) },
    ))
}

/// Uninstall an integration
///
/// Refused while an agent lists it. If it was the default, the oldest that is left of its provider becomes that.
#[utoipa::path(
    delete, path = "/v1/integrations/installed/{id}", tag = "integrations", operation_id = "uninstall_integration", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Gone; its credential is still there", body = Envelope<Empty>),
        (status = 409, description = "An agent lists it", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn uninstall(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    id: PathId,
) -> Result<Reply<Empty>, ApiError> {
    let id = id.or(ErrorCode::InstallationNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let removal = store::uninstall(&mut tx, caller.tenant, id).await?;
    if removal == Removal::Removed {
        audit_log::note(&mut tx, &caller, "installation.removed", id, json!({})).await?;
    }
    tx.commit().await?;
    removal.answer("Integration uninstalled", "A voice agent lists the integration", ErrorCode::InstallationNotFound)
}

/// Where a carrier asks what to do with a call; nothing for other vendors.
pub(crate) fn webhook_url(control: &Control, provider: Provider) -> Option<String> {
    match provider {
        Provider::Twilio => Some(format!("{}/webhooks/twilio?kind=voice", control.public_url)),
        Provider::Vonage => Some(format!("{}/webhooks/vonage", control.public_url)),
        Provider::Openai | Provider::Claude | Provider::Deepgram | Provider::Elevenlabs | Provider::Salesforce => None,
    }
}

fn already() -> ApiError {
    ApiError::conflict("The integration is installed with this credential already")
}

/// Here every failure of the vendor's is a failed test, even one that is the vendor's fault.
fn test_failed(error: &VendorError) -> ApiError {
    ApiError::new(ErrorCode::IntegrationTestFailed, error.to_string())
        .details(json!({ "vendor": error.provider, "status": error.status, "code": error.code }))
}
