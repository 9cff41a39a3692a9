//! Dialling for campaigns.
//!
//! Of two designs, a job of the queue for each contact, or a loop that claims a campaign's contacts in the transaction that writes their
//! calls, this is the second: concurrency, calls per second, calling hours and pauses are a campaign's, and a queue would claim ten
//! thousand jobs to put them back; and a process that dies leaves no claim behind that somebody has to wait for, but a dial, which
//! whoever comes next settles ([`super::dial`]). Any number of processes may dial for the same campaigns.

mod pass;

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trunkline_control::campaigns::claims;
use uuid::Uuid;

use self::pass::Pass;
use super::Calls;

/// How often it is looked for campaigns that have somebody to call.
const LOOK: Duration = Duration::from_millis(150);
/// The same, while none of them runs.
const IDLE: Duration = Duration::from_millis(500);
/// How long after the database was away.
const AWAY: Duration = Duration::from_secs(2);
/// How many campaigns are dialled for at once here.
const AT_ONCE: usize = 16;
/// How long calls that wait for their turn, or for the carrier's answer, have when the process stops.
const GRACE: Duration = Duration::from_secs(12);

/// Whoever dials for campaigns in this process.
pub struct Dialler {
    stopped: CancellationToken,
    task: JoinHandle<()>,
    placing: TaskTracker,
}

impl Dialler {
    /// Begins to dial.
    pub fn start(calls: Calls) -> Self {
        let (stopped, placing) = (CancellationToken::new(), TaskTracker::new());
        let task = tokio::spawn(run(calls, stopped.clone(), placing.clone()));
        Self { stopped, task, placing }
    }

    /// Claims nobody any more, and waits some seconds for calls that are being placed. What is left is settled by others.
    pub async fn stop(self) {
        self.stopped.cancel();
        self.placing.close();
        let ending = async {
            let _ = self.task.await;
            self.placing.wait().await;
        };
        if timeout(GRACE, ending).await.is_err() {
            tracing::warn!("calls of campaigns that are being placed are left to others");
        }
    }
}

async fn run(calls: Calls, stopped: CancellationToken, placing: TaskTracker) {
    let mut passes: JoinSet<Uuid> = JoinSet::new();
    let mut under_way = BTreeSet::new();
    let mut pause = LOOK;
    while stopped.run_until_cancelled(sleep(pause)).await.is_some() {
        while let Some(done) = passes.try_join_next() {
            match done {
                Ok(id) => under_way.remove(&id),
                // Which one it was is not said: those that go on are left alone by their rows.
                Err(error) => {
                    tracing::error!(%error, "dialling for a campaign broke off");
                    under_way.clear();
                    false
                }
            };
        }
        let due = match claims::due(&calls.control().db, 100).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "campaigns could not be looked for");
                pause = AWAY;
                continue;
            }
        };
        pause = if due.is_empty() && under_way.is_empty() { IDLE } else { LOOK };
        for (tenant, id) in due {
            if passes.len() < AT_ONCE && under_way.insert(id) {
                let pass =
                    Pass { calls: calls.clone(), tenant, id, stopped: stopped.clone(), placing: placing.clone() };
                passes.spawn(async move {
                    if let Err(error) = pass.run().await {
                        tracing::warn!(campaign = %id, %error, "a campaign could not be dialled for");
                    }
                    id
                });
            }
        }
    }
    while passes.join_next().await.is_some() {}
}
