//! The tenant itself: its name and its settings. Tenants begin with their first user's first request.

mod settings;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use self::settings::{Redaction, Retention, TenantSettings};
use self::{settings::SettingsPatch, store::StoredTenant};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed, Principal, Role, Viewer},
    check::Checker,
    error::{ApiError, ErrorCode},
    http::{Body, Envelope, ReadRefusals, Reply, WriteRefusals},
    recordings::store as recordings,
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(read, change))
}

/// The caller's tenant.
#[derive(Debug, Serialize, ToSchema)]
struct Tenant {
    /// Its id.
    id: Uuid,
    /// What people call it; empty until somebody says.
    name: String,
    /// Its settings.
    settings: TenantSettings,
    /// What the caller may do in it.
    role: Role,
    /// When it began.
    created_at: DateTime<Utc>,
}

impl Tenant {
    fn new(caller: &Principal, stored: StoredTenant) -> Self {
        Self {
            id: caller.tenant.as_uuid(),
            name: stored.name,
            settings: stored.settings,
            role: caller.role,
            created_at: stored.created_at,
        }
    }
}

/// What to change about a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TenantPatch {
    /// What people call it.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// Those to replace; the others stay.
    settings: Option<SettingsPatch>,
}

/// Read the tenant
#[utoipa::path(
    get, path = "/v1/tenant", tag = "tenant", operation_id = "read_tenant", security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = Envelope<Tenant>), ReadRefusals)
)]
async fn read(caller: Allowed<Viewer>, State(control): State<Control>) -> Result<Reply<Tenant>, ApiError> {
    let mut tx = control.db.begin(caller.tenant).await?;
    let stored = store::get(&mut tx, caller.tenant).await?.ok_or_else(missing)?;
    Ok(Reply::ok("Tenant", Tenant::new(&caller, stored)))
}

/// Change the tenant's name or settings
///
/// Replaces whole settings; `null` brings back a setting's default.
#[utoipa::path(
    patch, path = "/v1/tenant", tag = "tenant", operation_id = "change_tenant", security(("bearer" = [])), request_body = TenantPatch,
    responses((status = 200, description = "As it is now", body = Envelope<Tenant>), WriteRefusals)
)]
async fn change(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(patch): Body<TenantPatch>,
) -> Result<Reply<Tenant>, ApiError> {
    let tenant = caller.tenant;
    let mut check = Checker::default();
    check.optional_text("name", patch.name.as_deref(), 0..=100);
    check.finish().map_err(|errors| ApiError::validation(&errors))?;
    let mut tx = control.db.begin(tenant).await?;
    // Of two who change it at once, the second sees what the first has made of it.
    if !store::lock(&mut tx, tenant).await? {
        return Err(missing());
    }
    let before = store::get(&mut tx, tenant).await?.ok_or_else(missing)?;
    let (settings, mut changed) =
        before.settings.patched(patch.settings.unwrap_or_default()).map_err(|errors| ApiError::validation(&errors))?;
    let name = patch.name.unwrap_or_else(|| before.name.clone());
    if name != before.name {
        changed.push("name");
    }
    if changed.is_empty() {
        return Ok(Reply::ok("Tenant unchanged", Tenant::new(&caller, before)));
    }
    store::update(&mut tx, tenant, &name, &settings).await?;
    if settings.retention.recordings_days != before.settings.retention.recordings_days {
        recordings::reschedule(&mut tx, tenant, settings.retention.recordings_days).await?;
    }
    let details = json!({ "changed": changed });
    audit_log::note(&mut tx, &caller, "tenant.changed", tenant.as_uuid(), details).await?;
    tx.commit().await?;
    let after = StoredTenant { name, settings, created_at: before.created_at };
    Ok(Reply::ok("Tenant changed", Tenant::new(&caller, after)))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::NotFound)
}
