//! A call's legs: how far the carrier says that each has come, and which the carrier should be asked about. What a status means is not
//! known here: whoever writes one has decided.

use chrono::{DateTime, Utc};
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
    vendors::Provider,
};

/// What the end of a conversation is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallState {
    /// The tenant's number, which the carrier's account is found by.
    pub our_number: Option<Personal<String>>,
    /// Whether we have called.
    pub outbound: bool,
    /// When it began to ring.
    pub start_time: DateTime<Utc>,
    /// Whether a stream of it has begun.
    pub answered: bool,
    /// Whether we have set out to end it.
    pub ending: bool,
    /// Why we did.
    pub ending_reason: Option<String>,
    /// Whether it is over.
    pub over: bool,
    /// Whether some node keeps it alive.
    pub leased: bool,
}

/// A leg as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeg {
    /// Its id.
    pub id: Uuid,
    /// Whether it is the customer's, whose end is the call's.
    pub is_customer: bool,
    /// By which carrier it comes.
    pub provider: Provider,
    /// What the carrier calls it; `None` as long as the carrier has not told.
    pub provider_call_id: Option<String>,
    /// How far it has come, by its name.
    pub status: String,
    /// The status' place in the order.
    pub rank: i32,
    /// The highest number of a webhook, at a carrier that counts them.
    pub last_seq: Option<i32>,
    /// Where it lives, at a carrier with regions.
    pub region_url: Option<String>,
}

/// Keeps everybody else from changing a conversation, and tells how it is. It comes first in a transaction that changes its legs too.
pub async fn lock(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<Option<CallState>, DbError> {
    let row = sqlx::query!(
        r#"select our_number, direction, start_time, answered_at is not null as "answered!", ending_at is not null as "ending!",
                  ending_reason, end_time is not null as "over!",
                  exists (select from slots s where s.tenant_id = c.tenant_id and s.kind = 'call' and s.holder = c.id
                          and s.expires_at > now()) as "leased!"
           from conversations c where c.tenant_id = $1 and c.id = $2 for update of c"#,
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| CallState {
        our_number: row.our_number.map(Personal::new),
        outbound: row.direction == "outbound",
        start_time: row.start_time,
        answered: row.answered,
        ending: row.ending,
        ending_reason: row.ending_reason,
        over: row.over,
        leased: row.leased,
    }))
}

/// All legs of a conversation, the oldest first.
pub async fn of_call(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<Vec<StoredLeg>, DbError> {
    let rows = sqlx::query!(
        "select id, kind, provider, provider_call_id, status, status_rank, last_seq, region_url from call_legs
         where tenant_id = $1 and conversation_id = $2 order by created_at, id",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            let corrupt = |_| DbError::Corrupt { table: "call_legs", cause: "provider".into() };
            Ok(StoredLeg {
                id: row.id,
                is_customer: row.kind == "customer",
                provider: row.provider.parse().map_err(corrupt)?,
                provider_call_id: row.provider_call_id,
                status: row.status,
                rank: row.status_rank,
                last_seq: row.last_seq,
                region_url: row.region_url,
            })
        })
        .collect()
}

/// Notes that the carrier has said how a leg is, in whatever words.
pub async fn heard(
    tx: &mut Tx,
    tenant: TenantId,
    leg: Uuid,
    status: &str,
    rank: i32,
    last_seq: Option<i32>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update call_legs set status = $3, status_rank = $4, last_seq = $5, heard_at = now(), asks = 0
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        leg,
        status,
        rank,
        last_seq,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes it upon the caller to ask the carrier of a leg, and tells nobody else to for a while. False: somebody else has just done so.
pub async fn claim(tx: &mut Tx, tenant: TenantId, leg: Uuid) -> Result<bool, DbError> {
    let claimed = sqlx::query!(
        "update call_legs set asked_at = now(), asks = asks + 1
         where tenant_id = $1 and id = $2 and status_rank < 4 and (asked_at is null or asked_at < now() - interval '10 seconds')",
        tenant.as_uuid(),
        leg,
    )
    .execute(tx.connection())
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Remembers where a leg lives, for what is asked of its carrier later.
pub async fn set_region(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    provider_call_id: &str,
    region_url: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "update call_legs set region_url = $4 where tenant_id = $1 and conversation_id = $2 and provider_call_id = $3",
        tenant.as_uuid(),
        id.as_uuid(),
        provider_call_id,
        region_url,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Says that somebody has answered; says whether that is new. When its stream begins is noted by the call itself.
pub async fn set_active(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<bool, DbError> {
    let changed = sqlx::query!(
        "update conversations set status = 'active', version = version + 1
         where tenant_id = $1 and id = $2 and status = 'ringing' and end_time is null",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(changed.rows_affected() == 1)
}
