//! What carriers tell us and ask us over HTTP: nothing is believed, and nothing stored, before it is known who says it.

pub(super) mod twilio;
pub(super) mod vonage;

use std::collections::BTreeMap;

use trunkline_control::error::{ApiError, ErrorCode};

use super::ring::Caller;

/// The request is nobody's, or somebody else's than it says.
fn refused() -> ApiError {
    metrics::counter!("trunkline_webhooks_refused_total").increment(1);
    let message = "The signature does not verify with this account's token and PUBLIC_URL";
    ApiError::new(ErrorCode::WebhookSignatureInvalid, message)
}

/// What fills the variables of an agent's instructions for a call.
pub(super) fn context(caller: &Caller) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("from_number".to_owned(), caller.from.expose().clone()),
        ("to_number".to_owned(), caller.to.expose().clone()),
    ])
}
