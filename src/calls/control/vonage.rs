//! Keys and transfers at Vonage, where a leg is given another document by REST.
//!
//! *Keys* are pressed towards the leg, whatever goes on in its stream.
//!
//! *Cold*: the caller's leg gets a `connect` to the target. Its events are synchronous: one that says that the target was not reached is
//! answered with the stream, so that the caller is back with the agent.
//!
//! *Warm*: the target is called, hears that somebody is waiting, and takes the call by a key: an answering machine presses none. Then both
//! get a `conversation` that ends with the first who leaves.
//!
//! The leg to our media socket is over once the caller's is somewhere else. What is told of that means nothing
//! ([`Transfers::is_moving`](super::Transfers::is_moving)).

use std::sync::Arc;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc;
use trunkline_base::{CallId, E164};
use trunkline_control::{conversations::reach, error::ApiError, tenant::TenantId, vendors::Provider};
use trunkline_media::telephony::{
    CarrierStatus, Keys, Transfer, TransferOutcome, TransferStep,
    vonage::{
        event::{EventKind, EventWebhook},
        ncco::{Conversation, KeyInput, Ncco, PhoneLeg},
        rest::{CreateCall, Flow},
    },
};

use super::{
    bus::Told,
    transfer::{DECIDE, LANGUAGE, LONGEST, Place, Progress, RING, WAITING},
};
use crate::calls::{
    Calls,
    account::{CarrierAccount, VonageAccount},
    live::LiveCarrier,
    status::Receipt,
    webhooks::vonage::stream_document,
};

impl LiveCarrier {
    fn at_vonage(&self) -> Result<&VonageAccount, String> {
        self.account.vonage().ok_or_else(|| "not an account of Vonage's".to_owned())
    }

    pub(super) async fn press_on_vonage(&self, keys: &Keys) -> Result<(), String> {
        if keys.expose().bytes().any(|key| key.is_ascii_uppercase()) {
            return Err("Vonage has no keys A to D".to_owned());
        }
        // It has another letter for half a second of silence.
        let keys = keys.expose().replace('w', "p");
        self.at_vonage()?.press(&self.provider_call_id, &keys).await.map_err(|error| error.to_string())
    }

