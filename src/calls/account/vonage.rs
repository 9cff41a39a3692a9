//! An account at Vonage: one application of it.

use trunkline_control::vault::Fields;
use trunkline_media::telephony::{
    CarrierStatus,
    vonage::{VonageHosts, account::VonageAuth},
};

use super::CarrierError;
use crate::{
    config,
    vendors::access::{Failure, vonage_auth, vonage_hosts},
};

/// An application at Vonage, with its account.
#[derive(Debug, Clone)]
pub(in crate::calls) struct VonageAccount {
    auth: VonageAuth,
    #[expect(dead_code, reason = "its calls are not served")]
    hosts: VonageHosts,
}

impl VonageAccount {
    pub(super) fn of(fields: &Fields, settings: &config::Vendors) -> Result<Self, Failure> {
        Ok(Self { auth: vonage_auth(fields)?, hosts: vonage_hosts(settings, fields) })
    }

    pub(in crate::calls) fn application_id(&self) -> &str {
        &self.auth.application_id
    }

    #[expect(clippy::unused_async, clippy::unused_self, reason = "its calls are not served")]
    pub(super) async fn hang_up(&self, _uuid: &str) -> Result<(), CarrierError> {
        Err(CarrierError::NotServed)
    }

    #[expect(clippy::unused_async, clippy::unused_self, reason = "its calls are not served")]
    pub(super) async fn fetch(&self, _uuid: &str) -> Result<Option<CarrierStatus>, CarrierError> {
        Err(CarrierError::NotServed)
    }
}
