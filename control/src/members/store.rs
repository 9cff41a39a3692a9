//! Members in the database. One that was removed stays as a row, so that a token that is still valid does not let them in again.
//!
//! Whoever changes members holds the tenant's lock ([`crate::tenants::store::lock`]), so that two owners who leave at once do not leave
//! nobody.

use chrono::{DateTime, Utc};
use trunkline_base::Personal;
use uuid::Uuid;

use super::Member;
use crate::{
    auth::Role,
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// A page, the newest first; and how many there are.
pub async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<Member>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from members where tenant_id = $1 and removed_at is null"#,
        tenant.as_uuid()
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select user_id, email, role, created_at from members where tenant_id = $1 and removed_at is null
         order by created_at desc, user_id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(Member::try_from).collect::<Result<_, _>>()?, total))
}

/// One who was not removed.
pub async fn get(tx: &mut Tx, tenant: TenantId, user: Uuid) -> Result<Option<Member>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select user_id, email, role, created_at from members where tenant_id = $1 and user_id = $2 and removed_at is null",
        tenant.as_uuid(),
        user
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Member::try_from).transpose()
}

/// Lets somebody in, or in again. False if they are a member.
pub async fn add(
    tx: &mut Tx,
    tenant: TenantId,
    user: Uuid,
    email: Option<&Personal<String>>,
    role: Role,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "insert into members (tenant_id, user_id, email, role) values ($1, $2, $3, $4)
         on conflict (tenant_id, user_id) do update
            set role = excluded.role, email = coalesce(excluded.email, members.email), removed_at = null
            where members.removed_at is not null",
        tenant.as_uuid(),
        user,
        email.map(|email| email.expose().as_str()),
        role.name()
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives one another role. False if they are no member.
pub async fn set_role(tx: &mut Tx, tenant: TenantId, user: Uuid, role: Role) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update members set role = $3 where tenant_id = $1 and user_id = $2 and removed_at is null",
        tenant.as_uuid(),
        user,
        role.name()
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes one. False if they are no member.
pub async fn remove(tx: &mut Tx, tenant: TenantId, user: Uuid) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update members set removed_at = now() where tenant_id = $1 and user_id = $2 and removed_at is null",
        tenant.as_uuid(),
        user
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether somebody else owns the tenant too.
pub async fn another_owns(tx: &mut Tx, tenant: TenantId, user: Uuid) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from members
            where tenant_id = $1 and user_id <> $2 and role = 'owner' and removed_at is null) as "is!""#,
        tenant.as_uuid(),
        user
    )
    .fetch_one(tx.connection())
    .await?)
}

struct Row {
    user_id: Uuid,
    email: Option<String>,
    role: String,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Member {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            user_id: row.user_id,
            email: row.email.map(Personal::new),
            role: row.role.parse().map_err(|()| DbError::Corrupt { table: "members", cause: "role".into() })?,
            created_at: row.created_at,
        })
    }
}
