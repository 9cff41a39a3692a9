//! An account at Twilio.

use axum::http::HeaderMap;
use trunkline_base::Secret;
use trunkline_control::vault::Fields;
use trunkline_media::{
    net::Http,
    telephony::{
        CarrierStatus,
        twilio::{
            recordings::TwilioRecordings,
            rest::{CallStatus, TwilioRest},
            signature::{Body, Keys, SETTINGS_HEADER, SIGNATURE_HEADER, SignedRequest, verify},
        },
    },
};

use super::CarrierError;
use crate::{
    config,
    vendors::access::{Failure, twilio_base, twilio_key, twilio_token},
};

/// An account at Twilio.
#[derive(Debug, Clone)]
pub(in crate::calls) struct TwilioAccount {
    sid: String,
    token: Secret,
    rest: TwilioRest,
    recordings: TwilioRecordings,
}

/// What a request from a carrier is verified by.
pub(in crate::calls) struct Signed<'a> {
    /// As the carrier has it: our public address, with the path and query as sent.
    pub(in crate::calls) url: &'a str,
    pub(in crate::calls) headers: &'a HeaderMap,
    /// The fields of a form; `None` for a media socket's upgrade.
    pub(in crate::calls) fields: Option<&'a [(String, String)]>,
}

impl TwilioAccount {
    pub(super) fn of(fields: &Fields, http: &Http, settings: &config::Vendors) -> Result<Self, Failure> {
        let token = twilio_token(fields)?;
        let (sid, secret) = (token.user.clone(), token.password.clone());
        let auth = twilio_key(fields)?.unwrap_or(token);
        let base = twilio_base(settings, fields)?;
        let rest = TwilioRest::new(http.direct().clone(), base.as_str(), sid.clone(), auth.clone());
        let recordings = TwilioRecordings::new(http.direct().clone(), base.as_str(), sid.clone(), auth);
        Ok(Self { sid, token: secret, rest, recordings })
    }

    /// The AccountSid.
    pub(in crate::calls) fn sid(&self) -> &str {
        &self.sid
    }

    /// Its REST API.
    pub(in crate::calls) const fn rest(&self) -> &TwilioRest {
        &self.rest
    }

    /// What the account has recorded itself.
    pub(in crate::calls) const fn recordings(&self) -> &TwilioRecordings {
        &self.recordings
    }

    /// Whether this account signed a request.
    pub(in crate::calls) fn signed(&self, request: &Signed<'_>) -> bool {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let request = SignedRequest {
            url: request.url,
            signature: header(SIGNATURE_HEADER),
            settings: header(SETTINGS_HEADER),
            body: request.fields.map_or(Body::None, Body::Form),
        };
        verify(Keys::token(&self.token), &request).is_ok()
    }

    pub(super) async fn hang_up(&self, call_sid: &str) -> Result<(), CarrierError> {
        Ok(self.rest.hang_up(call_sid).await?)
    }

    pub(super) async fn fetch(&self, call_sid: &str) -> Result<Option<CarrierStatus>, CarrierError> {
        let Some(status) = self.rest.call_status(call_sid).await? else { return Ok(None) };
        let status = match status {
            CallStatus::Queued => CarrierStatus::Queued,
            CallStatus::Ringing => CarrierStatus::Ringing,
            CallStatus::InProgress => CarrierStatus::Answered,
            CallStatus::Completed => CarrierStatus::Completed,
            CallStatus::Busy => CarrierStatus::Busy,
            CallStatus::Failed => CarrierStatus::Failed,
            CallStatus::NoAnswer => CarrierStatus::NoAnswer,
            CallStatus::Canceled => CarrierStatus::Canceled,
            CallStatus::Unknown => return Err(CarrierError::UnknownStatus),
        };
        Ok(Some(status))
    }
}
