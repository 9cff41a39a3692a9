//! When something may or must be sent, and how long to wait before the next attempt. Time and seed are arguments.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use super::wire::Family;

/// Replayed audio up to this much is sent at once.
const BURST: Duration = Duration::from_secs(3);
/// The rest of it is sent this many times faster than it was said: it has to catch up with the caller, and the vendor asks not to be
/// fed much faster than in real time for long.
const CATCH_UP: u32 = 2;

/// Audio of the caller's that doesn't come for so long is a gap.
pub(super) const GAP: Duration = Duration::from_millis(500);
/// The vendor closes Nova's socket when it hears nothing for 10 s.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(4);

impl Family {
    /// How much audio one message carries at most, when more is at hand; also the length of one message of silence.
    pub(super) const fn chunk(self) -> Duration {
        match self {
            Self::Nova => Duration::from_millis(100),
            // The vendor's strong recommendation.
            Self::Flux => Duration::from_millis(80),
        }
    }

    /// Whether less than a chunk waits for more.
    pub(super) const fn coalesces(self) -> bool {
        matches!(self, Self::Flux)
    }
}

/// What keeps a connection open while no audio of the caller's is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filler {
    /// A chunk of silence.
    Silence,
    /// Nova's message.
    KeepAlive,
}

/// What one connection was sent, and when.
#[derive(Debug)]
pub(super) struct Schedule {
    family: Family,
    opened: Instant,
    /// The caller's audio.
    audio: Option<Instant>,
    silence: Option<Instant>,
    /// Anything.
    last: Instant,
    credit: Duration,
    refilled: Instant,
}

impl Schedule {
    /// A connection was opened.
    pub(super) const fn new(family: Family, now: Instant) -> Self {
        Self { family, opened: now, audio: None, silence: None, last: now, credit: BURST, refilled: now }
    }

    /// Takes `length` of audio from the allowance, or tells when it may be sent.
    pub(super) fn admit(&mut self, length: Duration, now: Instant) -> Result<(), Instant> {
        let earned = now.saturating_duration_since(self.refilled) * CATCH_UP;
        self.credit = self.credit.saturating_add(earned).min(BURST);
        self.refilled = now;
        if length <= self.credit {
            self.credit -= length;
            return Ok(());
        }
        Err(now + (length - self.credit) / CATCH_UP + Duration::from_millis(1))
    }

    /// Audio of the caller's was sent.
    pub(super) const fn sent_audio(&mut self, now: Instant) {
        self.audio = Some(now);
        self.last = now;
    }

    /// A filler was sent.
    pub(super) const fn sent_filler(&mut self, filler: Filler, now: Instant) {
        if matches!(filler, Filler::Silence) {
            self.silence = Some(now);
        }
        self.last = now;
    }

    /// The next filler, and when it is due unless audio comes before.
    ///
    /// Before the caller's audio flows it is silence, on both: Nova closes a socket that got no audio in its first 10 s, whatever
    /// else it got. In a gap it is silence where the vendor has not told the end of what it `heard`, since its clock is the audio; and
    /// on Flux, which has no keep-alive.
    pub(super) fn filler(&self, heard: bool) -> (Instant, Filler) {
        let next = self.silence.map(|silence| silence + self.family.chunk());
        match (self.audio, self.family) {
            (None, _) => (next.unwrap_or(self.opened), Filler::Silence),
            (Some(_), Family::Nova) if !heard => (self.last + KEEP_ALIVE, Filler::KeepAlive),
            (Some(audio), _) => {
                let gap = audio + GAP;
                (next.map_or(gap, |next| next.max(gap)), Filler::Silence)
            }
        }
    }
}

/// How long to wait before attempt number `attempt` (from 0) to connect again: 100 ms, doubled each time up to 2 s, give or take a
/// quarter, so that the calls of one outage don't come back in step. The seed makes the jitter, see [`seed`].
pub(super) fn backoff(attempt: u32, seed: u64) -> Duration {
    let base = Duration::from_millis(100).saturating_mul(1 << attempt.min(10)).min(Duration::from_secs(2));
    let mut hasher = DefaultHasher::new();
    (seed, attempt).hash(&mut hasher);
    base.mul_f64(0.75 + (hasher.finish() % 1024) as f64 / 2048.0)
}

/// A seed from what names the session.
pub(super) fn seed(tag: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    tag.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_replay_is_a_burst_and_then_twice_real_time_and_live_audio_never_waits() {
        let start = trunkline_base::Clock::now(&trunkline_base::SystemClock);
        let mut schedule = Schedule::new(Family::Nova, start);
        let (mut now, mut sent) = (start, Duration::ZERO);
        while sent < Duration::from_secs(12) {
            match schedule.admit(100 * MS, now) {
                Ok(()) => sent += 100 * MS,
                Err(later) => now = later,
            }
            assert!(sent <= BURST + (now - start) * CATCH_UP + 100 * MS);
        }
        let took = now - start;
        assert!(took >= Duration::from_millis(4_400) && took <= Duration::from_millis(4_700), "{took:?}");
        for n in 1..500 {
            assert_eq!(schedule.admit(20 * MS, now + n * 20 * MS), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_until_audio_flows_then_what_the_vendor_wants_in_gaps() {
        let start = trunkline_base::Clock::now(&trunkline_base::SystemClock);
        for family in [Family::Nova, Family::Flux] {
            let mut schedule = Schedule::new(family, start);
            assert_eq!(schedule.filler(false), (start, Filler::Silence));
            schedule.sent_filler(Filler::Silence, start);
            assert_eq!(schedule.filler(false), (start + family.chunk(), Filler::Silence));
            schedule.sent_audio(start + 50 * MS);
            let silence = (start + 550 * MS, Filler::Silence);
            assert_eq!(schedule.filler(true), silence);
            let keep_alive = (start + 4_050 * MS, Filler::KeepAlive);
            assert_eq!(schedule.filler(false), if family == Family::Nova { keep_alive } else { silence });
            schedule.sent_filler(Filler::Silence, start + 550 * MS);
            assert_eq!(schedule.filler(true), (start + 550 * MS + family.chunk(), Filler::Silence));
        }
    }

    #[test]
    fn backing_off_doubles_with_jitter_and_is_the_same_for_the_same_seed() {
        for attempt in 0..8 {
            let base = 100.0 * 2_f64.powi(attempt).min(20.0);
            let delays: Vec<_> = ["a", "b", "c", "d"].map(|tag| backoff(attempt as u32, seed(tag))).into();
            assert_eq!(delays[0], backoff(attempt as u32, seed("a")));
            assert!(delays.iter().any(|delay| *delay != delays[0]));
            for delay in delays {
                let ms = delay.as_secs_f64() * 1000.0;
                assert!(ms >= base * 0.75 && ms <= base * 1.25, "{attempt}: {ms}");
            }
        }
        assert!(backoff(u32::MAX, 1) <= Duration::from_millis(2_500));
    }
}
