//! A carrier's account: who signs its requests, and what its calls are asked and told by.
//!
//! An enum and not a trait: the carriers are two, what they have in common is here, and where they differ (how they sign) their webhooks
//! take the one that they know.

mod twilio;
mod vonage;

use std::sync::Arc;

use trunkline_base::CallId;
use trunkline_control::{
    conversations::calls as stored,
    credentials::store as credentials,
    error::ApiError,
    lookup::{self, FoundNumber},
    tenant::TenantId,
    vault::Fields,
    vendors::Provider,
};
use trunkline_media::{
    net::Http,
    telephony::{CarrierStatus, twilio::rest::RestError},
};

pub(super) use self::{
    twilio::{Signed, TwilioAccount},
    vonage::VonageAccount,
};
use super::Calls;
use crate::{
    config,
    vendors::access::{Failure, platform},
};

/// An account at a carrier.
#[derive(Debug, Clone)]
pub(super) enum CarrierAccount {
    Twilio(TwilioAccount),
    Vonage(VonageAccount),
}

/// Why a carrier was asked in vain. It holds nothing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CarrierError {
    #[error("Twilio: {0}")]
    Twilio(#[from] RestError),
    /// It answers with a word that is not known.
    #[error("the carrier's status is not known")]
    UnknownStatus,
    #[error("Vonage's calls are not served")]
    NotServed,
}

impl CarrierAccount {
    /// The account of a credential's fields, at this carrier.
    fn of(provider: Provider, fields: &Fields, http: &Http, settings: &config::Vendors) -> Result<Self, Failure> {
        match provider {
            Provider::Twilio => TwilioAccount::of(fields, http, settings).map(Self::Twilio),
            Provider::Vonage => VonageAccount::of(fields, settings).map(Self::Vonage),
            _ => Err(Failure::NoCarrier),
        }
    }

    /// Which carrier it is.
    pub(super) const fn provider(&self) -> Provider {
        match self {
            Self::Twilio(_) => Provider::Twilio,
            Self::Vonage(_) => Provider::Vonage,
        }
    }

    /// The carrier's name for it, which is no secret: an AccountSid, or an application's id.
    pub(super) fn account_ref(&self) -> &str {
        match self {
            Self::Twilio(account) => account.sid(),
            Self::Vonage(account) => account.application_id(),
        }
    }

    /// Ends a call. One that is over already, or that the carrier doesn't know, is a success: it may be asked for twice.
    pub(super) async fn hang_up(&self, provider_call_id: &str) -> Result<(), CarrierError> {
        match self {
            Self::Twilio(account) => account.hang_up(provider_call_id).await,
            Self::Vonage(account) => account.hang_up(provider_call_id).await,
        }
    }

    /// How a call is; `None` if the carrier doesn't know it.
    pub(super) async fn fetch(&self, provider_call_id: &str) -> Result<Option<CarrierStatus>, CarrierError> {
        match self {
            Self::Twilio(account) => account.fetch(provider_call_id).await,
            Self::Vonage(account) => account.fetch(provider_call_id).await,
        }
    }

    /// As Twilio's, which signs by its token.
    pub(super) const fn twilio(&self) -> Option<&TwilioAccount> {
        match self {
            Self::Twilio(account) => Some(account),
            Self::Vonage(_) => None,
        }
    }
}

impl Calls {
    /// The account of a credential; `None` if there is no such credential, or its fields are not a carrier's account.
    pub(super) async fn account_of_credential(
        &self,
        tenant: TenantId,
        credential: uuid::Uuid,
    ) -> Result<Option<CarrierAccount>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let stored = credentials::get_encrypted(&mut tx, tenant, credential).await?;
        tx.commit().await?;
        Ok(stored.and_then(|stored| self.open(stored.provider, &stored.encrypted)))
    }

    /// The account that a number is on.
    pub(super) async fn account_of_number(
        &self,
        provider: Provider,
        number: &FoundNumber,
    ) -> Result<Option<CarrierAccount>, ApiError> {
        let account = match number.credential {
            Some(credential) => self.account_of_credential(number.tenant, credential).await?,
            None => self.platform_account(provider),
        };
        Ok(account.filter(|account| account.provider() == provider))
    }

    /// A tenant's accounts with this name at a carrier: several credentials may hold it while a token is being changed.
    pub(super) async fn accounts(
        &self,
        tenant: TenantId,
        provider: Provider,
        account_ref: &str,
    ) -> Result<Vec<CarrierAccount>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let stored = credentials::by_account(&mut tx, tenant, provider, account_ref).await?;
        tx.commit().await?;
        Ok(self.with_platforms(provider, account_ref, stored.iter().map(|stored| stored.encrypted.as_str())))
    }

    /// The account of the number that a call is on; `None`: it is over.
    pub(super) async fn accounts_of_call(
        &self,
        tenant: TenantId,
        id: CallId,
        provider: Provider,
    ) -> Result<Option<Vec<CarrierAccount>>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let call = stored::read(&mut tx, tenant, id).await?.filter(|call| !call.over);
        tx.commit().await?;
        let Some(call) = call else { return Ok(None) };
        let Some(number) = call.our_number else { return Ok(Some(Vec::new())) };
        let found = lookup::number(&self.control().db, provider, number.expose()).await?;
        let account = match found.filter(|found| found.tenant == tenant) {
            Some(found) => self.account_of_number(provider, &found).await?,
            None => self.platform_account(provider),
        };
        Ok(Some(account.into_iter().collect()))
    }

    /// Anybody's accounts with this name at a carrier.
    pub(super) async fn anybodys_accounts(
        &self,
        provider: Provider,
        account_ref: &str,
    ) -> Result<Vec<CarrierAccount>, ApiError> {
        let stored = lookup::account_secrets(&self.control().db, provider, account_ref).await?;
        Ok(self.with_platforms(provider, account_ref, stored.iter().map(|stored| stored.encrypted.as_str())))
    }

    /// The accounts of stored credentials, and the operator's own if it has the same name.
    fn with_platforms<'a>(
        &self,
        provider: Provider,
        account_ref: &str,
        encrypted: impl Iterator<Item = &'a str>,
    ) -> Vec<CarrierAccount> {
        let platforms = self.platform_account(provider).filter(|account| account.account_ref() == account_ref);
        encrypted.filter_map(|encrypted| self.open(provider, encrypted)).chain(platforms).collect()
    }

    /// The operator's own account, for numbers that no tenant's credential holds.
    pub(super) fn platform_account(&self, provider: Provider) -> Option<CarrierAccount> {
        let fields = platform(&self.0.settings.vendors, provider)?;
        self.account(provider, &fields)
    }

    fn open(&self, provider: Provider, encrypted: &str) -> Option<CarrierAccount> {
        match self.control().vault.open(encrypted) {
            Ok(fields) => self.account(provider, &fields),
            Err(error) => {
                tracing::error!(%error, "a carrier's credential is of no use");
                None
            }
        }
    }

    fn account(&self, provider: Provider, fields: &Fields) -> Option<CarrierAccount> {
        let account = CarrierAccount::of(provider, fields, self.0.composer.vendors_http(), &self.0.settings.vendors);
        // What is missing was refused when it was stored; another kind of credential is no account.
        account.ok()
    }
}

/// The account among these that signed a request.
pub(super) fn signer(accounts: Vec<CarrierAccount>, request: &Signed<'_>) -> Option<Arc<CarrierAccount>> {
    accounts.into_iter().find(|account| account.twilio().is_some_and(|twilio| twilio.signed(request))).map(Arc::new)
}
