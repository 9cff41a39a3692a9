//! What endpoints are told: written by the database's triggers, done by a job each, kept as a log for 30 days.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use trunkline_base::Secret;
use uuid::Uuid;

use super::Delivery;
use crate::{
    db::{DbError, Tx},
    http::Page,
    jobs::queue::{self, Job},
    tenant::TenantId,
    vault::{Vault, VaultError},
};

/// After how long a time without success an endpoint is told nothing any more.
pub const PATIENCE: TimeDelta = TimeDelta::hours(72);

/// Something to tell an endpoint.
#[derive(Debug)]
pub struct Due {
    /// Its id, which all its attempts have.
    pub id: Uuid,
    /// Whom.
    pub endpoint: Uuid,
    /// Where that is.
    pub url: String,
    /// Whether it is to be told anything now.
    pub is_enabled: bool,
    /// What: JSON.
    pub payload: Value,
    encrypted_secrets: String,
    previous_until: Option<DateTime<Utc>>,
}

impl Due {
    /// What the request is signed with: one secret, or two while a former one counts too.
    pub fn secrets(&self, vault: &Vault, now: DateTime<Utc>) -> Result<Vec<Secret>, VaultError> {
        let fields = vault.open(&self.encrypted_secrets)?;
        let former = self.previous_until.filter(|until| now < *until).and_then(|_| fields.get("previous"));
        Ok(fields.get("secret").into_iter().chain(former).cloned().collect())
    }
}

/// How an attempt went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The answer's HTTP status.
    pub response_status: Option<u16>,
    /// How its body begins.
    pub response_body: Option<String>,
    /// Why it failed; `None` if it did not.
    pub error: Option<String>,
    /// From the request to the end of the answer, in milliseconds.
    pub duration_ms: i32,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has arrived.
    Delivered,
    /// It is tried again after this time.
    Again(std::time::Duration),
    /// It is given up.
    GivenUp,
    /// The endpoint asks for nothing more, or is disabled: it is given up, and nobody need look at it.
    Unwanted,
}

