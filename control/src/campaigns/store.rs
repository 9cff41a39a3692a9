//! Campaigns in the database.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use trunkline_base::E164;
use uuid::Uuid;

use super::{
    hours::CallingHours,
    model::{Campaign, CampaignPatch, Progress, RetryPolicy},
};
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// Makes one, of a patch that has everything.
pub(super) async fn insert(tx: &mut Tx, tenant: TenantId, id: Uuid, new: &CampaignPatch) -> Result<(), DbError> {
    sqlx::query!(
        "insert into campaigns (tenant_id, id, name, agent_id, from_number, concurrency, calls_per_second, ring_timeout_s, calling_hours,
                                timezone, retry)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant.as_uuid(),
        id,
        new.name.as_deref().unwrap_or_default(),
        new.agent_id.unwrap_or_default(),
        new.from_number.as_ref().and_then(Option::as_ref).map(E164::expose),
        new.concurrency.unwrap_or(1),
        new.calls_per_second.unwrap_or(1.0),
        new.ring_timeout_s.unwrap_or(45),
        json(&new.calling_hours.clone().unwrap_or_default())?,
        new.timezone.as_deref().unwrap_or("UTC"),
        json(&new.retry.unwrap_or_default())?,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Changes one. What holds up its next call is forgotten: the change may be that.
pub(super) async fn update(tx: &mut Tx, tenant: TenantId, id: Uuid, patch: &CampaignPatch) -> Result<(), DbError> {
    sqlx::query!(
        "update campaigns
         set name = coalesce($3, name), agent_id = coalesce($4, agent_id),
             from_number = case when $5 then $6 else from_number end,
             concurrency = coalesce($7, concurrency), calls_per_second = coalesce($8, calls_per_second),
             ring_timeout_s = coalesce($9, ring_timeout_s), calling_hours = coalesce($10, calling_hours),
             timezone = coalesce($11, timezone), retry = coalesce($12, retry),
             next_call_at = least(next_call_at, clock_timestamp()), rests_until = clock_timestamp(), updated_at = clock_timestamp()
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
        patch.name,
        patch.agent_id,
        patch.from_number.is_some(),
        patch.from_number.as_ref().and_then(Option::as_ref).map(E164::expose),
        patch.concurrency,
        patch.calls_per_second,
        patch.ring_timeout_s,
        patch.calling_hours.as_ref().map(json).transpose()?,
        patch.timezone,
        patch.retry.as_ref().map(json).transpose()?,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Its status, which nobody else changes until the transaction is over.
pub(super) async fn lock(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<String>, DbError> {
    let status = sqlx::query_scalar!(
        "select status from campaigns where tenant_id = $1 and id = $2 for no key update",
        tenant.as_uuid(),
        id
    );
    Ok(status.fetch_optional(tx.connection()).await?)
}

/// Whether it has somebody to call, at some time.
pub(super) async fn has_pending(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, DbError> {
    let pending = sqlx::query_scalar!(
        r#"select exists (select from contacts where tenant_id = $1 and campaign_id = $2 and status <> 'done') as "is!""#,
        tenant.as_uuid(),
        id
    );
    Ok(pending.fetch_one(tx.connection()).await?)
}

/// Lets its contacts be called.
pub(super) async fn start(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update campaigns
         set status = 'running', paused_reason = null, started_at = coalesce(started_at, clock_timestamp()), completed_at = null,
             rests_until = clock_timestamp(), updated_at = clock_timestamp()
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets nobody be called for it any more, of those too whose calls wait for their turn.
pub(super) async fn pause(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update campaigns set status = 'paused', updated_at = clock_timestamp() where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "update conversations c set ending_at = clock_timestamp(), ending_reason = 'canceled', version = version + 1
         where c.tenant_id = $1 and c.end_time is null and c.ending_at is null and c.id in (
             select a.conversation_id from contact_attempts a
             join contacts t on t.tenant_id = a.tenant_id and t.id = a.contact_id
             join dials d on d.tenant_id = a.tenant_id and d.conversation_id = a.conversation_id
             where a.tenant_id = $1 and t.campaign_id = $2 and t.status = 'calling' and a.outcome is null and d.state = 'queued')",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes one, with its contacts. Calls that are on go on.
pub(super) async fn remove(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!("delete from campaigns where tenant_id = $1 and id = $2", tenant.as_uuid(), id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// One.
pub(super) async fn get(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<Campaign>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select id, name, agent_id, from_number, status, paused_reason, concurrency, calls_per_second, ring_timeout_s, calling_hours,
                timezone, retry, duplicates, do_not_call, started_at, completed_at, created_at, updated_at
         from campaigns where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut progress = progress(tx, tenant, &[id]).await?;
    row.campaign(progress.remove(&id).unwrap_or_default()).map(Some)
}

/// A page of them, the newest first; and how many there are.
pub(super) async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<Campaign>, i64), DbError> {
    let total = sqlx::query_scalar!(r#"select count(*) as "n!" from campaigns where tenant_id = $1"#, tenant.as_uuid());
    let total = total.fetch_one(tx.connection()).await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, name, agent_id, from_number, status, paused_reason, concurrency, calls_per_second, ring_timeout_s, calling_hours,
                timezone, retry, duplicates, do_not_call, started_at, completed_at, created_at, updated_at
         from campaigns where tenant_id = $1 order by created_at desc, id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut progress = progress(tx, tenant, &ids).await?;
    let campaigns = rows.into_iter().map(|row| {
        let progress = progress.remove(&row.id).unwrap_or_default();
        row.campaign(progress)
    });
    Ok((campaigns.collect::<Result<_, _>>()?, total))
}

/// How far the contacts of campaigns are.
async fn progress(tx: &mut Tx, tenant: TenantId, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Progress>, DbError> {
    let rows = sqlx::query!(
        r#"select campaign_id, status, outcome, count(*) as "n!" from contacts
           where tenant_id = $1 and campaign_id = any ($2) group by campaign_id, status, outcome"#,
        tenant.as_uuid(),
        ids
    )
    .fetch_all(tx.connection())
    .await?;
    let mut all = BTreeMap::<Uuid, Progress>::new();
    for row in rows {
        let progress = all.entry(row.campaign_id).or_default();
        progress.total += row.n;
        match (row.status.as_str(), row.outcome) {
            ("pending", _) => progress.pending += row.n,
            ("calling", _) => progress.calling += row.n,
            (_, outcome) => {
                progress.done += row.n;
                *progress.outcomes.entry(outcome.unwrap_or_default()).or_default() += row.n;
            }
        }
    }
    Ok(all)
}

struct Row {
    id: Uuid,
    name: String,
    agent_id: Uuid,
    from_number: Option<String>,
    status: String,
    paused_reason: Option<String>,
    concurrency: i32,
    calls_per_second: f64,
    ring_timeout_s: i32,
    calling_hours: Value,
    timezone: String,
    retry: Value,
    duplicates: i64,
    do_not_call: i64,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn campaign(self, progress: Progress) -> Result<Campaign, DbError> {
        Ok(Campaign {
            id: self.id,
            name: self.name,
            agent_id: self.agent_id,
            from_number: self.from_number,
            status: self.status.parse().map_err(|()| corrupt("status"))?,
            paused_reason: self.paused_reason,
            concurrency: self.concurrency,
            calls_per_second: self.calls_per_second,
            ring_timeout_s: self.ring_timeout_s,
            calling_hours: hours(self.calling_hours)?,
            timezone: self.timezone,
            retry: serde_json::from_value::<RetryPolicy>(self.retry).map_err(|_| corrupt("retry"))?,
            contacts: Progress {
                duplicates_removed: self.duplicates,
                do_not_call_removed: self.do_not_call,
                ..progress
            },
            started_at: self.started_at,
            completed_at: self.completed_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

pub(super) fn hours(stored: Value) -> Result<CallingHours, DbError> {
    serde_json::from_value(stored).map_err(|_| corrupt("calling_hours"))
}

pub(super) fn corrupt(cause: &str) -> DbError {
    DbError::Corrupt { table: "campaigns", cause: cause.to_owned() }
}

fn json(value: &impl serde::Serialize) -> Result<Value, DbError> {
    serde_json::to_value(value).map_err(|error| corrupt(&error.to_string()))
}
