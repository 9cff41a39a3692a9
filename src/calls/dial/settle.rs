//! What became of a call that the carrier was asked to place, when it did not say: what it tells of a call with the conversation's
//! id settles it, or else a look among its calls. Only one that is certainly not there may be placed again.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{MissedTickBehavior, interval_at};
use trunkline_base::{CallId, Clock, E164, SystemClock};
use trunkline_control::{
    conversations::dials::{self, Adopted, Settled},
    db::DbError,
    error::ApiError,
    lookup,
    tenant::TenantId,
    vendors::Provider,
};

use super::carrier::Listed;
use crate::calls::{Calls, account::CarrierAccount};

/// When the carrier's calls are looked at after it has not answered: each so long after the one before.
const LOOKS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];
/// How much the carrier's clock may differ from ours. Too little, and a call that is there is not seen, and placed again.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// How often dials are looked for that nobody sees to.
const SWEEP: Duration = Duration::from_secs(5);
/// How many at once.
const BATCH: i32 = 50;
/// How long one is seen to here.
const HELD: Duration = Duration::from_secs(15);
/// How long a call may take to be among the carrier's calls.
const LATE: TimeDelta = TimeDelta::seconds(60);
/// For how long a carrier is asked that does not answer.
const GIVE_UP: TimeDelta = TimeDelta::minutes(4);

/// A call that the carrier may have.
pub(super) struct Dial {
    pub(super) tenant: TenantId,
    pub(super) id: CallId,
    pub(super) from: E164,
    pub(super) to: E164,
    /// When the carrier was asked.
    pub(super) sent_at: DateTime<Utc>,
}

/// What was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The carrier has it, under this name.
    Placed(String),
    /// It has not.
    Nothing,
    /// It cannot be told.
    Unsure,
}

impl Calls {
    /// Looks for a call for as long as somebody may wait for it.
    pub(super) async fn look_for(&self, dial: &Dial, account: &Arc<CarrierAccount>) -> Found {
        let mut found = Found::Nothing;
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            match self.look(dial, account).await {
                Ok(placed @ Found::Placed(_)) => return placed,
                Ok(Found::Nothing) => {}
                Ok(Found::Unsure) => found = Found::Unsure,
                Err(error) => {
                    tracing::warn!(call = %dial.id, cause = error.message, "a dial could not be looked at");
                    found = Found::Unsure;
                }
            }
        }
        found
    }

    /// Looks once.
    async fn look(&self, dial: &Dial, account: &Arc<CarrierAccount>) -> Result<Found, ApiError> {
        let Dial { tenant, id, .. } = *dial;
        let mut tx = self.control().db.begin(tenant).await?;
        let settled = dials::settled(&mut tx, tenant, id).await?;
        tx.commit().await?;
        match settled {
            Settled::Placed(provider_call_id) => return Ok(Found::Placed(provider_call_id)),
            // Somebody else has given it up: it must not be placed again.
            Settled::Refused => return Ok(Found::Unsure),
            Settled::No => {}
        }
        let listed = match account.placed(&dial.from, &dial.to, dial.sent_at - SKEW).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(call = %id, %error, "the carrier's calls could not be looked at");
                return Ok(Found::Unsure);
            }
        };
        let listed: Vec<String> = recent(listed, dial.sent_at);
        let mut tx = self.control().db.begin(tenant).await?;
        let known = dials::known(&mut tx, tenant, account.provider(), &listed).await?;
        tx.commit().await?;
        let mut unknown = listed.into_iter().filter(|it| !known.contains(it));
        let Some(provider_call_id) = unknown.next() else { return Ok(Found::Nothing) };
        if unknown.next().is_some() {
            // One of them is ours, for nobody else has this number here; which one, it tells itself.
            return Ok(Found::Unsure);
        }
        Ok(match self.adopt(tenant, id, account, &provider_call_id).await? {
            Adopted::Now | Adopted::Before => Found::Placed(provider_call_id),
            Adopted::Stray | Adopted::Other | Adopted::NotDialled => Found::Unsure,
        })
    }

    /// Settles dials that were left behind, for ever. Every node does; what one sees to the others leave alone.
    pub async fn keep_dials(self) {
        let mut tick = interval_at(SystemClock.now() + SWEEP, SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match lookup::unsettled_dials(&self.control().db, BATCH).await {
                Ok(left) => {
                    for (tenant, id) in left {
                        if let Err(error) = self.settle(tenant, id).await {
                            tracing::warn!(call = %id, cause = error.message, "a dial could not be settled");
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "dials that were left behind could not be looked for"),
            }
        }
    }

    async fn settle(&self, tenant: TenantId, id: CallId) -> Result<(), ApiError> {
        let Some(left) = self.take_dial(tenant, id).await? else { return Ok(()) };
        let Some(sent_at) = left.sent_at else {
            // Whoever asked for the call was not answered, and the carrier was not asked.
            tracing::warn!(call = %id, "a call that was never placed is closed");
            self.close_dial(tenant, id, "canceled").await;
            return Ok(());
        };
        let age = DateTime::<Utc>::from(SystemClock.wall()) - sent_at;
        let account = self.account_of_dial(tenant, &left.from, left.provider).await?;
        let dial = Dial { tenant, id, from: left.from, to: left.to, sent_at };
        let found = match account {
            Some(account) => self.look(&dial, &Arc::new(account)).await?,
            None => Found::Unsure,
        };
        match found {
            Found::Placed(_) => tracing::info!(call = %id, "a call that the carrier said nothing of is found"),
            Found::Nothing if age > LATE => {
                tracing::warn!(call = %id, "a call that the carrier said nothing of is not there");
                self.close_dial(tenant, id, "carrier_failed").await;
            }
            Found::Unsure if age > GIVE_UP => {
                tracing::error!(call = %id, "what became of a call cannot be found out");
                self.close_dial(tenant, id, "carrier_failed").await;
            }
            Found::Nothing | Found::Unsure => {}
        }
        Ok(())
    }

    async fn take_dial(&self, tenant: TenantId, id: CallId) -> Result<Option<dials::Unsettled>, DbError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let left = dials::take(&mut tx, tenant, id, HELD).await?;
        tx.commit().await?;
        Ok(left)
    }

    /// The account of the number that a call was placed from, if it is still the tenant's.
    async fn account_of_dial(
        &self,
        tenant: TenantId,
        from: &E164,
        provider: Provider,
    ) -> Result<Option<CarrierAccount>, ApiError> {
        let found = lookup::number(&self.control().db, provider, from.expose()).await?;
        match found.filter(|found| found.tenant == tenant) {
            Some(found) => self.account_of_number(provider, &found).await,
            None => Ok(None),
        }
    }
}

/// The names of those that may have been placed since a time. What does not say when it was placed may have been.
fn recent(listed: Vec<Listed>, sent_at: DateTime<Utc>) -> Vec<String> {
    let since = |call: &Listed| call.created.is_none_or(|created| created >= sent_at - SKEW);
    listed.into_iter().filter(since).map(|call| call.provider_call_id).collect()
}
