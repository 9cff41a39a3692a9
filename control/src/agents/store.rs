//! Agents and their versions in the database.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::config::AgentConfig;
use crate::{
    db::{DbError, Tx},
    http::Page,
    removal::Removal,
    tenant::TenantId,
};

/// An agent as it is now, or as it was at a version.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAgent {
    /// Its id.
    pub id: Uuid,
    /// Counts changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// What it is.
    pub config: AgentConfig,
}

/// One of an agent's versions.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVersion {
    /// Counts changes, from 1.
    pub version: i32,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// What the agent was.
    pub config: AgentConfig,
}

/// Inserts an agent, at version 1.
pub async fn insert(tx: &mut Tx, tenant: TenantId, id: Uuid, config: &AgentConfig, actor: &str) -> Result<(), DbError> {
    sqlx::query!(
        "insert into agents (tenant_id, id, name, is_active) values ($1, $2, $3, $4)",
        tenant.as_uuid(),
        id,
        config.name,
        config.is_active
    )
    .execute(tx.connection())
    .await?;
    insert_version(tx, tenant, id, 1, config, actor).await
}

/// A page, the newest first; and how many there are.
pub async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<StoredAgent>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from agents where tenant_id = $1 and deleted_at is null"#,
        tenant.as_uuid()
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select a.id, v.version, a.created_at, a.updated_at, v.config
         from agents a join agent_versions v on v.tenant_id = a.tenant_id and v.agent_id = a.id and v.version = a.version
         where a.tenant_id = $1 and v.tenant_id = $1 and a.deleted_at is null
         order by a.created_at desc, a.id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(StoredAgent::try_from).collect::<Result<_, _>>()?, total))
}

/// One, as it is now.
pub async fn get(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<StoredAgent>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select a.id, v.version, a.created_at, a.updated_at, v.config
         from agents a join agent_versions v on v.tenant_id = a.tenant_id and v.agent_id = a.id and v.version = a.version
         where a.tenant_id = $1 and v.tenant_id = $1 and a.id = $2 and a.deleted_at is null",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(StoredAgent::try_from).transpose()
}

/// One as it was at a version, though it may have been removed since: for a call that runs it.
pub async fn get_version(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    version: i32,
) -> Result<Option<StoredAgent>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select a.id, v.version, a.created_at, a.updated_at, v.config
         from agents a join agent_versions v on v.tenant_id = a.tenant_id and v.agent_id = a.id
         where a.tenant_id = $1 and v.tenant_id = $1 and a.id = $2 and v.version = $3",
        tenant.as_uuid(),
        id,
        version
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(StoredAgent::try_from).transpose()
}

/// Keeps everybody else from changing or removing one until the transaction is over. Its version, if it is there.
pub async fn lock(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<i32>, DbError> {
    Ok(sqlx::query_scalar!(
        "select version from agents where tenant_id = $1 and id = $2 and deleted_at is null for no key update",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Makes the version after this one. False if that is no longer the agent's version.
pub async fn update(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    version: i32,
    config: &AgentConfig,
    actor: &str,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update agents set version = version + 1, name = $4, is_active = $5, updated_at = now()
         where tenant_id = $1 and id = $2 and version = $3 and deleted_at is null",
        tenant.as_uuid(),
        id,
        version,
        config.name,
        config.is_active
    )
    .execute(tx.connection())
    .await?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    insert_version(tx, tenant, id, version + 1, config, actor).await?;
    Ok(true)
}

async fn insert_version(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    version: i32,
    config: &AgentConfig,
    actor: &str,
) -> Result<(), DbError> {
    let config = serde_json::to_value(config).map_err(|error| corrupt(&error))?;
    sqlx::query!(
        "insert into agent_versions (tenant_id, agent_id, version, config, created_by) values ($1, $2, $3, $4, $5)",
        tenant.as_uuid(),
        id,
        version,
        config,
        actor
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes one that no number rings. Its versions stay, for the conversations that it had.
pub async fn remove(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Removal, DbError> {
    if lock(tx, tenant, id).await?.is_none() {
        return Ok(Removal::NotThere);
    }
    let done = sqlx::query!(
        "update agents set deleted_at = now(), updated_at = now() where tenant_id = $1 and id = $2
            and not exists (select from phone_numbers where tenant_id = $1 and agent_id = $2)
            and not exists (select from campaigns where tenant_id = $1 and agent_id = $2 and status <> 'completed')",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(if done.rows_affected() == 1 { Removal::Removed } else { Removal::InUse })
}

/// A page of versions, the newest first; and how many there are.
pub async fn versions(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    page: Page,
) -> Result<(Vec<StoredVersion>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from agent_versions where tenant_id = $1 and agent_id = $2"#,
        tenant.as_uuid(),
        id
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query!(
        "select version, created_by, created_at, config from agent_versions where tenant_id = $1 and agent_id = $2
         order by version desc limit $3 offset $4",
        tenant.as_uuid(),
        id,
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    let versions = rows.into_iter().map(|row| {
        let config = read_config(row.config)?;
        Ok(StoredVersion { version: row.version, created_by: row.created_by, created_at: row.created_at, config })
    });
    Ok((versions.collect::<Result<_, DbError>>()?, total))
}

struct Row {
    id: Uuid,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    config: Value,
}

/// What was valid when it was stored is not checked again: limits may have become narrower.
fn read_config(config: Value) -> Result<AgentConfig, DbError> {
    serde_json::from_value(config).map_err(|error| corrupt(&error))
}

fn corrupt(error: &serde_json::Error) -> DbError {
    DbError::Corrupt { table: "agent_versions", cause: format!("config: {:?}", error.classify()) }
}

impl TryFrom<Row> for StoredAgent {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let config = read_config(row.config)?;
        Ok(Self { id: row.id, version: row.version, created_at: row.created_at, updated_at: row.updated_at, config })
    }
}
