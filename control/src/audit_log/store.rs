//! The audit log in the database, which lets the service add to it and read it, and nothing else.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Entry, Filter};
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// As many are counted.
const COUNTED: i64 = 10_000;

/// Writes what somebody does, in the transaction that does it: both happen, or neither.
///
/// `action` is `<kind>.<what happened>`, such as `agent.changed`. `details` says what changed, never to what if that is secret or
/// personal.
pub async fn record(
    tx: &mut Tx,
    tenant: TenantId,
    actor: &str,
    action: &str,
    target_kind: &str,
    target_id: Option<Uuid>,
    details: Value,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into audit_log (tenant_id, id, actor, action, target_kind, target_id, details)
         values ($1, $2, $3, $4, $5, $6, $7)",
        tenant.as_uuid(),
        Uuid::now_v7(),
        actor,
        action,
        target_kind,
        target_id.map(|id| id.to_string()),
        details
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// How many entries there are; and whether there are more than that.
pub(super) async fn count(tx: &mut Tx, tenant: TenantId, filter: &Filter) -> Result<(i64, bool), DbError> {
    let n = sqlx::query_scalar!(
        r#"select count(*) as "n!" from (
            select from audit_log
            where tenant_id = $1 and ($2::text is null or actor = $2) and ($3::text is null or action = $3)
                and ($4::text is null or target_kind = $4) and ($5::timestamptz is null or at >= $5)
                and ($6::timestamptz is null or at < $6)
            limit $7) found"#,
        tenant.as_uuid(),
        filter.actor,
        filter.action,
        filter.target_kind,
        filter.from,
        filter.until,
        COUNTED + 1
    )
    .fetch_one(tx.connection())
    .await?;
    Ok((n.min(COUNTED), n > COUNTED))
}

/// A page, the newest first.
pub(super) async fn list(tx: &mut Tx, tenant: TenantId, filter: &Filter, page: Page) -> Result<Vec<Entry>, DbError> {
    Ok(sqlx::query_as!(
        Entry,
        r#"select id, at as "at: DateTime<Utc>", actor, action, target_kind, target_id, details
           from audit_log
           where tenant_id = $1 and ($2::text is null or actor = $2) and ($3::text is null or action = $3)
                and ($4::text is null or target_kind = $4) and ($5::timestamptz is null or at >= $5)
                and ($6::timestamptz is null or at < $6)
           order by at desc, id desc limit $7 offset $8"#,
        tenant.as_uuid(),
        filter.actor,
        filter.action,
        filter.target_kind,
        filter.from,
        filter.until,
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?)
}
