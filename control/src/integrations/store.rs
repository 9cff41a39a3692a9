//! The catalogue, and what of it is installed, in the database.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Installation, Integration};
use crate::{
    credentials::Form,
    db::{DbError, Tx},
    http::Page,
    removal::Removal,
    tenant::TenantId,
};

/// A page of the catalogue, with what the tenant has installed of it; and how many entries there are.
pub async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<Integration>, i64), DbError> {
    let total = sqlx::query_scalar!(r#"select count(*) as "n!" from integrations"#).fetch_one(tx.connection()).await?;
    let rows = sqlx::query_as!(
        IntegrationRow,
        r#"select i.id, i.provider, i.name, i.category,
            exists (select from installations n where n.tenant_id = $1 and n.integration_id = i.id) as "installed!"
         from integrations i order by i.id limit $2 offset $3"#,
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(Integration::try_from).collect::<Result<_, _>>()?, total))
}

/// One entry of the catalogue.
pub async fn get(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<Integration>, DbError> {
    let row = sqlx::query_as!(
        IntegrationRow,
        r#"select i.id, i.provider, i.name, i.category,
            exists (select from installations n where n.tenant_id = $1 and n.integration_id = i.id) as "installed!"
         from integrations i where i.id = $2"#,
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Integration::try_from).transpose()
}

/// Whether an integration is installed with a credential.
pub async fn is_installed(
    tx: &mut Tx,
    tenant: TenantId,
    integration_id: Uuid,
    credential_id: Uuid,
) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
            select from installations where tenant_id = $1 and integration_id = $2 and credential_id = $3) as "there!""#,
        tenant.as_uuid(),
        integration_id,
        credential_id
    )
    .fetch_one(tx.connection())
    .await?)
}

/// What to install.
#[derive(Debug)]
pub struct NewInstallation<'a> {
    /// The installation's id.
    pub id: Uuid,
    /// Which integration of the catalogue.
    pub integration_id: Uuid,
    /// With which credential.
    pub credential_id: Uuid,
    /// The tenant's own settings.
    pub config: &'a Value,
}

/// Installs; the first of its integration becomes the default. False if it is installed with this credential already.
pub async fn install(tx: &mut Tx, tenant: TenantId, new: &NewInstallation<'_>) -> Result<bool, DbError> {
    lock_defaults(tx, tenant).await?;
    let done = sqlx::query!(
        "insert into installations (tenant_id, id, integration_id, credential_id, config, is_default)
         values ($1, $2, $3, $4, $5,
            not exists (select from installations where tenant_id = $1 and integration_id = $3 and is_default))
         on conflict (tenant_id, integration_id, credential_id) do nothing",
        tenant.as_uuid(),
        new.id,
        new.integration_id,
        new.credential_id,
        new.config
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A page of what is installed, the newest first, without the carrier's addresses; and how much there is.
pub async fn list_installed(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<Installation>, i64), DbError> {
    let total =
        sqlx::query_scalar!(r#"select count(*) as "n!" from installations where tenant_id = $1"#, tenant.as_uuid())
            .fetch_one(tx.connection())
            .await?;
    let rows = sqlx::query_as!(
        InstallationRow,
        "select n.id, n.integration_id, i.provider, n.credential_id, n.config, n.is_default, n.created_at
         from installations n join integrations i on i.id = n.integration_id
         where n.tenant_id = $1 order by n.created_at desc, n.id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(Installation::try_from).collect::<Result<_, _>>()?, total))
}

/// Makes sure that these stay until the transaction is over. Answers with those that are there.
pub async fn lock_installed(tx: &mut Tx, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<Uuid>, DbError> {
    Ok(sqlx::query_scalar!(
        "select id from installations where tenant_id = $1 and id = any ($2) order by id for key share",
        tenant.as_uuid(),
        ids
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Uninstalls what no agent lists. If it was the default, the oldest that is left becomes that.
pub async fn uninstall(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Removal, DbError> {
    lock_defaults(tx, tenant).await?;
    let found = sqlx::query!(
        "select integration_id, is_default from installations where tenant_id = $1 and id = $2 for update",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(found) = found else {
        return Ok(Removal::NotThere);
    };
    // A statement of its own, so that it sees an agent that held the lock a moment ago.
    let listed = sqlx::query_scalar!(
        r#"select exists (
            select from agents a
            join agent_versions v on v.tenant_id = a.tenant_id and v.agent_id = a.id and v.version = a.version
            where a.tenant_id = $1 and v.tenant_id = $1 and a.deleted_at is null
                and v.config -> 'integrations' ? $2) as "listed!""#,
        tenant.as_uuid(),
        id.to_string()
    )
    .fetch_one(tx.connection())
    .await?;
    if listed {
        return Ok(Removal::InUse);
    }
    sqlx::query!("delete from installations where tenant_id = $1 and id = $2", tenant.as_uuid(), id)
        .execute(tx.connection())
        .await?;
    if found.is_default {
        sqlx::query!(
            "update installations set is_default = true where tenant_id = $1 and id = (
                select id from installations where tenant_id = $1 and integration_id = $2 order by created_at, id limit 1)",
            tenant.as_uuid(),
            found.integration_id
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(Removal::Removed)
}

/// Which installation is the default is decided by one transaction at a time.
async fn lock_defaults(tx: &mut Tx, tenant: TenantId) -> Result<(), DbError> {
    sqlx::query_scalar!("select id from tenants where id = $1 for no key update", tenant.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    Ok(())
}

struct IntegrationRow {
    id: Uuid,
    provider: String,
    name: String,
    category: String,
    installed: bool,
}

struct InstallationRow {
    id: Uuid,
    integration_id: Uuid,
    provider: String,
    credential_id: Uuid,
    config: Value,
    is_default: bool,
    created_at: DateTime<Utc>,
}

fn corrupt() -> DbError {
    DbError::Corrupt { table: "integrations", cause: "provider".into() }
}

impl TryFrom<IntegrationRow> for Integration {
    type Error = DbError;

    fn try_from(row: IntegrationRow) -> Result<Self, DbError> {
        let provider = row.provider.parse().map_err(|_| corrupt())?;
        let credential_schemas =
            Form::all_of(provider).map(|form| (form.credential_type, form.json_schema())).collect();
        let (id, name, category, installed) = (row.id, row.name, row.category, row.installed);
        Ok(Self { id, provider, name, category, credential_schemas, installed })
    }
}

impl TryFrom<InstallationRow> for Installation {
    type Error = DbError;

    fn try_from(row: InstallationRow) -> Result<Self, DbError> {
        Ok(Self {
            id: row.id,
            integration_id: row.integration_id,
            provider: row.provider.parse().map_err(|_| corrupt())?,
            credential_id: row.credential_id,
            config: row.config,
            is_default: row.is_default,
            webhook_url: None,
            created_at: row.created_at,
        })
    }
}
