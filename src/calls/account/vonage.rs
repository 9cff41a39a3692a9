//! An account at Vonage: one application of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use trunkline_base::{Secret, SystemClock};
use trunkline_control::vault::Fields;
use trunkline_media::{
    net::Http,
    telephony::{
        CarrierStatus,
        vonage::{
            rest::{CreateCall, Created, RestError, VonageRest},
            signature::{Account, Claims, Payload, SignatureError, verify},
        },
    },
};

use super::CarrierError;
use crate::{
    config,
    vendors::access::{Failure, required, vonage_auth, vonage_hosts},
};

/// How often Vonage is asked to place a call that was not reached, or has too much to do.
const ATTEMPTS: u32 = 3;
/// The pause before it is asked again, doubled each time; and the longest that it may ask for.
const PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(3);
/// The parameters of our own addresses.
const OURS: [&str; 2] = ["kind", "conversation"];

/// An application at Vonage, with its account.
#[derive(Debug, Clone)]
pub(in crate::calls) struct VonageAccount {
    api_key: String,
    application_id: String,
    signature_secret: Secret,
    rest: VonageRest,
}

impl VonageAccount {
    pub(super) fn of(fields: &Fields, http: &Http, settings: &config::Vendors) -> Result<Self, Failure> {
        let auth = vonage_auth(fields)?;
        Ok(Self {
            api_key: auth.api_key.clone(),
            application_id: auth.application_id.clone(),
            signature_secret: required(fields, "signature_secret")?.clone(),
            rest: VonageRest::new(http.clone(), &vonage_hosts(settings, fields), auth, Arc::new(SystemClock)),
        })
    }

    pub(in crate::calls) fn application_id(&self) -> &str {
        &self.application_id
    }

    /// Whether this account signed a request, and what its token says.
    pub(in crate::calls) fn verify(
        &self,
        headers: &HeaderMap,
        payload: Payload<'_>,
        now: SystemTime,
    ) -> Result<Claims, SignatureError> {
        let account = Account {
            api_key: &self.api_key,
            application_id: &self.application_id,
            signature_secret: &self.signature_secret,
        };
        let verified = verify(&account, authorization(headers), payload, now);
        match payload {
            // Whether what our own address said already is a part of what is hashed is not documented.
            Payload::Query(query) if verified == Err(SignatureError::PayloadHash) => {
                let theirs: Vec<_> = query.iter().filter(|(name, _)| !OURS.contains(&name.as_str())).cloned().collect();
                verify(&account, authorization(headers), Payload::Query(&theirs), now)
            }
            _ => verified,
        }
    }

    /// Its REST API.
    pub(in crate::calls) const fn rest(&self) -> &VonageRest {
        &self.rest
    }

    /// The same account, for the calls of a region.
    pub(super) fn at(&self, region_url: &str) -> Self {
        Self { rest: self.rest.clone().in_region(Some(region_url)), ..self.clone() }
    }

    /// Places a call. It is asked again only where it was certainly not heard.
    pub(in crate::calls) async fn create(&self, call: &CreateCall<'_>) -> Result<Created, RestError> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            let error = match self.rest.create(call).await {
                Ok(created) => return Ok(created),
                Err(error) => error,
            };
            if error.may_have_happened() || !error.is_transient() {
                return Err(error);
            }
            let asked_for = match &error {
                RestError::Refused { retry_after, .. } => *retry_after,
                _ => None,
            };
            tokio::time::sleep(asked_for.unwrap_or(pause).min(MAX_PAUSE)).await;
            pause *= 2;
        }
        self.rest.create(call).await
    }

    /// Ends the call of the caller's leg.
    pub(super) async fn hang_up(&self, uuid: &str) -> Result<(), CarrierError> {
        Ok(self.rest.hang_up(uuid).await?)
    }

    /// Presses keys towards a leg: `0`–`9`, `*`, `#`, and `p` for half a second of silence.
    pub(in crate::calls) async fn press(&self, uuid: &str, keys: &str) -> Result<(), CarrierError> {
        Ok(self.rest.send_keys(uuid, keys).await?)
    }

    pub(super) async fn fetch(&self, uuid: &str) -> Result<Option<CarrierStatus>, CarrierError> {
        let Some(call) = self.rest.fetch(uuid).await? else { return Ok(None) };
        call.status.map(Some).ok_or(CarrierError::UnknownStatus)
    }
}

/// The token that a request came with.
pub(in crate::calls) fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}