/// What is to be told, and whom; `None` if the endpoint is no more.
pub async fn due(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<Due>, DbError> {
    Ok(sqlx::query_as!(
        Due,
        r#"select d.id, d.endpoint_id as endpoint, e.url, e.is_enabled, d.payload, e.encrypted_secrets, e.previous_until
           from webhook_deliveries d join webhook_endpoints e on e.tenant_id = d.tenant_id and e.id = d.endpoint_id
           where d.tenant_id = $1 and d.id = $2"#,
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Writes how an attempt went, and ends the claim of its job accordingly. False if somebody else has the job: then nothing is
/// written.
pub async fn settle(
    tx: &mut Tx,
    tenant: TenantId,
    job: &Job,
    due: &Due,
    attempt: &Attempt,
    fate: Fate,
) -> Result<bool, DbError> {
    let reason = attempt.error.as_deref().unwrap_or_default();
    // First: what a worker brings whose claim has ended is no longer of interest.
    let (status, ours) = match fate {
        Fate::Delivered => ("delivered", queue::done(tx, tenant, job).await?),
        Fate::Again(after) => ("pending", queue::again(tx, tenant, job, after, reason).await?),
        Fate::GivenUp => ("failed", queue::bury(tx, tenant, job, reason).await?),
        Fate::Unwanted => ("failed", queue::done(tx, tenant, job).await?),
    };
    if !ours {
        return Ok(false);
    }
    sqlx::query!(
        "update webhook_deliveries
         set status = $3, attempts = attempts + 1, response_status = $4, response_body = $5, error = $6, duration_ms = $7,
             attempted_at = clock_timestamp()
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        due.id,
        status,
        attempt.response_status.map(i32::from),
        attempt.response_body.as_deref().map(|body| body.replace('\0', "\u{fffd}")),
        attempt.error,
        attempt.duration_ms
    )
    .execute(tx.connection())
    .await?;
    match fate {
        Fate::Delivered => {
            sqlx::query!(
                "update webhook_endpoints set failing_since = null where tenant_id = $1 and id = $2 and failing_since is not null",
                tenant.as_uuid(),
                due.endpoint
            )
            .execute(tx.connection())
            .await?;
        }
        Fate::Again(_) | Fate::GivenUp => note_failure(tx, tenant, due.endpoint).await?,
        Fate::Unwanted => {}
    }
    Ok(true)
}

/// It has failed; if it has for too long, it is disabled.
async fn note_failure(tx: &mut Tx, tenant: TenantId, endpoint: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update webhook_endpoints set failing_since = clock_timestamp() where tenant_id = $1 and id = $2 and failing_since is null",
        tenant.as_uuid(),
        endpoint
    )
    .execute(tx.connection())
    .await?;
    let disabled = sqlx::query!(
        "update webhook_endpoints
         set is_enabled = false, disabled_at = clock_timestamp(), updated_at = clock_timestamp(),
             disabled_reason = 'nothing could be delivered for ' || $4::int || ' hours'
         where tenant_id = $1 and id = $2 and is_enabled and failing_since < clock_timestamp() - make_interval(secs => $3)",
        tenant.as_uuid(),
        endpoint,
        PATIENCE.as_seconds_f64(),
        i32::try_from(PATIENCE.num_hours()).unwrap_or(i32::MAX)
    )
    .execute(tx.connection())
    .await?;
    if disabled.rows_affected() > 0 {
        tracing::warn!(webhook_id = %endpoint, "a webhook that has failed for too long is disabled");
    }
    Ok(())
}

/// The endpoint is told nothing any more, for this reason.
pub async fn disable(tx: &mut Tx, tenant: TenantId, endpoint: Uuid, reason: &str) -> Result<(), DbError> {
    sqlx::query!(
        "update webhook_endpoints
         set is_enabled = false, disabled_reason = $3, disabled_at = clock_timestamp(), updated_at = clock_timestamp()
         where tenant_id = $1 and id = $2 and is_enabled",
        tenant.as_uuid(),
        endpoint,
        reason
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A page of what an endpoint was told, the newest first; and how much that is. What a worker's death has ended has failed.
pub(super) async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    endpoint: Uuid,
    page: Page,
) -> Result<(Vec<Delivery>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from webhook_deliveries where tenant_id = $1 and endpoint_id = $2"#,
        tenant.as_uuid(),
        endpoint
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query!(
        r#"select d.id, d.event, d.conversation_id, d.attempts, d.attempted_at, d.duration_ms, d.response_status, d.response_body,
                  d.error, d.payload, d.created_at,
                  case when d.status = 'pending' and j.state = 'dead' then 'failed' else d.status end as "status!",
                  case when j.state = 'queued' then j.run_at end as next_attempt_at
           from webhook_deliveries d
           left join jobs j on j.tenant_id = d.tenant_id and j.kind = 'webhook' and j.subject = d.id
           where d.tenant_id = $1 and d.endpoint_id = $2
           order by d.created_at desc, d.id desc limit $3 offset $4"#,
        tenant.as_uuid(),
        endpoint,
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    let mut deliveries = Vec::with_capacity(rows.len());
    for row in rows {
        deliveries.push(Delivery {
            id: row.id,
            event: row.event,
            conversation_id: row.conversation_id,
            status: row.status,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            attempted_at: row.attempted_at,
            duration_ms: row.duration_ms,
            response_status: row.response_status,
            response_body: row.response_body,
            error: row.error,
            payload: if let Value::Object(payload) = row.payload { payload } else { serde_json::Map::new() },
            created_at: row.created_at,
        });
    }
    Ok((deliveries, total))
}

/// What came of the wish to deliver something again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// It will be.
    Queued,
    /// It is being delivered anyway.
    UnderWay,
    /// Its endpoint is told nothing.
    Disabled,
    /// There is no such delivery to that endpoint.
    NotThere,
}

/// Delivers something again that was delivered or has failed: in no lane, for what came after it may be delivered already.
pub async fn redeliver(tx: &mut Tx, tenant: TenantId, endpoint: Uuid, id: Uuid) -> Result<Redelivery, DbError> {
    let found = sqlx::query!(
        "select d.conversation_id, e.is_enabled
         from webhook_deliveries d join webhook_endpoints e on e.tenant_id = d.tenant_id and e.id = d.endpoint_id
         where d.tenant_id = $1 and d.endpoint_id = $2 and d.id = $3 for update of d",
        tenant.as_uuid(),
        endpoint,
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(found) = found else { return Ok(Redelivery::NotThere) };
    if !found.is_enabled {
        return Ok(Redelivery::Disabled);
    }
    let queued = sqlx::query!(
        "insert into jobs (tenant_id, id, kind, subject, conversation_id) values ($1, $2, 'webhook', $3, $4)
         on conflict (tenant_id, kind, subject) do update
         set state = 'queued', attempts = 0, run_at = clock_timestamp(), lane = null, error = null, dead_at = null
         where jobs.state = 'dead'",
        tenant.as_uuid(),
        Uuid::now_v7(),
        id,
        found.conversation_id
    )
    .execute(tx.connection())
    .await?;
    if queued.rows_affected() == 0 {
        return Ok(Redelivery::UnderWay);
    }
    reopen(tx, tenant, id).await?;
    Ok(Redelivery::Queued)
}

/// It is pending again.
pub(crate) async fn reopen(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update webhook_deliveries set status = 'pending' where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes up to `limit` deliveries from before a time; says how many.
pub(crate) async fn remove_old(
    tx: &mut Tx,
    tenant: TenantId,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, DbError> {
    let removed = sqlx::query!(
        "delete from webhook_deliveries where tenant_id = $1 and id in (
             select id from webhook_deliveries where tenant_id = $1 and created_at < $2 order by created_at limit $3)",
        tenant.as_uuid(),
        before,
        limit
    )
    .execute(tx.connection())
    .await?;
    Ok(removed.rows_affected())
}
