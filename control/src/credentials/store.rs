//! Credentials in the database.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Credential, CredentialType};
use crate::{
    db::{DbError, Tx},
    http::Page,
    removal::Removal,
    tenant::TenantId,
    vault::Sealed,
    vendors::Provider,
};

/// A credential's values, encrypted, and what is stored beside them in the open.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The values.
    pub sealed: Sealed,
    /// Which are set.
    pub fields_set: Vec<String>,
    /// The vendor's name of the account.
    pub account: Option<String>,
}

/// A credential to insert.
#[derive(Debug)]
pub struct NewCredential<'a> {
    /// Its id.
    pub id: Uuid,
    /// For which integration of the catalogue.
    pub integration_id: Uuid,
    /// What people call it.
    pub name: &'a str,
    /// Of which type.
    pub credential_type: CredentialType,
    /// What is in it.
    pub secrets: &'a Secrets,
}

/// A credential with its values, encrypted: for whoever is about to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    /// Its id.
    pub id: Uuid,
    /// Whose it is to.
    pub provider: Provider,
    /// Its integration in the catalogue.
    pub integration_id: Uuid,
    /// Counts changes, from 1.
    pub version: i32,
    /// A Fernet token, which the vault opens.
    pub encrypted: String,
    /// Which fields are set.
    pub fields_set: Vec<String>,
}

/// Inserts one.
pub async fn insert(tx: &mut Tx, tenant: TenantId, new: &NewCredential<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "insert into credentials (tenant_id, id, integration_id, credential_name, credential_type, encrypted_credentials,
            key_fingerprint, fields_set, account_ref)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant.as_uuid(),
        new.id,
        new.integration_id,
        new.name,
        new.credential_type.name(),
        new.secrets.sealed.token,
        new.secrets.sealed.key_fingerprint,
        &new.secrets.fields_set,
        new.secrets.account,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A page, the newest first; and how many there are.
pub async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<Credential>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from credentials where tenant_id = $1 and deleted_at is null"#,
        tenant.as_uuid()
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select c.tenant_id, c.id, c.integration_id, i.provider, c.credential_name, c.credential_type, c.fields_set,
            c.last_test_status, c.last_test_error, c.last_tested_at, c.expires_at, c.version, c.created_at, c.updated_at
         from credentials c join integrations i on i.id = c.integration_id
         where c.tenant_id = $1 and c.deleted_at is null
         order by c.created_at desc, c.id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(Credential::try_from).collect::<Result<_, _>>()?, total))
}

/// One.
pub async fn get(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<Credential>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select c.tenant_id, c.id, c.integration_id, i.provider, c.credential_name, c.credential_type, c.fields_set,
            c.last_test_status, c.last_test_error, c.last_tested_at, c.expires_at, c.version, c.created_at, c.updated_at
         from credentials c join integrations i on i.id = c.integration_id
         where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Credential::try_from).transpose()
}

