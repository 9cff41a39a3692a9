//! The loop that claims jobs and lets tasks do them.
//!
//! One loop a kind, each with so many at once, so that slow deliveries do not hold up analyses. Whoever finishes one looks for the next at
//! once; an idle loop looks every [`POLL`]. One heartbeat keeps the leases of all that are under way: if the process dies they end, and
//! another worker has the jobs; if it was only cut off, it learns at the next beat what it has lost, and stops doing that.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use rand::Rng;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trunkline_base::{Clock, SystemClock};
use trunkline_control::{
    db::{Db, DbError},
    jobs::queue::{self, Claim, Job, Kind},
    tenant::TenantId,
};
use uuid::Uuid;

/// How long a job is held without a word from its worker: what a killed worker had is begun again after this.
const LEASE: Duration = Duration::from_secs(30);
/// How often that word is given.
const BEAT: Duration = Duration::from_secs(10);
/// How often an idle loop looks.
const POLL: Duration = Duration::from_millis(500);
/// How long after the database was away.
const AWAY: Duration = Duration::from_secs(2);
/// The longest that somebody else's wish for a pause is heeded.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);

/// How one kind of job is done.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Which kind.
    pub kind: Kind,
    /// How many at once in this process.
    pub at_once: usize,
    /// About how many of one tenant at once, in all processes.
    pub per_tenant: i32,
    /// The pause behind each attempt that failed; after the last one it is enough.
    pub waits: &'static [Duration],
    /// How long one attempt may take.
    pub limit: Duration,
}

impl Policy {
    /// How many attempts there are.
    pub fn attempts(&self) -> i32 {
        i32::try_from(self.waits.len()).unwrap_or(i32::MAX - 1) + 1
    }

    /// The pause behind an attempt: a tenth more or less, so that what has failed together is not tried again together, and no less than
    /// somebody asked for. `None`: it was the last.
    pub fn wait(&self, attempt: i32, asked: Option<Duration>) -> Option<Duration> {
        let wait = *self.waits.get(usize::try_from(attempt - 1).ok()?)?;
        let wait = wait.mul_f64(rand::rng().random_range(0.9..=1.1));
        Some(asked.map_or(wait, |asked| wait.max(asked.min(LONGEST_PAUSE))))
    }
}

/// How a task has ended the claim of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is done.
    Done,
    /// It is tried again.
    Again,
    /// It gave up.
    Dead,
}

/// Why a task has not ended the claim itself.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It may succeed later.
    #[error("{reason}")]
    Again {
        /// Why not now: nothing secret, nothing personal.
        reason: String,
        /// How long somebody asks us to wait.
        after: Option<Duration>,
    },
    /// It will not succeed as things are.
    #[error("{0}")]
    Dead(String),
    /// Somebody else has the job by now.
    #[error("another worker has it")]
    Lost,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Who does one kind of job.
pub trait Task: Send + Sync + 'static {
    /// How.
    fn policy(&self) -> Policy;

    /// Does one, and ends its claim in the transaction of its effect; or says why it has not.
    fn run<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Settled, JobError>>;
}

/// Jobs that are under way, by tenant and id, with what stops them.
type UnderWay = Arc<Mutex<BTreeMap<(TenantId, Uuid), (Job, Option<AbortHandle>)>>>;

/// A worker with its loops.
pub struct Worker {
    stopped: CancellationToken,
    loops: JoinSet<()>,
    _beat: AbortOnDropHandle<()>,
    db: Db,
    under_way: UnderWay,
}

impl Worker {
    /// Begins to work.
    pub fn start(db: Db, tasks: Vec<Arc<dyn Task>>) -> Self {
        let name = Uuid::now_v7().to_string();
        let under_way = UnderWay::default();
        let stopped = CancellationToken::new();
        let mut loops = JoinSet::new();
        for task in tasks {
            let kind = OneKind {
                db: db.clone(),
                name: name.clone(),
                policy: task.policy(),
                task,
                under_way: under_way.clone(),
                stopped: stopped.clone(),
            };
            loops.spawn(kind.run());
        }
        let beat = AbortOnDropHandle::new(tokio::spawn(beat(db.clone(), name, under_way.clone())));
        Self { stopped, loops, _beat: beat, db, under_way }
    }

    /// Claims no more, waits so long for those that are under way, and gives back what is left: that was no attempt.
    pub async fn stop(mut self, grace: Duration) {
        self.stopped.cancel();
        let ending = async { while self.loops.join_next().await.is_some() {} };
        if timeout(grace, ending).await.is_ok() {
            return;
        }
        // What ends in the meantime is not given back, for it is no longer ours.
        let left: Vec<Job> = lock(&self.under_way).values().map(|(job, _)| job.clone()).collect();
        self.loops.abort_all();
        while self.loops.join_next().await.is_some() {}
        for job in left {
            let giving = async {
                let mut tx = self.db.begin(job.tenant).await?;
                queue::give_back(&mut tx, job.tenant, &job).await?;
                tx.commit().await
            };
            if let Err(error) = giving.await {
                tracing::warn!(%error, job_id = %job.id, "a job is not given back and has to wait for its lease to end");
            }
        }
    }
}

