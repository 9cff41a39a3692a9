//! What keeps the stored calls true: leases of those that are alive here, an end for those that no node keeps alive, and nothing left of
//! what their tenants no longer want kept.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval_at},
};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    conversations::{calls as stored, receipts, retention},
    db::DbError,
    tenant::TenantId,
};

use super::Calls;

/// How often leases are renewed: a third of what they last.
const RENEW: Duration = Duration::from_secs(10);
/// How often old receipts of webhooks are removed.
const RECEIPT_SWEEP: Duration = Duration::from_secs(60);
/// How long one is kept: what is older was signed so long ago that it is refused.
const RECEIPT_AGE: Duration = Duration::from_secs(15 * 60);

/// How often conversations are looked for whose time is over.
const SWEEP: Duration = Duration::from_secs(300);
/// How many of them are erased before it is looked again.
const SWEEP_BATCH: i32 = 200;
/// For how long it goes on when there are many: the rest waits for the next time.
const SWEEP_LIMIT: Duration = Duration::from_secs(60);

impl Calls {
    /// Goes on until it is dropped. A node that has just started gives callers that were cut off some time to come back.
    pub async fn keep(self) {
        let renewed = Notify::new();
        tokio::join!(self.keep_leases(&renewed), self.keep_true(&renewed), self.keep_receipts());
    }

    async fn keep_leases(&self, renewed: &Notify) {
        let mut tick = interval_at(SystemClock.now() + RENEW, RENEW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.renew().await {
                Ok(()) => renewed.notify_one(),
                // Others may see our calls as abandoned; we must not help them by closing what we know nothing of.
                Err(error) => tracing::warn!(%error, "leases of live calls could not be renewed"),
            }
        }
    }

    /// Carriers may take their time to answer, which no lease waits for.
    async fn keep_true(&self, renewed: &Notify) {
        loop {
            renewed.notified().await;
            if let Err(error) = self.reconcile().await {
                tracing::warn!(%error, "quiet calls could not be looked after");
            }
        }
    }

    async fn keep_receipts(&self) {
        let mut tick = interval_at(SystemClock.now() + RENEW, RECEIPT_SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = receipts::sweep(&self.control().db, RECEIPT_AGE).await {
                tracing::warn!(%error, "old receipts of webhooks could not be removed");
            }
        }
    }

    /// Erases what is due, for ever. Every node does; what one has erased the others no longer find.
    pub async fn keep_retention(self) {
        let mut tick = interval_at(SystemClock.now() + RENEW, SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let started = SystemClock.now();
            let mut erased = 0;
            loop {
                match retention::sweep(&self.control().db, SystemClock.wall().into(), SWEEP_BATCH).await {
                    Ok(n) => {
                        erased += n;
                        if n < SWEEP_BATCH as usize || started.elapsed() > SWEEP_LIMIT {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "conversations whose time is over could not be erased");
                        break;
                    }
                }
            }
            if erased > 0 {
                tracing::info!(erased, "conversations whose time was over are erased");
                metrics::counter!("trunkline_conversations_erased_total", "cause" => "retention")
                    .increment(erased as u64);
            }
        }
    }

    async fn renew(&self) -> Result<(), DbError> {
        let mut by_tenant: BTreeMap<TenantId, Vec<CallId>> = BTreeMap::new();
        for (tenant, id) in self.0.registry.owners() {
            by_tenant.entry(tenant).or_default().push(id);
        }
        for (tenant, calls) in by_tenant {
            let mut tx = self.control().db.begin(tenant).await?;
            stored::renew_leases(&mut tx, tenant, &calls).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
