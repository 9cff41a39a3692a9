//! When a stream does what: pure waiting, on tokio's clock.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use trunkline_base::{Clock, SystemClock};

use super::hub::Place;

/// How often a stream may look for what is new: what comes closer together is read together.
const OFTEN: Duration = Duration::from_millis(100);
/// How often it looks where other nodes are heard: a message may be lost.
const HEARING: Duration = Duration::from_secs(10);
/// How often it looks where they are not.
const DEAF: Duration = Duration::from_secs(2);
/// How often it is asked whether its listener may still listen.
const STANDING: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Look for what is new.
    Look,
    /// Ask whether the listener may still listen.
    Standing,
    /// End: what it was opened with has expired.
    Expired,
    /// End: the node stops. Look once more before.
    Closing,
}

/// The time of one stream.
#[derive(Debug)]
pub(super) struct Pulse {
    place: Place,
    expires: Option<Instant>,
    looked: Instant,
    asked: Instant,
    /// There is more to be read than was read at once.
    more: bool,
}

impl Pulse {
    /// Of a stream that has just looked, and ends when this time is over.
    pub(super) fn new(place: Place, lasts: Option<Duration>) -> Self {
        let now = SystemClock.now();
        let expires = lasts.and_then(|lasts| now.checked_add(lasts));
        Self { place, expires, looked: now, asked: now, more: false }
    }

    /// A look has left something behind.
    pub(super) const fn look_again(&mut self) {
        self.more = true;
    }

    /// Waits for what is to be done next.
    pub(super) async fn next(&mut self) -> Beat {
        let news = async {
            if self.more {
                return;
            }
            tokio::select! {
                () = self.place.news() => sleep_until(self.looked + OFTEN).await,
                () = self.turn() => {}
            }
        };
        let expiry = async {
            match self.expires {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let beat = tokio::select! {
            biased;
            () = expiry => Beat::Expired,
            () = self.place.closing() => Beat::Closing,
            () = sleep_until(self.asked + STANDING) => Beat::Standing,
            () = news => Beat::Look,
        };
        match beat {
            Beat::Look => {
                self.looked = SystemClock.now();
                self.more = false;
            }
            Beat::Standing => self.asked = SystemClock.now(),
            Beat::Expired | Beat::Closing => {}
        }
        beat
    }

    /// Waits until it is time to look without having been told to.
    async fn turn(&self) {
        loop {
            // Hearing may be lost while it is waited for.
            let every = if self.place.hears_others() { HEARING } else { DEAF };
            let (at, now) = (self.looked + every, SystemClock.now());
            if at <= now {
                return;
            }
            sleep_until(at.min(now + DEAF)).await;
        }
    }
}
