//! Webhooks in the database.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Endpoint;
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
    vault::Sealed,
};

/// How long requests are signed with the former secret too.
const BOTH: &str = "24 hours";

/// A webhook to insert.
#[derive(Debug)]
pub struct NewStored<'a> {
    /// Its id.
    pub id: Uuid,
    /// Where events go.
    pub url: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// Which events.
    pub events: &'a [String],
    /// Whether it is told anything.
    pub is_enabled: bool,
    /// Its secrets.
    pub sealed: &'a Sealed,
}

/// What to change.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Where events go.
    pub url: Option<&'a str>,
    /// What it is for.
    pub description: Option<&'a str>,
    /// Which events.
    pub events: Option<&'a [String]>,
    /// Whether it is told anything.
    pub is_enabled: Option<bool>,
}

/// Inserts one.
pub async fn insert(tx: &mut Tx, tenant: TenantId, new: &NewStored<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "insert into webhook_endpoints (tenant_id, id, url, description, events, is_enabled, encrypted_secrets, key_fingerprint)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant.as_uuid(),
        new.id,
        new.url,
        new.description,
        new.events,
        new.is_enabled,
        new.sealed.token,
        new.sealed.key_fingerprint
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// How many there are.
pub(super) async fn count(tx: &mut Tx, tenant: TenantId) -> Result<i64, DbError> {
    let n =
        sqlx::query_scalar!(r#"select count(*) as "n!" from webhook_endpoints where tenant_id = $1"#, tenant.as_uuid());
    Ok(n.fetch_one(tx.connection()).await?)
}

/// A page of them, the newest first; and how many there are.
pub async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<Endpoint>, i64), DbError> {
    let total = count(tx, tenant).await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, url, description, events, is_enabled, disabled_reason, disabled_at, failing_since, previous_until, created_at,
                updated_at
         from webhook_endpoints where tenant_id = $1 order by created_at desc, id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(Endpoint::from).collect(), total))
}

/// One.
pub async fn get(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<Endpoint>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select id, url, description, events, is_enabled, disabled_reason, disabled_at, failing_since, previous_until, created_at,
                updated_at
         from webhook_endpoints where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Endpoint::from))
}

/// Changes one. Enabling it forgets why it was disabled. False if it isn't there.
pub async fn update(tx: &mut Tx, tenant: TenantId, id: Uuid, changes: &Changes<'_>) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update webhook_endpoints
         set url = coalesce($3, url), description = coalesce($4, description), events = coalesce($5, events),
             is_enabled = coalesce($6, is_enabled),
             disabled_reason = case when $6 is null then disabled_reason end,
             disabled_at = case when $6 is null then disabled_at end,
             failing_since = case when $6 or $3 is not null then null else failing_since end,
             updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
        changes.url,
        changes.description,
        changes.events,
        changes.is_enabled
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Its secrets, encrypted, which nobody else changes until the transaction is over.
pub async fn lock_secrets(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<String>, DbError> {
    let encrypted = sqlx::query_scalar!(
        "select encrypted_secrets from webhook_endpoints where tenant_id = $1 and id = $2 for update",
        tenant.as_uuid(),
        id
    );
    Ok(encrypted.fetch_optional(tx.connection()).await?)
}

/// Gives it another secret, beside which the former one counts for a day.
pub async fn rotate_secret(tx: &mut Tx, tenant: TenantId, id: Uuid, sealed: &Sealed) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update webhook_endpoints
         set encrypted_secrets = $3, key_fingerprint = $4, previous_until = now() + $5::text::interval, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
        sealed.token,
        sealed.key_fingerprint,
        BOTH
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Puts the same secrets, under another key, into one.
pub(super) async fn reseal(tx: &mut Tx, tenant: TenantId, id: Uuid, sealed: &Sealed) -> Result<(), DbError> {
    sqlx::query!(
        "update webhook_endpoints set encrypted_secrets = $3, key_fingerprint = $4 where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
        sealed.token,
        sealed.key_fingerprint
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes one, with its deliveries. False if it isn't there.
pub async fn remove(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, DbError> {
    sqlx::query!(
        "delete from jobs where tenant_id = $1 and kind = 'webhook' and subject in (
             select d.id from webhook_deliveries d where d.tenant_id = $1 and d.endpoint_id = $2)",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    let done = sqlx::query!("delete from webhook_endpoints where tenant_id = $1 and id = $2", tenant.as_uuid(), id)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

struct Row {
    id: Uuid,
    url: String,
    description: String,
    events: Vec<String>,
    is_enabled: bool,
    disabled_reason: Option<String>,
    disabled_at: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
    previous_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Endpoint {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            url: row.url,
            description: row.description,
            events: row.events,
            enabled: row.is_enabled,
            disabled_reason: row.disabled_reason,
            disabled_at: row.disabled_at,
            failing_since: row.failing_since,
            previous_secret_until: row.previous_until,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
