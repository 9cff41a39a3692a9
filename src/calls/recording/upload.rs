//! From the spool to the store: tried until it is done, and never the call's concern.
//!
//! A pass takes every file that nobody writes. Each step may be done twice: the object's key is the piece's own, the row is upserted, and the
//! file goes last. A store or a database that is away ends the pass; the next one is some seconds later, and then ever later.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use rand::TryRngCore;
use tokio::time::{sleep, timeout};
use trunkline_control::{
    db::DbError,
    lookup,
    recordings::store::{self, Fate, Stored},
    tenant::TenantId,
};

use super::{Recordings, objects::StoreError, spool::Spooled, wave};

/// How often the spool is looked through when nothing is said: another process may have died.
const EVERY: Duration = Duration::from_secs(30);
/// The pause after a pass that was cut short; doubled after each further one.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Uploads at once. Each holds a part in memory.
const AT_ONCE: usize = 2;
/// How long the last pass may take when the server stops. What is left is brought when it starts again.
const LAST: Duration = Duration::from_secs(10);

/// Why a file stays in the spool for now.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error("the database: {0}")]
    Database(#[from] DbError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the spool: {0}")]
    File(#[from] std::io::Error),
}

impl Recordings {
    /// Brings what is there, for ever.
    pub async fn keep(self) {
        let mut pause = PAUSE;
        loop {
            if self.pass().await {
                pause = PAUSE;
                tokio::select! {
                    () = self.0.over.notified() => {}
                    () = sleep(EVERY) => {}
                }
            } else {
                // Not all nodes at once, when the store comes back.
                let chance = f64::from(rand::rngs::OsRng.try_next_u32().unwrap_or_default()) / f64::from(u32::MAX);
                sleep(pause.mul_f64(0.75 + chance / 2.0)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Brings what is there, once, before the process ends.
    pub async fn last(&self) {
        if timeout(LAST, self.pass()).await.is_err() {
            tracing::warn!("recordings are left on this machine's disk: they are stored when the server starts again");
        }
    }

    /// Brings all that nobody writes any more. False if something had to stay.
    pub(in crate::calls) async fn pass(&self) -> bool {
        let _one = self.0.passing.lock().await;
        let spool = self.0.spool.clone();
        let found = match tokio::task::spawn_blocking(move || spool.list()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::error!(%error, "the folder with recordings that wait to be stored cannot be read");
                return false;
            }
            Err(_) => return false,
        };
        let cut_short = AtomicBool::new(false);
        let (this, flag) = (self, &cut_short);
        stream::iter(found)
            .for_each_concurrent(AT_ONCE, |spooled| async move {
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(stuck) = this.bring(&spooled).await {
                    // What ails one ails the others, most likely; they are not tried in vain one by one.
                    if !flag.swap(true, Ordering::Relaxed) {
                        tracing::warn!(call = %spooled.piece.conversation, cause = %stuck, "a recording waits to be stored");
                    }
                    metrics::counter!("trunkline_recording_retries_total").increment(1);
                }
            })
            .await;
        self.measure().await;
        !cut_short.into_inner()
    }

    /// Tells how much waits.
    async fn measure(&self) {
        let spool = self.0.spool.clone();
        let measure = tokio::task::spawn_blocking(move || {
            let found = spool.list().unwrap_or_default();
            found.iter().filter_map(Spooled::waiting).fold((0_u64, 0_u64), |(n, bytes), one| (n + 1, bytes + one))
        });
        let (files, bytes) = measure.await.unwrap_or_default();
        metrics::gauge!("trunkline_recordings_waiting").set(files as f64);
        metrics::gauge!("trunkline_recordings_waiting_bytes").set(bytes as f64);
    }

    async fn bring(&self, spooled: &Spooled) -> Result<(), Stuck> {
        let (db, piece) = (&self.0.db, &spooled.piece);
        // Several servers of several databases may share a folder: what is another's is left to it.
        let Some(tenant) = lookup::conversation(db, piece.conversation).await? else { return Ok(()) };
        let to_seal = spooled.clone();
        let sealed = tokio::task::spawn_blocking(move || to_seal.seal()).await.map_err(std::io::Error::other)??;
        let Some(sealed) = sealed else { return Ok(()) };
        let mut tx = db.begin(tenant).await?;
        let fate = store::uploading(&mut tx, tenant, piece).await?;
        tx.commit().await?;
        match fate {
            Fate::Unknown => return Ok(()),
            Fate::Drop => return self.discard(spooled).await,
            Fate::Store => {}
        }
        if sealed.bytes <= wave::HEADER {
            let mut tx = db.begin(tenant).await?;
            store::failed(&mut tx, tenant, piece.id).await?;
            tx.commit().await?;
            metrics::counter!("trunkline_recordings_total", "state" => "failed").increment(1);
            return self.discard(spooled).await;
        }
        let stored = Stored {
            id: piece.id,
            location: key(tenant, spooled),
            bytes: i64::try_from(sealed.bytes).unwrap_or(i64::MAX),
            duration_ms: wave::duration_ms(sealed.bytes),
            begins_ms: piece.begins_ms,
        };
        // The lock stays with the file for as long as this is, so that nobody else brings it meanwhile.
        let lock = sealed.file.try_clone()?;
        self.0.objects.put(&stored.location, sealed.file, sealed.bytes).await?;
        let mut tx = db.begin(tenant).await?;
        let kept = store::stored(&mut tx, tenant, piece.conversation, &stored).await?;
        tx.commit().await?;
        drop(lock);
        if kept {
            tracing::info!(call = %piece.conversation, bytes = stored.bytes, duration_ms = stored.duration_ms, "recording stored");
            metrics::counter!("trunkline_recordings_total", "state" => "stored").increment(1);
            metrics::counter!("trunkline_recordings_bytes_total").increment(sealed.bytes);
        }
        self.discard(spooled).await
    }

    async fn discard(&self, spooled: &Spooled) -> Result<(), Stuck> {
        let spooled = spooled.clone();
        Ok(tokio::task::spawn_blocking(move || spooled.remove()).await.map_err(std::io::Error::other)??)
    }
}

/// A tenant's folder first, which is what policies of a store go by.
fn key(tenant: TenantId, spooled: &Spooled) -> String {
    format!("{tenant}/{}/{}.wav", spooled.piece.conversation, spooled.piece.id)
}
