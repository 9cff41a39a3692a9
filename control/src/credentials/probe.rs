//! Whether a credential works: the vendor is asked, and its answer remembered.

use super::store::{self, StoredCredential};
use crate::{
    Control,
    error::ApiError,
    tenant::TenantId,
    vendors::{Probe, VendorError},
};

/// Asks the vendor. A vendor that refuses, fails or is slow is a result, not an error of ours. No transaction is open meanwhile.
pub(crate) async fn probe(
    control: &Control,
    tenant: TenantId,
    credential: &StoredCredential,
) -> Result<Result<Probe, VendorError>, ApiError> {
    let fields = control.vault.open(&credential.encrypted).map_err(|error| ApiError::internal(&error))?;
    let outcome = control.vendors.probe(credential.provider, &fields).await;
    let failure = outcome.as_ref().err().map(ToString::to_string);
    let mut tx = control.db.begin(tenant).await?;
    store::remember_test(&mut tx, tenant, credential, failure.as_deref()).await?;
    tx.commit().await?;
    Ok(outcome)
}
