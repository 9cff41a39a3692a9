//! What a call needs of its stored conversation: its row, its stream's tokens, the lease that says that some node keeps it alive, and
//! what was said so far when it comes back to a node that doesn't know it.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use crate::{
    agents::config::variables,
    db::{DbError, Tx},
    tenant::TenantId,
    vendors::Provider,
};

/// How long a call counts as alive after its node has last said so.
pub const LEASE: Duration = Duration::from_secs(30);

/// A call that rings.
#[derive(Debug, Clone)]
pub struct NewConversation {
    /// Its id, made by the program.
    pub id: CallId,
    /// Who answers.
    pub agent: Uuid,
    /// In which version.
    pub agent_version: i32,
    /// By which carrier it comes.
    pub provider: Provider,
    /// What the carrier calls it.
    pub provider_call_id: String,
    /// The caller's number.
    pub customer_phone: Personal<String>,
    /// The number that was called.
    pub our_number: Personal<String>,
    /// What fills the variables of the instructions.
    pub context: BTreeMap<String, String>,
    /// Who takes it.
    pub node: String,
}

/// Writes an inbound call that rings, its leg and its lease. [`DbError::Unique`]: this carrier's call is written already.
pub async fn create(tx: &mut Tx, tenant: TenantId, call: &NewConversation, now: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query!(
        "insert into conversations (tenant_id, id, agent_id, agent_version, channel, provider, direction, customer_phone, our_number,
                                    status, start_time, context, node)
         values ($1, $2, $3, $4, 'phone', $5, 'inbound', $6, $7, 'ringing', $8, $9, $10)",
        tenant.as_uuid(),
        call.id.as_uuid(),
        call.agent,
        call.agent_version,
        call.provider.name(),
        call.customer_phone.expose(),
        call.our_number.expose(),
        now,
        serde_json::to_value(&call.context).unwrap_or_default(),
        call.node,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "insert into call_legs (tenant_id, conversation_id, id, provider, provider_call_id, kind, status, status_rank)
         values ($1, $2, $3, $4, $5, 'customer', 'ringing', 2)",
        tenant.as_uuid(),
        call.id.as_uuid(),
        Uuid::now_v7(),
        call.provider.name(),
        call.provider_call_id,
    )
    .execute(tx.connection())
    .await?;
    renew_leases(tx, tenant, &[call.id]).await
}

