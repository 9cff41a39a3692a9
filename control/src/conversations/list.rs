//! A page of conversations, and how many there are.
//!
//! The statement is put together from fixed pieces, one for each filter that is there: of `$2 is null or …` no index is used once
//! Postgres has a plan for all values, and making one for each costs more than reading a page does. So each combination of filters
//! is a statement with one good plan for every tenant, large and small ([`Plans::Kept`]); only of several columns' indexes the best is
//! chosen by the values.
//!
//! A total comes from what was counted as calls ended, plus those that are live, and is exact; there is no count of them by time of
//! day or text, so with such filters up to [`COUNTED`] matches are counted.

use std::cmp::Reverse;

use sqlx::{AssertSqlSafe, FromRow, Row as _};

use super::{query::Filter, store::Row, views::ConversationSummary};
use crate::{
    db::{DbError, Plans, Tx},
    http::Page,
    tenant::TenantId,
};

/// Up to how many matches are counted.
const COUNTED: i64 = 10_000;

const COLUMNS: &str = "c.id, c.agent_id, c.agent_version, c.customer_phone, c.our_number, c.status, c.direction, c.channel, c.end_reason, \
     c.start_time, c.end_time, c.duration_seconds, c.sentiment, c.outcome, c.tags, c.summary, c.satisfaction_score, c.extraction, c.metadata, \
     c.context, c.answered_at, c.analyzed_at, c.erased_at";

/// What a list shows.
#[derive(Debug)]
pub(super) struct Listed {
    /// Newest first.
    pub(super) conversations: Vec<ConversationSummary>,
    /// How many match.
    pub(super) total: i64,
    /// Whether there are more.
    pub(super) more: bool,
}

/// A page of the conversations that match, newest first.
pub(super) async fn list(tx: &mut Tx, tenant: TenantId, filter: &Filter, page: Page) -> Result<Listed, DbError> {
    // Parameters keep their numbers, whether or not the statement has them.
    let rows = sqlx::query(AssertSqlSafe(statement(filter, page)))
        .bind(tenant.as_uuid())
        .bind(filter.agent)
        .bind(&filter.status)
        .bind(&filter.direction)
        .bind(&filter.outcome)
        .bind(filter.from)
        .bind(filter.until)
        .bind(&filter.text)
        .bind(page.limit)
        .bind(page.offset())
        .fetch_all(tx.connection())
        .await?;
    let found: i64 = rows.first().map(|row| row.try_get("total")).transpose()?.unwrap_or(0);
    let mut conversations = Vec::with_capacity(rows.len());
    for row in &rows {
        // A page beyond the last is one row that has only the total.
        if row.try_get::<Option<uuid::Uuid>, _>("id")?.is_some() {
            conversations.push(Row::from_row(row)?.into_summary());
        }
    }
    // The page is in order; that a join keeps it so is not promised.
    conversations.sort_unstable_by_key(|it| Reverse((it.start_time, it.id)));
    let more = found > COUNTED && !is_counted(filter);
    Ok(Listed { conversations, total: if more { COUNTED } else { found }, more })
}

/// How the statement for these filters is planned.
pub(super) fn plans(filter: &Filter) -> Plans {
    // By agent and status together it is found as well as can be, whatever else is asked for.
    let both = filter.agent.is_some() && filter.status.is_some();
    let columns =
        [filter.agent.is_some(), filter.status.is_some(), filter.direction.is_some(), filter.outcome.is_some()];
    if !both && columns.into_iter().filter(|given| *given).count() > 1 { Plans::Fresh } else { Plans::Kept }
}

/// Whether all filters are something that calls are counted by.
fn is_counted(filter: &Filter) -> bool {
    filter.text.is_none() && filter.is_whole_days()
}

