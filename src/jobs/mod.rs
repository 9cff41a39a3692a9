//! Who does the jobs that the control plane keeps: in `serve`, or in `worker` processes of their own.
//!
//! A [`Task`] does one kind; the [`Worker`] claims, keeps the claims alive, tries again and gives up. What a task does to the database it
//! does in the transaction that ends its claim, so a job that is done twice, because a worker died or was cut off, has its effect once.

mod analysis;
mod webhooks;
mod worker;

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::{Clock, SystemClock};
use trunkline_control::{Control, db::Db, jobs::queue};
use trunkline_media::net::Net;

pub use self::worker::{JobError, Policy, Settled, Task, Worker};
use self::{analysis::Analyst, webhooks::Messenger};
use crate::compose::Composer;

/// How often it is looked how many jobs there are.
const COUNT: Duration = Duration::from_secs(15);
/// How often what is no longer kept is removed.
const SWEEP: Duration = Duration::from_secs(600);
/// How long jobs that are under way have to end when the process stops: as long as a delivery may take, and a bit.
const GRACE: Duration = Duration::from_secs(12);

/// All kinds of jobs, being done.
pub struct Jobs {
    worker: Worker,
    _sweep: AbortOnDropHandle<()>,
}

impl Jobs {
    /// Begins to do them.
    pub fn start(control: &Control, composer: &Composer, net: &Net) -> Result<Self, reqwest::Error> {
        let tasks: Vec<Arc<dyn Task>> = vec![
            Arc::new(Analyst::new(control.clone(), composer.clone())),
            Arc::new(Messenger::new(control.clone(), net)?),
        ];
        let worker = Worker::start(control.db.clone(), tasks);
        let sweep = AbortOnDropHandle::new(tokio::spawn(keep_clean(control.db.clone())));
        Ok(Self { worker, _sweep: sweep })
    }

    /// Takes no more of them, lets those that are under way end for some seconds, and gives back the rest.
    pub async fn stop(self) {
        self.worker.stop(GRACE).await;
    }
}

/// Removes what is no longer kept, for ever.
async fn keep_clean(db: Db) {
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match queue::sweep(&db, SystemClock.wall().into()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old deliveries and jobs that gave up are removed"),
            Err(error) => tracing::warn!(%error, "old deliveries and jobs that gave up could not be removed"),
        }
    }
}

/// Keeps the gauges of how many jobs there are, whoever does them.
pub async fn keep_gauges(db: Db) {
    let mut tick = interval(COUNT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match queue::counts(&db).await {
            Ok(counts) => measure(&counts),
            Err(error) => tracing::debug!(%error, "jobs could not be counted"),
        }
    }
}

fn measure(counts: &[queue::Count]) {
    let now = chrono::DateTime::<chrono::Utc>::from(SystemClock.wall());
    for kind in queue::Kind::ALL.map(queue::Kind::name) {
        for state in ["queued", "running", "dead"] {
            let count = counts.iter().find(|count| count.kind == kind && count.state == state);
            let oldest = count.and_then(|count| count.oldest).map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
            metrics::gauge!("trunkline_jobs", "kind" => kind, "state" => state)
                .set(count.map_or(0, |count| count.jobs) as f64);
            metrics::gauge!("trunkline_jobs_oldest_age_seconds", "kind" => kind, "state" => state).set(oldest);
        }
    }
}
