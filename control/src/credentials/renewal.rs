//! Credentials that are exchanged for a session, where the exchange may replace what it was made with.
//!
//! With refresh token rotation the old token is dead as soon as the vendor has answered, so the new one is kept before anything is done
//! with the session. Two exchanges at once would kill each other's token: there is a lease. The exchange runs on a task of its own,
//! which goes on when whoever asked has stopped waiting, for an answer that nobody reads would be a token lost.

use std::time::Duration;

use tracing::Instrument;
use trunkline_base::Secret;
use uuid::Uuid;

use super::{
    lease::Lease,
    store::{self, StoredCredential},
};
use crate::{
    Control,
    db::DbError,
    error::{ApiError, ErrorCode},
    tenant::TenantId,
    vault::{Fields, VaultError},
    vendors::{Session, VendorError},
};

/// How often keeping new values is tried.
const ATTEMPTS: u32 = 7;
/// From the first attempt to the second; it doubles from then on, so that a database that restarts has 6 s.
const BACKOFF: Duration = Duration::from_millis(100);

/// A credential as it is after the exchange, and what it was exchanged for.
#[derive(Debug)]
pub(crate) struct Renewal {
    pub(crate) credential: StoredCredential,
    pub(crate) fields: Fields,
    pub(crate) session: Session,
}

/// Exchanges a credential. A vendor that refuses is a result, not an error of ours. No transaction is open meanwhile.
pub(crate) async fn renew(
    control: &Control,
    tenant: TenantId,
    id: Uuid,
) -> Result<Result<Renewal, VendorError>, ApiError> {
    let control = control.clone();
    let task = async move {
        let Some(lease) = Lease::take(&control.db, tenant, id).await? else {
            return Err(ApiError::overloaded("The credential is being renewed; try again", Duration::from_secs(5)));
        };
        let outcome = exchange(&control, tenant, id).await;
        lease.give_back(&control.db, tenant).await;
        outcome
    };
    tokio::spawn(task.in_current_span()).await.unwrap_or_else(|error| Err(ApiError::internal(&error)))
}

/// Under the lease: what was read before may have been replaced while one waited for it.
async fn exchange(control: &Control, tenant: TenantId, id: Uuid) -> Result<Result<Renewal, VendorError>, ApiError> {
    let mut tx = control.db.begin(tenant).await?;
    let credential = store::get_encrypted(&mut tx, tenant, id).await?.ok_or_else(gone)?;
    drop(tx);
    let fields = control.vault.open(&credential.encrypted).map_err(|error| ApiError::internal(&error))?;
    if !control.vendors.is_renewed(credential.provider, &fields) {
        return Err(changed());
    }
    let renewed = match control.vendors.renew(credential.provider, &fields).await {
        Ok(renewed) => renewed,
        Err(error) => return Ok(Err(error)),
    };
    let credential = if renewed.replaced.is_empty() {
        credential
    } else {
        let replacing = Replacing { control, tenant, id, used: &fields, with: &renewed.replaced };
        replacing.keep().await?
    };
    Ok(Ok(Renewal { credential, fields: fields.with(renewed.replaced), session: renewed.session }))
}

/// New values on their way into a credential.
struct Replacing<'a> {
    control: &'a Control,
    tenant: TenantId,
    id: Uuid,
    /// What the exchange was made with.
    used: &'a Fields,
    with: &'a [(&'static str, Secret)],
}

enum Attempt {
    Kept(StoredCredential),
    /// Something else about the credential has changed: once more.
    Again,
    /// Somebody has given it other values, and those count.
    Overtaken,
}

impl Replacing<'_> {
    /// Keeps them, whatever it takes within reason.
    async fn keep(&self) -> Result<StoredCredential, ApiError> {
        let mut wait = BACKOFF;
        let mut cause = String::from("others keep changing it");
        for n in 0..ATTEMPTS {
            if n > 0 {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            match self.attempt().await {
                Ok(Attempt::Kept(credential)) => return Ok(credential),
                Ok(Attempt::Again) => {}
                Ok(Attempt::Overtaken) => {
                    tracing::warn!(tenant_id = %self.tenant, credential_id = %self.id, "a credential was changed while it was renewed");
                    return Err(changed());
                }
                Err(error) => cause = error.to_string(),
            }
        }
        // Whoever runs the service has to know: this tenant's integration is broken until somebody authorises it again.
        tracing::error!(
            tenant_id = %self.tenant,
            credential_id = %self.id,
            cause,
            "A VENDOR HAS REPLACED A CREDENTIAL'S TOKEN AND THE NEW ONE COULD NOT BE STORED: the credential is dead"
        );
        Err(ApiError::new(
            ErrorCode::ServerError,
            "The vendor has replaced the credential's refresh token, and the new one could not be stored. The stored one is no \
             longer valid: authorise the app again and put its new refresh token into the credential.",
        ))
    }

    async fn attempt(&self) -> Result<Attempt, DbError> {
        let mut tx = self.control.db.begin(self.tenant).await?;
        let Some(stored) = store::get_encrypted(&mut tx, self.tenant, self.id).await? else {
            return Ok(Attempt::Overtaken);
        };
        let corrupt = |error: VaultError| DbError::Corrupt { table: "credentials", cause: error.to_string() };
        let fields = self.control.vault.open(&stored.encrypted).map_err(corrupt)?;
        let value = |fields: &Fields, name: &str| fields.get(name).map(|value| value.expose().to_owned());
        if self.with.iter().any(|(name, _)| value(&fields, name) != value(self.used, name)) {
            return Ok(Attempt::Overtaken);
        }
        let fields = fields.with(self.with.iter().cloned());
        let sealed = self.control.vault.seal(&fields);
        match store::renew(&mut tx, self.tenant, &stored, &sealed, &fields.names()).await? {
            Some(version) => {
                tx.commit().await?;
                Ok(Attempt::Kept(StoredCredential {
                    version,
                    encrypted: sealed.token,
                    fields_set: fields.names(),
                    ..stored
                }))
            }
            None => Ok(Attempt::Again),
        }
    }
}

fn gone() -> ApiError {
    ApiError::not_found(ErrorCode::CredentialNotFound)
}

fn changed() -> ApiError {
    ApiError::conflict("The credential was changed meanwhile; try again")
}
