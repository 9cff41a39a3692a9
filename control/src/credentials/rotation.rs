//! Bringing all credentials under the ring's first key, while the service runs.
//!
//! A credential is opened, sealed anew and stored only if nobody has changed it in between, so that no change is lost; what was changed
//! is looked at again. When nothing is left that another key has encrypted, former keys may leave the ring.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::store;
use crate::{
    db::{Db, DbError},
    lookup,
    tenant::TenantId,
    vault::Vault,
};

/// How often one credential is tried that others keep changing.
const MAX_ATTEMPTS: u32 = 20;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RotationReport {
    /// Are under the first key now.
    pub rotated: u64,
    /// Attempts that found the credential changed or gone in the meantime; it was looked at again.
    pub skipped: u64,
    /// Could not be opened by any key of the ring, or were changed all the time: they are as they were.
    pub failed: u64,
}

/// Rotates all that there are, of all tenants, `batch` at a time. Several may do so at once.
pub async fn rotate_all(control_db: &Db, vault: &Vault, batch: i32) -> Result<RotationReport, DbError> {
    let batch = batch.clamp(1, 1000);
    let mut report = RotationReport::default();
    let mut attempts: BTreeMap<(TenantId, Uuid), u32> = BTreeMap::new();
    loop {
        // Those that were given up are found every time, and must not hide the rest.
        let n = batch.saturating_add(i32::try_from(report.failed).unwrap_or(i32::MAX));
        let due = lookup::credentials_to_rotate(control_db, n, vault.fingerprint()).await?;
        let given_up = |key: &(TenantId, Uuid)| attempts.get(key).is_some_and(|&n| n >= MAX_ATTEMPTS);
        let due: Vec<_> = due.into_iter().filter(|key| !given_up(key)).collect();
        if due.is_empty() {
            return Ok(report);
        }
        for key in due {
            match rotate_one(control_db, vault, key).await? {
                Outcome::Rotated => report.rotated += 1,
                Outcome::Changed => {
                    report.skipped += 1;
                    let tried = attempts.entry(key).or_default();
                    *tried += 1;
                    if *tried == MAX_ATTEMPTS {
                        report.failed += 1;
                    }
                }
                Outcome::CannotOpen => {
                    attempts.insert(key, MAX_ATTEMPTS);
                    report.failed += 1;
                    tracing::warn!(tenant_id = %key.0, credential_id = %key.1, "no key of the ring opens a credential");
                }
            }
        }
    }
}

enum Outcome {
    Rotated,
    Changed,
    CannotOpen,
}

async fn rotate_one(db: &Db, vault: &Vault, (tenant, id): (TenantId, Uuid)) -> Result<Outcome, DbError> {
    let mut tx = db.begin(tenant).await?;
    let Some(stored) = store::get_encrypted(&mut tx, tenant, id).await? else {
        return Ok(Outcome::Changed);
    };
    let Ok(sealed) = vault.reseal(&stored.encrypted) else {
        return Ok(Outcome::CannotOpen);
    };
    let swapped = store::rotate(&mut tx, tenant, id, &stored.encrypted, &sealed).await?;
    tx.commit().await?;
    Ok(if swapped { Outcome::Rotated } else { Outcome::Changed })
}
