//! Writing what happens in calls, many rows at once: a call's rows come several times a second, and those of all calls of a tenant
//! are one transaction.

use chrono::{DateTime, Utc};
use serde_json::Value;
use trunkline_base::CallId;
use uuid::Uuid;

use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
};

/// What is new of one call.
#[derive(Debug, Clone, Default)]
pub struct CallRows {
    /// When its media stream first began.
    pub answered_at: Option<DateTime<Utc>>,
    /// How many more streams it has had.
    pub reattached: i32,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Turns that ended, or of which more is known.
    pub turns: Vec<TurnRow>,
    /// Its timeline.
    pub events: Vec<EventRow>,
    /// What it cost.
    pub usage: Vec<UsageRow>,
}

impl CallRows {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.answered_at.is_none()
            && self.reattached == 0
            && self.ended.is_none()
            && self.turns.is_empty()
            && self.events.is_empty()
            && self.usage.is_empty()
    }

    /// A turn, in the place of what was known of it before.
    pub fn put_turn(&mut self, row: TurnRow) {
        match self.turns.iter_mut().find(|turn| turn.seq == row.seq) {
            Some(turn) => *turn = row,
            None => self.turns.push(row),
        }
    }

    /// What came later.
    pub fn append(&mut self, later: Self) {
        self.answered_at = self.answered_at.or(later.answered_at);
        self.reattached += later.reattached;
        self.ended = self.ended.take().or(later.ended);
        for turn in later.turns {
            self.put_turn(turn);
        }
        self.events.extend(later.events);
        self.usage.extend(later.usage);
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: DateTime<Utc>,
    /// `completed` or `failed`.
    pub status: &'static str,
    /// Why, in the database's words.
    pub reason: String,
}

/// A row of `turns`.
#[derive(Debug, Clone)]
pub struct TurnRow {
    /// Its number in the conversation. A row with a number that is there replaces it.
    pub seq: i32,
    /// `agent` or `customer`.
    pub speaker: &'static str,
    /// Milliseconds since the answer.
    pub started_ms: i32,
    /// Milliseconds since the answer.
    pub ended_ms: i32,
    /// What was heard.
    pub text: String,
    /// What there was to hear, if that was more.
    pub generated_text: Option<String>,
    /// Whether it was cut off.
    pub interrupted: bool,
    /// What produced it.
    pub source: String,
    /// How long its answer took.
    pub latency: Option<Value>,
}

/// A row of `conversation_events`.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its number in the conversation.
    pub seq: i32,
    /// Milliseconds since the answer.
    pub at_ms: i32,
    /// What.
    pub kind: String,
    /// The rest of it.
    pub data: Value,
}

/// A row of `usage_entries`.
#[derive(Debug, Clone)]
pub struct UsageRow {
    /// Its own id: written twice, it is one row.
    pub id: Uuid,
    /// Whose service.
    pub provider: String,
    /// What was used, such as `prompt_tokens`.
    pub unit: String,
    /// How much.
    pub quantity: i64,
    /// Whether for nothing.
    pub wasted: bool,
    /// In which turn.
    pub turn_seq: Option<i32>,
}

/// Writes what is new of some calls of a tenant, which `node` keeps alive. What is there already is written over, so that a batch may
/// be tried again. What another node has taken over is not closed by this one.
pub async fn write(
    tx: &mut Tx,
    tenant: TenantId,
    node: &str,
    calls: &[(CallId, CallRows)],
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    write_turns(tx, tenant, calls).await?;
    write_events(tx, tenant, calls).await?;
    write_usage(tx, tenant, calls, now).await?;
    for (id, rows) in calls {
        if rows.answered_at.is_some() || rows.reattached > 0 {
            sqlx::query!(
                "update conversations
                 set status = 'active', answered_at = coalesce(answered_at, $3), reattached = reattached + $4, version = version + 1
                 where tenant_id = $1 and id = $2 and end_time is null",
                tenant.as_uuid(),
                id.as_uuid(),
                rows.answered_at,
                rows.reattached,
            )
            .execute(tx.connection())
            .await?;
        }
        if let Some(ended) = &rows.ended {
            close(tx, tenant, *id, ended, Some(node)).await?;
        }
    }
    Ok(())
}

