//! The call's clock.
//!
//! Three times exist. *Monotonic* time is tokio's `Instant`, read by drivers through `trunkline_base::Clock`. *Wall* time is for rows.
//! [`MediaTime`] is the call's own: how long ago the call began, on the monotonic clock. A sample of the caller's audio has the
//! media time at which its stream was attached plus its position in the stream, so what was said and what was done compare directly.

use std::{fmt, ops, time::Duration};

use serde::{Deserialize, Serialize};

/// Time since the call began. Serialised as whole microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaTime(Duration);

impl MediaTime {
    /// The beginning of the call.
    pub const ZERO: Self = Self(Duration::ZERO);
    /// Later than any call lasts.
    pub const MAX: Self = Self(Duration::MAX);

    /// So long after the call began.
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// So many milliseconds after the call began.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Time since the call began.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Whole milliseconds since the call began.
    pub const fn as_millis(self) -> u64 {
        self.0.as_millis() as u64
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This much earlier; the beginning of the call at the earliest.
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl ops::Add<Duration> for MediaTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl ops::AddAssign<Duration> for MediaTime {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

impl fmt::Display for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}s", self.0.as_secs_f64())
    }
}

impl Serialize for MediaTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX))
    }
}

impl<'de> Deserialize<'de> for MediaTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|us| Self(Duration::from_micros(us)))
    }
}