/// Keeps a token that admits media sockets of a call, by its SHA-256, in the place of those that it had.
pub async fn put_token(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    hash: &[u8; 32],
    valid_for: Duration,
) -> Result<(), DbError> {
    sqlx::query!(
        "delete from stream_tokens where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        id.as_uuid()
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "insert into stream_tokens (hash, tenant_id, conversation_id, expires_at)
         values ($3, $1, $2, now() + make_interval(secs => $4))",
        tenant.as_uuid(),
        id.as_uuid(),
        hash.as_slice(),
        valid_for.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Says that these calls are alive.
pub async fn renew_leases(tx: &mut Tx, tenant: TenantId, calls: &[CallId]) -> Result<(), DbError> {
    sqlx::query!(
        "insert into slots (tenant_id, kind, holder, expires_at)
         select $1, 'call', c.id, now() + make_interval(secs => $3)
         from conversations c where c.tenant_id = $1 and c.id = any ($2) and c.end_time is null
         on conflict (tenant_id, kind, holder) do update set expires_at = excluded.expires_at",
        tenant.as_uuid(),
        &calls.iter().map(CallId::as_uuid).collect::<Vec<_>>(),
        LEASE.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a call that another process kept alive, for another stream.
pub async fn take_over(tx: &mut Tx, tenant: TenantId, id: CallId, node: &str) -> Result<(), DbError> {
    sqlx::query!(
        "update conversations set node = $3, version = version + 1 where tenant_id = $1 and id = $2 and end_time is null",
        tenant.as_uuid(),
        id.as_uuid(),
        node,
    )
    .execute(tx.connection())
    .await?;
    renew_leases(tx, tenant, &[id]).await
}

/// Notes that a node is hanging up, and why: from now on the carrier's redirect is told to hang up too. False if the call is another
/// node's by now, which is then the one to end it.
pub async fn set_ending(tx: &mut Tx, tenant: TenantId, id: CallId, node: &str, reason: &str) -> Result<bool, DbError> {
    let owner = sqlx::query_scalar!(
        "select node from conversations where tenant_id = $1 and id = $2 for update",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    if owner.flatten().as_deref() != Some(node) {
        return Ok(false);
    }
    sqlx::query!(
        "update conversations
         set ending_at = coalesce(ending_at, now()), ending_reason = coalesce(ending_reason, $3), version = version + 1
         where tenant_id = $1 and id = $2 and end_time is null",
        tenant.as_uuid(),
        id.as_uuid(),
        reason,
    )
    .execute(tx.connection())
    .await?;
    Ok(true)
}

/// A stored call.
#[derive(Debug, Clone)]
pub struct StoredCall {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub id: CallId,
    /// Who answered.
    pub agent: Uuid,
    /// In which version.
    pub agent_version: i32,
    /// By which carrier it comes.
    pub provider: Option<Provider>,
    /// What the carrier calls it.
    pub provider_call_id: Option<String>,
    /// Where it lives, at a carrier with regions.
    pub region_url: Option<String>,
    /// The number that was called.
    pub our_number: Option<Personal<String>>,
    /// When its first stream began.
    pub answered_at: Option<DateTime<Utc>>,
    /// Streams that it has had after its first one.
    pub reattached: i32,
    /// Whether it is over, or about to be.
    pub over: bool,
    /// What fills the variables of the instructions.
    pub context: BTreeMap<String, String>,
}

/// A call as it is stored.
pub async fn read(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<Option<StoredCall>, DbError> {
    let row = sqlx::query!(
        r#"select c.agent_id, c.agent_version, c.our_number, c.answered_at, c.reattached, c.context,
                  (c.ending_at is not null or c.end_time is not null) as "over!",
                  c.provider, l.provider_call_id as "provider_call_id?", l.region_url as "region_url?"
           from conversations c
           left join lateral (
               select l.provider_call_id, l.region_url from call_legs l
               where l.tenant_id = c.tenant_id and l.conversation_id = c.id and l.kind = 'customer'
               order by l.created_at limit 1) l on true
           where c.tenant_id = $1 and c.id = $2"#,
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| StoredCall {
        tenant,
        id,
        agent: row.agent_id,
        agent_version: row.agent_version,
        provider: row.provider.and_then(|provider| provider.parse().ok()),
        provider_call_id: row.provider_call_id,
        region_url: row.region_url,
        our_number: row.our_number.map(Personal::new),
        answered_at: row.answered_at,
        reattached: row.reattached,
        over: row.over,
        context: variables(&row.context),
    }))
}

/// What was said in a call so far.
#[derive(Debug, Clone, Default)]
pub struct StoredHistory {
    /// Who spoke and what was heard, in order. Signs of listening, which asked for no answer, are left out.
    pub turns: Vec<StoredTurn>,
    /// The number of the next turn.
    pub next_turn: u32,
    /// The number of the next event.
    pub next_event: u64,
    /// When the last thing that is known of happened, in milliseconds since the answer.
    pub last_ms: u64,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTurn {
    /// Whether the agent said it.
    pub by_agent: bool,
    /// What was heard.
    pub text: Personal<String>,
}

/// What was said in a call so far, for an agent that must not ask again.
pub async fn history(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<StoredHistory, DbError> {
    let turns = sqlx::query!(
        "select seq, speaker, text, source, coalesce(ended_ms, started_ms) as \"ended_ms!\" from turns
         where tenant_id = $1 and conversation_id = $2 order by started_ms, seq",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let last = sqlx::query!(
        "select max(seq) as seq, max(at_ms) as at_ms, max((data ->> 'turn')::int) as turn from conversation_events
         where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    let last_turn = turns.iter().map(|turn| turn.ended_ms).max();
    let following = |last: Option<i32>| last.map_or(0, |last| u64::try_from(last).unwrap_or(0) + 1);
    Ok(StoredHistory {
        // A turn that was under way when the process died has a number, and no row.
        next_turn: u32::try_from(following(turns.iter().map(|turn| turn.seq).max().max(last.turn))).unwrap_or(u32::MAX),
        next_event: following(last.seq),
        last_ms: u64::try_from(last.at_ms.max(last_turn).unwrap_or(0)).unwrap_or(0),
        turns: turns
            .into_iter()
            .filter(|turn| !turn.text.is_empty() && turn.source != "backchannel")
            .map(|turn| StoredTurn { by_agent: turn.speaker == "agent", text: Personal::new(turn.text) })
            .collect(),
    })
}

/// Closes a conversation that no node keeps alive; says whether it was so.
pub async fn close_abandoned(tx: &mut Tx, tenant: TenantId, id: CallId, now: DateTime<Utc>) -> Result<bool, DbError> {
    let abandoned = sqlx::query_scalar!(
        r#"select not exists (select from slots s
               where s.tenant_id = $1 and s.kind = 'call' and s.holder = $2 and s.expires_at > now()) as "abandoned!"
           from conversations c where c.tenant_id = $1 and c.id = $2 and c.end_time is null for update of c"#,
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    if abandoned != Some(true) {
        return Ok(false);
    }
    let ended = super::journal::Ended { at: now, status: "failed", reason: "media_lost".into() };
    super::journal::close(tx, tenant, id, &ended, None).await
}
