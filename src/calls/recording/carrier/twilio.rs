//! Recordings at Twilio.

use trunkline_base::CallId;
use trunkline_control::{error::ApiError, tenant::TenantId, vendors::Provider};
use trunkline_media::telephony::twilio::recordings::{RecordingError, TwilioRecordings};

use super::{fails, gone, no_account, no_such_range};
use crate::calls::Calls;

/// What a carrier knows a recording by, as a row has it: `twilio:<AccountSid>/<RecordingSid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AtTwilio {
    account: String,
    recording: String,
}

impl AtTwilio {
    fn of(account: &str, recording: &str) -> Option<Self> {
        let is_sid = |sid: &str| sid.len() == 34 && sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let both = is_sid(account) && is_sid(recording) && recording.starts_with("RE");
        both.then(|| Self { account: account.to_owned(), recording: recording.to_owned() })
    }

    pub(super) fn read(location: &str) -> Option<Self> {
        let (account, recording) = location.strip_prefix("twilio:")?.split_once('/')?;
        Self::of(account, recording)
    }

    fn location(&self) -> String {
        format!("twilio:{}/{}", self.account, self.recording)
    }
}

/// What Twilio tells of a recording, as far as it matters. (Twilio, "Recording status callbacks".)
#[derive(Debug, Clone, Copy)]
pub(in crate::calls) struct TwilioRecording<'a> {
    pub(in crate::calls) account_sid: &'a str,
    pub(in crate::calls) recording_sid: &'a str,
    /// `in-progress`, `completed` or `absent`.
    pub(in crate::calls) status: &'a str,
    /// In seconds.
    pub(in crate::calls) duration: &'a str,
}

impl Calls {
    /// Twilio has recorded a call. Only what is complete can be heard; repeats change nothing.
    pub(in crate::calls) async fn on_twilio_recording(
        &self,
        tenant: TenantId,
        id: CallId,
        told: TwilioRecording<'_>,
    ) -> Result<(), ApiError> {
        if told.status != "completed" {
            return Ok(());
        }
        let at = AtTwilio::of(told.account_sid, told.recording_sid);
        let at = at.ok_or_else(|| ApiError::field("RecordingSid", "is not a recording's SID"))?;
        let duration_ms = told.duration.parse::<i32>().ok().and_then(|seconds| seconds.checked_mul(1000));
        self.keep_of_carrier(tenant, id, &at.location(), duration_ms).await
    }

    pub(super) async fn hear_at_twilio(
        &self,
        tenant: TenantId,
        at: &AtTwilio,
        range: Option<&str>,
    ) -> Result<reqwest::Response, ApiError> {
        let account = self.recordings_at_twilio(tenant, at).await?.ok_or_else(no_account)?;
        let theirs = account.open(&at.recording, range).await.map_err(|error| match error {
            RecordingError::NotFound | RecordingError::BadSid => gone(),
            RecordingError::Refused(416) => no_such_range(),
            RecordingError::NoAnswer | RecordingError::Refused(_) => fails(Provider::Twilio, &error),
        })?;
        Ok(theirs)
    }

    pub(super) async fn delete_at_twilio(&self, tenant: TenantId, at: &AtTwilio) -> Result<(), String> {
        let account = self.recordings_at_twilio(tenant, at).await.map_err(|error| error.message)?;
        let account = account.ok_or("no credential holds the carrier's account any more")?;
        account.delete(&at.recording).await.map_err(|error| error.to_string())
    }

    async fn recordings_at_twilio(
        &self,
        tenant: TenantId,
        at: &AtTwilio,
    ) -> Result<Option<TwilioRecordings>, ApiError> {
        let accounts = self.accounts(tenant, Provider::Twilio, &at.account).await?;
        Ok(accounts.first().and_then(|account| Some(account.twilio()?.recordings().clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_an_account_and_a_recording_and_nothing_else() {
        let (account, recording) = ("AC00000000000000000000000000000001", "RE00000000000000000000000000000002");
        let at = AtTwilio::of(account, recording).unwrap();
        assert_eq!(AtTwilio::read(&at.location()), Some(at));
        for (account, recording) in
            [("AC1", recording), (account, "RE1"), (account, account), (account, "RE000000000000000000000000000000/2")]
        {
            assert_eq!(AtTwilio::of(account, recording), None, "{account} {recording}");
        }
        for wrong in ["", "twilio:", "https://example.com/a", "twilio:../../x/RE00000000000000000000000000000002"] {
            assert_eq!(AtTwilio::read(wrong), None, "{wrong}");
        }
    }
}
