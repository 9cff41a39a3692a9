//! API keys in the database.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ApiKey;
use crate::{
    auth::Role,
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// A key to insert.
#[derive(Debug)]
pub struct NewStoredKey<'a> {
    /// Its id.
    pub id: Uuid,
    /// The part by which it is found.
    pub key_id: &'a str,
    /// Its keyed hash.
    pub hash: &'a [u8; 32],
    /// What it is for.
    pub name: &'a str,
    /// What it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Who makes it.
    pub created_by: &'a str,
}

/// Inserts one.
pub async fn insert(tx: &mut Tx, tenant: TenantId, new: &NewStoredKey<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "insert into api_keys (tenant_id, id, key_id, key_hash, name, role, expires_at, created_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant.as_uuid(),
        new.id,
        new.key_id,
        new.hash.as_slice(),
        new.name,
        new.role.name(),
        new.expires_at,
        new.created_by
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A page of those that are not revoked, the newest first; and how many there are.
pub async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<ApiKey>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from api_keys where tenant_id = $1 and revoked_at is null"#,
        tenant.as_uuid()
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, key_id, name, role, expires_at, last_used_at, created_by, created_at
         from api_keys where tenant_id = $1 and revoked_at is null
         order by created_at desc, id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(ApiKey::try_from).collect::<Result<_, _>>()?, total))
}

/// One that is not revoked.
pub async fn get(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<ApiKey>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select id, key_id, name, role, expires_at, last_used_at, created_by, created_at
         from api_keys where tenant_id = $1 and id = $2 and revoked_at is null",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(ApiKey::try_from).transpose()
}

/// Ends one for good. False if it isn't there, or has been revoked.
pub async fn revoke(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update api_keys set revoked_at = now() where tenant_id = $1 and id = $2 and revoked_at is null",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes that one is used now, unless that was written within the last minute.
pub async fn used(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update api_keys set last_used_at = now()
         where tenant_id = $1 and id = $2 and (last_used_at is null or last_used_at < now() - interval '1 minute')",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    key_id: String,
    name: String,
    role: String,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for ApiKey {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.id,
            key_id: row.key_id,
            name: row.name,
            role: row.role.parse().map_err(|()| DbError::Corrupt { table: "api_keys", cause: "role".into() })?,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    }
}
