//! The one legal clock read. Everything else takes time as an argument or a [`Clock`].

use std::{fmt::Debug, time::SystemTime};

use tokio::time::Instant;

/// Where drivers and actors read the time. Monotonic time is tokio's, so that a test which pauses the runtime's clock pauses ours.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Monotonic time: for deadlines and durations.
    fn now(&self) -> Instant;

    /// Wall-clock time: for rows and file names, never for durations.
    fn wall(&self) -> SystemTime;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
