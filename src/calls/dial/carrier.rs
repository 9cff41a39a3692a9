//! Placing a call at a carrier, in no carrier's words.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde_json::json;
use trunkline_base::E164;
use trunkline_control::{
    error::{ApiError, ErrorCode},
    vendors::Provider,
};
use trunkline_media::telephony::{
    twilio::rest::{self as twilio, NewCall, PlacedCall, RestError},
    vonage::rest::{self as vonage, CreateCall, Flow, ListCalls, MachineDetection},
};

use crate::calls::account::{CarrierAccount, CarrierError, TwilioAccount, VonageAccount};

/// For how many seconds Vonage waits for a machine's beep.
const BEEP: u16 = 45;

/// A call to be placed.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) to: E164,
    pub(super) from: E164,
    /// Where the carrier asks what to do once the call is answered.
    pub(super) answer_url: String,
    /// Where it tells what happens to the call.
    pub(super) status_url: String,
    pub(super) ring: Duration,
    pub(super) time_limit: Duration,
    pub(super) detection: Option<Detection>,
}

/// How the carrier is to find out who answers.
#[derive(Debug, Clone)]
pub(super) struct Detection {
    /// A machine is told of when a message can be left, and not as soon as it is known to be one.
    pub(super) waits_for_end: bool,
    /// Where it is told.
    pub(super) url: String,
}

/// A call that a carrier has.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) provider_call_id: String,
    /// When it was placed, by the carrier's clock and as exactly as it says.
    pub(super) created: Option<DateTime<Utc>>,
}

/// Why no call was placed, as far as the carrier says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::calls) struct Refused {
    pub(in crate::calls) provider: Provider,
    /// Whether it may have been placed all the same.
    pub(in crate::calls) may_have_happened: bool,
    /// Whose fault it is.
    pub(in crate::calls) fault: Fault,
    /// For people: what is wrong and, where somebody can do something about it, what.
    pub(in crate::calls) words: String,
    /// HTTP status, if there was an answer.
    pub(in crate::calls) status: Option<u16>,
    /// The carrier's own code.
    pub(in crate::calls) code: Option<String>,
}

/// Whose fault it is that no call is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::calls) enum Fault {
    /// Of the number that was to be called.
    To,
    /// Of the number that was to call.
    From,
    /// The carrier's, or the account's.
    Carrier,
}

impl Refused {
    /// What a call that was not placed ended for, in the database's words.
    pub(super) const fn end_reason(&self) -> &'static str {
        match self.fault {
            Fault::To => "invalid_number",
            Fault::From | Fault::Carrier => "carrier_failed",
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused.fault {
            Fault::To => Self::field("phone_number", refused.words),
            Fault::From => Self::field("from_number", refused.words),
            Fault::Carrier => Self::new(ErrorCode::ExternalApiError, refused.words)
                .details(json!({ "vendor": refused.provider, "status": refused.status, "code": refused.code })),
        }
    }
}

impl CarrierAccount {
    /// How many calls a second the carrier lets an account place that it has not agreed otherwise with.
    pub(super) const fn calls_per_second(provider: Provider) -> f64 {
        match provider {
            Provider::Vonage => 3.0,
            _ => 1.0,
        }
    }

    /// What the carrier's webhooks are called here: the one that asks what to do with an answered call, and the one that tells how it is.
    pub(super) const fn webhook_kinds(provider: Provider) -> (&'static str, &'static str) {
        match provider {
            Provider::Vonage => ("answer", "event"),
            _ => ("voice", "status"),
        }
    }

    /// Places a call, and says under which name.
    pub(super) async fn place(&self, order: &Order) -> Result<String, Refused> {
        match self {
            Self::Twilio(account) => account.place(order).await,
            Self::Vonage(account) => account.place(order).await,
        }
    }

    /// The calls that it has from one number to another and were placed by a program; not all that are older than a time.
    pub(super) async fn placed(
        &self,
        from: &E164,
        to: &E164,
        since: DateTime<Utc>,
    ) -> Result<Vec<Listed>, CarrierError> {
        match self {
            Self::Twilio(account) => account.placed(from, to).await,
            Self::Vonage(account) => account.placed(from, to, since).await,
        }
    }
}

impl TwilioAccount {
    async fn place(&self, order: &Order) -> Result<String, Refused> {
        let call = NewCall {
            to: order.to.clone(),
            from: order.from.clone(),
            url: order.answer_url.clone(),
            status_callback: order.status_url.clone(),
            ring: order.ring,
            time_limit: order.time_limit,
            detection: order.detection.as_ref().map(|detection| twilio::Detection {
                waits_for_end: detection.waits_for_end,
                callback: detection.url.clone(),
            }),
        };
        self.rest().place(&call).await.map(|placed| placed.sid).map_err(refused)
    }

