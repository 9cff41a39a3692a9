//! The rows of recordings.

use std::time::Duration;

#[cfg(any(test, feature = "testing"))]
use chrono::{DateTime, Utc};
use trunkline_base::CallId;
use uuid::Uuid;

use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
    tenants::store as tenants,
};

/// How long a piece that its node has not even begun to bring is waited for once its call is over: then the others are to be had
/// without it.
const WAITED_FOR: &str = "15 minutes";

/// A piece of a call's audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its id, made by whoever records.
    pub id: Uuid,
    /// Of which call.
    pub conversation: CallId,
    /// Where it begins, in milliseconds since the answer.
    pub begins_ms: i32,
}

/// A piece that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: Uuid,
    /// Where in the store it is, or what the carrier knows it by.
    pub location: String,
    /// How long it is.
    pub bytes: i64,
    /// How long it lasts.
    pub duration_ms: i32,
    /// Where it begins, in milliseconds since the answer.
    pub begins_ms: i32,
}

/// What is to be done with a piece that waits to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is wanted.
    Store,
    /// It is stored already, or its conversation has been erased.
    Drop,
    /// There is no such conversation.
    Unknown,
}

/// Notes that a piece is being recorded, unless it is known already.
pub async fn begin(tx: &mut Tx, tenant: TenantId, piece: &Piece) -> Result<(), DbError> {
    sqlx::query!(
        "insert into recordings (tenant_id, id, conversation_id, source, state, begins_ms)
         select $1, $2, c.id, 'call', 'recording', $4 from conversations c
         where c.tenant_id = $1 and c.id = $3 and c.erased_at is null
         on conflict do nothing",
        tenant.as_uuid(),
        piece.id,
        piece.conversation.as_uuid(),
        piece.begins_ms,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes that a piece is whole and about to be stored. It may not be known yet: the database was away when it began.
pub async fn uploading(tx: &mut Tx, tenant: TenantId, piece: &Piece) -> Result<Fate, DbError> {
    let conversation = sqlx::query_scalar!(
        r#"select erased_at is not null as "erased!" from conversations where tenant_id = $1 and id = $2 for key share"#,
        tenant.as_uuid(),
        piece.conversation.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    match conversation {
        None => return Ok(Fate::Unknown),
        Some(true) => return Ok(Fate::Drop),
        Some(false) => {}
    }
    let wanted = sqlx::query_scalar!(
        "insert into recordings as r (tenant_id, id, conversation_id, source, state, begins_ms)
         values ($1, $2, $3, 'call', 'uploading', $4)
         on conflict (tenant_id, id) do update set state = 'uploading' where r.state in ('recording', 'uploading', 'failed')
         returning id",
        tenant.as_uuid(),
        piece.id,
        piece.conversation.as_uuid(),
        piece.begins_ms,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(if wanted.is_some() { Fate::Store } else { Fate::Drop })
}

/// Notes that a piece is in the store, which makes it the conversation's recording if that has none. False: the conversation has been
/// erased meanwhile, and what was stored is marked to be deleted again.
pub async fn stored(tx: &mut Tx, tenant: TenantId, conversation: CallId, stored: &Stored) -> Result<bool, DbError> {
    // Against an erasure at the same time: one of the two sees what the other did.
    let conversation_row = sqlx::query!(
        r#"select erased_at is not null as "erased!", end_time from conversations where tenant_id = $1 and id = $2 for update"#,
        tenant.as_uuid(),
        conversation.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = conversation_row else { return Ok(false) };
    let keep = tenants::settings(tx, tenant).await?.retention.recordings_days;
    let is_kept = sqlx::query_scalar!(
        r#"insert into recordings as r (tenant_id, id, conversation_id, source, location, bytes, duration_ms, state, begins_ms, delete_after)
           values ($1, $2, $3, 'call', $4, $5, $6, case when $7 then 'deleting' else 'stored' end, $8,
                   coalesce($9, now()) + make_interval(days => $10))
           on conflict (tenant_id, id) do update
           set location = excluded.location, bytes = excluded.bytes, duration_ms = excluded.duration_ms,
               delete_after = excluded.delete_after,
               state = case when r.state = 'deleting' then r.state else excluded.state end
           returning state = 'stored' as "kept!""#,
        tenant.as_uuid(),
        stored.id,
        conversation.as_uuid(),
        stored.location,
        stored.bytes,
        stored.duration_ms,
        row.erased,
        stored.begins_ms,
        row.end_time,
        keep,
    )
    .fetch_one(tx.connection())
    .await?;
    if is_kept {
        sqlx::query!(
            "update conversations set recording_id = coalesce(recording_id, $3), version = version + 1
             where tenant_id = $1 and id = $2",
            tenant.as_uuid(),
            conversation.as_uuid(),
            stored.id,
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(is_kept)
}

/// Notes that there is nothing in a piece, or that it is lost.
pub async fn failed(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update recordings set state = 'failed'
         where tenant_id = $1 and id = $2 and source = 'call' and state in ('recording', 'uploading')",
        tenant.as_uuid(),
        id,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes what a carrier tells of a recording of its own. What is known of it already, and what has to go, stays as it is. False: there
/// is no such conversation, or it has been erased.
pub async fn of_carrier(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: CallId,
    location: &str,
    duration_ms: Option<i32>,
) -> Result<bool, DbError> {
    let row = sqlx::query!(
        r#"select erased_at is not null as "erased!", end_time from conversations where tenant_id = $1 and id = $2 for update"#,
        tenant.as_uuid(),
        conversation.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row.filter(|row| !row.erased) else { return Ok(false) };
    let keep = tenants::settings(tx, tenant).await?.retention.recordings_days;
    let id = Uuid::now_v7();
    let new = sqlx::query!(
        "insert into recordings (tenant_id, id, conversation_id, source, location, duration_ms, state, delete_after)
         values ($1, $2, $3, 'carrier', $4, $5, 'stored', coalesce($6, now()) + make_interval(days => $7))
         on conflict do nothing",
        tenant.as_uuid(),
        id,
        conversation.as_uuid(),
        location,
        duration_ms,
        row.end_time,
        keep,
    )
    .execute(tx.connection())
    .await?;
    if new.rows_affected() > 0 {
        sqlx::query!(
            "update conversations set recording_id = coalesce(recording_id, $3), version = version + 1
             where tenant_id = $1 and id = $2",
            tenant.as_uuid(),
            conversation.as_uuid(),
            id,
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(true)
}

/// What there is of a conversation's recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Pieces that are stored, in the order in which they were recorded.
    pub pieces: Vec<Stored>,
    /// Pieces of which more is to come: the call goes on, or they are on their way to the store.
    pub pending: usize,
    /// Pieces that were lost.
    pub failed: usize,
    /// What the carrier has recorded, the newest first.
    pub of_carrier: Vec<OfCarrier>,
}

/// What a carrier has recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfCarrier {
    /// Our id of it.
    pub id: Uuid,
    /// What the carrier knows it by.
    pub location: String,
}

/// A conversation's recording; `None` if there is no such conversation.
pub async fn find(tx: &mut Tx, tenant: TenantId, conversation: Uuid) -> Result<Option<Found>, DbError> {
    let there = sqlx::query_scalar!(
        "select id from conversations where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        conversation,
    )
    .fetch_optional(tx.connection())
    .await?;
    if there.is_none() {
        return Ok(None);
    }
    let rows = sqlx::query!(
        r#"select r.id, r.source, r.state, r.location, r.bytes, r.duration_ms, r.begins_ms,
                  (r.state = 'uploading' or r.state = 'recording'
                      and (c.end_time is null or c.end_time > now() - $3::text::interval)) as "pending!"
           from recordings r join conversations c on c.tenant_id = r.tenant_id and c.id = r.conversation_id
           where r.tenant_id = $1 and r.conversation_id = $2
           order by r.begins_ms, r.id"#,
        tenant.as_uuid(),
        conversation,
        WAITED_FOR,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut found = Found::default();
    for row in rows {
        match (row.source.as_str(), row.state.as_str(), row.location) {
            ("carrier", "stored", Some(location)) => found.of_carrier.insert(0, OfCarrier { id: row.id, location }),
            (_, "stored", Some(location)) => found.pieces.push(Stored {
                id: row.id,
                location,
                bytes: row.bytes.unwrap_or(0),
                duration_ms: row.duration_ms.unwrap_or(0),
                begins_ms: row.begins_ms,
            }),
            _ if row.pending => found.pending += 1,
            (_, "failed" | "recording", _) => found.failed += 1,
            _ => {}
        }
    }
    Ok(Some(found))
}

/// Marks all that was recorded in a conversation to be deleted.
pub(crate) async fn erase(tx: &mut Tx, tenant: TenantId, conversation: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update recordings set state = 'deleting', retry_at = null where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        conversation,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Says again until when a tenant's recordings are kept.
pub(crate) async fn reschedule(tx: &mut Tx, tenant: TenantId, days: Option<i32>) -> Result<(), DbError> {
    sqlx::query!(
        "update recordings r set delete_after = coalesce(c.end_time, r.created_at) + make_interval(days => $2)
         from conversations c
         where r.tenant_id = $1 and r.state = 'stored' and c.tenant_id = r.tenant_id and c.id = r.conversation_id",
        tenant.as_uuid(),
        days,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// An object that has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Of which conversation.
    pub conversation: CallId,
    /// Whether the carrier keeps it.
    pub of_carrier: bool,
    /// Where it is; `None`: it never came to the store.
    pub location: Option<String>,
}

/// What is to be done about a recording that was found due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing, by now.
    Nothing,
    /// Nothing: nobody brought it, and it has been given up.
    GivenUp,
    /// Its object has to go, and then its row.
    Delete(Doomed),
}

/// Does to a recording that is due what is to be done to its row.
pub async fn due(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Due, DbError> {
    let row = sqlx::query!(
        r#"select r.conversation_id, r.source, r.state, r.location, coalesce(r.delete_after <= now(), false) as "over!"
           from recordings r where r.tenant_id = $1 and r.id = $2 for update"#,
        tenant.as_uuid(),
        id,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(Due::Nothing) };
    match row.state.as_str() {
        "deleting" => {}
        "stored" if row.over => {
            sqlx::query!(
                "update recordings set state = 'deleting' where tenant_id = $1 and id = $2",
                tenant.as_uuid(),
                id
            )
            .execute(tx.connection())
            .await?;
            sqlx::query!(
                "update conversations c set version = version + 1, recording_id = (
                     select r.id from recordings r
                     where r.tenant_id = $1 and r.conversation_id = c.id and r.state = 'stored' order by r.begins_ms, r.id limit 1)
                 where c.tenant_id = $1 and c.id = $2 and c.recording_id = $3",
                tenant.as_uuid(),
                row.conversation_id,
                id,
            )
            .execute(tx.connection())
            .await?;
        }
        "recording" | "uploading" => {
            failed(tx, tenant, id).await?;
            return Ok(Due::GivenUp);
        }
        _ => return Ok(Due::Nothing),
    }
    Ok(Due::Delete(Doomed {
        conversation: CallId::from(row.conversation_id),
        of_carrier: row.source == "carrier",
        location: row.location,
    }))
}

/// Forgets a recording whose object is gone.
pub async fn deleted(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "delete from recordings where tenant_id = $1 and id = $2 and state = 'deleting'",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets a recording whose object could not be deleted wait, so that it keeps no other from being tried.
pub async fn not_deleted(tx: &mut Tx, tenant: TenantId, id: Uuid, wait: Duration) -> Result<(), DbError> {
    sqlx::query!(
        "update recordings set retry_at = now() + make_interval(secs => $3)
         where tenant_id = $1 and id = $2 and state = 'deleting'",
        tenant.as_uuid(),
        id,
        wait.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What a recording has as its time of deletion: for whoever wants to see that it has one.
#[cfg(any(test, feature = "testing"))]
pub async fn delete_after(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<DateTime<Utc>>, DbError> {
    let row = sqlx::query_scalar!(
        "select delete_after from recordings where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.flatten())
}
