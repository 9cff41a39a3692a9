//! A carrier's account: what its requests are verified with, and how it is asked to hang up.

use std::sync::Arc;

use axum::http::HeaderMap;
use trunkline_base::{CallId, Secret};
use trunkline_control::{
    conversations::calls as stored, credentials::store as credentials, error::ApiError, lookup, tenant::TenantId,
    vault::Fields, vendors::Provider,
};
use trunkline_media::telephony::twilio::{
    rest::{TwilioAuth, TwilioRest},
    signature::{Body, Keys, SETTINGS_HEADER, SIGNATURE_HEADER, SignedRequest, verify},
};
use uuid::Uuid;

use super::Calls;

/// An account at Twilio.
#[derive(Debug, Clone)]
pub(super) struct TwilioAccount {
    pub(super) sid: String,
    token: Secret,
    pub(super) rest: TwilioRest,
}

/// What a request from a carrier is verified by.
pub(super) struct Signed<'a> {
    /// As the carrier has it: our public address, with the path and query as sent.
    pub(super) url: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// The fields of a form; `None` for a media socket's upgrade.
    pub(super) fields: Option<&'a [(String, String)]>,
}

impl TwilioAccount {
    /// Whether this account signed a request.
    pub(super) fn signed(&self, request: &Signed<'_>) -> bool {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let request = SignedRequest {
            url: request.url,
            signature: header(SIGNATURE_HEADER),
            settings: header(SETTINGS_HEADER),
            body: request.fields.map_or(Body::None, Body::Form),
        };
        verify(Keys::token(&self.token), &request).is_ok()
    }
}

impl Calls {
    /// The account of a credential; `None` if there is no such credential, or its fields are not an account's.
    pub(super) async fn account_of_credential(
        &self,
        tenant: TenantId,
        credential: Uuid,
    ) -> Result<Option<TwilioAccount>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let stored = credentials::get_encrypted(&mut tx, tenant, credential).await?;
        tx.commit().await?;
        Ok(stored.and_then(|stored| self.open(&stored.encrypted)))
    }

    /// A tenant's accounts with this AccountSid: several credentials may hold it while a token is being changed.
    pub(super) async fn accounts(&self, tenant: TenantId, sid: &str) -> Result<Vec<TwilioAccount>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let stored = credentials::by_account(&mut tx, tenant, Provider::Twilio, sid).await?;
        tx.commit().await?;
        Ok(self.with_platforms(sid, stored.iter().map(|stored| stored.encrypted.as_str())))
    }

    /// The account of the number that a call came to; `None`: it is over.
    pub(super) async fn accounts_of_call(
        &self,
        tenant: TenantId,
        id: CallId,
    ) -> Result<Option<Vec<TwilioAccount>>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let call = stored::read(&mut tx, tenant, id).await?.filter(|call| !call.over);
        tx.commit().await?;
        let Some(call) = call else { return Ok(None) };
        let Some(number) = call.our_number else { return Ok(Some(Vec::new())) };
        let found = lookup::number(&self.control().db, Provider::Twilio, number.expose()).await?;
        let credential = found.filter(|found| found.tenant == tenant).and_then(|found| found.credential);
        let account = match credential {
            Some(credential) => self.account_of_credential(tenant, credential).await?,
            None => self.platform_account(),
        };
        Ok(Some(account.into_iter().collect()))
    }

    /// Anybody's accounts with this AccountSid.
    pub(super) async fn anybodys_accounts(&self, sid: &str) -> Result<Vec<TwilioAccount>, ApiError> {
        let stored = lookup::account_secrets(&self.control().db, Provider::Twilio, sid).await?;
        Ok(self.with_platforms(sid, stored.iter().map(|stored| stored.encrypted.as_str())))
    }

    /// The accounts of stored credentials, and the operator's own if it has the same AccountSid.
    fn with_platforms<'a>(&self, sid: &str, encrypted: impl Iterator<Item = &'a str>) -> Vec<TwilioAccount> {
        let platforms = self.platform_account().filter(|account| account.sid == sid);
        encrypted.filter_map(|encrypted| self.open(encrypted)).chain(platforms).collect()
    }

    /// The operator's own account, for numbers that no tenant's credential holds.
    pub(super) fn platform_account(&self) -> Option<TwilioAccount> {
        let vendors = &self.0.settings.vendors;
        let set = !vendors.twilio_account_sid.is_empty() && !vendors.twilio_auth_token.is_empty();
        set.then(|| self.account(vendors.twilio_account_sid.clone(), vendors.twilio_auth_token.clone(), None))
    }

    fn open(&self, encrypted: &str) -> Option<TwilioAccount> {
        match self.control().vault.open(encrypted) {
            Ok(fields) => self.account_of(&fields),
            Err(error) => {
                tracing::error!(%error, "a carrier's credential is of no use");
                None
            }
        }
    }

    fn account_of(&self, fields: &Fields) -> Option<TwilioAccount> {
        let sid = fields.get("account_sid")?.expose().to_owned();
        let token = fields.get("auth_token")?.clone();
        let key = fields.get("api_key_sid").zip(fields.get("api_key_secret"));
        let auth = key.map(|(sid, secret)| TwilioAuth { user: sid.expose().to_owned(), password: secret.clone() });
        Some(self.account(sid, token, auth))
    }

    fn account(&self, sid: String, token: Secret, auth: Option<TwilioAuth>) -> TwilioAccount {
        let auth = auth.unwrap_or_else(|| TwilioAuth { user: sid.clone(), password: token.clone() });
        let http = self.0.composer.http().clone();
        let rest = TwilioRest::new(http, &self.0.settings.vendors.twilio_base_url, sid.clone(), auth);
        TwilioAccount { sid, token, rest }
    }
}

/// The account among these that signed a request.
pub(super) fn signer(accounts: Vec<TwilioAccount>, request: &Signed<'_>) -> Option<Arc<TwilioAccount>> {
    accounts.into_iter().find(|account| account.signed(request)).map(Arc::new)
}
