//! Deleting what nobody may have any more: the object first, then its row, at least once and by any node.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval_at};
use trunkline_base::{Clock, SystemClock};
use trunkline_control::{
    db::DbError,
    lookup,
    recordings::store::{self, Doomed, Due},
    tenant::TenantId,
};
use uuid::Uuid;

use crate::calls::Calls;

/// How often it is looked what has to go.
const EVERY: Duration = Duration::from_secs(30);
/// How much of it is taken at once.
const BATCH: i32 = 200;
/// When what could not be deleted is tried again.
const AGAIN: Duration = Duration::from_secs(300);

impl Calls {
    /// Deletes what has to go, for ever.
    pub async fn keep_recordings(self) {
        let mut tick = interval_at(SystemClock.now() + EVERY, EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.sweep_recordings().await;
        }
    }

    /// Deletes what has to go now.
    pub(in crate::calls) async fn sweep_recordings(&self) {
        let due = match lookup::recordings_due(&self.control().db, BATCH).await {
            Ok(due) => due,
            Err(error) => return tracing::warn!(%error, "recordings that have to go could not be found"),
        };
        for (tenant, id) in due {
            match self.delete_recording(tenant, id).await {
                Ok(()) => {}
                Err(DbError::Unavailable(error)) => {
                    return tracing::warn!(%error, "recordings that have to go wait for the database");
                }
                Err(error) => tracing::error!(recording = %id, %error, "a recording that has to go cannot be deleted"),
            }
        }
    }

    async fn delete_recording(&self, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
        let db = &self.control().db;
        let mut tx = db.begin(tenant).await?;
        let due = store::due(&mut tx, tenant, id).await?;
        tx.commit().await?;
        let doomed = match due {
            Due::Nothing => return Ok(()),
            Due::GivenUp => {
                tracing::warn!(recording = %id, "a recording that no node has brought is given up");
                metrics::counter!("trunkline_recordings_total", "state" => "failed").increment(1);
                return Ok(());
            }
            Due::Delete(doomed) => doomed,
        };
        let gone = self.delete_object(tenant, &doomed).await;
        let mut tx = db.begin(tenant).await?;
        match gone {
            Ok(()) => {
                store::deleted(&mut tx, tenant, id).await?;
                metrics::counter!("trunkline_recordings_deleted_total").increment(1);
            }
            Err(cause) => {
                tracing::warn!(call = %doomed.conversation, recording = %id, cause, "a recording could not be deleted yet");
                store::not_deleted(&mut tx, tenant, id, AGAIN).await?;
            }
        }
        tx.commit().await
    }

    async fn delete_object(&self, tenant: TenantId, doomed: &Doomed) -> Result<(), String> {
        let Some(location) = &doomed.location else { return Ok(()) };
        if doomed.of_carrier {
            return self.delete_at_carrier(tenant, location).await;
        }
        let objects = &self.0.recordings.0.objects;
        objects.delete(location).await.map_err(|error| error.to_string())
    }
}
