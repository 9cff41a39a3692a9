//! Keys and transfers at Twilio, where everything is a document that a call is given.
//!
//! *Keys*: the call gets a document that plays them and connects the stream again, for nothing that goes through a stream presses any.
//!
//! *Cold*: the call gets a `<Dial>`. That the target answered is told by the number's own callback; how it ended, by the `action`, which is
//! asked what comes next: the stream, if the target was not reached.
//!
//! *Warm*: the target is called, hears that somebody is waiting, and takes the call by a key: an answering machine presses none. Then both
//! are let into a room (`<Conference>`) that ends with the first who leaves. The other way, a `<Dial>` with a document for the number that
//! whispers, would take the caller from the agent before anybody had answered, and let them hear it ring.

use std::sync::Arc;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc;
use trunkline_base::{CallId, E164, Secret};
use trunkline_control::{conversations::reach, error::ApiError, tenant::TenantId, vendors::Provider};
use trunkline_media::telephony::{
    CarrierStatus, Keys, Transfer, TransferOutcome, TransferStep,
    twilio::{rest::NewCall, twiml},
};

use super::{
    bus::Told,
    transfer::{DECIDE, LANGUAGE, LONGEST, Place, Progress, RING, WAITING},
};
use crate::calls::{Calls, account::CarrierAccount, live::LiveCarrier, webhooks::twilio::Incoming};

impl LiveCarrier {
    pub(super) async fn press_on_twilio(&self, keys: &Keys) -> Result<(), String> {
        let calls = &self.calls;
        let token = calls.0.registry.renew_token(self.id).ok_or("the call is ending")?;
        calls.keep_token(self.tenant, self.id, &token).await;
        let resume = calls.webhook_url(Provider::Twilio, "resume", self.id);
        let stream = calls.stream_url(Provider::Twilio, self.id);
        let document = twiml::press_keys(keys, &stream, &[("token", token.expose())], &resume);
        self.redirect(&document).await
    }

    async fn redirect(&self, document: &str) -> Result<(), String> {
        let account = self.account.twilio().ok_or("not an account of Twilio's")?;
        match account.rest().redirect(&self.provider_call_id, document).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the call is over".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn cold_on_twilio(
        &self,
        transfer: &Transfer,
        steps: &mpsc::Sender<TransferStep>,
        mut place: Place,
    ) -> Option<TransferOutcome> {
        let Ok(number) = E164::parse(transfer.target.expose()) else {
            return Some(TransferOutcome::failed("not a number"));
        };
        let url = self.calls.webhook_url(Provider::Twilio, "dial", self.id);
        // Before it is so: the stream may end before the carrier's answer is here.
        let _ = steps.send(TransferStep::Moving).await;
        if let Err(cause) = self.redirect(&twiml::dial(&number, RING, &url, &url)).await {
            let _ = steps.send(TransferStep::Stayed).await;
            return Some(TransferOutcome::failed(cause));
        }
        tokio::select! {
            progress = place.told.recv() => Some(match progress? {
                Progress::Connected | Progress::Accepted => TransferOutcome::Connected,
                Progress::Over { outcome } => outcome,
            }),
            // Whoever gave it up has ended the caller's leg, and the target's with it.
            () = steps.closed() => None,
        }
    }

    pub(super) async fn warm_on_twilio(
        &self,
        transfer: &Transfer,
        steps: &mpsc::Sender<TransferStep>,
        mut place: Place,
    ) -> Option<TransferOutcome> {
        let consult = match self.ring_target(transfer).await {
            Ok(consult) => consult,
            Err(cause) => return Some(TransferOutcome::failed(cause)),
        };
        let outcome = tokio::select! {
            progress = place.told.recv() => progress,
            () = steps.closed() => None,
        };
        match outcome {
            Some(Progress::Accepted | Progress::Connected) => {}
            Some(Progress::Over { outcome }) => return Some(outcome),
            None => {
                self.drop_target(&consult).await;
                return None;
            }
        }
        let action = self.calls.webhook_url(Provider::Twilio, "dial", self.id);
        let _ = steps.send(TransferStep::Moving).await;
        if let Err(cause) = self.redirect(&twiml::join(&self.id.to_string(), Some(&action))).await {
            let _ = steps.send(TransferStep::Stayed).await;
            self.drop_target(&consult).await;
            return Some(TransferOutcome::failed(cause));
        }
        if steps.is_closed() {
            // The caller hung up while the target pressed the key: nobody is to wait in an empty room.
            self.drop_target(&consult).await;
            return None;
        }
        self.calls.0.registry.set_handed_over(self.id, true);
        Some(TransferOutcome::Connected)
    }

