//! What carriers say of calls, by webhook or when they are asked, taken to where it belongs: the leg's row, the conversation's, and the
//! call if it is alive here.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::timeout;
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    conversations::{
        journal::{self, Ended},
        legs::{self, CallState, StoredLeg},
        receipts,
    },
    db::{DbError, Tx},
    tenant::TenantId,
    vendors::Provider,
};
use trunkline_media::telephony::CarrierStatus;

use super::{
    Calls,
    state::{Known, Leg, Report, Step, verdict},
};

/// How long a receipt may hold up an answer to the carrier.
const RECEIPT_LIMIT: Duration = Duration::from_secs(1);

/// What tells a webhook from its replay, at a carrier that names each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    provider: Provider,
    key: String,
}

impl Receipt {
    /// Of a webhook of an account, by its name. What is stored has one length, whatever the carrier makes up.
    pub(super) fn new(provider: Provider, account_ref: &str, name: &str) -> Self {
        let digest = Sha256::new().chain_update(account_ref).chain_update([0]).chain_update(name).finalize();
        Self { provider, key: digest.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// Writes it, in the transaction of what the webhook does; false for a replay.
    pub(super) async fn write(&self, tx: &mut Tx) -> Result<bool, DbError> {
        receipts::write(tx, self.provider, &self.key).await
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It had its effect, or none: it is late, or of another call.
    Taken,
    /// It was there before.
    Replayed,
}

impl Calls {
    /// A carrier says how a leg of a conversation is.
    pub(super) async fn on_report(
        &self,
        tenant: TenantId,
        id: CallId,
        provider_call_id: &str,
        report: Report,
        receipt: Option<&Receipt>,
    ) -> Result<Told, DbError> {
        let mut tx = self.control().db.begin(tenant).await?;
        if let Some(receipt) = receipt
            && !receipt.write(&mut tx).await?
        {
            return Ok(Told::Replayed);
        }
        let state = legs::lock(&mut tx, tenant, id).await?;
        let legs = legs::of_call(&mut tx, tenant, id).await?;
        let leg = legs.into_iter().find(|leg| leg.provider_call_id.as_deref() == Some(provider_call_id));
        let mut change = Change::default();
        // The end of another call, such as one that this was connected to, is nothing to it.
        if let (Some(state), Some(leg)) = (state, leg) {
            change = self.take_report(&mut tx, tenant, id, &state, &leg, report).await?;
        }
        tx.commit().await?;
        self.tell_change(tenant, id, provider_call_id, change);
        Ok(Told::Taken)
    }

    /// Whether a webhook has had its effect. A database that cannot say so is no reason to leave a caller alone.
    pub(super) async fn is_replay(&self, tenant: TenantId, receipt: &Receipt) -> bool {
        let seen = async {
            let mut tx = self.control().db.begin(tenant).await?;
            let seen = receipts::exists(&mut tx, receipt.provider, &receipt.key).await?;
            tx.commit().await?;
            Ok::<_, DbError>(seen)
        };
        match timeout(RECEIPT_LIMIT, seen).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => {
                tracing::warn!(%error, "whether a webhook has come before cannot be looked up");
                false
            }
            Err(_) => false,
        }
    }

    /// Keeps the receipt of a webhook whose effect is not in the database alone, once it has had it.
    pub(super) async fn keep_receipt(&self, tenant: TenantId, receipt: &Receipt) {
        let keep = async {
            let mut tx = self.control().db.begin(tenant).await?;
            receipt.write(&mut tx).await?;
            tx.commit().await
        };
        match timeout(RECEIPT_LIMIT, keep).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a webhook's receipt could not be kept"),
            Err(_) => tracing::warn!("a webhook's receipt could not be kept in time"),
        }
    }

    /// Writes what a report changes. The conversation is locked.
    pub(super) async fn take_report(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: CallId,
        state: &CallState,
        stored: &StoredLeg,
        report: Report,
    ) -> Result<Change, DbError> {
        let mut leg = Leg::stored(&stored.status, stored.rank, stored.last_seq);
        let step = leg.handle_report(report);
        if step == Step::Settled {
            return Ok(Change::default());
        }
        let rank = i32::from(leg.status.rank());
        legs::heard(tx, tenant, stored.id, leg.status.name(), rank, leg.last_seq).await?;
        if !stored.is_customer {
            return Ok(Change::default());
        }
        match step {
            Step::Moved if leg.status == CarrierStatus::Answered => {
                Ok(Change { state: legs::set_active(tx, tenant, id).await?, over: None })
            }
            Step::Over => {
                let state = self.close_by_word(tx, tenant, id, state, leg.status).await?;
                Ok(Change { state, over: Some(leg.status) })
            }
            Step::Settled | Step::Known | Step::Moved => Ok(Change::default()),
        }
    }

    /// Closes a conversation whose customer's leg has ended, unless a node that keeps it alive has more to say; says whether it did.
    async fn close_by_word(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: CallId,
        state: &CallState,
        status: CarrierStatus,
    ) -> Result<bool, DbError> {
        // Its own task closes it. Another node's notices that its stream is gone, and asks; a call that nobody answered has none, nor has
        // one that was hung up while it rang.
        let elsewhere = state.leased && (state.answered || (status == CarrierStatus::Completed && !state.ending));
        if state.over || self.0.registry.contains(id) || elsewhere {
            return Ok(false);
        }
        self.close(tx, tenant, id, state, status).await
    }

    /// Closes a conversation by its carrier's word; says whether it was open.
    pub(super) async fn close(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: CallId,
        state: &CallState,
        status: CarrierStatus,
    ) -> Result<bool, DbError> {
        let known = Known {
            outbound: state.outbound,
            answered: state.answered,
            ending: match state.ending_reason.as_deref().filter(|_| state.ending) {
                // Its caller was left alone before they hung up.
                None if state.answered && !state.leased => Some("media_lost"),
                reason => reason,
            },
        };
        let Some(verdict) = verdict(status, known) else { return Ok(false) };
        let ended = Ended { at: SystemClock.wall().into(), status: verdict.status, reason: verdict.reason.to_owned() };
        journal::close(tx, tenant, id, &ended, None).await
    }

    /// Tells what was committed.
    pub(super) fn tell_change(&self, tenant: TenantId, id: CallId, provider_call_id: &str, change: Change) {
        if let Some(status) = change.over {
            self.0.registry.over(id, provider_call_id, status);
        }
        if change.state {
            self.tell_state(tenant, id);
        }
    }
}

/// What a report has changed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Change {
    /// Whether the conversation's state has.
    state: bool,
    /// How the customer's leg has ended just now.
    over: Option<CarrierStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_of_one_account_and_one_name() {
        let receipt = |account, name| Receipt::new(Provider::Vonage, account, name);
        assert_eq!(receipt("a", "b"), receipt("a", "b"));
        assert_ne!(receipt("a", "bc"), receipt("ab", "c"));
        assert_eq!(receipt("a", &"x".repeat(1000)).key.len(), 64);
    }
}