/// Gives one another name, or other values, which count as not tested. False if it isn't there.
pub async fn update(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    name: Option<&str>,
    secrets: Option<&Secrets>,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update credentials set credential_name = coalesce($3, credential_name),
            encrypted_credentials = coalesce($4, encrypted_credentials), key_fingerprint = coalesce($5, key_fingerprint),
            fields_set = coalesce($6, fields_set), account_ref = case when $4 is null then account_ref else $7 end,
            last_test_status = case when $4 is null then last_test_status else 'not_tested' end,
            last_test_error = case when $4 is null then last_test_error end,
            last_tested_at = case when $4 is null then last_tested_at end,
            version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2 and deleted_at is null",
        tenant.as_uuid(),
        id,
        name,
        secrets.map(|it| it.sealed.token.as_str()),
        secrets.map(|it| it.sealed.key_fingerprint.as_str()),
        secrets.map(|it| it.fields_set.as_slice()),
        secrets.and_then(|it| it.account.as_deref()),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Puts the same values, under another key, into one whose token is still the old one. False if it isn't.
pub async fn rotate(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    old_token: &str,
    sealed: &Sealed,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update credentials set encrypted_credentials = $4, key_fingerprint = $5
         where tenant_id = $1 and id = $2 and encrypted_credentials = $3 and deleted_at is null",
        tenant.as_uuid(),
        id,
        old_token,
        sealed.token,
        sealed.key_fingerprint
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Puts other values into one that has not changed since it was read: its version from now on. What was said of its last test stays.
pub async fn renew(
    tx: &mut Tx,
    tenant: TenantId,
    read: &StoredCredential,
    sealed: &Sealed,
    fields_set: &[String],
) -> Result<Option<i32>, DbError> {
    let version = sqlx::query_scalar!(
        "update credentials set encrypted_credentials = $5, key_fingerprint = $6, fields_set = $7, version = version + 1,
            updated_at = now()
         where tenant_id = $1 and id = $2 and version = $3 and encrypted_credentials = $4 and deleted_at is null
         returning version",
        tenant.as_uuid(),
        read.id,
        read.version,
        read.encrypted,
        sealed.token,
        sealed.key_fingerprint,
        fields_set
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(version)
}

/// Removes one that nothing uses, and forgets its values.
pub async fn remove(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Removal, DbError> {
    // Whoever begins to use it locks it too: see `lock`.
    let found = sqlx::query_scalar!(
        "select id from credentials where tenant_id = $1 and id = $2 and deleted_at is null for update",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    if found.is_none() {
        return Ok(Removal::NotThere);
    }
    let done = sqlx::query!(
        "update credentials set deleted_at = now(), updated_at = now(), encrypted_credentials = '', fields_set = '{}',
            account_ref = null, version = version + 1
         where tenant_id = $1 and id = $2
            and not exists (select from installations where tenant_id = $1 and credential_id = $2)
            and not exists (select from phone_numbers where tenant_id = $1 and credential_id = $2)",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(if done.rows_affected() == 1 { Removal::Removed } else { Removal::InUse })
}

/// Makes sure that one stays until the transaction is over. False if it isn't there.
pub async fn lock(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, DbError> {
    let found = sqlx::query_scalar!(
        "select id from credentials where tenant_id = $1 and id = $2 and deleted_at is null for share",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(found.is_some())
}

/// Remembers what came of a test, unless the credential has changed since it was read.
pub async fn remember_test(
    tx: &mut Tx,
    tenant: TenantId,
    tested: &StoredCredential,
    failure: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update credentials set last_test_status = case when $4::text is null then 'success' else 'failed' end,
            last_test_error = $4, last_tested_at = now()
         where tenant_id = $1 and id = $2 and version = $3 and deleted_at is null",
        tenant.as_uuid(),
        tested.id,
        tested.version,
        failure
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// One with its values.
pub async fn get_encrypted(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<StoredCredential>, DbError> {
    let row = sqlx::query_as!(
        EncryptedRow,
        "select c.id, i.provider, c.integration_id, c.version, c.encrypted_credentials, c.fields_set
         from credentials c join integrations i on i.id = c.integration_id
         where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(StoredCredential::try_from).transpose()
}

/// Those that hold an account of a provider, the newest first.
pub async fn by_account(
    tx: &mut Tx,
    tenant: TenantId,
    provider: Provider,
    account: &str,
) -> Result<Vec<StoredCredential>, DbError> {
    let rows = sqlx::query_as!(
        EncryptedRow,
        "select c.id, i.provider, c.integration_id, c.version, c.encrypted_credentials, c.fields_set
         from credentials c join integrations i on i.id = c.integration_id
         where c.tenant_id = $1 and i.provider = $2 and c.account_ref = $3 and c.deleted_at is null
         order by c.created_at desc, c.id desc",
        tenant.as_uuid(),
        provider.name(),
        account
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(StoredCredential::try_from).collect()
}

/// What a call uses, at most one a provider: that of the first of the agent's installations which is of the provider, else that of
/// the tenant's default installation.
pub async fn for_call(
    tx: &mut Tx,
    tenant: TenantId,
    installations: &[Uuid],
) -> Result<Vec<(Provider, StoredCredential)>, DbError> {
    let rows = sqlx::query_as!(
        EncryptedRow,
        "select c.id, i.provider, c.integration_id, c.version, c.encrypted_credentials, c.fields_set
         from installations n
         join credentials c on c.tenant_id = n.tenant_id and c.id = n.credential_id
         join integrations i on i.id = n.integration_id
         where n.tenant_id = $1 and (n.id = any ($2) or n.is_default) and c.deleted_at is null
         order by array_position($2, n.id) nulls last, n.created_at, n.id",
        tenant.as_uuid(),
        installations
    )
    .fetch_all(tx.connection())
    .await?;
    let mut chosen: Vec<(Provider, StoredCredential)> = Vec::new();
    for row in rows {
        let credential = StoredCredential::try_from(row)?;
        if chosen.iter().all(|(provider, _)| *provider != credential.provider) {
            chosen.push((credential.provider, credential));
        }
    }
    Ok(chosen)
}

struct Row {
    tenant_id: Uuid,
    id: Uuid,
    integration_id: Uuid,
    provider: String,
    credential_name: String,
    credential_type: String,
    fields_set: Vec<String>,
    last_test_status: String,
    last_test_error: Option<String>,
    last_tested_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

struct EncryptedRow {
    id: Uuid,
    provider: String,
    integration_id: Uuid,
    version: i32,
    encrypted_credentials: String,
    fields_set: Vec<String>,
}

fn corrupt(column: &str) -> DbError {
    DbError::Corrupt { table: "credentials", cause: column.to_owned() }
}

impl TryFrom<Row> for Credential {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.id,
            tenant_id: TenantId::new(row.tenant_id),
            integration_id: row.integration_id,
            provider: row.provider.parse().map_err(|_| corrupt("integration_id"))?,
            credential_name: row.credential_name,
            credential_type: row.credential_type.parse().map_err(|()| corrupt("credential_type"))?,
            fields_set: row.fields_set,
            last_test_status: row.last_test_status.parse().map_err(|()| corrupt("last_test_status"))?,
            last_test_error: row.last_test_error,
            last_tested_at: row.last_tested_at,
            expires_at: row.expires_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl TryFrom<EncryptedRow> for StoredCredential {
    type Error = DbError;

    fn try_from(row: EncryptedRow) -> Result<Self, DbError> {
        Ok(Self {
            id: row.id,
            provider: row.provider.parse().map_err(|_| corrupt("integration_id"))?,
            integration_id: row.integration_id,
            version: row.version,
            encrypted: row.encrypted_credentials,
            fields_set: row.fields_set,
        })
    }
}
