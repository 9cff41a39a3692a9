//! The tenant itself in the database.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::TenantSettings;
use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
};

/// A tenant as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTenant {
    /// What people call it; empty until somebody says.
    pub name: String,
    /// Its settings.
    pub settings: TenantSettings,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// The tenant, if the transaction may see it.
pub async fn get(tx: &mut Tx, tenant: TenantId) -> Result<Option<StoredTenant>, DbError> {
    let row = sqlx::query!("select name, settings, created_at from tenants where id = $1", tenant.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| Ok(StoredTenant { name: row.name, settings: read(row.settings)?, created_at: row.created_at }))
        .transpose()
}

/// The tenant's settings; the defaults, if the transaction may not see the tenant.
pub async fn settings(tx: &mut Tx, tenant: TenantId) -> Result<TenantSettings, DbError> {
    let stored = sqlx::query_scalar!("select settings from tenants where id = $1", tenant.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    stored.map_or_else(|| Ok(TenantSettings::default()), read)
}

/// Keeps everybody else from changing the tenant or its members until the transaction is over; rows that refer to it may still be
/// written. False if it isn't there.
pub async fn lock(tx: &mut Tx, tenant: TenantId) -> Result<bool, DbError> {
    let found = sqlx::query_scalar!("select id from tenants where id = $1 for no key update", tenant.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    Ok(found.is_some())
}

/// Whether the tenant has as many calls as it allows itself. Until the transaction is over, nobody else is told that it has room.
pub async fn is_full(tx: &mut Tx, tenant: TenantId, settings: &TenantSettings) -> Result<bool, DbError> {
    let Some(most) = settings.max_concurrent_calls else { return Ok(false) };
    lock(tx, tenant).await?;
    let alive = sqlx::query_scalar!(
        r#"select count(*) as "n!" from slots where tenant_id = $1 and kind = 'call' and expires_at > now()"#,
        tenant.as_uuid()
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(alive >= i64::from(most))
}

/// Replaces its name and settings.
pub async fn update(tx: &mut Tx, tenant: TenantId, name: &str, settings: &TenantSettings) -> Result<(), DbError> {
    let settings = serde_json::to_value(settings).map_err(|error| corrupt(&error))?;
    sqlx::query!("update tenants set name = $2, settings = $3 where id = $1", tenant.as_uuid(), name, settings)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn read(settings: Value) -> Result<TenantSettings, DbError> {
    serde_json::from_value(settings).map_err(|error| corrupt(&error))
}

fn corrupt(error: &serde_json::Error) -> DbError {
    DbError::Corrupt { table: "tenants", cause: format!("settings: {error}") }
}
