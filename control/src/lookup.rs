//! What must be found before the tenant is known: the one file whose functions take no [`TenantId`]. Each answers with one.
//!
//! They call the functions of the database's schema `lookup`, which run as a role of their own; the service's role can do nothing
//! else without a tenant.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_base::CallId;
use uuid::Uuid;

use crate::{
    auth::Role,
    db::{Db, DbError, Tx},
    jobs::{
        Job,
        queue::{Claim, Count},
    },
    tenant::TenantId,
    vendors::Provider,
};

/// What a user is to a tenant that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The tenant.
    pub tenant: TenantId,
    /// Whether the tenant may be served.
    pub active: bool,
    /// The user's role, if they are or were a member.
    pub role: Option<Role>,
    /// Whether they were removed.
    pub removed: bool,
}

/// What a user is to a tenant; `None` if there is no such tenant.
pub async fn membership(db: &Db, user: Uuid, tenant: TenantId) -> Result<Option<Membership>, DbError> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant_id!", tenant_status as "status!", role, removed as "removed!" from lookup.membership($1, $2)"#,
        user,
        tenant.as_uuid()
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(|row| {
        let role = row.role.map(|role| role.parse()).transpose();
        Ok(Membership {
            tenant: TenantId::new(row.tenant_id),
            active: row.status == "active",
            role: role.map_err(|()| DbError::Corrupt { table: "members", cause: "role".into() })?,
            removed: row.removed,
        })
    })
    .transpose()
}

/// Makes a tenant with its first member as owner, which begins its audit log. False if it was there already: then nothing is changed.
pub async fn provision_tenant(db: &Db, tenant: TenantId, user: Uuid, email: Option<&str>) -> Result<bool, DbError> {
    let row = sqlx::query!(
        r#"select created as "created!" from lookup.provision_tenant($1, $2, $3, $4)"#,
        tenant.as_uuid(),
        user,
        email,
        Uuid::now_v7()
    )
    .fetch_one(db.pool())
    .await?;
    Ok(row.created)
}

/// An API key that was made some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// Whose.
    pub tenant: TenantId,
    /// Whether the tenant may be served.
    pub active: bool,
    /// The key's id.
    pub id: Uuid,
    /// Its keyed hash: until it matches, this is nobody's.
    pub hash: Vec<u8>,
    /// What it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it was ended before its time.
    pub revoked: bool,
    /// When its last use was written.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The API key that has this id in it.
pub async fn api_key(db: &Db, key_id: &str) -> Result<Option<FoundKey>, DbError> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant_id!", tenant_status as "status!", id as "id!", key_hash as "hash!", role as "role!",
              expires_at, revoked_at, last_used_at from lookup.api_key($1)"#,
        key_id
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(|row| {
        Ok(FoundKey {
            tenant: TenantId::new(row.tenant_id),
            active: row.status == "active",
            id: row.id,
            hash: row.hash,
            role: row.role.parse().map_err(|()| DbError::Corrupt { table: "api_keys", cause: "role".into() })?,
            expires_at: row.expires_at,
            revoked: row.revoked_at.is_some(),
            last_used_at: row.last_used_at,
        })
    })
    .transpose()
}

/// A number that some tenant has, and its carrier has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundNumber {
    /// Whose.
    pub tenant: TenantId,
    /// The number's id.
    pub id: Uuid,
    /// Who answers it.
    pub agent: Option<Uuid>,
    /// With which credential it was confirmed.
    pub credential: Option<Uuid>,
}

/// Who has a number.
pub async fn number(db: &Db, provider: Provider, e164: &str) -> Result<Option<FoundNumber>, DbError> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!", agent_id, credential_id from lookup.number($1, $2)"#,
        provider.name(),
        e164
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| FoundNumber {
        tenant: TenantId::new(row.tenant_id),
        id: row.id,
        agent: row.agent_id,
        credential: row.credential_id,
    }))
}

/// A credential that holds an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSecret {
    /// Whose.
    pub tenant: TenantId,
    /// The credential's id.
    pub credential: Uuid,
    /// Its fields, encrypted.
    pub encrypted: String,
}

/// The credentials of all tenants that hold this account of this provider.
pub async fn account_secrets(db: &Db, provider: Provider, account: &str) -> Result<Vec<AccountSecret>, DbError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!", encrypted_credentials as "encrypted!" from lookup.account_secrets($1, $2)"#,
        provider.name(),
        account
    )
    .fetch_all(db.pool())
    .await?;
    let secret =
        |tenant_id, id, encrypted| AccountSecret { tenant: TenantId::new(tenant_id), credential: id, encrypted };
    Ok(rows.into_iter().map(|row| secret(row.tenant_id, row.id, row.encrypted)).collect())
}

