//! Writing what happens in calls, many rows at once: a call's rows come several times a second, and those of all calls of a tenant
//! are one transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use trunkline_base::CallId;
use uuid::Uuid;

use super::store;
use crate::{
    analytics::rollup::{self, Counted},
    db::{DbError, Tx},
    jobs::queue,
    recordings::store::{self as recordings, Piece},
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
    /// The piece of it that is being recorded.
    pub recording: Option<Piece>,
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
            && self.recording.is_none()
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
        self.recording = self.recording.take().or(later.recording);
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
/// be tried again. What another node has taken over is not closed by this one, and what was said in a call that has been erased is not
/// written again, however late it comes.
pub async fn write(
    tx: &mut Tx,
    tenant: TenantId,
    node: &str,
    calls: &[(CallId, CallRows)],
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let known = lock(tx, tenant, calls).await?;
    // In one order, whoever writes: two writers that both want two calls' rows must not wait for each other.
    let mut calls: Vec<&(CallId, CallRows)> = calls.iter().collect();
    calls.sort_by_key(|(id, _)| id.as_uuid());
    let kept: Vec<_> =
        calls.iter().copied().filter(|(id, _)| known.get(&id.as_uuid()) != Some(&Known::Erased)).collect();
    write_turns(tx, tenant, &kept).await?;
    write_events(tx, tenant, &kept).await?;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (id, rows) in kept {
        if let Some(piece) = &rows.recording {
            recordings::begin(tx, tenant, piece).await?;
        }
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
            after.extend(end(tx, tenant, *id, ended, Some(node)).await?);
        }
        // What was closed as abandoned is told the rest by its node, which was only cut off.
        if known.get(&id.as_uuid()) == Some(&Known::Over) && !rows.turns.is_empty() {
            let (was, is) = complete(tx, tenant, *id).await?;
            before.extend(was);
            after.extend(is);
        }
    }
    rollup::adjust(tx, tenant, &before, &after).await?;
    write_usage(tx, tenant, &calls, now).await
}

/// Closes a conversation, if it is this node's (`None`: whoever's it is); says whether it was still open. A terminal state sticks. It
/// counts the call, so it comes last in its transaction.
pub async fn close(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    ended: &Ended,
    node: Option<&str>,
) -> Result<bool, DbError> {
    let counted = end(tx, tenant, id, ended, node).await?;
    rollup::adjust(tx, tenant, &[], counted.as_slice()).await?;
    Ok(counted.is_some())
}

/// What is known of a call that no longer goes on.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Over,
    Erased,
}