/// Keeps the leases of what is under way.
async fn beat(db: Db, name: String, under_way: UnderWay) {
    let mut tick = interval(BEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let at_work: Vec<(TenantId, Uuid)> = lock(&under_way).keys().copied().collect();
        if at_work.is_empty() {
            continue;
        }
        let ids: Vec<Uuid> = at_work.iter().map(|(_, id)| *id).collect();
        match queue::keep(&db, &name, &ids, LEASE).await {
            Ok(kept) => {
                let lost = at_work.into_iter().filter(|key| !kept.contains(key));
                for key in lost {
                    // It may just have ended.
                    if let Some((job, Some(handle))) = lock(&under_way).get(&key) {
                        tracing::warn!(job_id = %job.id, kind = job.kind.name(), "a job is another worker's by now");
                        handle.abort();
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the leases of jobs could not be renewed"),
        }
    }
}

/// One kind's loop.
struct OneKind {
    db: Db,
    name: String,
    policy: Policy,
    task: Arc<dyn Task>,
    under_way: UnderWay,
    stopped: CancellationToken,
}

impl OneKind {
    async fn run(self) {
        let mut running = JoinSet::new();
        while !self.stopped.is_cancelled() {
            while running.try_join_next().is_some() {}
            let free = self.policy.at_once - running.len();
            let claimed = if free == 0 { Ok(0) } else { self.claim(free, &mut running).await };
            let pause = match claimed {
                // There may be more.
                Ok(n) if n > 0 && n < free => continue,
                Ok(_) => POLL,
                Err(error) => {
                    tracing::warn!(%error, kind = self.policy.kind.name(), "no jobs could be claimed");
                    AWAY
                }
            };
            let full = running.len() == self.policy.at_once;
            tokio::select! {
                () = self.stopped.cancelled() => {}
                // What ends makes room, and may be what another waits for.
                Some(_) = running.join_next(), if !running.is_empty() => {}
                () = sleep(pause), if !full => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn claim(&self, free: usize, running: &mut JoinSet<()>) -> Result<usize, DbError> {
        let claim = Claim {
            kind: self.policy.kind,
            n: i32::try_from(free).unwrap_or(i32::MAX),
            per_tenant: self.policy.per_tenant,
            attempts: self.policy.attempts(),
            worker: &self.name,
            lease: LEASE,
        };
        let jobs = queue::claim(&self.db, claim).await?;
        let n = jobs.len();
        for job in jobs {
            let key = (job.tenant, job.id);
            lock(&self.under_way).insert(key, (job.clone(), None));
            let one = One { db: self.db.clone(), policy: self.policy, task: self.task.clone(), job };
            let under_way = self.under_way.clone();
            let handle = running.spawn(async move {
                let _leaving = Leaving { under_way, key };
                one.run().await;
            });
            if let Some((_, abort)) = lock(&self.under_way).get_mut(&key) {
                *abort = Some(handle);
            }
        }
        Ok(n)
    }
}

/// Takes a job out of what is under way, however it ends.
struct Leaving {
    under_way: UnderWay,
    key: (TenantId, Uuid),
}

impl Drop for Leaving {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

/// One job, being done.
struct One {
    db: Db,
    policy: Policy,
    task: Arc<dyn Task>,
    job: Job,
}

impl One {
    async fn run(self) {
        let started = SystemClock.now();
        let kind = self.policy.kind.name();
        let doing = AssertUnwindSafe(timeout(self.policy.limit, self.task.run(&self.job))).catch_unwind();
        let again = |reason: &str| Err(JobError::Again { reason: reason.to_owned(), after: None });
        let outcome = match doing.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => again("it took too long"),
            Err(_) => again("it broke off: an error of ours, which the log has"),
        };
        let settled = match outcome {
            Ok(settled) => Some(settled),
            Err(error) => self.settle(error).await,
        };
        let word = match settled {
            Some(Settled::Done) => "done",
            Some(Settled::Again) => "again",
            Some(Settled::Dead) => "dead",
            None => "lost",
        };
        metrics::counter!("trunkline_jobs_finished_total", "kind" => kind, "outcome" => word).increment(1);
        metrics::histogram!("trunkline_job_seconds", "kind" => kind).record(started.elapsed().as_secs_f64());
    }

    /// Tries it again, or gives up. `None`: somebody else has it, or will.
    async fn settle(&self, error: JobError) -> Option<Settled> {
        let (reason, after, is_final) = match error {
            JobError::Lost => return None,
            JobError::Again { reason, after } => (reason, after, false),
            JobError::Dead(reason) => (reason, None, true),
            JobError::Db(error) => {
                tracing::warn!(job_id = %self.job.id, %error, "a job could not be done for the database");
                ("the database failed".to_owned(), None, false)
            }
        };
        let (kind, tenant) = (self.policy.kind.name(), self.job.tenant);
        let wait = if is_final { None } else { self.policy.wait(self.job.attempt, after) };
        let settling = async {
            let mut tx = self.db.begin(tenant).await?;
            let held = match wait {
                Some(wait) => queue::again(&mut tx, tenant, &self.job, wait, &reason).await?,
                None => queue::bury(&mut tx, tenant, &self.job, &reason).await?,
            };
            tx.commit().await?;
            Ok::<_, DbError>(held)
        };
        match settling.await {
            Ok(true) => {
                match wait {
                    Some(wait) => {
                        let retry_in_s = wait.as_secs();
                        tracing::info!(job_id = %self.job.id, tenant_id = %tenant, kind, reason, retry_in_s, "a job is tried again");
                    }
                    None => tracing::warn!(job_id = %self.job.id, tenant_id = %tenant, kind, reason, "a job gave up"),
                }
                Some(if wait.is_some() { Settled::Again } else { Settled::Dead })
            }
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(job_id = %self.job.id, %error, "a job has to wait for its lease to end");
                None
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