/// Whose conversation an id is.
pub async fn conversation(db: &Db, id: CallId) -> Result<Option<TenantId>, DbError> {
    let tenant = sqlx::query_scalar!(r#"select tenant_id as "tenant_id!" from lookup.conversation($1)"#, id.as_uuid())
        .fetch_optional(db.pool())
        .await?;
    Ok(tenant.map(TenantId::new))
}

/// Whose conversation a carrier's call is.
pub async fn call(db: &Db, provider: Provider, provider_call_id: &str) -> Result<Option<(TenantId, CallId)>, DbError> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant_id!", conversation_id as "conversation_id!" from lookup.call($1, $2)"#,
        provider.name(),
        provider_call_id
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| (TenantId::new(row.tenant_id), CallId::from(row.conversation_id))))
}

/// What a stream token admits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundToken {
    /// Whose.
    pub tenant: TenantId,
    /// To which conversation.
    pub conversation: CallId,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// What the token with this SHA-256 admits to.
pub async fn stream_token(db: &Db, hash: &[u8; 32]) -> Result<Option<FoundToken>, DbError> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant_id!", conversation_id as "conversation_id!", expires_at as "expires_at!" from lookup.stream_token($1)"#,
        hash.as_slice()
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| FoundToken {
        tenant: TenantId::new(row.tenant_id),
        conversation: CallId::from(row.conversation_id),
        expires_at: row.expires_at,
    }))
}

/// Whose ticket for a live stream the one with this SHA-256 is, whether or not it is still good.
pub async fn sse_ticket(db: &Db, hash: &[u8; 32]) -> Result<Option<TenantId>, DbError> {
    let tenant = sqlx::query_scalar!(r#"select tenant_id as "tenant_id!" from lookup.sse_ticket($1)"#, hash.as_slice())
        .fetch_optional(db.pool())
        .await?;
    Ok(tenant.map(TenantId::new))
}

/// Whose recording the holder of the secret with this SHA-256 may bring a transcript of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundCallback {
    /// The tenant.
    pub tenant: TenantId,
    /// The conversation.
    pub conversation: CallId,
    /// When it stops being good.
    pub expires_at: DateTime<Utc>,
    /// Whether it was used already.
    pub used: bool,
}

/// What a vendor that shows the secret with this SHA-256 may bring, whether or not it still may.
pub async fn deepgram_callback(db: &Db, hash: &[u8; 32]) -> Result<Option<FoundCallback>, DbError> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant_id!", conversation_id as "conversation_id!", expires_at as "expires_at!", used_at
           from lookup.deepgram_callback($1)"#,
        hash.as_slice()
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| FoundCallback {
        tenant: TenantId::new(row.tenant_id),
        conversation: CallId::from(row.conversation_id),
        expires_at: row.expires_at,
        used: row.used_at.is_some(),
    }))
}

/// Recordings that are to be deleted, whose time is over, or that were lost: up to `n` of each.
pub async fn recordings_due(db: &Db, n: i32) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    let rows = sqlx::query!(r#"select tenant_id as "tenant_id!", id as "id!" from lookup.recordings_due($1)"#, n)
        .fetch_all(db.pool())
        .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), row.id)).collect())
}

/// Up to `n` conversations that are not over and that no node keeps alive.
pub async fn abandoned_calls(db: &Db, n: i32) -> Result<Vec<(TenantId, CallId)>, DbError> {
    let due = claim_due(db, "abandoned_call", n, None).await?;
    Ok(due.into_iter().map(|(tenant, id)| (tenant, CallId::from(id))).collect())
}

/// A leg of a call that its carrier should be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietLeg {
    /// Whose.
    pub tenant: TenantId,
    /// The leg's id.
    pub leg: Uuid,
    /// The conversation that it is of.
    pub conversation: CallId,
}

/// Up to `n` legs that have not come to an end and of which their carriers have said nothing for too long, the longest waiting first.
pub async fn quiet_legs(db: &Db, n: i32) -> Result<Vec<QuietLeg>, DbError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!", conversation_id as "conversation_id!" from lookup.quiet_legs($1)"#,
        n
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| QuietLeg {
            tenant: TenantId::new(row.tenant_id),
            leg: row.id,
            conversation: CallId::from(row.conversation_id),
        })
        .collect())
}

/// Up to `n` credentials that are encrypted with another key than the one with this fingerprint.
pub async fn credentials_to_rotate(db: &Db, n: i32, fingerprint: &str) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    claim_due(db, "key_rotation", n, Some(fingerprint)).await
}

/// Up to `n` conversations whose text their tenants' settings no longer keep at this time, the oldest of each tenant first.
pub async fn retention_due(db: &Db, n: i32, now: DateTime<Utc>) -> Result<Vec<(TenantId, CallId)>, DbError> {
    let due = claim_due(db, "retention", n, Some(&now.to_rfc3339())).await?;
    Ok(due.into_iter().map(|(tenant, id)| (tenant, CallId::from(id))).collect())
}

