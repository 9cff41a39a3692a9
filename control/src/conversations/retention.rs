//! Erasing what tenants no longer want kept: `settings.retention.transcripts_days` of a tenant says how many days after its end a call's
//! text stays. Without it, or null, it stays until somebody erases it.

use chrono::{DateTime, Utc};

use super::erase::erase;
use crate::{
    db::{Db, DbError},
    lookup,
    tenant::TenantId,
};

/// Erases up to `limit` conversations that are due at this time, of all tenants; says how many it has erased. Each is a transaction of
/// its own: several nodes may sweep at once, and one that cannot be erased does not keep the others.
pub async fn sweep(db: &Db, now: DateTime<Utc>, limit: i32) -> Result<usize, DbError> {
    let mut erased = 0;
    for (tenant, id) in lookup::retention_due(db, limit, now).await? {
        match erase_one(db, tenant, id.as_uuid(), now).await {
            Ok(()) => erased += 1,
            Err(error @ DbError::Unavailable(_)) => return Err(error),
            Err(error) => tracing::error!(call = %id, %error, "a conversation that is due cannot be erased"),
        }
    }
    Ok(erased)
}

async fn erase_one(db: &Db, tenant: TenantId, id: uuid::Uuid, now: DateTime<Utc>) -> Result<(), DbError> {
    let mut tx = db.begin(tenant).await?;
    erase(&mut tx, tenant, id, now).await?;
    tx.commit().await
}
