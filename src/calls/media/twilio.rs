//! `GET /media/twilio/{conversation}`: a media socket of Twilio's, whose upgrade is signed as its webhooks are.

use axum::{
    extract::{Path, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use trunkline_base::CallId;
use trunkline_control::{error::ApiError, lookup, vendors::Provider};
use trunkline_media::telephony::twilio::TwilioCodec;

use super::{Admission, no_such_call, not_signed};
use crate::calls::{
    Calls,
    account::{Signed, signer},
};

pub(in crate::calls) async fn twilio(
    State(calls): State<Calls>,
    Path(conversation): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Ok(id) = conversation.parse::<CallId>() else { return Err(no_such_call()) };
    let url = calls.stream_url(Provider::Twilio, id);
    let request = Signed { url: &url, headers: &headers, fields: None };
    let (tenant, account) = match calls.0.registry.owner(id) {
        Some((tenant, account)) => {
            let signed = account.twilio().is_some_and(|twilio| twilio.signed(&request));
            (tenant, signed.then_some(account))
        }
        None => {
            let tenant = lookup::conversation(&calls.control().db, id).await?.ok_or_else(no_such_call)?;
            let account = calls.account_of_open_call(tenant, id, Provider::Twilio).await?;
            (tenant, signer(account.into_iter().collect(), &request))
        }
    };
    let Some(account) = account else { return Err(not_signed(id)) };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    Ok(Admission { calls, tenant, id, account }.upgrade(upgrade, TwilioCodec::default()))
}
