//! Recordings: from the file that a call writes to the object that a client reads.
//!
//! Of two designs — parts of an upload that is open while the call goes on, or a file on this machine's disk that is brought to the store
//! when the call is over — this is the second. A part of an upload to S3 is 5 MiB, which is 160 s of a call: most calls would be one
//! part, uploaded at their end in any case; until then it would be in memory, and lost with the process, while a file loses a second. An
//! open upload needs its header patched, leaves parts behind when its process dies, and makes a store that is down the call's concern.
//! The price is that a machine that never comes back keeps what it had not brought yet.
//!
//! What lies in the spool is the truth: names say whose it is ([`spool`]), and whoever starts on this folder brings what it finds
//! ([`upload`]). Rows follow. A recording is deleted object first ([`upkeep`]), and read as one file, however many pieces it has ([`wave`]).

mod carrier;
mod objects;
mod range;
mod route;
pub(crate) mod spool;
mod transcribe;
mod upkeep;
mod upload;
mod wave;

use std::{path::Path, sync::Arc};

use tokio::sync::{Mutex, Notify};
use trunkline_control::db::Db;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::carrier::TwilioRecording;
pub use self::objects::ObjectsError;
use self::{objects::Objects, spool::Spool};
use super::Calls;
use crate::config::{Objects as Configured, Place};

/// Recordings of one process.
#[derive(Debug, Clone)]
pub struct Recordings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    objects: Objects,
    spool: Spool,
    /// One pass over the spool at a time.
    passing: Mutex<()>,
    /// A call is over.
    over: Notify,
}

impl Recordings {
    /// Opens the store that the settings name, and the spool in the data folder. `http` is how a bucket is reached.
    pub fn open(db: Db, configured: &Configured, data: &Path, http: &reqwest::Client) -> Result<Self, ObjectsError> {
        let failed = |cause| ObjectsError::Folder { folder: data.join("spool").display().to_string(), cause };
        let spool = Spool::new(data);
        spool.create().map_err(failed)?;
        if let Ok(Place::Folder(kept)) = configured.place(data) {
            match spool.adopt(&kept) {
                Ok(0) => {}
                Ok(adopted) => tracing::info!(adopted, "recordings of an earlier version are taken over"),
                Err(error) => tracing::warn!(%error, "recordings of an earlier version cannot be taken over"),
            }
        }
        let objects = Objects::open(configured, data, http)?;
        Ok(Self(Arc::new(Inner { db, objects, spool, passing: Mutex::new(()), over: Notify::new() })))
    }

    /// A call's recording is over, and can be brought to the store.
    pub(super) fn over(&self) {
        self.0.over.notify_one();
    }
}

/// The routes that reach recordings.
pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new()
        .routes(routes!(route::read))
        .routes(routes!(transcribe::transcribe))
        .routes(routes!(transcribe::deepgram))
}
