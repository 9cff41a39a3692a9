//! What streams read: calls, what has changed of them, and one call's timeline.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use super::model::{LiveCall, Transcript};
use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
};

/// For how many minutes a stream can be taken up again where it was: fewer than changes are kept, for clocks differ.
const RESUMABLE: f64 = 50.0;
/// Seconds that a transaction may take from noting a change to its end, and still be seen by a stream that is taken up again.
const OVERLAP: f64 = 30.0;

/// A call's row, with what its stream needs to know beside it.
#[derive(Debug)]
pub(super) struct CallState {
    pub(super) call: LiveCall,
    /// Raised with every change of the row.
    pub(super) version: i32,
    /// The number of its last event; -1 if there is none.
    pub(super) last_seq: i32,
}

/// A row of a call's timeline.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) seq: i32,
    pub(super) at_ms: i32,
    pub(super) kind: String,
    pub(super) data: Value,
    /// What was heard, of a turn that ended.
    pub(super) transcript: Option<Transcript>,
}

/// The last thing that changed of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) call: Uuid,
    /// `ringing`, `active`, `moved` or `ended`.
    pub(super) kind: String,
    /// When, in microseconds since 1970.
    pub(super) at: i64,
}

/// Which changes a reader has seen: those of the transactions that a snapshot of the database's sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen(String);

struct Row {
    id: Uuid,
    agent_id: Uuid,
    agent_version: i32,
    direction: String,
    channel: String,
    customer_phone: Option<String>,
    our_number: Option<String>,
    status: String,
    ending_at: Option<DateTime<Utc>>,
    reattached: i32,
    start_time: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
    end_reason: Option<String>,
    duration_seconds: Option<i32>,
    version: i32,
}

impl Row {
    fn into_call(self) -> LiveCall {
        LiveCall {
            id: self.id,
            agent_id: self.agent_id,
            agent_version: self.agent_version,
            direction: self.direction,
            channel: self.channel,
            customer_phone: self.customer_phone.map(Personal::new),
            our_number: self.our_number.map(Personal::new),
            status: self.status,
            ending: self.ending_at.is_some() && self.end_time.is_none(),
            reattached: self.reattached,
            start_time: self.start_time,
            answered_at: self.answered_at,
            end_time: self.end_time,
            end_reason: self.end_reason,
            duration_seconds: self.duration_seconds,
        }
    }
}

/// One call.
pub(super) async fn call(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<Option<CallState>, DbError> {
    let found = sqlx::query_as!(
        Row,
        "select id, agent_id, agent_version, direction, channel, customer_phone, our_number, status, ending_at, reattached, start_time,
                answered_at, end_time, end_reason, duration_seconds, version
         from conversations where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = found else { return Ok(None) };
    // After the row: what was written with it is seen.
    let last_seq = sqlx::query_scalar!(
        "select max(seq) from conversation_events where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(Some(CallState { version: row.version, last_seq: last_seq.unwrap_or(-1), call: row.into_call() }))
}

/// Up to `most` events of a call behind the one with this number, in order. A turn that ended comes with its row, which is written in
/// the same transaction.
pub(super) async fn events_after(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    seq: i32,
    most: i64,
) -> Result<Vec<EventRow>, DbError> {
    let rows = sqlx::query!(
        r#"select e.seq, e.at_ms, e.kind, e.data, t.seq as "turn?", t.speaker as "speaker?", t.text as "text?", t.generated_text,
                  t.interrupted as "interrupted?", t.started_ms as "started_ms?", t.ended_ms,
                  coalesce(c.answered_at, c.start_time) as "zero!"
           from conversation_events e
           join conversations c on c.tenant_id = e.tenant_id and c.id = e.conversation_id
           left join turns t on e.kind = 'turn_ended' and t.tenant_id = e.tenant_id and t.conversation_id = e.conversation_id
               and t.seq = (e.data ->> 'turn')::int and t.text <> ''
           where e.tenant_id = $1 and e.conversation_id = $2 and e.seq > $3
           order by e.seq limit $4"#,
        tenant.as_uuid(),
        id.as_uuid(),
        seq,
        most,
    )
    .fetch_all(tx.connection())
    .await?;
    let rows = rows.into_iter().map(|row| {
        let started_ms = row.started_ms.unwrap_or(0);
        let transcript = row.turn.zip(row.speaker).zip(row.text).map(|((turn, speaker), text)| Transcript {
            turn,
            speaker,
            text: Personal::new(text),
            timestamp: row.zero + TimeDelta::milliseconds(started_ms.into()),
            interrupted: row.interrupted.unwrap_or(false),
            generated_text: row.generated_text.map(Personal::new),
            started_ms,
            ended_ms: row.ended_ms,
        });
        EventRow { seq: row.seq, at_ms: row.at_ms, kind: row.kind, data: row.data, transcript }
    });
    Ok(rows.collect())
}

/// Where a reader begins who is about to read what there is, and the time in microseconds since 1970. What changes while they read may
/// come again as a change, and nothing is missed.
pub(super) async fn beginning(tx: &mut Tx) -> Result<(Seen, i64), DbError> {
    let row = sqlx::query!(
        r#"select pg_current_snapshot()::text as "seen!", (extract(epoch from clock_timestamp()) * 1000000)::bigint as "at!""#
    )
    .fetch_one(tx.connection())
    .await?;
    Ok((Seen(row.seen), row.at))
}

/// A tenant's calls that are not over, newest first, up to `most`.
pub(super) async fn live_calls(tx: &mut Tx, tenant: TenantId, most: i64) -> Result<Vec<LiveCall>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, agent_id, agent_version, direction, channel, customer_phone, our_number, status, ending_at, reattached, start_time,
                answered_at, end_time, end_reason, duration_seconds, version
         from conversations where tenant_id = $1 and status in ('ringing', 'active')
         order by start_time desc, id desc limit $2",
        tenant.as_uuid(),
        most,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Row::into_call).collect())
}

