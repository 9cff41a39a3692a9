//! Bringing the secrets of all webhooks under the ring's first key, as [`crate::credentials::rotation`] does with credentials.

use crate::{
    credentials::rotation::RotationReport,
    db::{Db, DbError},
    lookup,
    vault::Vault,
};

/// How many are looked at at once.
const BATCH: i32 = 100;

/// Rotates all that there are, of all tenants. Several may do so at once: a webhook is locked while it is done.
pub async fn rotate_all(db: &Db, vault: &Vault) -> Result<RotationReport, DbError> {
    let mut report = RotationReport::default();
    loop {
        // Those that cannot be opened are found every time, and must not hide the rest.
        let n = BATCH.saturating_add(i32::try_from(report.failed).unwrap_or(i32::MAX));
        let due = lookup::webhook_secrets_to_rotate(db, n, vault.fingerprint()).await?;
        let (before, found) = (report.rotated, due.len());
        report.failed = 0;
        for (tenant, id) in due {
            let mut tx = db.begin(tenant).await?;
            let Some(encrypted) = super::store::lock_secrets(&mut tx, tenant, id).await? else { continue };
            match vault.reseal(&encrypted) {
                Ok(sealed) => {
                    super::store::reseal(&mut tx, tenant, id, &sealed).await?;
                    tx.commit().await?;
                    report.rotated += 1;
                }
                Err(_) => {
                    report.failed += 1;
                    tracing::warn!(tenant_id = %tenant, webhook_id = %id, "no key of the ring opens a webhook's secrets");
                }
            }
        }
        if found == 0 || report.rotated == before {
            return Ok(report);
        }
    }
}