    pub(super) async fn cold_on_vonage(
        &self,
        transfer: &Transfer,
        steps: &mpsc::Sender<TransferStep>,
        mut place: Place,
    ) -> Option<TransferOutcome> {
        if E164::parse(transfer.target.expose()).is_err() {
            return Some(TransferOutcome::failed("not a number"));
        }
        let from = match self.our_number().await {
            Ok(from) => from,
            Err(cause) => return Some(TransferOutcome::failed(cause)),
        };
        let leg = PhoneLeg {
            number: transfer.target.expose(),
            from: from.expose(),
            event_url: &self.calls.webhook_url(Provider::Vonage, "dial", self.id),
            synchronous: true,
            ringing_seconds: seconds(RING),
        };
        if let Err(outcome) = self.take_caller(&Ncco::empty().phone(&leg), steps).await {
            return Some(outcome);
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

    pub(super) async fn warm_on_vonage(
        &self,
        transfer: &Transfer,
        steps: &mpsc::Sender<TransferStep>,
        mut place: Place,
    ) -> Option<TransferOutcome> {
        let consult = match self.ring_target_on_vonage(transfer).await {
            Ok(consult) => consult,
            Err(cause) => return Some(TransferOutcome::failed(cause)),
        };
        let progress = tokio::select! {
            progress = place.told.recv() => progress,
            () = steps.closed() => None,
        };
        match progress {
            Some(Progress::Accepted | Progress::Connected) => {}
            Some(Progress::Over { outcome }) => return Some(outcome),
            None => {
                self.drop_target(&consult).await;
                return None;
            }
        }
        if let Err(outcome) = self.take_caller(&meeting(self.id), steps).await {
            self.drop_target(&consult).await;
            return Some(outcome);
        }
        if steps.is_closed() {
            // The caller hung up while the target pressed the key: nobody is to wait in an empty room.
            self.drop_target(&consult).await;
            return None;
        }
        self.calls.0.registry.set_handed_over(self.id, true);
        Some(TransferOutcome::Connected)
    }

    /// Gives the caller's leg another document, and takes it from the stream by that.
    async fn take_caller(&self, ncco: &Ncco, steps: &mpsc::Sender<TransferStep>) -> Result<(), TransferOutcome> {
        let account = self.at_vonage().map_err(TransferOutcome::failed)?;
        // Before it is so: the stream may end before the carrier's answer is here.
        let _ = steps.send(TransferStep::Moving).await;
        self.calls.0.transfers.set_moving(self.id, true);
        if let Err(error) = account.rest().transfer(&self.provider_call_id, ncco).await {
            self.calls.0.transfers.set_moving(self.id, false);
            let _ = steps.send(TransferStep::Stayed).await;
            return Err(TransferOutcome::failed(error.to_string()));
        }
        Ok(())
    }

    /// Calls the target; gives the carrier's name of that leg.
    async fn ring_target_on_vonage(&self, transfer: &Transfer) -> Result<String, String> {
        let account = self.at_vonage()?;
        let to = E164::parse(transfer.target.expose()).map_err(|_| "not a number")?;
        let from = self.our_number().await?;
        let url = self.calls.webhook_url(Provider::Vonage, "consult", self.id);
        let input = KeyInput { event_url: &url, most: 1, seconds: DECIDE.as_secs() as u8 };
        let call = CreateCall {
            to: to.expose(),
            from: from.expose(),
            flow: Flow::Ncco(&Ncco::empty().ask(WAITING, Some(LANGUAGE), &input)),
            event_url: &url,
            machine: None,
            ringing_seconds: seconds(RING),
            longest_seconds: LONGEST.as_secs() as u32,
        };
        let created = account.create(&call).await.map_err(|error| error.to_string())?;
        self.note_consult(&created.uuid).await;
        Ok(created.uuid)
    }
}

const fn seconds(duration: std::time::Duration) -> u16 {
    duration.as_secs() as u16
}

/// Where caller and target meet, until one of them leaves.
fn meeting(id: CallId) -> Ncco {
    Ncco::empty().conversation(&Conversation {
        name: &id.to_string(),
        start_on_enter: true,
        end_on_exit: true,
        music_on_hold_url: None,
    })
}

/// `?kind=dial`: what becomes of the leg to the target of a cold transfer. One that was not reached is answered with what comes next.
pub(in crate::calls) async fn dialled_on_vonage(
    calls: &Calls,
    tenant: TenantId,
    id: CallId,
    account: Arc<CarrierAccount>,
    event: &EventWebhook,
    receipt: &Receipt,
) -> Result<Response, ApiError> {
    let EventKind::Status(status) = event.kind else { return Ok(StatusCode::OK.into_response()) };
    if matches!(status, CarrierStatus::Answered | CarrierStatus::Completed) {
        // They speak with each other, or have.
        calls.tell_transfer(tenant, id, Progress::Connected, false).await;
        return Ok(StatusCode::OK.into_response());
    }
    if !status.is_terminal() {
        return Ok(StatusCode::OK.into_response());
    }
    if calls.is_replay(tenant, receipt).await {
        let Some(uuid) = calls.0.registry.provider_call_id(id) else { return Ok(StatusCode::OK.into_response()) };
        return Ok(match calls.answer_again(tenant, id).await {
            Some(token) => document(stream_document(calls, id, &account, &uuid, token.expose()).to_json()),
            None => StatusCode::OK.into_response(),
        });
    }
    let progress = Progress::Over { outcome: outcome_of(status) };
    let answer = match calls.tell_transfer(tenant, id, progress, true).await {
        Some(Told::Document { text }) => document(text),
        Some(_) => document(Ncco::empty().to_json()),
        // Its node is gone: the caller comes back here, as any does whose stream was lost.
        None => {
            let call = calls.stored_call(tenant, id).await?;
            let uuid = call.and_then(|call| call.provider_call_id).unwrap_or_default();
            match calls.take_over(tenant, id, account.clone(), &uuid).await? {
                Some(token) => document(stream_document(calls, id, &account, &uuid, token.expose()).to_json()),
                None => document(Ncco::empty().to_json()),
            }
        }
    };
    calls.keep_receipt(tenant, receipt).await;
    Ok(answer)
}

/// `?kind=consult`: the target of a warm transfer pressed a key, or none, or its leg has another status.
pub(in crate::calls) async fn consult_on_vonage(
    calls: &Calls,
    tenant: TenantId,
    id: CallId,
    event: &EventWebhook,
    receipt: &Receipt,
) -> Result<Response, ApiError> {
    match (&event.kind, event.uuid.as_deref()) {
        (EventKind::Status(status), Some(uuid)) => {
            let mut tx = calls.control().db.begin(tenant).await?;
            reach::set_consult_status(&mut tx, tenant, id, uuid, status.name(), i32::from(status.rank())).await?;
            tx.commit().await?;
            if status.is_terminal() {
                calls.tell_transfer(tenant, id, Progress::Over { outcome: outcome_of(*status) }, false).await;
            }
            Ok(StatusCode::OK.into_response())
        }
        (EventKind::Input { .. }, _) if calls.is_replay(tenant, receipt).await => Ok(StatusCode::OK.into_response()),
        (EventKind::Input { pressed: true }, _) => {
            // A caller who is gone, or was given up, is nobody to be connected to.
            let told = calls.tell_transfer(tenant, id, Progress::Accepted, false).await;
            calls.keep_receipt(tenant, receipt).await;
            let next = if told == Some(Told::Done) { meeting(id) } else { Ncco::empty() };
            Ok(document(next.to_json()))
        }
        (EventKind::Input { pressed: false }, _) => Ok(document(Ncco::empty().to_json())),
        _ => Ok(StatusCode::OK.into_response()),
    }
}

/// How a leg ended that nobody spoke on: answered and over without a key, it was declined.
fn outcome_of(status: CarrierStatus) -> TransferOutcome {
    match status {
        CarrierStatus::Busy => TransferOutcome::Busy,
        CarrierStatus::NoAnswer => TransferOutcome::NoAnswer,
        CarrierStatus::Rejected | CarrierStatus::Completed => TransferOutcome::Declined,
        CarrierStatus::Canceled => TransferOutcome::CallerHungUp,
        CarrierStatus::InvalidNumber => TransferOutcome::failed("the number is none"),
        _ => TransferOutcome::failed("the carrier could not connect the call"),
    }
}

fn document(ncco: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], ncco).into_response()
}