    /// Calls the target; gives the carrier's name of that call.
    async fn ring_target(&self, transfer: &Transfer) -> Result<String, String> {
        let account = self.account.twilio().ok_or("not an account of Twilio's")?;
        let to = E164::parse(transfer.target.expose()).map_err(|_| "not a number")?;
        let from = self.our_number().await?;
        let url = self.calls.webhook_url(Provider::Twilio, "consult", self.id);
        let call = NewCall {
            to,
            from,
            url: url.clone(),
            status_callback: url,
            ring: RING,
            time_limit: LONGEST,
            detection: None,
        };
        let placed = account.rest().place(&call).await.map_err(|error| error.to_string())?;
        self.note_consult(&placed.sid).await;
        Ok(placed.sid)
    }
}

impl Calls {
    /// The document that connects a call to its stream.
    pub(super) fn stream_twiml(&self, id: CallId, token: &Secret) -> String {
        let (stream, resume) =
            (self.stream_url(Provider::Twilio, id), self.webhook_url(Provider::Twilio, "resume", id));
        twiml::connect_stream(&stream, &[("token", token.expose())], &resume)
    }
}

/// `?kind=dial`: the target of a cold transfer answered, or a `<Dial>` is over and the caller is asked after.
pub(in crate::calls) async fn dialled(
    calls: &Calls,
    tenant: TenantId,
    id: CallId,
    account: Arc<CarrierAccount>,
    incoming: &Incoming,
) -> Result<Response, ApiError> {
    if incoming.field("CallbackSource").is_some() {
        if incoming.or_empty("CallStatus") == "in-progress" {
            calls.tell_transfer(tenant, id, Progress::Connected, false).await;
        }
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let progress = match incoming.or_empty("DialCallStatus") {
        "completed" | "answered" => Progress::Connected,
        status => Progress::Over { outcome: outcome_of(status) },
    };
    if progress == Progress::Connected {
        // They have spoken with each other, or, if nobody has told so yet, now it is known.
        calls.tell_transfer(tenant, id, progress, false).await;
        return Ok(document(twiml::hang_up()));
    }
    Ok(document(match calls.tell_transfer(tenant, id, progress, true).await {
        Some(Told::Document { text }) => text,
        Some(_) => twiml::hang_up(),
        // Its node is gone: the caller comes back here, as any does whose stream was lost.
        None => match calls.take_over(tenant, id, account, incoming.or_empty("CallSid")).await? {
            Some(token) => calls.stream_twiml(id, &token),
            None => twiml::hang_up(),
        },
    }))
}

/// `?kind=consult`: the target of a warm transfer answered, pressed a key, or its leg has another status.
pub(in crate::calls) async fn consult(
    calls: &Calls,
    tenant: TenantId,
    id: CallId,
    incoming: &Incoming,
) -> Result<Response, ApiError> {
    if incoming.field("CallbackSource").is_some() {
        let word = incoming.or_empty("CallStatus");
        if let Some(status) = status_of(word) {
            let mut tx = calls.control().db.begin(tenant).await?;
            let rank = i32::from(status.rank());
            reach::set_consult_status(&mut tx, tenant, id, incoming.or_empty("CallSid"), status.name(), rank).await?;
            tx.commit().await?;
            if status.is_terminal() {
                // Answered and over without a key: it was declined.
                let outcome =
                    if status == CarrierStatus::Completed { TransferOutcome::Declined } else { outcome_of(word) };
                calls.tell_transfer(tenant, id, Progress::Over { outcome }, false).await;
            }
        }
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if incoming.field("Digits").is_none_or(str::is_empty) {
        let url = calls.webhook_url(Provider::Twilio, "consult", id);
        return Ok(document(twiml::ask_for_key(WAITING, LANGUAGE, DECIDE, &url)));
    }
    // A caller who is gone, or was given up, is nobody to be connected to.
    Ok(document(match calls.tell_transfer(tenant, id, Progress::Accepted, false).await {
        Some(Told::Done) => twiml::join(&id.to_string(), None),
        _ => twiml::hang_up(),
    }))
}

/// Twilio's word for how a leg ended that nobody spoke on.
fn outcome_of(word: &str) -> TransferOutcome {
    match word {
        "busy" => TransferOutcome::Busy,
        "no-answer" => TransferOutcome::NoAnswer,
        "canceled" => TransferOutcome::CallerHungUp,
        "failed" => TransferOutcome::failed("the carrier could not connect the call"),
        _ => TransferOutcome::failed("the carrier did not say how it went"),
    }
}

fn status_of(word: &str) -> Option<CarrierStatus> {
    Some(match word {
        "queued" => CarrierStatus::Queued,
        "initiated" => CarrierStatus::Initiated,
        "ringing" => CarrierStatus::Ringing,
        "in-progress" => CarrierStatus::Answered,
        "completed" => CarrierStatus::Completed,
        "busy" => CarrierStatus::Busy,
        "no-answer" => CarrierStatus::NoAnswer,
        "canceled" => CarrierStatus::Canceled,
        "failed" => CarrierStatus::Failed,
        _ => return None,
    })
}

fn document(twiml: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], twiml).into_response()
}
