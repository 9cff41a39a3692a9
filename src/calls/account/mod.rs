//! A carrier's account: who signs its requests, and what its calls are asked and told by.
//!
//! An enum and not a trait: the carriers are two, what they have in common is here, and where they differ (how they sign) their webhooks
//! take the one that they know.

mod twilio;
mod vonage;

use std::sync::Arc;

use axum::http::HeaderMap;
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    conversations::calls::{self as stored, StoredCall},
    credentials::store as credentials,
    error::ApiError,
    lookup::{self, FoundNumber},
    tenant::TenantId,
    vault::Fields,
    vendors::Provider,
};
use trunkline_media::{
    audio::{AudioFormat, Encoding, SampleRate},
    net::Http,
    telephony::{
        CarrierStatus,
        twilio::rest::RestError as TwilioError,
        vonage::{
            rest::RestError as VonageError,
            signature::{Claims, Payload},
        },
    },
};

pub(super) use self::{
    twilio::{Signed, TwilioAccount},
    vonage::{VonageAccount, authorization},
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
#[derive(Debug, thiserror::Error)]
pub(super) enum CarrierError {
    #[error("Twilio: {0}")]
    Twilio(#[from] TwilioError),
    #[error("Vonage: {0}")]
    Vonage(#[from] VonageError),
    /// It answers with a word that is not known.
    #[error("the carrier's status is not known")]
    UnknownStatus,
}

impl CarrierAccount {
    /// The account of a credential's fields, at this carrier.
    fn of(provider: Provider, fields: &Fields, http: &Http, settings: &config::Vendors) -> Result<Self, Failure> {
        match provider {
            Provider::Twilio => TwilioAccount::of(fields, http, settings).map(Self::Twilio),
            Provider::Vonage => VonageAccount::of(fields, http, settings).map(Self::Vonage),
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

    /// What its media sockets carry, both ways.
    pub(super) const fn line(&self) -> AudioFormat {
        match self {
            Self::Twilio(_) => AudioFormat::MULAW_8K,
            Self::Vonage(_) => AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_16000 },
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

    /// The same account, for calls that live in a region (`None`: in none). An address that is not the carrier's counts as none.
    #[must_use]
    pub(super) fn at(&self, region_url: Option<&str>) -> Self {
        match (self, region_url) {
            (Self::Vonage(account), Some(url)) => Self::Vonage(account.at(url)),
            (account, _) => account.clone(),
        }
    }

    /// As Twilio's, which signs by its token.
    pub(super) const fn twilio(&self) -> Option<&TwilioAccount> {
        match self {
            Self::Twilio(account) => Some(account),
            Self::Vonage(_) => None,
        }
    }

    /// As Vonage's, which signs by a secret of its own.
    pub(super) const fn vonage(&self) -> Option<&VonageAccount> {
        match self {
            Self::Twilio(_) => None,
            Self::Vonage(account) => Some(account),
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

    /// A call as it is stored.
    pub(super) async fn stored_call(&self, tenant: TenantId, id: CallId) -> Result<Option<StoredCall>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let call = stored::read(&mut tx, tenant, id).await?;
        tx.commit().await?;
        Ok(call)
    }

    /// The account of the number that a call is on.
    pub(super) async fn account_of_call(
        &self,
        call: &StoredCall,
        provider: Provider,
    ) -> Result<Option<CarrierAccount>, ApiError> {
        let Some(number) = &call.our_number else { return Ok(None) };
        let account = self.account_of_our_number(call.tenant, provider, number.expose()).await?;
        Ok(account.map(|account| account.at(call.region_url.as_deref())))
    }

    /// The account that a tenant's number is on, or else the operator's own.
    pub(super) async fn account_of_our_number(
        &self,
        tenant: TenantId,
        provider: Provider,
        number: &str,
    ) -> Result<Option<CarrierAccount>, ApiError> {
        let found = lookup::number(&self.control().db, provider, number).await?;
        match found.filter(|found| found.tenant == tenant) {
            Some(found) => self.account_of_number(provider, &found).await,
            None => Ok(self.platform_account(provider)),
        }
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

/// The account of Vonage's among these that signed a request, and what the token says.
pub(super) fn vonage_signer(
    accounts: Vec<Arc<CarrierAccount>>,
    headers: &HeaderMap,
    payload: Payload<'_>,
) -> Option<(Arc<CarrierAccount>, Claims)> {
    let now = SystemClock.wall();
    accounts.into_iter().find_map(|account| match account.vonage()?.verify(headers, payload, now) {
        Ok(claims) => Some((account, claims)),
        Err(error) => {
            tracing::debug!(cause = error.label(), "a token does not verify");
            None
        }
    })
}
