//! A project's published keys, fetched when they are needed and remembered.
//!
//! There is no task that fetches them: whoever first needs keys that are too old, or a key that is not known, has them fetched, once for
//! all who need them at that moment and never sooner than a pause after the last attempt. A request that dies meanwhile takes nothing
//! with it. When fetching fails, what was known stays good; a key that has left the set does not.

mod set;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::Instant;
use trunkline_base::Clock;

use self::set::KeySet;
pub(super) use self::set::PublicKey;
use super::TokenError;

/// How long fetching may take, and so how long a request may wait for it.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a set is good, where its source doesn't say.
const FRESH: Duration = Duration::from_secs(600);
/// What a source may say: less would have it asked all the time, more would honour a key for long that has been revoked.
const FRESH_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// From one attempt to the next: anybody can send tokens with keys that nobody has.
const PAUSE: Duration = Duration::from_secs(30);
/// Longest id of a key that is looked for.
const MAX_ID: usize = 256;

/// Where a project publishes its keys.
pub trait KeySource: std::fmt::Debug + Send + Sync + 'static {
    /// Fetches them. Must limit what it reads; the time it takes is limited by whoever asks.
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedKeys, KeySourceError>>;
}

/// What a source answered.
#[derive(Debug, Clone)]
pub struct FetchedKeys {
    /// A JSON Web Key Set, as it came.
    pub body: Vec<u8>,
    /// How long the source says that it may be kept.
    pub max_age: Option<Duration>,
}

/// Why a source has no keys. For the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct KeySourceError(pub String);

/// A project's published keys. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Jwks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Box<dyn KeySource>,
    clock: Box<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last good one.
    set: Option<KeySet>,
    /// Until when it need not be asked for again.
    fresh_until: Option<Instant>,
    /// When it was last asked for.
    asked: Option<Instant>,
    flight: Option<Flight>,
}

/// A fetch that is under way; all who wait for it wait for the same one.
type Flight = Shared<BoxFuture<'static, ()>>;

impl Jwks {
    /// From one attempt to the next while there are no keys at all.
    pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(5);

    /// Keys from this source.
    pub fn new(source: impl KeySource, clock: impl Clock) -> Self {
        Self(Arc::new(Inner { source: Box::new(source), clock: Box::new(clock), state: Mutex::default() }))
    }

    /// The key with this id, if the project has one; [`TokenError::NoKeys`] if none could be fetched so far.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Arc<PublicKey>>, TokenError> {
        if id.len() > MAX_ID {
            return Ok(None);
        }
        let flight = {
            let mut state = self.0.state();
            match state.set.as_ref().and_then(|set| set.get(id)) {
                None => state.pending().or_else(|| self.begin(&mut state)),
                // One waits for a newer set, in which the key may be gone; the others go on with what there is.
                Some(_) if state.fresh_until.is_none_or(|until| until <= self.0.clock.now()) => self.begin(&mut state),
                Some(key) => return Ok(Some(key)),
            }
        };
        if let Some(flight) = flight {
            flight.await;
        }
        let state = self.0.state();
        let set = state.set.as_ref().ok_or(TokenError::NoKeys)?;
        Ok(set.get(id))
    }

    /// Begins to fetch, unless that is under way or was a moment ago.
    fn begin(&self, state: &mut State) -> Option<Flight> {
        let now = self.0.clock.now();
        let pause = if state.set.is_some() { PAUSE } else { Self::FIRST_PAUSE };
        let too_soon = state.asked.is_some_and(|at| now.saturating_duration_since(at) < pause);
        if too_soon || state.pending().is_some() {
            return None;
        }
        state.asked = Some(now);
        let inner = self.0.clone();
        // A task of its own, for the request that begins it may be gone before the answer comes.
        let task = tokio::spawn(async move { inner.fetch().await });
        let flight = task.map(|_| ()).boxed().shared();
        state.flight = Some(flight.clone());
        Some(flight)
    }
}

impl State {
    fn pending(&self) -> Option<Flight> {
        self.flight.clone().filter(|flight| flight.peek().is_none())
    }
}

impl Inner {
    async fn fetch(&self) {
        let fetched = match tokio::time::timeout(LIMIT, self.source.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(KeySourceError(format!("no answer within {} s", LIMIT.as_secs()))),
        };
        let parsed = fetched.and_then(|fetched| {
            let set = KeySet::parse(&fetched.body).map_err(|error| KeySourceError(error.to_string()))?;
            let (least, most) = FRESH_BOUNDS;
            Ok((set, fetched.max_age.unwrap_or(FRESH).clamp(least, most)))
        });
        let mut state = self.state();
        match parsed {
            Ok((set, fresh)) => {
                tracing::debug!(keys = set.len(), "the project's keys were fetched");
                metrics::counter!("trunkline_jwks_fetches_total", "outcome" => "ok").increment(1);
                state.fresh_until = Some(self.clock.now() + fresh);
                state.set = Some(set);
            }
            Err(error) => {
                metrics::counter!("trunkline_jwks_fetches_total", "outcome" => "failed").increment(1);
                tracing::warn!(%error, kept = state.set.is_some(), "the project's keys could not be fetched");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
