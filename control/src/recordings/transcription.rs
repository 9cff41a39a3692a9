//! Recordings that are transcribed anew, and the credentials that let a vendor bring the result.
//!
//! The new transcript has a place of its own beside the one that was heard live. Among the turns it would be searched, counted and given
//! back to an agent whose call is taken up again; in the metadata every list of conversations would carry it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
};

/// A stretch of speech in a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = SpokenEntry)]
pub struct Entry {
    /// `agent` or `customer`.
    #[schema(example = "customer")]
    pub speaker: String,
    /// What was said.
    #[schema(example = "A table for two, please.")]
    pub text: String,
    /// When it began, in milliseconds since the call was answered.
    #[schema(example = 4180)]
    pub started_ms: i64,
    /// When it ended.
    #[schema(example = 5610)]
    pub ended_ms: i64,
    /// How sure the vendor is, from 0 to 1.
    #[schema(example = 0.98)]
    pub confidence: f64,
}

/// A recording's new transcript.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Retranscription {
    /// `requested`, `done` or `failed`.
    #[schema(example = "done")]
    pub status: String,
    /// The vendor's model.
    #[schema(example = "nova-3")]
    pub model: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When it came.
    pub completed_at: Option<DateTime<Utc>>,
    /// Ordered by when speech began. While a new one is on its way, the one before.
    pub transcript: Vec<Entry>,
}

/// Lets whoever shows the secret with this SHA-256 bring a transcript, once, and notes that one has been asked for.
pub async fn request(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: Uuid,
    hash: &[u8; 32],
    valid_for: Duration,
    model: &str,
) -> Result<(), DbError> {
    // What was minted before and never used is of no use to anybody any more.
    sqlx::query!(
        "delete from deepgram_callbacks where tenant_id = $1 and conversation_id = $2 and expires_at < now()",
        tenant.as_uuid(),
        conversation,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "insert into deepgram_callbacks (hash, tenant_id, conversation_id, expires_at)
         values ($3, $1, $2, now() + make_interval(secs => $4))",
        tenant.as_uuid(),
        conversation,
        hash.as_slice(),
        valid_for.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "insert into retranscriptions (tenant_id, conversation_id, state, model) values ($1, $2, 'requested', $3)
         on conflict (tenant_id, conversation_id) do update
         set state = 'requested', model = excluded.model, requested_at = now(), completed_at = null",
        tenant.as_uuid(),
        conversation,
        model,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes that the vendor did not take the recording, and takes its secret back.
pub async fn refused(tx: &mut Tx, tenant: TenantId, conversation: Uuid, hash: &[u8; 32]) -> Result<(), DbError> {
    let taken_back = sqlx::query!(
        "delete from deepgram_callbacks where tenant_id = $1 and conversation_id = $2 and hash = $3 and used_at is null",
        tenant.as_uuid(),
        conversation,
        hash.as_slice(),
    )
    .execute(tx.connection())
    .await?;
    if taken_back.rows_affected() > 0 {
        sqlx::query!(
            "update retranscriptions set state = 'failed', completed_at = now() where tenant_id = $1 and conversation_id = $2",
            tenant.as_uuid(),
            conversation,
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

/// Keeps what the vendor brought (`None`: it says that it could not do it), if nobody has brought it before with this secret. The secret
/// is used up in the same transaction.
pub async fn bring(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: Uuid,
    hash: &[u8; 32],
    entries: Option<&[Entry]>,
) -> Result<bool, DbError> {
    let first = sqlx::query!(
        "update deepgram_callbacks set used_at = now()
         where tenant_id = $1 and conversation_id = $2 and hash = $3 and used_at is null and expires_at > now()",
        tenant.as_uuid(),
        conversation,
        hash.as_slice(),
    )
    .execute(tx.connection())
    .await?;
    if first.rows_affected() == 0 {
        return Ok(false);
    }
    let entries = entries.map(|entries| serde_json::to_value(entries).unwrap_or(Value::Null));
    sqlx::query!(
        "update retranscriptions
         set state = case when $3::jsonb is null then 'failed' else 'done' end, completed_at = now(), entries = coalesce($3, entries)
         where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        conversation,
        entries,
    )
    .execute(tx.connection())
    .await?;
    Ok(true)
}

/// A conversation's new transcript, if one was asked for.
pub(crate) async fn read(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: Uuid,
) -> Result<Option<Retranscription>, DbError> {
    let row = sqlx::query!(
        "select state, model, requested_at, completed_at, entries from retranscriptions
         where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        conversation,
    )
    .fetch_optional(tx.connection())
    .await?;
    let corrupt = |error: serde_json::Error| DbError::Corrupt { table: "retranscriptions", cause: error.to_string() };
    row.map(|row| {
        Ok(Retranscription {
            status: row.state,
            model: row.model,
            requested_at: row.requested_at,
            completed_at: row.completed_at,
            transcript: serde_json::from_value(row.entries).map_err(corrupt)?,
        })
    })
    .transpose()
}

/// Forgets it.
pub(crate) async fn erase(tx: &mut Tx, tenant: TenantId, conversation: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "delete from retranscriptions where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        conversation
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "delete from deepgram_callbacks where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        conversation
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