fn statement(filter: &Filter, page: Page) -> String {
    if filter.text.is_some() {
        // What is found carries its tenant.
        return format!(
            "select coalesce(found.total, 0) as total, {COLUMNS}
             from lookup.search($8, $2, $3, $4, $5, $6, $7, $9, $10) found
             left join lateral unnest(found.ids) as ids (id) on true
             left join conversations c on c.tenant_id = $1 and c.id = ids.id
             where found.tenant_id = $1"
        );
    }
    let columns = columns_given(filter);
    let times = times_given(filter);
    let total = if is_counted(filter) {
        let (counts, days) = match (filter.from.is_some(), filter.until.is_some()) {
            (false, false) => ("call_totals", ""),
            (true, false) => ("call_daily", " and c.day >= ($6 at time zone 'UTC')::date"),
            (false, true) => ("call_daily", " and c.day < ($7 at time zone 'UTC')::date"),
            (true, true) => {
                ("call_daily", " and c.day >= ($6 at time zone 'UTC')::date and c.day < ($7 at time zone 'UTC')::date")
            }
        };
        // All that are live are few. "offset 0" keeps the other conditions out of the choice of an index: by any but that of live calls,
        // a hundred thousand that are over would be looked at for their status.
        format!(
            "(select coalesce(sum(c.calls), 0)::bigint from {counts} c where c.tenant_id = $1{columns}{days})
             + (select count(*) from (
                    select c.agent_id, c.status, c.direction, c.outcome, c.start_time from conversations c
                    where c.tenant_id = $1 and c.status in ('ringing', 'active') offset 0) c
                where true{columns}{times})"
        )
    } else {
        let limit = COUNTED + 1;
        format!(
            "(select count(*) from (
                 select from conversations c where c.tenant_id = $1{columns}{times} limit {limit}) counted)"
        )
    };
    // Whoever has found all that there are looks no further, and nobody looks for what is behind the last.
    let of_page = "and t.total > $10 order by c.start_time desc, c.id desc limit least($9, greatest(t.total - $10, 0)) offset $10";
    let shown = if page.offset() == 0 {
        format!("select {COLUMNS} from conversations c where c.tenant_id = $1{columns}{times} {of_page}")
    } else {
        // What is left out is only counted in the index; only the rows of the page are read.
        format!(
            "select {COLUMNS}
             from (select c.id from conversations c where c.tenant_id = $1{columns}{times} {of_page}) of_page
             join conversations c on c.tenant_id = $1 and c.id = of_page.id"
        )
    };
    format!(
        "with t as materialized (select {total} as total)
         select t.total, c.* from t left join lateral ({shown}) c on true"
    )
}

/// Conditions on what calls are counted by, but for the day.
fn columns_given(filter: &Filter) -> String {
    let mut conditions = String::new();
    let given = [
        (filter.agent.is_some(), " and c.agent_id = $2"),
        (filter.status.is_some(), " and c.status = $3"),
        (filter.direction.is_some(), " and c.direction = $4"),
        (filter.outcome.is_some(), " and c.outcome = $5"),
    ];
    conditions.extend(given.into_iter().filter(|(given, _)| *given).map(|(_, condition)| condition));
    conditions
}

fn times_given(filter: &Filter) -> String {
    let mut conditions = String::new();
    let given =
        [(filter.from.is_some(), " and c.start_time >= $6"), (filter.until.is_some(), " and c.start_time < $7")];
    conditions.extend(given.into_iter().filter(|(given, _)| *given).map(|(_, condition)| condition));
    conditions
}

/// How Postgres goes about such a page, with the times that it took.
#[cfg(any(test, feature = "testing"))]
pub(super) async fn explain(tx: &mut Tx, tenant: TenantId, filter: &Filter, page: Page) -> Result<String, DbError> {
    let literal = |value: Option<String>| {
        value.map_or_else(|| "null".to_owned(), |value| format!("'{}'", value.replace('\'', "''")))
    };
    let arguments = [
        literal(Some(tenant.to_string())),
        literal(filter.agent.map(|agent| agent.to_string())),
        literal(filter.status.clone()),
        literal(filter.direction.clone()),
        literal(filter.outcome.clone()),
        literal(filter.from.map(|from| from.to_rfc3339())),
        literal(filter.until.map(|until| until.to_rfc3339())),
        literal(filter.text.clone()),
        page.limit.to_string(),
        page.offset().to_string(),
    ];
    let prepare = format!(
        "prepare explained (uuid, uuid, text, text, text, timestamptz, timestamptz, text, bigint, bigint) as {}",
        statement(filter, page)
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(tx.connection()).await?;
    let execute = format!("explain (analyze, buffers, costs off) execute explained ({})", arguments.join(", "));
    let lines = sqlx::raw_sql(AssertSqlSafe(execute)).fetch_all(tx.connection()).await?;
    sqlx::raw_sql("deallocate explained").execute(tx.connection()).await?;
    let lines: Result<Vec<String>, _> = lines.iter().map(|line| line.try_get(0)).collect();
    Ok(lines?.join("\n"))
}
