//! Reading what was counted.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::{
    histogram::Histogram,
    model::{Dashboard, OutcomeCount, Point, SeriesFilter},
};
use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
};

/// So many outcomes are told.
const TOP: usize = 5;

/// The numbers of these days, both included.
pub(super) async fn dashboard(
    tx: &mut Tx,
    tenant: TenantId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Dashboard, DbError> {
    let rows = sqlx::query!(
        r#"select outcome, sum(calls)::bigint as "calls!",
                  coalesce(sum(calls) filter (where status = 'completed'), 0)::bigint as "successful!",
                  coalesce(sum(seconds) filter (where status = 'completed'), 0)::bigint as "seconds!",
                  sum(score_sum) as "score_sum!", sum(score_n)::bigint as "score_n!"
           from call_daily where tenant_id = $1 and day between $2 and $3
           group by outcome"#,
        tenant.as_uuid(),
        from,
        to,
    )
    .fetch_all(tx.connection())
    .await?;
    let total = rows.iter().map(|row| row.calls).sum();
    let successful = rows.iter().map(|row| row.successful).sum();
    let mut outcomes: Vec<OutcomeCount> = rows
        .iter()
        .filter(|row| !row.outcome.is_empty() && row.calls > 0)
        .map(|row| OutcomeCount { outcome: row.outcome.clone(), count: row.calls })
        .collect();
    outcomes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.outcome.cmp(&b.outcome)));
    outcomes.truncate(TOP);
    Ok(Dashboard {
        total_calls: total,
        successful_calls: successful,
        failed_calls: total - successful,
        average_duration: average(rows.iter().map(|row| row.seconds).sum(), successful),
        satisfaction_score: score(rows.iter().map(|row| row.score_sum).sum(), rows.iter().map(|row| row.score_n).sum()),
        top_outcomes: outcomes,
    })
}

/// A point for each of these days, both included.
pub(super) async fn points(
    tx: &mut Tx,
    tenant: TenantId,
    filter: &SeriesFilter,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<Point>, DbError> {
    let rows = sqlx::query!(
        r#"select day, sum(calls)::bigint as "calls!",
                  coalesce(sum(calls) filter (where status = 'completed'), 0)::bigint as "successful!",
                  coalesce(sum(seconds) filter (where status = 'completed'), 0)::bigint as "seconds!",
                  sum(score_sum) as "score_sum!", sum(score_n)::bigint as "score_n!"
           from call_daily
           where tenant_id = $1 and day between $2 and $3 and ($4::uuid is null or agent_id = $4)
             and ($5::text is null or direction = $5)
           group by day"#,
        tenant.as_uuid(),
        from,
        to,
        filter.agent,
        filter.direction,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut counted: BTreeMap<NaiveDate, Point> = rows
        .into_iter()
        .map(|row| {
            let point = Point {
                date: row.day,
                total: row.calls,
                successful: row.successful,
                failed: row.calls - row.successful,
                average_duration: average(row.seconds, row.successful),
                satisfaction: score(row.score_sum, row.score_n),
            };
            (row.day, point)
        })
        .collect();
    let nothing = |date| Point { date, total: 0, successful: 0, failed: 0, average_duration: 0, satisfaction: None };
    let days = from.iter_days().take_while(|day| *day <= to);
    Ok(days.map(|day| counted.remove(&day).unwrap_or_else(|| nothing(day))).collect())
}

/// Response latencies of these days, both included; days without any are left out.
pub(super) async fn latencies(
    tx: &mut Tx,
    tenant: TenantId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<BTreeMap<NaiveDate, Histogram>, DbError> {
    // Added up here: as an array the counts of a day's agents come several times as fast as in rows of one number.
    let rows = sqlx::query!(
        "select day, latency_hist from call_daily
         where tenant_id = $1 and day between $2 and $3 and latency_hist <> '{}'",
        tenant.as_uuid(),
        from,
        to,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut days: BTreeMap<NaiveDate, Histogram> = BTreeMap::new();
    for row in rows {
        days.entry(row.day).or_default().merge(&Histogram::new(row.latency_hist));
    }
    Ok(days)
}

/// In whole units; 0 of nothing.
fn average(sum: i64, n: i64) -> i64 {
    if n == 0 { 0 } else { (sum as f64 / n as f64).round() as i64 }
}

/// With two digits behind the point.
fn score(sum: f64, n: i64) -> Option<f64> {
    (n > 0).then(|| (sum / n as f64 * 100.0).round() / 100.0)
}
