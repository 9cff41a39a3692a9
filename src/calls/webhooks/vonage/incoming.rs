//! A request of Vonage's: what it says, and who signed it.

use std::sync::Arc;

use axum::{body::Bytes, http::HeaderMap};
use trunkline_control::{
    error::{ApiError, ErrorCode},
    vendors::Provider,
};
use trunkline_media::telephony::vonage::{
    event::{AnswerWebhook, EventKind, EventWebhook, NotAWebhook},
    signature::{Claims, Payload, unverified},
};

use crate::calls::{
    account::{CarrierAccount, authorization, vonage_signer},
    status::Receipt,
};

/// A request of the carrier, as it came.
pub(super) struct Incoming {
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

pub(super) enum Content {
    Body(Bytes),
    Query(Vec<(String, String)>),
}

impl Incoming {
    fn payload(&self) -> Payload<'_> {
        match &self.content {
            Content::Body(body) => Payload::Body(body),
            Content::Query(query) => Payload::Query(query),
        }
    }

    pub(super) fn answer(&self) -> Result<AnswerWebhook, NotAWebhook> {
        match &self.content {
            Content::Body(body) => AnswerWebhook::of_json(body),
            Content::Query(query) => AnswerWebhook::of_query(query),
        }
    }

    pub(super) fn event(&self) -> Result<EventWebhook, NotAWebhook> {
        match &self.content {
            Content::Body(body) => EventWebhook::of_json(body),
            Content::Query(query) => EventWebhook::of_query(query),
        }
    }

    /// What it is about, where the address doesn't say: what wants an answer says nothing of what has happened.
    pub(super) fn kind(&self) -> &'static str {
        match self.event().map(|event| event.kind) {
            Ok(EventKind::Unknown(word)) if word.is_empty() => "answer",
            _ => "event",
        }
    }

    /// The account among these that signed it, and what the token says.
    pub(super) fn signer(&self, accounts: Vec<Arc<CarrierAccount>>) -> Result<Signer, ApiError> {
        vonage_signer(accounts, &self.headers, self.payload())
            .map(|(account, claims)| Signer { account, claims })
            .ok_or_else(refused)
    }

    /// What it says of its account before it is believed.
    pub(super) fn claims(&self) -> Result<Claims, ApiError> {
        unverified(authorization(&self.headers)).map_err(|_| refused())
    }
}

/// Who signed a request.
pub(super) struct Signer {
    pub(super) account: Arc<CarrierAccount>,
    claims: Claims,
}

impl Signer {
    pub(super) fn receipt(&self) -> Receipt {
        Receipt::new(Provider::Vonage, &self.claims.api_key, &self.claims.jti)
    }
}

/// The request is nobody's, or somebody else's than it says.
fn refused() -> ApiError {
    metrics::counter!("trunkline_webhooks_refused_total").increment(1);
    let message = "The token does not verify with this account's signature secret";
    ApiError::new(ErrorCode::WebhookSignatureInvalid, message)
}
