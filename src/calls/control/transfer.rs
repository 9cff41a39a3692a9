//! Handing a caller over, at the carrier: who waits for what its webhooks tell, and what becomes of the legs.
//!
//! Of two shapes for the wait (a row that webhooks write and the call's node reads, or a channel that the node keeps and webhooks find over
//! [the bus](super::bus)) this is the second: a transfer lives as long as its call's task does, and a node that dies takes both with it. The
//! caller is then brought back by the carrier, like any whose stream was lost.

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use trunkline_base::CallId;
use trunkline_media::{
    call::BoxFuture,
    telephony::{Keys, Transfer, TransferMode, TransferOutcome, TransferStep},
};

use crate::calls::{account::CarrierAccount, live::LiveCarrier};

/// What a carrier tells of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub(in crate::calls) enum Progress {
    /// The target of a cold one has answered.
    Connected,
    /// The target of a warm one takes the call.
    Accepted,
    /// It comes to nothing, or is over.
    Over { outcome: TransferOutcome },
}

/// The transfers under way at this node.
#[derive(Debug, Default)]
pub(in crate::calls) struct Transfers(DashMap<CallId, mpsc::Sender<Progress>>);

impl Transfers {
    /// Tells whoever waits for it; a repeat and what nobody waits for is dropped. Says whether somebody did.
    pub(super) fn tell(&self, id: CallId, progress: Progress) -> bool {
        self.0.get(&id).is_some_and(|waiting| waiting.try_send(progress).is_ok())
    }
}

/// One transfer's place, given back however it ends.
pub(super) struct Place {
    leg: LiveCarrier,
    pub(super) told: mpsc::Receiver<Progress>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leg.calls.0.transfers.0.remove(&self.leg.id);
    }
}

impl Place {
    fn take(leg: LiveCarrier) -> Self {
        let (tell, told) = mpsc::channel(8);
        leg.calls.0.transfers.0.insert(leg.id, tell);
        Self { leg, told }
    }
}

impl LiveCarrier {
    /// Presses keys.
    pub(in crate::calls) fn press(&self, keys: Keys) -> BoxFuture<'static, Result<(), String>> {
        let leg = self.clone();
        match &*self.account {
            CarrierAccount::Twilio(_) => Box::pin(async move { leg.press_on_twilio(&keys).await }),
            CarrierAccount::Vonage(_) => Box::pin(async move { leg.press_on_vonage(&keys).await }),
        }
    }

    /// Hands the caller over, on a task of its own, which sees to it that nobody is left on a line when the call gives it up.
    pub(in crate::calls) fn hand_over(&self, transfer: Transfer) -> mpsc::Receiver<TransferStep> {
        let (steps, told) = mpsc::channel(4);
        let leg = self.clone();
        self.calls.0.registry.tasks().spawn(async move {
            let mode = if transfer.mode == TransferMode::Cold { "cold" } else { "warm" };
            let place = Place::take(leg.clone());
            let outcome = match (&*leg.account, transfer.mode) {
                (CarrierAccount::Twilio(_), TransferMode::Cold) => leg.cold_on_twilio(&transfer, &steps, place).await,
                (CarrierAccount::Twilio(_), TransferMode::Warm) => leg.warm_on_twilio(&transfer, &steps, place).await,
                (CarrierAccount::Vonage(_), _) => Some(TransferOutcome::failed("this carrier hands no call over yet")),
            };
            // Without an outcome, the call has given it up, and knows why.
            let label = outcome.as_ref().map_or("given_up", label);
            metrics::counter!("trunkline_transfers_total", "mode" => mode, "outcome" => label).increment(1);
            if let Some(outcome) = outcome {
                let _ = steps.send(TransferStep::Over(outcome)).await;
            }
        });
        told
    }
}

impl LiveCarrier {
    /// Vonage presses keys towards a leg, whatever goes on in its stream.
    async fn press_on_vonage(&self, keys: &Keys) -> Result<(), String> {
        let CarrierAccount::Vonage(account) = &*self.account else { return Err("not an account of Vonage's".into()) };
        if keys.expose().bytes().any(|key| key.is_ascii_uppercase()) {
            return Err("Vonage has no keys A to D".to_owned());
        }
        // It has another letter for half a second of silence.
        let keys = keys.expose().replace('w', "p");
        account.press(&self.provider_call_id, &keys).await.map_err(|error| error.to_string())
    }
}

const fn label(outcome: &TransferOutcome) -> &'static str {
    match outcome {
        TransferOutcome::Connected => "connected",
        TransferOutcome::Busy => "busy",
        TransferOutcome::NoAnswer => "no_answer",
        TransferOutcome::Declined => "declined",
        TransferOutcome::Failed { .. } => "failed",
        TransferOutcome::CallerHungUp => "caller_hung_up",
    }
}
