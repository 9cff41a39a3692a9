//! Jobs that gave up, in the database.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::DeadJob;
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// A page of those that gave up, the last first; and how many there are.
pub(super) async fn dead(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<DeadJob>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from jobs where tenant_id = $1 and state = 'dead'"#,
        tenant.as_uuid()
    )
    .fetch_one(tx.connection())
    .await?;
    let jobs = sqlx::query_as!(
        DeadJob,
        r#"select id, kind, subject as subject_id, conversation_id, attempts, error, created_at, dead_at
           from jobs where tenant_id = $1 and state = 'dead'
           order by dead_at desc, id desc limit $2 offset $3"#,
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((jobs, total))
}

/// Lets one that gave up be tried again, as if it were new; its kind, if it is there. What it is about is pending again.
pub(super) async fn revive(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<String>, DbError> {
    let revived = sqlx::query!(
        "update jobs set state = 'queued', attempts = 0, run_at = clock_timestamp(), error = null, dead_at = null
         where tenant_id = $1 and id = $2 and state = 'dead' returning kind, subject",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(job) = revived else { return Ok(None) };
    if job.kind == super::Kind::Webhook.name() {
        crate::webhooks::deliveries::reopen(tx, tenant, job.subject).await?;
    }
    Ok(Some(job.kind))
}

/// Removes up to `limit` jobs that gave up before a time; says how many.
pub(crate) async fn remove_old(
    tx: &mut Tx,
    tenant: TenantId,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, DbError> {
    let removed = sqlx::query!(
        "delete from jobs where tenant_id = $1 and id in (
             select id from jobs where tenant_id = $1 and state = 'dead' and dead_at < $2 order by dead_at limit $3)",
        tenant.as_uuid(),
        before,
        limit
    )
    .execute(tx.connection())
    .await?;
    Ok(removed.rows_affected())
}
