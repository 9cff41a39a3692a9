//! What keeps the stored calls true: leases of those that are alive here, an end for those that no node keeps alive, and nothing left of
//! what their tenants no longer want kept.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{MissedTickBehavior, interval_at};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    conversations::{calls as stored, retention},
    db::DbError,
    lookup,
    tenant::TenantId,
};

use super::Calls;

/// How often leases are renewed: a third of what they last.
const RENEW: Duration = Duration::from_secs(10);
/// How many abandoned calls are closed at once.
const BATCH: i32 = 500;

/// How often conversations are looked for whose time is over.
const SWEEP: Duration = Duration::from_secs(300);
/// How many of them are erased before it is looked again.
const SWEEP_BATCH: i32 = 200;
/// For how long it goes on when there are many: the rest waits for the next time.
const SWEEP_LIMIT: Duration = Duration::from_secs(60);

impl Calls {
    /// Goes on until it is dropped. A node that has just started gives callers that were cut off some time to come back.
    pub async fn keep(self) {
        let mut tick = interval_at(SystemClock.now() + RENEW, RENEW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.renew().await {
                tracing::warn!(%error, "leases of live calls could not be renewed");
                // Others may see our calls as abandoned; we must not help them by closing what we know nothing of.
                continue;
            }
            if let Err(error) = self.close_abandoned().await {
                tracing::warn!(%error, "abandoned calls could not be closed");
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

    async fn close_abandoned(&self) -> Result<(), DbError> {
        for (tenant, id) in lookup::abandoned_calls(&self.control().db, BATCH).await? {
            if self.0.registry.contains(id) {
                continue;
            }
            let mut tx = self.control().db.begin(tenant).await?;
            let closed = stored::close_abandoned(&mut tx, tenant, id, SystemClock.wall().into()).await?;
            tx.commit().await?;
            if closed {
                self.tell_state(tenant, id);
                tracing::warn!(call = %id, "a call that no node keeps alive is closed");
                metrics::counter!("trunkline_calls_total", "end_reason" => "media_lost").increment(1);
            }
        }
        Ok(())
    }
}
