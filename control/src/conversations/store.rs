//! Reading conversations.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use trunkline_base::Personal;
use uuid::Uuid;

use super::views::{ConversationSummary, Event, Turn};
use crate::{
    analytics::rollup::Counted,
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// One conversation.
pub(super) async fn read(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<ConversationSummary>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select id, agent_id, agent_version, customer_phone, our_number, status, direction, channel, end_reason, start_time,
                end_time, duration_seconds, sentiment, outcome, tags, summary, satisfaction_score, extraction, metadata, context,
                answered_at, analyzed_at, erased_at, recording_id
         from conversations where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Row::into_summary))
}

/// What was said in a conversation, ordered by when it began.
pub(super) async fn transcript(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Vec<Turn>, DbError> {
    Ok(sqlx::query_as!(
        Turn,
        "select speaker, text, generated_text, interrupted, started_ms, ended_ms from turns
         where tenant_id = $1 and conversation_id = $2 and text <> ''
         order by started_ms, seq",
        tenant.as_uuid(),
        id,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// A page of what happened in a conversation, in order, and how many events there are: all, or those of a kind.
pub(super) async fn events(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    kind: Option<&str>,
    page: Page,
) -> Result<(Vec<Event>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from conversation_events
           where tenant_id = $1 and conversation_id = $2 and ($3::text is null or kind = $3)"#,
        tenant.as_uuid(),
        id,
        kind,
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query!(
        "select seq, at_ms, kind, data from conversation_events
         where tenant_id = $1 and conversation_id = $2 and ($3::text is null or kind = $3)
         order by seq limit $4 offset $5",
        tenant.as_uuid(),
        id,
        kind,
        page.limit,
        page.offset(),
    )
    .fetch_all(tx.connection())
    .await?;
    let event = |seq, at_ms, kind, data| Event { seq, at_ms, kind, data: object(data) };
    Ok((rows.into_iter().map(|row| event(row.seq, row.at_ms, row.kind, row.data)).collect(), total))
}

/// Whether there is such a conversation.
pub(super) async fn exists(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, DbError> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from conversations where tenant_id = $1 and id = $2) as "there!""#,
        tenant.as_uuid(),
        id
    );
    Ok(found.fetch_one(tx.connection()).await?)
}

/// What is counted of a conversation, which is kept from changing until the transaction ends; `None` if it is not over.
pub(crate) async fn counted(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<Counted>, DbError> {
    Ok(sqlx::query_as!(
        Counted,
        r#"select (start_time at time zone 'UTC')::date as "day!", agent_id as agent, direction, status,
                  coalesce(outcome, '') as "outcome!", coalesce(duration_seconds, 0)::bigint as "seconds!",
                  satisfaction_score::float8 as score, response_ms
           from conversations where tenant_id = $1 and id = $2 and end_time is not null for no key update"#,
        tenant.as_uuid(),
        id,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// A row of `conversations`, as far as it is shown.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    agent_id: Uuid,
    agent_version: i32,
    customer_phone: Option<String>,
    our_number: Option<String>,
    status: String,
    direction: String,
    channel: String,
    end_reason: Option<String>,
    start_time: DateTime<Utc>,
    end_time: Option<DateTime<Utc>>,
    duration_seconds: Option<i32>,
    sentiment: Option<String>,
    outcome: Option<String>,
    tags: Vec<String>,
    summary: Option<String>,
    satisfaction_score: Option<f32>,
    extraction: Option<Value>,
    metadata: Value,
    context: Value,
    answered_at: Option<DateTime<Utc>>,
    analyzed_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    /// Lists don't ask for it.
    #[sqlx(default)]
    recording_id: Option<Uuid>,
}

impl Row {
    pub(super) fn into_summary(self) -> ConversationSummary {
        ConversationSummary {
            id: self.id,
            agent_id: self.agent_id,
            agent_version: self.agent_version,
            customer_phone: self.customer_phone.map(Personal::new),
            our_number: self.our_number.map(Personal::new),
            status: self.status,
            direction: self.direction,
            channel: self.channel,
            end_reason: self.end_reason,
            start_time: self.start_time,
            end_time: self.end_time,
            duration_seconds: self.duration_seconds,
            sentiment: self.sentiment,
            outcome: self.outcome,
            tags: self.tags,
            summary: self.summary,
            satisfaction_score: self.satisfaction_score,
            extraction: self.extraction.map(object),
            analyzed_at: self.analyzed_at,
            metadata: object(self.metadata),
            context: object(self.context),
            answered_at: self.answered_at,
            erased_at: self.erased_at,
            recording_id: self.recording_id,
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