    async fn placed(&self, from: &E164, to: &E164) -> Result<Vec<Listed>, CarrierError> {
        let listed = |call: PlacedCall| Listed {
            provider_call_id: call.sid,
            created: call.created.map(|created: SystemTime| created.into()),
        };
        Ok(self.rest().placed(from, to).await?.into_iter().map(listed).collect())
    }
}

fn refused(error: RestError) -> Refused {
    let (status, code) = match error {
        RestError::Refused { status, code } => (Some(status), code.map(|code| code.to_string())),
        _ => (None, None),
    };
    let refusal = error.refusal();
    let fault = match refusal {
        Some(refusal) if refusal.is_of_number() => Fault::To,
        Some(twilio::Refusal::CallerId) => Fault::From,
        _ => Fault::Carrier,
    };
    let words = refusal.map_or_else(|| format!("Twilio has placed no call: {error}"), |refusal| refusal.to_string());
    Refused { provider: Provider::Twilio, may_have_happened: error.may_have_happened(), fault, words, status, code }
}

impl VonageAccount {
    async fn place(&self, order: &Order) -> Result<String, Refused> {
        let call = CreateCall {
            to: order.to.expose(),
            from: order.from.expose(),
            flow: Flow::AnswerUrl(&order.answer_url),
            event_url: &order.status_url,
            machine: order.detection.as_ref().map(|detection| MachineDetection {
                hang_up: false,
                beep_seconds: detection.waits_for_end.then_some(BEEP),
            }),
            ringing_seconds: u16::try_from(order.ring.as_secs()).unwrap_or(u16::MAX),
            longest_seconds: u32::try_from(order.time_limit.as_secs()).unwrap_or(u32::MAX),
        };
        self.create(&call).await.map(|created| created.uuid).map_err(|error| refused_by_vonage(&error))
    }

    async fn placed(&self, from: &E164, to: &E164, since: DateTime<Utc>) -> Result<Vec<Listed>, CarrierError> {
        let wanted = ListCalls { since: Some(since.into()), ..ListCalls::default() };
        let is = |theirs: &Option<String>, ours: &E164| theirs.as_deref() == Some(&ours.expose()[1..]);
        let calls = self.rest().list(&wanted).await?;
        let ours = calls.into_iter().filter(|call| call.outbound && is(&call.to, to) && is(&call.from, from));
        // It says when a call was answered, not when it was placed: the list has none that are older.
        Ok(ours.map(|call| Listed { provider_call_id: call.uuid, created: None }).collect())
    }
}

fn refused_by_vonage(error: &vonage::RestError) -> Refused {
    let status = match error {
        vonage::RestError::Refused { status, .. } => Some(*status),
        _ => None,
    };
    let fields = match error {
        vonage::RestError::Refused { reason: vonage::Reason::Fields(fields), .. } => fields.as_slice(),
        _ => &[],
    };
    let fault = if error.is_invalid_number() {
        Fault::To
    } else if fields.iter().any(|name| name == "from" || name.starts_with("from.")) {
        Fault::From
    } else {
        Fault::Carrier
    };
    let words = match fault {
        Fault::To => "Vonage says that it is no valid number".to_owned(),
        Fault::From => "Vonage does not let the account call from this number".to_owned(),
        Fault::Carrier => format!("Vonage has placed no call: {error}"),
    };
    let may_have_happened = error.may_have_happened();
    Refused { provider: Provider::Vonage, may_have_happened, fault, words, status, code: None }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn a_number_s_fault_is_the_request_s_and_all_else_is_the_carrier_s() {
        let of = |status, code| refused(RestError::Refused { status, code: Some(code) });
        for (refusal, status, reason) in [
            (of(400, 21_217), StatusCode::UNPROCESSABLE_ENTITY, "invalid_number"),
            (of(400, 21_215), StatusCode::UNPROCESSABLE_ENTITY, "invalid_number"),
            (of(400, 21_210), StatusCode::UNPROCESSABLE_ENTITY, "carrier_failed"),
            (of(401, 20_003), StatusCode::BAD_GATEWAY, "carrier_failed"),
            (of(503, 20_500), StatusCode::BAD_GATEWAY, "carrier_failed"),
            (refused(RestError::Connect), StatusCode::BAD_GATEWAY, "carrier_failed"),
        ] {
            assert_eq!(refusal.end_reason(), reason, "{refusal:?}");
            assert_eq!(ApiError::from(refusal.clone()).status, status, "{refusal:?}");
        }
        let details = ApiError::from(of(503, 20_500)).details.unwrap();
        assert_eq!(details, json!({ "vendor": "twilio", "status": 503, "code": "20500" }));
    }
}