/// Keeps these calls from being erased by anybody else, and tells which of them do not go on.
async fn lock(tx: &mut Tx, tenant: TenantId, calls: &[(CallId, CallRows)]) -> Result<BTreeMap<Uuid, Known>, DbError> {
    let rows = sqlx::query!(
        r#"select id, end_time is not null as "over!", erased_at is not null as "erased!" from conversations
           where tenant_id = $1 and id = any ($2) order by id for key share"#,
        tenant.as_uuid(),
        &calls.iter().map(|(id, _)| id.as_uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    let over = rows.into_iter().filter(|row| row.over);
    Ok(over.map(|row| (row.id, if row.erased { Known::Erased } else { Known::Over })).collect())
}

/// Closes a conversation; gives back what is to be counted of it if it was still open.
async fn end(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    ended: &Ended,
    node: Option<&str>,
) -> Result<Option<Counted>, DbError> {
    let counted = sqlx::query_as!(
        Counted,
        r#"update conversations
           set status = $3, end_time = $5,
               -- To whoever had the call it looked as if somebody else had ended it.
               end_reason = case when $4 in ('caller_hangup', 'canceled') and ending_reason = 'api_hangup' then 'api_hangup' else $4 end,
               duration_seconds = case when answered_at is null then 0
                   else greatest(0, round(extract(epoch from ($5 - answered_at))))::int end,
               (search, response_ms) = (
                   select search_words($1, string_agg(t.text, ' ' order by t.started_ms)),
                          coalesce(array_agg(response_ms(t.latency) order by t.seq) filter (where response_ms(t.latency) is not null), '{}')
                   from turns t where t.tenant_id = $1 and t.conversation_id = $2),
               version = version + 1
           where tenant_id = $1 and id = $2 and end_time is null and ($6::text is null or node = $6)
           returning (start_time at time zone 'UTC')::date as "day!", agent_id as agent, direction, status,
                     coalesce(outcome, '') as "outcome!", coalesce(duration_seconds, 0)::bigint as "seconds!",
                     satisfaction_score::float8 as score, response_ms"#,
        tenant.as_uuid(),
        id.as_uuid(),
        ended.status,
        ended.reason,
        ended.at,
        node,
    )
    .fetch_optional(tx.connection())
    .await?;
    if counted.is_none() {
        return Ok(None);
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
    queue::analyse(tx, tenant, id).await?;
    Ok(counted)
}

/// Makes of a conversation that is over what its turns, which came later, have to say; gives back what was counted of it, and what is.
async fn complete(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<(Option<Counted>, Option<Counted>), DbError> {
    let before = store::counted(tx, tenant, id.as_uuid()).await?;
    sqlx::query!(
        "update conversations
         set (search, response_ms) = (
                 select search_words($1, string_agg(t.text, ' ' order by t.started_ms)),
                        coalesce(array_agg(response_ms(t.latency) order by t.seq) filter (where response_ms(t.latency) is not null), '{}')
                 from turns t where t.tenant_id = $1 and t.conversation_id = $2),
             version = version + 1
         where tenant_id = $1 and id = $2 and end_time is not null and erased_at is null",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .execute(tx.connection())
    .await?;
    queue::analyse(tx, tenant, id).await?;
    Ok((before, store::counted(tx, tenant, id.as_uuid()).await?))
}

async fn write_turns(tx: &mut Tx, tenant: TenantId, calls: &[&(CallId, CallRows)]) -> Result<(), DbError> {
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

async fn write_events(tx: &mut Tx, tenant: TenantId, calls: &[&(CallId, CallRows)]) -> Result<(), DbError> {
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

/// Writes what was used for a call after it was over. An entry that is there already is not counted again.
pub async fn record_usage(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    usage: Vec<UsageRow>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let call = (id, CallRows { usage, ..CallRows::default() });
    write_usage(tx, tenant, &[&call], now).await
}

async fn write_usage(
    tx: &mut Tx,
    tenant: TenantId,
    calls: &[&(CallId, CallRows)],
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let usage: Vec<(Uuid, &UsageRow)> = flatten(calls, |rows| &rows.usage);
    if usage.is_empty() {
        return Ok(());
    }
    // An entry that was there already is not counted again; the day's rows are taken in the order of their keys.
    sqlx::query!(
        "with new as (
             insert into usage_entries (tenant_id, id, conversation_id, provider, kind, quantity, unit, wasted, at, turn_seq)
             select $1, u.id, u.conversation, u.provider, u.unit, u.quantity, u.unit, u.wasted, $7, u.turn
             from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $8::bool[], $9::int[])
                 as u (id, conversation, provider, unit, quantity, wasted, turn)
             on conflict do nothing
             returning provider, unit, quantity, wasted, cost_micros, currency
         )
         insert into usage_daily (tenant_id, day, provider, unit, currency, quantity, wasted, cost_micros)
         select $1, ($7::timestamptz at time zone 'UTC')::date, provider, unit, coalesce(currency, ''), sum(quantity),
                coalesce(sum(quantity) filter (where wasted), 0), sum(cost_micros)
         from new group by provider, unit, coalesce(currency, '') order by provider, unit, coalesce(currency, '')
         on conflict (tenant_id, day, provider, unit, currency) do update
         set quantity = usage_daily.quantity + excluded.quantity, wasted = usage_daily.wasted + excluded.wasted,
             cost_micros = usage_daily.cost_micros + excluded.cost_micros",
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

fn flatten<'a, T>(calls: &[&'a (CallId, CallRows)], rows: impl Fn(&'a CallRows) -> &'a Vec<T>) -> Vec<(Uuid, &'a T)> {
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
