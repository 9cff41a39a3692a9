//! `GET /media/vonage/{conversation}`: a media socket of Vonage's, whose upgrade has a token as its webhooks have, but no hash.

use std::sync::Arc;

use axum::{
    extract::{Path, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use trunkline_base::CallId;
use trunkline_control::{error::ApiError, lookup, vendors::Provider};
use trunkline_media::telephony::vonage::{VonageCodec, signature::Payload};

use super::{Admission, no_such_call, not_signed};
use crate::calls::{Calls, account::vonage_signer};

pub(in crate::calls) async fn vonage(
    State(calls): State<Calls>,
    Path(conversation): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Ok(id) = conversation.parse::<CallId>() else { return Err(no_such_call()) };
    let (tenant, accounts) = match calls.0.registry.owner(id) {
        Some((tenant, account)) => (tenant, vec![account]),
        None => {
            let tenant = lookup::conversation(&calls.control().db, id).await?.ok_or_else(no_such_call)?;
            let account = calls.account_of_open_call(tenant, id, Provider::Vonage).await?;
            (tenant, account.into_iter().map(Arc::new).collect())
        }
    };
    let signer = vonage_signer(accounts, &headers, Payload::Upgrade);
    let Some((account, _)) = signer else { return Err(not_signed(id)) };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    Ok(Admission { calls, tenant, id, account }.upgrade(upgrade, VonageCodec::default()))
}
