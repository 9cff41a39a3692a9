//! The seam between those who make jobs and those who do them.
//!
//! A worker claims a job for as long as its lease lasts. Whatever ends the claim names it, and is refused once somebody else has the
//! job: what a job does to the database belongs into the transaction that ends its claim, and is there once however often it was tried.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_base::CallId;
use uuid::Uuid;

use super::store;
use crate::{
    db::{Db, DbError, Tx},
    lookup,
    tenant::TenantId,
    webhooks::deliveries,
};

/// The longest reason that is kept, in bytes.
const LONGEST_REASON: usize = 500;
/// How long what gave up, and what was delivered, can be looked at.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);
/// How many rows of each are removed at once.
const BATCH: i32 = 1000;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A conversation that is over is analysed.
    Analysis,
    /// An endpoint is told of something.
    Webhook,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Analysis, Self::Webhook];

    /// The name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Webhook => "webhook",
        }
    }
}

/// A job that somebody has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub id: Uuid,
    /// What is to be done.
    pub kind: Kind,
    /// To which: a conversation, a delivery.
    pub subject: Uuid,
    /// The conversation that it came from.
    pub conversation: Option<CallId>,
    /// What it must not overtake.
    pub lane: Option<String>,
    /// Its place there.
    pub seq: i64,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who has claimed it.
    pub worker: String,
}

/// Who claims, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// What.
    pub kind: Kind,
    /// How many at most.
    pub n: i32,
    /// About how many one tenant has running at once, with all workers.
    pub per_tenant: i32,
    /// After how many attempts that killed their worker it is enough.
    pub attempts: i32,
    /// The worker, which no other is named like.
    pub worker: &'a str,
    /// How long it holds them without a further word.
    pub lease: Duration,
}

/// Claims what is due, of all tenants: those first that have the fewest running.
pub async fn claim(db: &Db, claim: Claim<'_>) -> Result<Vec<Job>, DbError> {
    lookup::claim_jobs(db, claim).await
}

/// Says that a worker lives and is at work on these jobs; which of them it still has.
pub async fn keep(db: &Db, worker: &str, jobs: &[Uuid], lease: Duration) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    lookup::keep_jobs(db, worker, jobs, lease).await
}

/// How many jobs of a kind are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The kind, in the database's word.
    pub kind: String,
    /// `queued`, `running` or `dead`.
    pub state: String,
    /// How many.
    pub jobs: i64,
    /// Since when the oldest of them is there; of the dead: is dead.
    pub oldest: Option<DateTime<Utc>>,
}

/// How many there are, of all tenants.
pub async fn counts(db: &Db) -> Result<Vec<Count>, DbError> {
    lookup::job_counts(db).await
}

/// Lets a conversation that is over be analysed, if its agent wants that and its caller has said anything. Once: a second wish changes
/// nothing while the first is open.
pub async fn analyse(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<(), DbError> {
    sqlx::query!(
        "insert into jobs (tenant_id, id, kind, subject, conversation_id)
         select $1, $3, 'analysis', c.id, c.id
         from conversations c
         join agent_versions v on v.tenant_id = c.tenant_id and v.agent_id = c.agent_id and v.version = c.agent_version
         where c.tenant_id = $1 and c.id = $2 and c.end_time is not null and c.erased_at is null
             and coalesce((v.config #>> '{analysis_config,enabled}')::boolean, true)
             and exists (select from turns t
                 where t.tenant_id = c.tenant_id and t.conversation_id = c.id and t.speaker = 'customer' and t.text <> '')
         on conflict (tenant_id, kind, subject) do nothing",
        tenant.as_uuid(),
        id.as_uuid(),
        Uuid::now_v7(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The job is done, and is no more. False if somebody else has it by now: then nothing of what was done for it may stay.
pub async fn done(tx: &mut Tx, tenant: TenantId, job: &Job) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "delete from jobs where tenant_id = $1 and id = $2 and state = 'running' and worker = $3 and attempts = $4",
        tenant.as_uuid(),
        job.id,
        job.worker,
        job.attempt
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The job is tried again after some time. False if somebody else has it by now.
pub async fn again(tx: &mut Tx, tenant: TenantId, job: &Job, after: Duration, reason: &str) -> Result<bool, DbError> {
    let put_back = sqlx::query!(
        "update jobs set state = 'queued', worker = null, lease_until = null, error = $5,
                run_at = clock_timestamp() + make_interval(secs => $6)
         where tenant_id = $1 and id = $2 and state = 'running' and worker = $3 and attempts = $4",
        tenant.as_uuid(),
        job.id,
        job.worker,
        job.attempt,
        shortened(reason),
        after.as_secs_f64()
    )
    .execute(tx.connection())
    .await?;
    // What waits behind it is not due before it is, and need not be looked at.
    if let Some(lane) = &job.lane {
        sqlx::query!(
            "update jobs set run_at = clock_timestamp() + make_interval(secs => $5)
             where tenant_id = $1 and kind = $2 and lane = $3 and seq > $4 and state = 'queued'
                 and run_at < clock_timestamp() + make_interval(secs => $5)",
            tenant.as_uuid(),
            job.kind.name(),
            lane,
            job.seq,
            after.as_secs_f64()
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(put_back.rows_affected() == 1)
}

/// The job gives up, and is kept for people to look at. False if somebody else has it by now.
pub async fn bury(tx: &mut Tx, tenant: TenantId, job: &Job, reason: &str) -> Result<bool, DbError> {
    let buried = sqlx::query!(
        "update jobs set state = 'dead', worker = null, lease_until = null, error = $5, dead_at = clock_timestamp()
         where tenant_id = $1 and id = $2 and state = 'running' and worker = $3 and attempts = $4",
        tenant.as_uuid(),
        job.id,
        job.worker,
        job.attempt,
        shortened(reason)
    )
    .execute(tx.connection())
    .await?;
    Ok(buried.rows_affected() == 1)
}

/// The worker has no more time: the job is due again at once, and this was no attempt.
pub async fn give_back(tx: &mut Tx, tenant: TenantId, job: &Job) -> Result<bool, DbError> {
    let given = sqlx::query!(
        "update jobs set state = 'queued', worker = null, lease_until = null, attempts = attempts - 1, run_at = clock_timestamp()
         where tenant_id = $1 and id = $2 and state = 'running' and worker = $3 and attempts = $4",
        tenant.as_uuid(),
        job.id,
        job.worker,
        job.attempt
    )
    .execute(tx.connection())
    .await?;
    Ok(given.rows_affected() == 1)
}

/// Removes jobs that gave up, and deliveries, which are older than 30 days; says how many. Several nodes may sweep at once.
pub async fn sweep(db: &Db, now: DateTime<Utc>) -> Result<u64, DbError> {
    let before = now - KEPT;
    let mut removed = 0;
    for tenant in lookup::old_jobs(db, before, BATCH).await? {
        let mut tx = db.begin(tenant).await?;
        removed += store::remove_old(&mut tx, tenant, before, BATCH.into()).await?;
        removed += deliveries::remove_old(&mut tx, tenant, before, BATCH.into()).await?;
        tx.commit().await?;
    }
    Ok(removed)
}

fn shortened(reason: &str) -> String {
    let mut end = reason.len().min(LONGEST_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].replace('\0', "\u{fffd}")
}
