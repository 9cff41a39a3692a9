//! What the simulated carrier has seen: each call that was placed, from its first moment to its last.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;
use trunkline_sim::twilio::{CallStatus, TwilioSim};

/// A call that is over.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) to: String,
    pub(crate) status: CallStatus,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

/// Watches the carrier's calls.
pub(crate) struct Record {
    over: Arc<Mutex<Vec<Seen>>>,
    /// How many were placed, and how many of them are over.
    counts: watch::Receiver<(usize, usize)>,
    _watching: AbortOnDropHandle<()>,
}

impl Record {
    pub(crate) fn of(twilio: Arc<TwilioSim>) -> Self {
        let over = Arc::new(Mutex::new(Vec::new()));
        let (tell, counts) = watch::channel((0, 0));
        let (kept, tell) = (over.clone(), Arc::new(tell));
        let watching = async move {
            loop {
                let call = twilio.next_placed().await;
                tell.send_modify(|(placed, _)| *placed += 1);
                let (kept, tell) = (kept.clone(), tell.clone());
                tokio::spawn(async move {
                    let report = call.report().await.unwrap();
                    let (began, ended) = (report.began, report.ended);
                    kept.lock().unwrap().push(Seen { to: report.to, status: report.status, began, ended });
                    tell.send_modify(|(_, over)| *over += 1);
                });
            }
        };
        Self { over, counts, _watching: AbortOnDropHandle::new(tokio::spawn(watching)) }
    }

    /// How many calls were placed.
    pub(crate) fn count(&self) -> usize {
        self.counts.borrow().0
    }

    /// Waits until so many calls were placed.
    pub(crate) async fn placed(&self, n: usize, limit: Duration) {
        let mut counts = self.counts.clone();
        let come = timeout(limit, counts.wait_for(|(placed, _)| *placed >= n)).await;
        assert!(come.is_ok(), "{n} calls are placed in time: {:?}", self.counts.borrow());
    }

    /// All calls, once each of them is over.
    pub(crate) async fn all(&self, limit: Duration) -> Vec<Seen> {
        let mut counts = self.counts.clone();
        let come = timeout(limit, counts.wait_for(|(placed, over)| placed == over)).await;
        assert!(come.is_ok(), "all calls are over in time: {:?}", self.counts.borrow());
        self.over.lock().unwrap().clone()
    }
}

/// The most calls that were on at once.
pub(crate) fn most_at_once(calls: &[Seen]) -> usize {
    let begins = calls.iter().map(|call| (call.began, 1));
    // Of one moment, an end comes before a beginning.
    let mut steps: Vec<(Instant, i32)> = begins.chain(calls.iter().map(|call| (call.ended, -1))).collect();
    steps.sort_unstable();
    let mut most = (0, 0);
    for (_, step) in steps {
        most.0 += step;
        most.1 = most.1.max(most.0);
    }
    usize::try_from(most.1).unwrap()
}
