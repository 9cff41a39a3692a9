//! Asking the carrier, once.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    conversations::{
        calls as stored,
        dials::{self, Adopted},
        journal::{self, Ended},
    },
    db::DbError,
    error::ApiError,
    tenant::TenantId,
};

use super::{
    carrier::{Order, Refused},
    settle::{Dial, Found},
};
use crate::calls::{Calls, account::CarrierAccount};

/// How often a carrier is asked that has certainly not placed the call.
const ATTEMPTS: u32 = 2;
/// How long a dial is seen to here once the carrier is asked: what that and looking for the call takes, and some more.
const HELD: Duration = Duration::from_secs(40);

/// A call that waits for its turn to be placed.
pub(in crate::calls) struct Dialling {
    pub(super) tenant: TenantId,
    pub(in crate::calls) id: CallId,
    pub(super) account: Arc<CarrierAccount>,
    pub(super) order: Order,
    /// In how long it is its turn.
    pub(in crate::calls) turn: Duration,
}

/// What came of it.
pub(in crate::calls) enum Outcome {
    /// The carrier has the call, under this name.
    Placed(String),
    /// It has not, and the call is closed.
    Refused(Refused),
    /// Somebody ended the call before.
    GivenUp,
    /// Nobody knows yet.
    Unsure,
    /// The database could not be told, so that nobody was asked.
    Failed(ApiError),
}

impl Calls {
    /// Waits for a call's turn, and places it.
    pub(in crate::calls) async fn place(self, dialling: Dialling) -> Outcome {
        tokio::time::sleep(dialling.turn).await;
        let outcome = self.ask_carrier(&dialling).await;
        let word = match &outcome {
            Outcome::Placed(_) => "placed",
            Outcome::Refused(_) => "refused",
            Outcome::GivenUp => "given_up",
            Outcome::Unsure => "unsure",
            Outcome::Failed(_) => "failed",
        };
        metrics::counter!("trunkline_dials_total", "outcome" => word).increment(1);
        outcome
    }

    async fn ask_carrier(&self, dialling: &Dialling) -> Outcome {
        let Dialling { tenant, id, account, order, .. } = dialling;
        let (tenant, id) = (*tenant, *id);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            // The carrier is asked only after it is written that it may have been: whoever comes after a crash knows what to look for.
            let sent_at: DateTime<Utc> = match self.note_sent(tenant, id).await {
                Ok(Some(sent_at)) => sent_at,
                Ok(None) => {
                    self.close_dial(tenant, id, "canceled").await;
                    return Outcome::GivenUp;
                }
                // What was never asked is closed by whoever finds it.
                Err(error) => return Outcome::Failed(error.into()),
            };
            let refused = match account.place(order).await {
                Ok(provider_call_id) => {
                    self.placed(tenant, id, account, &provider_call_id).await;
                    return Outcome::Placed(provider_call_id);
                }
                Err(refused) => refused,
            };
            tracing::warn!(call = %id, status = refused.status, may_have = refused.may_have_happened, "a call was not placed");
            if !refused.may_have_happened {
                self.close_dial(tenant, id, refused.end_reason()).await;
                return Outcome::Refused(refused);
            }
            let dial = Dial { tenant, id, from: order.from.clone(), to: order.to.clone(), sent_at };
            match self.look_for(&dial, account).await {
                Found::Placed(provider_call_id) => return Outcome::Placed(provider_call_id),
                Found::Unsure => return Outcome::Unsure,
                Found::Nothing => last = Some(refused),
            }
        }
        match last {
            Some(refused) => {
                self.close_dial(tenant, id, refused.end_reason()).await;
                Outcome::Refused(refused)
            }
            None => Outcome::Unsure,
        }
    }

    /// When the carrier is asked; `None`: it must not be any more.
    async fn note_sent(&self, tenant: TenantId, id: CallId) -> Result<Option<DateTime<Utc>>, DbError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let may = dials::send(&mut tx, tenant, id, HELD).await?;
        tx.commit().await?;
        Ok(may.then(|| SystemClock.wall().into()))
    }

    /// The carrier has answered with the call's name.
    async fn placed(&self, tenant: TenantId, id: CallId, account: &Arc<CarrierAccount>, provider_call_id: &str) {
        match self.adopt(tenant, id, account, provider_call_id).await {
            Ok(Adopted::Now | Adopted::Before) => {}
            Ok(Adopted::Stray | Adopted::Other | Adopted::NotDialled) => {
                tracing::error!(call = %id, "the carrier has placed a call that was given up");
            }
            // The first thing that the carrier tells of the call settles the dial too.
            Err(error) => tracing::warn!(call = %id, %error, "that a call was placed could not be noted"),
        }
    }

    /// Settles a dial by one of the carrier's calls. One that nobody waits for any more is hung up.
    pub(super) async fn adopt(
        &self,
        tenant: TenantId,
        id: CallId,
        account: &Arc<CarrierAccount>,
        provider_call_id: &str,
    ) -> Result<Adopted, DbError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let adopted = dials::adopt(&mut tx, tenant, id, account.provider(), provider_call_id).await?;
        let over = match adopted {
            Adopted::Now => stored::read(&mut tx, tenant, id).await?.is_none_or(|call| call.over),
            Adopted::Stray => true,
            Adopted::Before | Adopted::Other | Adopted::NotDialled => false,
        };
        tx.commit().await?;
        if over {
            let (account, provider_call_id) = (account.clone(), provider_call_id.to_owned());
            self.0.registry.tasks().spawn(async move {
                if let Err(error) = account.hang_up(&provider_call_id).await {
                    tracing::error!(call = %id, %error, "a call that nobody waits for could not be hung up");
                }
            });
        }
        Ok(adopted)
    }

    /// Settles a dial of which nothing has come, and closes its call for a reason in the database's words.
    pub(super) async fn close_dial(&self, tenant: TenantId, id: CallId, reason: &'static str) {
        let close = async {
            let mut tx = self.control().db.begin(tenant).await?;
            if !dials::refuse(&mut tx, tenant, id).await? {
                // Somebody has settled it otherwise.
                return Ok(false);
            }
            let ended = Ended { at: SystemClock.wall().into(), status: "failed", reason: reason.to_owned() };
            let closed = journal::close(&mut tx, tenant, id, &ended, None).await?;
            tx.commit().await?;
            Ok::<bool, DbError>(closed)
        };
        match close.await {
            Ok(true) => {
                self.tell_state(tenant, id);
                metrics::counter!("trunkline_calls_total", "end_reason" => reason).increment(1);
            }
            Ok(false) => {}
            // It is not settled: it is looked at again.
            Err(error) => tracing::warn!(call = %id, %error, "a call that was not placed is not closed"),
        }
    }
}
