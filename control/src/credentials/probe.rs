//! Whether a credential works: the vendor is asked, and its answer remembered.

use std::time::Duration;

use trunkline_base::{Clock, SystemClock};

use super::{
    renewal::renew,
    store::{self, StoredCredential},
};
use crate::{
    Control,
    error::ApiError,
    tenant::TenantId,
    vendors::{VendorError, VendorErrorKind},
};

/// How long a test may take, whatever it consists of.
const LIMIT: Duration = Duration::from_secs(10);

/// What came of a test.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) response_time: Duration,
    pub(crate) outcome: Result<(), VendorError>,
}

/// Asks the vendor. A vendor that refuses, fails or is slow is a result, not an error of ours. No transaction is open meanwhile.
pub(crate) async fn probe(
    control: &Control,
    tenant: TenantId,
    credential: &StoredCredential,
) -> Result<Tested, ApiError> {
    let mut credential = credential.clone();
    let begun = SystemClock.now();
    let outcome = match tokio::time::timeout(LIMIT, ask(control, tenant, &mut credential)).await {
        Ok(outcome) => outcome?,
        Err(_) => Err(slow(&credential)),
    };
    let response_time = begun.elapsed();
    let failure = outcome.as_ref().err().map(ToString::to_string);
    let mut tx = control.db.begin(tenant).await?;
    store::remember_test(&mut tx, tenant, &credential, failure.as_deref()).await?;
    tx.commit().await?;
    Ok(Tested { response_time, outcome })
}

/// `credential` becomes what it is after its renewal, if it has one.
async fn ask(
    control: &Control,
    tenant: TenantId,
    credential: &mut StoredCredential,
) -> Result<Result<(), VendorError>, ApiError> {
    let provider = credential.provider;
    let fields = control.vault.open(&credential.encrypted).map_err(|error| ApiError::internal(&error))?;
    if !control.vendors.is_renewed(provider, &fields) {
        return Ok(control.vendors.probe(provider, &fields, None).await);
    }
    let renewal = match renew(control, tenant, credential.id).await? {
        Ok(renewal) => renewal,
        Err(error) => return Ok(Err(error)),
    };
    *credential = renewal.credential;
    Ok(control.vendors.probe(provider, &renewal.fields, Some(&renewal.session)).await)
}

fn slow(credential: &StoredCredential) -> VendorError {
    VendorError {
        provider: credential.provider,
        kind: VendorErrorKind::Unreachable,
        explanation: format!("No answer within {} seconds. Try again later.", LIMIT.as_secs()),
        status: None,
        code: None,
    }
}
