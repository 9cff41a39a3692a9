//! Recordings at Vonage.

use std::time::Duration;

use trunkline_base::CallId;
use trunkline_control::{error::ApiError, lookup, tenant::TenantId, vendors::Provider};
use trunkline_media::telephony::vonage::rest::{ListCalls, RecordingFile, RestError, VonageRest};

use super::{fails, gone, no_account, no_such_range};
use crate::calls::{Calls, account::CarrierAccount};

/// What Vonage knows a recording by, as a row has it: `vonage:<application>/<file>@<origin>`. A file is known in its region alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AtVonage {
    application: String,
    recording: RecordingFile,
}

impl AtVonage {
    pub(super) fn read(location: &str) -> Option<Self> {
        let (application, rest) = location.strip_prefix("vonage:")?.split_once('/')?;
        let (file, origin) = rest.split_once('@')?;
        let recording = RecordingFile::of_url(&format!("{origin}/v1/files/{file}"))?;
        Some(Self { application: application.to_owned(), recording })
    }

    fn location(&self) -> String {
        let RecordingFile { origin, file } = &self.recording;
        format!("vonage:{}/{file}@{origin}", self.application)
    }
}

impl Calls {
    /// Vonage has recorded a call, and says where that is; repeats change nothing.
    pub(in crate::calls) async fn on_vonage_recording(
        &self,
        tenant: TenantId,
        id: CallId,
        account: &CarrierAccount,
        url: &str,
        duration: Option<Duration>,
    ) -> Result<(), ApiError> {
        let recording = RecordingFile::of_url(url);
        let recording = recording.ok_or_else(|| ApiError::field("recording_url", "is not a recording's address"))?;
        let at = AtVonage { application: account.account_ref().to_owned(), recording };
        let duration_ms = duration.and_then(|duration| i32::try_from(duration.as_millis()).ok());
        self.keep_of_carrier(tenant, id, &at.location(), duration_ms).await
    }

    /// Which of our calls one of Vonage's conversations is: what tells of a recording names no leg.
    pub(in crate::calls) async fn call_of_conversation(
        &self,
        account: &CarrierAccount,
        conversation_uuid: &str,
    ) -> Result<Option<CallId>, ApiError> {
        let Some(account) = account.vonage() else { return Ok(None) };
        let wanted = ListCalls { conversation_uuid: Some(conversation_uuid), ..ListCalls::default() };
        let legs = account.rest().list(&wanted).await.map_err(|error| fails(Provider::Vonage, &error))?;
        for leg in legs {
            if let Some((_, id)) = lookup::call(&self.control().db, Provider::Vonage, &leg.uuid).await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    pub(super) async fn hear_at_vonage(
        &self,
        tenant: TenantId,
        at: &AtVonage,
        range: Option<&str>,
    ) -> Result<reqwest::Response, ApiError> {
        let account = self.rest_at_vonage(tenant, at).await?.ok_or_else(no_account)?;
        account.open_recording(&at.recording, range).await.map_err(|error| match error {
            error if error.is_over() => gone(),
            RestError::Refused { status: 416, .. } => no_such_range(),
            error => fails(Provider::Vonage, &error),
        })
    }

    pub(super) async fn delete_at_vonage(&self, tenant: TenantId, at: &AtVonage) -> Result<(), String> {
        let account = self.rest_at_vonage(tenant, at).await.map_err(|error| error.message)?;
        let account = account.ok_or("no credential holds the carrier's account any more")?;
        account.delete_recording(&at.recording).await.map_err(|error| error.to_string())
    }

    async fn rest_at_vonage(&self, tenant: TenantId, at: &AtVonage) -> Result<Option<VonageRest>, ApiError> {
        let accounts = self.accounts(tenant, Provider::Vonage, &at.application).await?;
        Ok(accounts.first().and_then(|account| Some(account.vonage()?.rest().clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_an_application_a_file_and_where_it_is() {
        let url = "https://api-us-3.vonage.com/v1/files/aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
        let at = AtVonage { application: "app".into(), recording: RecordingFile::of_url(url).unwrap() };
        assert_eq!(at.location(), "vonage:app/aaaaaaaa-bbbb-cccc-dddd-0123456789ab@https://api-us-3.vonage.com");
        assert_eq!(AtVonage::read(&at.location()), Some(at));
        for wrong in ["", "vonage:", "vonage:app/1@https://api.nexmo.com", "twilio:app/x", url] {
            assert_eq!(AtVonage::read(wrong), None, "{wrong}");
        }
    }
}
