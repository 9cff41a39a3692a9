//! Recordings that a carrier makes: told of by its callbacks, and left with it.
//!
//! Of copying them into our store or fetching them when somebody listens, it is the latter: a tenant that has its carrier record has chosen
//! where that is kept, and a copy would be a second one to pay for and to erase. So a row names the carrier's own id, audio is fetched with
//! the account that made it (never from an address that a callback names), and erasing deletes it there.

use axum::{
    body::Body,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use futures_util::TryStreamExt;
use trunkline_base::CallId;
use trunkline_control::{
    error::{ApiError, ErrorCode},
    recordings::store::{self, OfCarrier},
    tenant::TenantId,
    vendors::Provider,
};
use trunkline_media::telephony::twilio::recordings::{RecordingError, TwilioRecordings};

use crate::calls::Calls;

/// What a carrier knows a recording by, as a row has it: `twilio:<AccountSid>/<RecordingSid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AtTwilio {
    account: String,
    recording: String,
}

impl AtTwilio {
    fn of(account: &str, recording: &str) -> Option<Self> {
        let is_sid = |sid: &str| sid.len() == 34 && sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let both = is_sid(account) && is_sid(recording) && recording.starts_with("RE");
        both.then(|| Self { account: account.to_owned(), recording: recording.to_owned() })
    }

    fn read(location: &str) -> Option<Self> {
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
        let mut tx = self.control().db.begin(tenant).await?;
        let kept = store::of_carrier(&mut tx, tenant, id, &at.location(), duration_ms).await?;
        tx.commit().await?;
        if kept {
            return Ok(());
        }
        // The conversation is erased: what the carrier has of it goes too.
        tracing::info!(call = %id, "a carrier's recording of an erased conversation is deleted");
        self.delete_at_carrier(tenant, &at.location()).await.map_err(|cause| {
            tracing::warn!(call = %id, cause, "a carrier's recording could not be deleted");
            ApiError::overloaded("Try again", std::time::Duration::from_secs(30))
        })
    }

    /// What a carrier has recorded, as it gives it.
    pub(super) async fn hear_at_carrier(
        &self,
        tenant: TenantId,
        recording: &OfCarrier,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let gone = || ApiError::new(ErrorCode::NotFound, "The carrier's recording is gone");
        let at = AtTwilio::read(&recording.location).ok_or_else(gone)?;
        let account = self.recordings_at_twilio(tenant, &at).await?;
        let account = account.ok_or_else(|| {
            ApiError::new(ErrorCode::IntegrationTestFailed, "No credential holds the carrier's account any more")
        })?;
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
        let theirs = account.open(&at.recording, range).await.map_err(|error| match error {
            RecordingError::NotFound | RecordingError::BadSid => gone(),
            RecordingError::Refused(416) => ApiError::new(ErrorCode::ValidationError, "The range lies behind its end")
                .status(StatusCode::RANGE_NOT_SATISFIABLE),
            RecordingError::NoAnswer | RecordingError::Refused(_) => {
                ApiError::new(ErrorCode::ExternalApiError, format!("The carrier does not give its recording: {error}"))
                    .details(serde_json::json!({ "vendor": "twilio" }))
            }
        })?;
        let partial = theirs.status() == StatusCode::PARTIAL_CONTENT;
        let mut response = Response::builder()
            .status(if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK })
            .header(header::CONTENT_TYPE, "audio/wav")
            .header(header::CACHE_CONTROL, "private, no-cache");
        for name in [header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ACCEPT_RANGES] {
            if let Some(value) = theirs.headers().get(&name) {
                response = response.header(name, value);
            }
        }
        // The library's own words would hold the address.
        let bytes = theirs.bytes_stream().map_err(|_| std::io::Error::other("the carrier's answer broke off"));
        let body = if *method == Method::HEAD { Body::empty() } else { Body::from_stream(bytes) };
        response.body(body).map_err(|error| ApiError::internal(&error))
    }

    /// Deletes what a carrier has recorded.
    pub(super) async fn delete_at_carrier(&self, tenant: TenantId, location: &str) -> Result<(), String> {
        let Some(at) = AtTwilio::read(location) else { return Ok(()) };
        let account = self.recordings_at_twilio(tenant, &at).await.map_err(|error| error.message)?;
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
