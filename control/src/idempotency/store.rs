//! Keys and what was answered under them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    db::{Db, DbError, Tx},
    tenant::TenantId,
};

/// One key of one route.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The route's template.
    pub(super) route: String,
    /// As the client wrote it.
    pub(super) key: String,
}

/// Until when a request may run under a key; also what tells it from a later one, which has taken the key over.
pub(super) type Lease = DateTime<Utc>;

/// What came of claiming a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is ours to run.
    Ours(Lease),
    /// An earlier request has it.
    Theirs(Earlier),
}

/// An earlier request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    /// What it was, as a digest.
    pub(super) digest: Vec<u8>,
    /// What it was answered, encrypted; `None` while it runs.
    pub(super) answer: Option<String>,
}

/// Takes a key that nobody has, or whose time is over.
pub(super) async fn claim(
    db: &Db,
    tenant: TenantId,
    key: &Key,
    digest: &[u8; 32],
    lease: Duration,
) -> Result<Claim, DbError> {
    let mut tx = db.begin(tenant).await?;
    // An answer can expire between the two statements: then the key is free after all.
    loop {
        let ours = sqlx::query_scalar!(
            "insert into idempotency_keys as k (tenant_id, route, key, body_hmac, state, expires_at)
             values ($1, $2, $3, $4, 'running', now() + make_interval(secs => $5))
             on conflict (tenant_id, route, key) do update
                set body_hmac = excluded.body_hmac, state = excluded.state, status = null, response = null,
                    expires_at = excluded.expires_at
                where k.expires_at < now()
             returning expires_at",
            tenant.as_uuid(),
            key.route,
            key.key,
            digest.as_slice(),
            lease.as_secs_f64(),
        )
        .fetch_optional(tx.connection())
        .await?;
        if let Some(expires_at) = ours {
            tx.commit().await?;
            return Ok(Claim::Ours(expires_at));
        }
        let theirs = sqlx::query!(
            "select body_hmac, response from idempotency_keys where tenant_id = $1 and route = $2 and key = $3",
            tenant.as_uuid(),
            key.route,
            key.key,
        )
        .fetch_optional(tx.connection())
        .await?;
        if let Some(theirs) = theirs {
            return Ok(Claim::Theirs(Earlier { digest: theirs.body_hmac, answer: theirs.response }));
        }
    }
}

/// Keeps an answer for as long as `keep`, unless the key has been taken over.
pub(super) async fn finish(
    db: &Db,
    tenant: TenantId,
    key: &Key,
    lease: Lease,
    (status, answer): (u16, &str),
    keep: Duration,
) -> Result<(), DbError> {
    let mut tx = db.begin(tenant).await?;
    sqlx::query!(
        "update idempotency_keys
         set state = 'done', status = $5, response = $6, expires_at = now() + make_interval(secs => $7)
         where tenant_id = $1 and route = $2 and key = $3 and state = 'running' and expires_at = $4",
        tenant.as_uuid(),
        key.route,
        key.key,
        lease,
        i32::from(status),
        answer,
        keep.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Gives a key up, unless it has been taken over.
pub(super) async fn release(db: &Db, tenant: TenantId, key: &Key, lease: Lease) -> Result<(), DbError> {
    let mut tx = db.begin(tenant).await?;
    sqlx::query!(
        "delete from idempotency_keys
         where tenant_id = $1 and route = $2 and key = $3 and state = 'running' and expires_at = $4",
        tenant.as_uuid(),
        key.route,
        key.key,
        lease,
    )
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Removes what has expired; how much that was.
pub(super) async fn remove_expired(tx: &mut Tx, tenant: TenantId) -> Result<u64, DbError> {
    let done =
        sqlx::query!("delete from idempotency_keys where tenant_id = $1 and expires_at < now()", tenant.as_uuid())
            .execute(tx.connection())
            .await?;
    Ok(done.rows_affected())
}
