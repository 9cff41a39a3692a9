//! One at a time, on all nodes together: leases in the database, for what must not happen twice at once and takes longer than a
//! transaction should be open.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    db::{Db, DbError, Tx},
    tenant::TenantId,
};

/// How long a lease lasts whose holder has died: longer than an exchange and the keeping of what came of it.
const LASTS_SECONDS: f64 = 90.0;
/// How long one waits for it.
const WAIT: Duration = Duration::from_secs(30);
/// How often one looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The right to exchange a credential for a session.
#[derive(Debug)]
pub(super) struct Lease {
    credential: Uuid,
    /// Tells this holder from a later one.
    until: DateTime<Utc>,
}

impl Lease {
    /// Waits for it; `None` if others have it for too long.
    pub(super) async fn take(db: &Db, tenant: TenantId, credential: Uuid) -> Result<Option<Self>, DbError> {
        let taking = async {
            loop {
                let mut tx = db.begin(tenant).await?;
                let until = insert(&mut tx, tenant, credential).await?;
                tx.commit().await?;
                match until {
                    Some(until) => return Ok(Self { credential, until }),
                    None => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        };
        tokio::time::timeout(WAIT, taking).await.ok().transpose()
    }

    /// Gives it back. What fails here ends by itself.
    pub(super) async fn give_back(self, db: &Db, tenant: TenantId) {
        let giving = async {
            let mut tx = db.begin(tenant).await?;
            delete(&mut tx, tenant, &self).await?;
            tx.commit().await
        };
        if let Err(error) = giving.await {
            tracing::warn!(%error, credential_id = %self.credential, "a lease is not given back and has to end");
        }
    }
}

async fn insert(tx: &mut Tx, tenant: TenantId, credential: Uuid) -> Result<Option<DateTime<Utc>>, DbError> {
    let until = sqlx::query_scalar!(
        "insert into slots (tenant_id, kind, holder, expires_at)
         values ($1, 'renewal', $2, now() + make_interval(secs => $3))
         on conflict (tenant_id, kind, holder) do update set expires_at = excluded.expires_at where slots.expires_at < now()
         returning expires_at",
        tenant.as_uuid(),
        credential,
        LASTS_SECONDS
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(until)
}

async fn delete(tx: &mut Tx, tenant: TenantId, lease: &Lease) -> Result<(), DbError> {
    sqlx::query!(
        "delete from slots where tenant_id = $1 and kind = 'renewal' and holder = $2 and expires_at = $3",
        tenant.as_uuid(),
        lease.credential,
        lease.until
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
