//! Reading conversations.

use serde_json::{Map, Value};
use trunkline_base::Personal;
use uuid::Uuid;

use super::{
    query::Filter,
    views::{ConversationSummary, Turn},
};
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// Up to how many matches are counted.
const COUNTED: i64 = 10_000;

/// How many conversations match, and whether there are more than were counted.
pub(super) async fn count(tx: &mut Tx, tenant: TenantId, filter: &Filter) -> Result<(i64, bool), DbError> {
    let found = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select 1 as one from conversations
               where tenant_id = $1
                 and ($2::uuid is null or agent_id = $2)
                 and ($3::text is null or status = $3)
                 and ($4::text is null or direction = $4)
                 and ($5::text is null or outcome = $5)
                 and ($6::timestamptz is null or start_time >= $6)
                 and ($7::timestamptz is null or start_time < $7)
                 and ($8::text is null or id in (select s.id from lookup.search($8) s where s.tenant_id = $1))
               limit $9
           ) matches"#,
        tenant.as_uuid(),
        filter.agent,
        filter.status,
        filter.direction,
        filter.outcome,
        filter.from,
        filter.until,
        filter.text,
        COUNTED + 1,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok((found.min(COUNTED), found > COUNTED))
}

/// A page of the conversations that match, newest first.
pub(super) async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    filter: &Filter,
    page: Page,
) -> Result<Vec<ConversationSummary>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, agent_id, agent_version, customer_phone, our_number, status, direction, channel, end_reason, start_time,
                  end_time, duration_seconds, sentiment, outcome, tags, summary, satisfaction_score, metadata, context,
                  answered_at
           from conversations
           where tenant_id = $1
             and ($2::uuid is null or agent_id = $2)
             and ($3::text is null or status = $3)
             and ($4::text is null or direction = $4)
             and ($5::text is null or outcome = $5)
             and ($6::timestamptz is null or start_time >= $6)
             and ($7::timestamptz is null or start_time < $7)
             and ($8::text is null or id in (select s.id from lookup.search($8) s where s.tenant_id = $1))
           order by start_time desc, id desc
           limit $9 offset $10"#,
        tenant.as_uuid(),
        filter.agent,
        filter.status,
        filter.direction,
        filter.outcome,
        filter.from,
        filter.until,
        filter.text,
        page.limit,
        page.offset(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Row::into_summary).collect())
}

/// One conversation.
pub(super) async fn read(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<ConversationSummary>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select id, agent_id, agent_version, customer_phone, our_number, status, direction, channel, end_reason, start_time,
                end_time, duration_seconds, sentiment, outcome, tags, summary, satisfaction_score, metadata, context,
                answered_at
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

struct Row {
    id: Uuid,
    agent_id: Uuid,
    agent_version: i32,
    customer_phone: Option<String>,
    our_number: Option<String>,
    status: String,
    direction: String,
    channel: String,
    end_reason: Option<String>,
    start_time: chrono::DateTime<chrono::Utc>,
    end_time: Option<chrono::DateTime<chrono::Utc>>,
    duration_seconds: Option<i32>,
    sentiment: Option<String>,
    outcome: Option<String>,
    tags: Vec<String>,
    summary: Option<String>,
    satisfaction_score: Option<f32>,
    metadata: Value,
    context: Value,
    answered_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Row {
    fn into_summary(self) -> ConversationSummary {
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
            metadata: object(self.metadata),
            context: object(self.context),
            answered_at: self.answered_at,
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
