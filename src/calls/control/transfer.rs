//! Handing a caller over, at the carrier: who waits for what its webhooks tell, and what becomes of the legs.
//!
//! Of two shapes for the wait (a row that webhooks write and the call's node reads, or a channel that the node keeps and webhooks find over
//! [the bus](super::bus)) this is the second: a transfer lives as long as its call's task does, and a node that dies takes both with it. The
//! caller is then brought back by the carrier, like any whose stream was lost.

use std::time::Duration;

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use trunkline_base::{CallId, E164};
use trunkline_control::{
    conversations::{calls as stored, reach},
    db::DbError,
    tenant::TenantId,
};
use trunkline_media::{
    call::BoxFuture,
    event::EndReason,
    telephony::{Keys, Transfer, TransferMode, TransferOutcome, TransferStep, twilio::twiml, vonage::ncco::Ncco},
};

use super::{
    Asked,
    bus::{Ask, Told},
};
use crate::calls::{Calls, account::CarrierAccount, live::LiveCarrier, webhooks::vonage::stream_document};

/// How long a target's telephone rings.
pub(super) const RING: Duration = Duration::from_secs(25);
/// How long a target has to make up its mind.
pub(super) const DECIDE: Duration = Duration::from_secs(10);
/// The longest conversation of a caller with whom they were handed to.
pub(super) const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// What the target of a warm transfer hears.
pub(super) const WAITING: &str = "A caller is waiting to speak with you. Press any key to take the call.";
/// In which language that is.
pub(super) const LANGUAGE: &str = "en-US";

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
pub(in crate::calls) struct Transfers(DashMap<CallId, UnderWay>);

#[derive(Debug)]
struct UnderWay {
    told: mpsc::Sender<Progress>,
    /// The caller is taken from the stream.
    moving: bool,
}

impl Transfers {
    /// Tells whoever waits for it; a repeat and what nobody waits for is dropped. Says whether somebody did.
    pub(super) fn tell(&self, id: CallId, progress: Progress) -> bool {
        self.0.get(&id).is_some_and(|under_way| under_way.told.try_send(progress).is_ok())
    }

    /// Whether a caller is on their way to somebody else: then the end of the stream means nothing. One who is only held meanwhile is not.
    pub(in crate::calls) fn is_moving(&self, id: CallId) -> bool {
        self.0.get(&id).is_some_and(|under_way| under_way.moving)
    }

    /// Notes that the carrier is asked to take a caller from the stream, or that it has not.
    pub(super) fn set_moving(&self, id: CallId, on: bool) {
        if let Some(mut under_way) = self.0.get_mut(&id) {
            under_way.moving = on;
        }
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
        leg.calls.0.transfers.0.insert(leg.id, UnderWay { told: tell, moving: false });
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
                (CarrierAccount::Vonage(_), TransferMode::Cold) => leg.cold_on_vonage(&transfer, &steps, place).await,
                (CarrierAccount::Vonage(_), TransferMode::Warm) => leg.warm_on_vonage(&transfer, &steps, place).await,
            };
            if outcome == Some(TransferOutcome::Connected) && !steps.is_closed() {
                // Nothing that the carrier still tells of the stream or the caller's leg brings the call back.
                leg.note_leaving(EndReason::Transferred).await;
            } else {
                leg.calls.0.registry.set_handed_over(leg.id, false);
            }
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

/// What both carriers need.
impl LiveCarrier {
    /// The number that the call is on.
    pub(super) async fn our_number(&self) -> Result<E164, String> {
        let read = async {
            let mut tx = self.calls.control().db.begin(self.tenant).await?;
            let call = stored::read(&mut tx, self.tenant, self.id).await?;
            tx.commit().await?;
            Ok::<_, DbError>(call)
        };
        let call = read.await.map_err(|_| "the database is unavailable")?;
        let number = call.and_then(|call| call.our_number).and_then(|number| E164::parse(number.expose()).ok());
        number.ok_or_else(|| "the call has no number of ours".to_owned())
    }

    /// Notes the leg of a target that is asked.
    pub(super) async fn note_consult(&self, provider_call_id: &str) {
        let note = async {
            let mut tx = self.calls.control().db.begin(self.tenant).await?;
            let provider = self.account.provider();
            reach::add_consult_leg(&mut tx, self.tenant, self.id, provider, provider_call_id).await?;
            tx.commit().await
        };
        if let Err(error) = note.await {
            tracing::warn!(call = %self.id, %error, "the leg of a transfer's target could not be noted");
        }
    }

    pub(super) async fn drop_target(&self, consult: &str) {
        if let Err(error) = self.account.hang_up(consult).await {
            tracing::warn!(call = %self.id, %error, "the leg of a transfer's target could not be ended");
        }
    }
}

impl Calls {
    /// What a caller whom the carrier has gets next: the stream, if the call goes on.
    pub(super) async fn next_document(&self, tenant: TenantId, id: CallId) -> Told {
        let Some((_, account)) = self.0.registry.owner(id) else { return Told::Unknown };
        let token = self.0.registry.renew_token(id);
        if let Some(token) = &token {
            self.keep_token(tenant, id, token).await;
        }
        let uuid = self.0.registry.provider_call_id(id).unwrap_or_default();
        let text = match (&*account, token) {
            (CarrierAccount::Twilio(_), Some(token)) => self.stream_twiml(id, &token),
            (CarrierAccount::Twilio(_), None) => twiml::hang_up(),
            (CarrierAccount::Vonage(_), Some(token)) => {
                stream_document(self, id, &account, &uuid, token.expose()).to_json()
            }
            (CarrierAccount::Vonage(_), None) => Ncco::empty().to_json(),
        };
        Told::Document { text }
    }

    /// Tells a call's node of its transfer. `None`: nobody answers for the call, or it is over.
    pub(super) async fn tell_transfer(
        &self,
        tenant: TenantId,
        id: CallId,
        progress: Progress,
        comes_back: bool,
    ) -> Option<Told> {
        match self.ask(tenant, id, &Ask::Transfer { progress, comes_back }).await {
            Ok(Asked::Told(told)) => Some(told),
            Ok(Asked::Nobody) => None,
            Err(error) => {
                tracing::debug!(call = %id, cause = error.message, "nobody was told of a transfer");
                None
            }
        }
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