/// These calls, as they are now.
pub(super) async fn calls(tx: &mut Tx, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<LiveCall>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, agent_id, agent_version, direction, channel, customer_phone, our_number, status, ending_at, reattached, start_time,
                answered_at, end_time, end_reason, duration_seconds, version
         from conversations where tenant_id = $1 and id = any ($2)",
        tenant.as_uuid(),
        ids,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Row::into_call).collect())
}

/// What has changed behind what was seen, one change a call, in order, up to `most`; and what has been seen then.
pub(super) async fn changes(
    tx: &mut Tx,
    tenant: TenantId,
    seen: &Seen,
    most: i64,
) -> Result<(Seen, Vec<Change>), DbError> {
    // One statement, so that the changes and the snapshot are of one moment.
    let rows = sqlx::query!(
        r#"select pg_current_snapshot()::text as "seen!", k.conversation_id as "call?", k.kind as "kind?", k.at as "at?"
           from (values (1)) as one
           left join (
               select distinct on (conversation_id) conversation_id, kind, id, (extract(epoch from at) * 1000000)::bigint as at
               from call_changes
               where tenant_id = $1 and xid >= pg_snapshot_xmin($2::text::pg_snapshot)
                   and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
               order by conversation_id, id desc limit $3
           ) k on true
           order by k.id"#,
        tenant.as_uuid(),
        seen.0,
        most,
    )
    .fetch_all(tx.connection())
    .await?;
    let now = rows.first().map_or_else(|| seen.clone(), |row| Seen(row.seen.clone()));
    Ok((now, rows.into_iter().filter_map(|row| change(row.call, row.kind, row.at)).collect()))
}

/// The same, behind a time in microseconds since 1970 and a little before it: what was seen then may come again, and nothing is missed.
/// `None` if that was too long ago, or has yet to come.
pub(super) async fn changes_since(
    tx: &mut Tx,
    tenant: TenantId,
    at: i64,
    most: i64,
) -> Result<Option<(Seen, Vec<Change>)>, DbError> {
    let rows = sqlx::query!(
        r#"select pg_current_snapshot()::text as "seen!",
                  to_timestamp($2::float8) between now() - make_interval(mins => 1) * $3::float8 and now() + interval '1 minute'
                      as "resumable!",
                  k.conversation_id as "call?", k.kind as "kind?", k.at as "at?"
           from (values (1)) as one
           left join (
               select distinct on (conversation_id) conversation_id, kind, id, (extract(epoch from at) * 1000000)::bigint as at
               from call_changes
               where tenant_id = $1 and at > to_timestamp($2::float8) - make_interval(secs => $4::float8)
               order by conversation_id, id desc limit $5
           ) k on true
           order by k.id"#,
        tenant.as_uuid(),
        at as f64 / 1e6,
        RESUMABLE,
        OVERLAP,
        most,
    )
    .fetch_all(tx.connection())
    .await?;
    let Some(first) = rows.first().filter(|row| row.resumable) else { return Ok(None) };
    let seen = Seen(first.seen.clone());
    Ok(Some((seen, rows.into_iter().filter_map(|row| change(row.call, row.kind, row.at)).collect())))
}

fn change(call: Option<Uuid>, kind: Option<String>, at: Option<i64>) -> Option<Change> {
    Some(Change { call: call?, kind: kind?, at: at? })
}

/// Keeps a ticket, by its SHA-256, and sweeps the tenant's old ones.
pub(super) async fn put_ticket(
    tx: &mut Tx,
    tenant: TenantId,
    hash: &[u8; 32],
    actor: &str,
    expires_at: DateTime<Utc>,
    session_expires_at: Option<DateTime<Utc>>,
) -> Result<(), DbError> {
    sqlx::query!("delete from sse_tickets where tenant_id = $1 and expires_at < now()", tenant.as_uuid())
        .execute(tx.connection())
        .await?;
    sqlx::query!(
        "insert into sse_tickets (hash, tenant_id, user_id, expires_at, session_expires_at) values ($2, $1, $3, $4, $5)",
        tenant.as_uuid(),
        hash.as_slice(),
        actor,
        expires_at,
        session_expires_at,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Uses a ticket up: who asked for it, and when what they asked with expires. `None` if it is used or expired, or not this tenant's. Of
/// two who show it at once, one has it.
pub(super) async fn use_ticket(
    tx: &mut Tx,
    tenant: TenantId,
    hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<(String, Option<DateTime<Utc>>)>, DbError> {
    let row = sqlx::query!(
        "update sse_tickets set used_at = $3 where tenant_id = $1 and hash = $2 and used_at is null and expires_at > $3
         returning user_id, session_expires_at",
        tenant.as_uuid(),
        hash.as_slice(),
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| (row.user_id, row.session_expires_at)))
}

/// Whether a user is a member of a tenant that is served.
pub(super) async fn is_member(tx: &mut Tx, tenant: TenantId, user: Uuid) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from members m join tenants t on t.id = m.tenant_id
               where m.tenant_id = $1 and m.user_id = $2 and m.removed_at is null and t.status = 'active') as "is!""#,
        tenant.as_uuid(),
        user,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Whether an API key of a tenant that is served is still good.
pub(super) async fn is_good_key(tx: &mut Tx, tenant: TenantId, key: Uuid) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from api_keys k join tenants t on t.id = k.tenant_id
               where k.tenant_id = $1 and k.id = $2 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
                   and t.status = 'active') as "is!""#,
        tenant.as_uuid(),
        key,
    )
    .fetch_one(tx.connection())
    .await?)
}
