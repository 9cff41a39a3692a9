//! Counts of the calls that are over, kept in the transaction that ends or changes one.
//!
//! Triggers would see every change as well, but a row at a time, and in an order of their own: two transactions that end calls of the
//! same agents could wait for each other. Here a transaction says once, as late as it can, what it has changed, and the rows are taken
//! in the order of their keys. What is counted of a call is all in its row of `conversations`, so the view `call_counts` can tell at
//! any time what the counts have to be.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use uuid::Uuid;

use super::histogram::Histogram;
use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
};

/// What is counted of a call that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The UTC day on which it began.
    pub day: NaiveDate,
    /// Who answered.
    pub agent: Uuid,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `completed` or `failed`.
    pub status: String,
    /// What came of it; empty if nobody has said.
    pub outcome: String,
    /// From answer to end.
    pub seconds: i64,
    /// How content the caller was.
    pub score: Option<f64>,
    /// How long the agent's answers took, in milliseconds.
    pub response_ms: Vec<i32>,
}

/// The primary key of `call_daily`, in its order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    day: NaiveDate,
    agent: Uuid,
    direction: String,
    status: String,
    outcome: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Change {
    calls: i64,
    seconds: i64,
    score_sum: f64,
    score_n: i64,
    latency: Histogram,
}

/// Takes calls as they were counted before out of the counts, and puts them in as they are now. Of a call that has just ended there is
/// no before. To be called once in a transaction, when its other work is done: the rows stay locked until it commits.
pub async fn adjust(tx: &mut Tx, tenant: TenantId, before: &[Counted], after: &[Counted]) -> Result<(), DbError> {
    let mut days: BTreeMap<Key, Change> = BTreeMap::new();
    for (calls, sign) in [(before, -1), (after, 1)] {
        for call in calls {
            let key = Key {
                day: call.day,
                agent: call.agent,
                direction: call.direction.clone(),
                status: call.status.clone(),
                outcome: call.outcome.clone(),
            };
            days.entry(key).or_default().add(call, sign);
        }
    }
    days.retain(|_, change| *change != Change::default());
    if days.is_empty() {
        return Ok(());
    }
    write_days(tx, tenant, &days).await?;
    write_totals(tx, tenant, &days).await
}

impl Change {
    fn add(&mut self, call: &Counted, sign: i64) {
        self.calls += sign;
        self.seconds += sign * call.seconds;
        if let Some(score) = call.score {
            self.score_sum += sign as f64 * score;
            self.score_n += sign;
        }
        for &ms in &call.response_ms {
            self.latency.add(ms, sign);
        }
    }
}

async fn write_days(tx: &mut Tx, tenant: TenantId, days: &BTreeMap<Key, Change>) -> Result<(), DbError> {
    let text = |of: fn(&Key) -> &String| days.keys().map(|key| of(key).clone()).collect::<Vec<_>>();
    let number = |of: fn(&Change) -> i64| days.values().map(of).collect::<Vec<_>>();
    sqlx::query!(
        "insert into call_daily (tenant_id, day, agent_id, direction, status, outcome, calls, seconds, score_sum, score_n, latency_hist)
         select $1, c.day, c.agent, c.direction, c.status, c.outcome, c.calls, c.seconds, c.score_sum, c.score_n, c.latency::bigint[]
         from unnest($2::date[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::float8[],
                     $10::bigint[], $11::text[])
             as c (day, agent, direction, status, outcome, calls, seconds, score_sum, score_n, latency)
         on conflict (tenant_id, day, agent_id, direction, status, outcome) do update
         set calls = call_daily.calls + excluded.calls, seconds = call_daily.seconds + excluded.seconds,
             score_sum = case when call_daily.score_n + excluded.score_n = 0 then 0
                              else call_daily.score_sum + excluded.score_sum end,
             score_n = call_daily.score_n + excluded.score_n,
             latency_hist = case when excluded.latency_hist = '{}' then call_daily.latency_hist
                                 else add_counts(call_daily.latency_hist, excluded.latency_hist) end",
        tenant.as_uuid(),
        &days.keys().map(|key| key.day).collect::<Vec<_>>(),
        &days.keys().map(|key| key.agent).collect::<Vec<_>>(),
        &text(|key| &key.direction),
        &text(|key| &key.status),
        &text(|key| &key.outcome),
        &number(|change| change.calls),
        &number(|change| change.seconds),
        &days.values().map(|change| change.score_sum).collect::<Vec<_>>(),
        &number(|change| change.score_n),
        &days.values().map(|change| change.latency.to_sql()).collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn write_totals(tx: &mut Tx, tenant: TenantId, days: &BTreeMap<Key, Change>) -> Result<(), DbError> {
    let mut totals: BTreeMap<(Uuid, &str, &str, &str), i64> = BTreeMap::new();
    for (key, change) in days {
        *totals.entry((key.agent, &key.direction, &key.status, &key.outcome)).or_default() += change.calls;
    }
    totals.retain(|_, calls| *calls != 0);
    if totals.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into call_totals (tenant_id, agent_id, direction, status, outcome, calls)
         select $1, * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[])
         on conflict (tenant_id, agent_id, direction, status, outcome) do update
         set calls = call_totals.calls + excluded.calls",
        tenant.as_uuid(),
        &totals.keys().map(|key| key.0).collect::<Vec<_>>(),
        &totals.keys().map(|key| key.1.to_owned()).collect::<Vec<_>>(),
        &totals.keys().map(|key| key.2.to_owned()).collect::<Vec<_>>(),
        &totals.keys().map(|key| key.3.to_owned()).collect::<Vec<_>>(),
        &totals.values().copied().collect::<Vec<_>>(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