/// Closes a conversation, if it is this node's (`None`: whoever's it is); says whether it was still open. A terminal state sticks.
pub async fn close(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    ended: &Ended,
    node: Option<&str>,
) -> Result<bool, DbError> {
    let closed = sqlx::query!(
        "update conversations
         set status = $3, end_reason = $4, end_time = $5,
             duration_seconds = case when answered_at is null then 0
                 else greatest(0, round(extract(epoch from ($5 - answered_at))))::int end,
             search = (select to_tsvector('pg_catalog.simple', coalesce(string_agg(t.text, ' ' order by t.started_ms), ''))
                       from turns t where t.tenant_id = $1 and t.conversation_id = $2),
             version = version + 1
         where tenant_id = $1 and id = $2 and end_time is null and ($6::text is null or node = $6)",
        tenant.as_uuid(),
        id.as_uuid(),
        ended.status,
        ended.reason,
        ended.at,
        node,
    )
    .execute(tx.connection())
    .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "delete from slots where tenant_id = $1 and kind = 'call' and holder = $2",
        tenant.as_uuid(),
        id.as_uuid()
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "delete from stream_tokens where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        id.as_uuid()
    )
    .execute(tx.connection())
    .await?;
    Ok(true)
}

async fn write_turns(tx: &mut Tx, tenant: TenantId, calls: &[(CallId, CallRows)]) -> Result<(), DbError> {
    let turns: Vec<(Uuid, &TurnRow)> = flatten(calls, |rows| &rows.turns);
    if turns.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into turns (tenant_id, conversation_id, seq, speaker, started_ms, ended_ms, text, generated_text, interrupted, source,
                            latency)
         select $1, * from unnest($2::uuid[], $3::int[], $4::text[], $5::int[], $6::int[], $7::text[], $8::text[], $9::bool[],
                                  $10::text[], $11::jsonb[])
         on conflict (tenant_id, conversation_id, seq) do update
         set started_ms = excluded.started_ms, ended_ms = excluded.ended_ms, text = excluded.text,
             generated_text = excluded.generated_text, interrupted = excluded.interrupted,
             latency = coalesce(excluded.latency, turns.latency)",
        tenant.as_uuid(),
        &turns.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| turn.seq).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| turn.speaker.to_owned()).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| turn.started_ms).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| turn.ended_ms).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| stored(&turn.text)).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| turn.generated_text.as_deref().map(stored)).collect::<Vec<_>>() as &[Option<String>],
        &turns.iter().map(|(_, turn)| turn.interrupted).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| turn.source.clone()).collect::<Vec<_>>(),
        &turns.iter().map(|(_, turn)| turn.latency.clone()).collect::<Vec<_>>() as &[Option<Value>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn write_events(tx: &mut Tx, tenant: TenantId, calls: &[(CallId, CallRows)]) -> Result<(), DbError> {
    let events: Vec<(Uuid, &EventRow)> = flatten(calls, |rows| &rows.events);
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into conversation_events (tenant_id, conversation_id, seq, at_ms, kind, data)
         select $1, * from unnest($2::uuid[], $3::int[], $4::int[], $5::text[], $6::jsonb[])
         on conflict (tenant_id, conversation_id, seq) do nothing",
        tenant.as_uuid(),
        &events.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.seq).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.at_ms).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.kind.clone()).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| storable(event.data.clone())).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn write_usage(
    tx: &mut Tx,
    tenant: TenantId,
    calls: &[(CallId, CallRows)],
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let usage: Vec<(Uuid, &UsageRow)> = flatten(calls, |rows| &rows.usage);
    if usage.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into usage_entries (tenant_id, id, conversation_id, provider, kind, quantity, unit, wasted, at, turn_seq)
         select $1, u.id, u.conversation, u.provider, u.unit, u.quantity, u.unit, u.wasted, $7, u.turn
         from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $8::bool[], $9::int[])
             as u (id, conversation, provider, unit, quantity, wasted, turn)
         on conflict do nothing",
        tenant.as_uuid(),
        &usage.iter().map(|(_, usage)| usage.id).collect::<Vec<_>>(),
        &usage.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        &usage.iter().map(|(_, usage)| usage.provider.clone()).collect::<Vec<_>>(),
        &usage.iter().map(|(_, usage)| usage.unit.clone()).collect::<Vec<_>>(),
        &usage.iter().map(|(_, usage)| usage.quantity).collect::<Vec<_>>(),
        now,
        &usage.iter().map(|(_, usage)| usage.wasted).collect::<Vec<_>>(),
        &usage.iter().map(|(_, usage)| usage.turn_seq).collect::<Vec<_>>() as &[Option<i32>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

fn flatten<'a, T>(calls: &'a [(CallId, CallRows)], rows: impl Fn(&'a CallRows) -> &'a Vec<T>) -> Vec<(Uuid, &'a T)> {
    calls.iter().flat_map(|(id, call)| rows(call).iter().map(|row| (id.as_uuid(), row))).collect()
}

/// Postgres' text holds everything but the character 0, which a vendor may send.
fn stored(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The same for JSON.
fn storable(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(stored(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(storable).collect()),
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(key, value)| (stored(&key), storable(value))).collect())
        }
        other => other,
    }
}