/// Up to `n` dials that are not settled and that nobody sees to.
pub async fn unsettled_dials(db: &Db, n: i32) -> Result<Vec<(TenantId, CallId)>, DbError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", conversation_id as "conversation_id!" from lookup.unsettled_dials($1)"#,
        n
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), CallId::from(row.conversation_id))).collect())
}

/// Up to `n` campaigns that run and may have somebody to call.
pub async fn due_campaigns(db: &Db, n: i32) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    let rows = sqlx::query!(r#"select tenant_id as "tenant_id!", id as "id!" from lookup.due_campaigns($1)"#, n)
        .fetch_all(db.pool())
        .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), row.id)).collect())
}

/// An account's next turn to place a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is the caller's, in this time.
    In(Duration),
    /// Too many wait already: there may be one in this time.
    NotBefore(Duration),
}

/// Takes an account's next turn to place a call, of which there is one every so often, if it is not further away than `patience`.
/// Other tenants may have the same account, and other nodes ask for it: what is taken stays taken once the transaction is committed, and
/// until then the others wait.
pub async fn call_turn(
    tx: &mut Tx,
    provider: Provider,
    account: &str,
    every: Duration,
    patience: Duration,
) -> Result<Turn, DbError> {
    let turn = sqlx::query!(
        r#"select granted as "granted!", wait as "wait!" from lookup.call_turn($1, $2, make_interval(secs => $3), make_interval(secs => $4))"#,
        provider.name(),
        account,
        every.as_secs_f64(),
        patience.as_secs_f64(),
    )
    .fetch_one(tx.connection())
    .await?;
    let wait = Duration::try_from_secs_f64(turn.wait).unwrap_or_default();
    Ok(if turn.granted { Turn::In(wait) } else { Turn::NotBefore(wait) })
}

/// Tenants, at least one for up to `n` such keys, that have idempotency keys which have expired.
pub async fn expired_idempotency_keys(db: &Db, n: i32) -> Result<Vec<TenantId>, DbError> {
    let tenants =
        sqlx::query_scalar!(r#"select tenant_id as "tenant_id!" from lookup.expired_idempotency_keys($1)"#, n)
            .fetch_all(db.pool())
            .await?;
    Ok(tenants.into_iter().map(TenantId::new).collect())
}

async fn claim_due(db: &Db, kind: &str, n: i32, argument: Option<&str>) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!" from lookup.claim_due($1, $2, $3)"#,
        kind,
        n,
        argument
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), row.id)).collect())
}

/// Claims jobs that are due: those first whose tenant has the fewest running.
pub async fn claim_jobs(db: &Db, claim: Claim<'_>) -> Result<Vec<Job>, DbError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!", subject as "subject!", conversation_id, lane, seq as "seq!",
                  attempts as "attempts!", created_at as "created_at!"
           from lookup.claim_jobs($1, $2, $3, $4, $5, $6)"#,
        claim.kind.name(),
        claim.n,
        claim.per_tenant,
        claim.attempts,
        claim.worker,
        claim.lease.as_secs_f64()
    )
    .fetch_all(db.pool())
    .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        jobs.push(Job {
            tenant: TenantId::new(row.tenant_id),
            id: row.id,
            kind: claim.kind,
            subject: row.subject,
            conversation: row.conversation_id.map(CallId::from),
            lane: row.lane,
            seq: row.seq,
            attempt: row.attempts,
            created_at: row.created_at,
            worker: claim.worker.to_owned(),
        });
    }
    Ok(jobs)
}

/// Says that a worker lives and is at work on these jobs; which of them it still has.
pub async fn keep_jobs(
    db: &Db,
    worker: &str,
    jobs: &[Uuid],
    lease: Duration,
) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!" from lookup.keep_jobs($1, $2, $3)"#,
        worker,
        jobs,
        lease.as_secs_f64()
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), row.id)).collect())
}

/// How many jobs there are: of no tenant in particular.
pub async fn job_counts(db: &Db) -> Result<Vec<Count>, DbError> {
    Ok(sqlx::query_as!(
        Count,
        r#"select kind as "kind!", state as "state!", jobs as "jobs!", oldest from lookup.job_counts()"#
    )
    .fetch_all(db.pool())
    .await?)
}

/// Tenants, at least one for up to `n` such rows, that have deliveries or jobs that gave up from before a time.
pub async fn old_jobs(db: &Db, before: DateTime<Utc>, n: i32) -> Result<Vec<TenantId>, DbError> {
    let tenants = sqlx::query_scalar!(r#"select tenant_id as "tenant_id!" from lookup.old_jobs($1, $2)"#, before, n)
        .fetch_all(db.pool())
        .await?;
    Ok(tenants.into_iter().map(TenantId::new).collect())
}

/// Up to `n` endpoints whose secrets are encrypted with another key than the one with this fingerprint.
pub async fn webhook_secrets_to_rotate(db: &Db, n: i32, fingerprint: &str) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!" from lookup.webhook_secrets_to_rotate($1, $2)"#,
        n,
        fingerprint
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), row.id)).collect())
}
