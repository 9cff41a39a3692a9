//! Forgetting what was said in a call. Its row stays with its numbers, so that analytics and usage stay true; what anybody said, and who
//! they are, goes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    db::{DbError, Tx},
    recordings::{store as recordings, transcription},
    tenant::TenantId,
};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// It is erased, now or already.
    Erased,
    /// The call goes on.
    Live,
    /// There is no such conversation.
    NotThere,
}

/// Kinds of events that hold nothing anybody has said, so that their data may stay. A kind that is not known here is emptied.
const HARMLESS: [&str; 12] = [
    "answered",
    "stream_attached",
    "turn_started",
    "reply_started",
    "interruption",
    "false_interruption",
    "caller_idle",
    "latency",
    "usage",
    "vendor_fault",
    "recording",
    "ended",
];

/// Erases a conversation that is over.
pub async fn erase(tx: &mut Tx, tenant: TenantId, id: Uuid, now: DateTime<Utc>) -> Result<Erasure, DbError> {
    // Against its node's last rows, which may be on their way.
    let found = sqlx::query!(
        r#"select end_time is not null as "over!", erased_at is not null as "erased!" from conversations
           where tenant_id = $1 and id = $2 for update"#,
        tenant.as_uuid(),
        id,
    )
    .fetch_optional(tx.connection())
    .await?;
    match found {
        None => return Ok(Erasure::NotThere),
        Some(row) if row.erased => return Ok(Erasure::Erased),
        Some(row) if !row.over => return Ok(Erasure::Live),
        Some(_) => {}
    }
    sqlx::query!("delete from turns where tenant_id = $1 and conversation_id = $2", tenant.as_uuid(), id)
        .execute(tx.connection())
        .await?;
    recordings::erase(tx, tenant, id).await?;
    transcription::erase(tx, tenant, id).await?;
    sqlx::query!(
        "update conversation_events set data = '{}'
         where tenant_id = $1 and conversation_id = $2 and kind <> all ($3) and data <> '{}'",
        tenant.as_uuid(),
        id,
        &HARMLESS.map(str::to_owned),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "update conversations
         set customer_phone = null, sentiment = null, tags = '{}', summary = null, extraction = null, context = '{}',
             metadata = '{}', recording_id = null, search = null, erased_at = $3, version = version + 1
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(Erasure::Erased)
}
