//! Where a vendor's second of audio lies on the call's clock.
//!
//! The vendor counts the audio of one connection from zero. What it was sent is the caller's audio, with gaps, and silence that
//! only keeps the connection open; after a reconnect it counts from zero again and hears some audio for the second time.

use std::{collections::VecDeque, time::Duration};

use crate::{
    audio::{SampleRate, Samples},
    time::MediaTime,
};

/// How many stretches are remembered: a gap in the caller's audio makes one or two, and what is acknowledged is not needed.
const STRETCHES: usize = 512;

/// A stamp this near to where the audio before it ends continues it: stamps are rounded.
const TOLERANCE: Duration = Duration::from_millis(10);

/// A point of the caller's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Samples of the caller's audio before it, counted over the whole session.
    pub position: Samples,
    /// When it was said.
    pub at: MediaTime,
}

/// What was sent on the connection, in order.
#[derive(Debug)]
pub struct TimeMap {
    rate: SampleRate,
    stretches: VecDeque<Stretch>,
    sent: Samples,
    /// Where the connection's audio begins, as far as is known: no place is before it.
    begin: Place,
}

#[derive(Debug)]
struct Stretch {
    /// Where it begins in the connection's audio.
    from: Samples,
    length: Samples,
    place: Place,
    /// The caller's, or silence of ours, all of which is at `place`.
    audio: bool,
}

impl TimeMap {
    /// Nothing was sent.
    pub const fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            stretches: VecDeque::new(),
            sent: Samples(0),
            begin: Place { position: Samples(0), at: MediaTime::ZERO },
        }
    }

    /// A new connection was opened, on which the audio at `begin` will be the first: the vendor counts from zero.
    pub fn restart(&mut self, begin: Place) {
        self.stretches.clear();
        self.sent = Samples(0);
        self.begin = begin;
    }

    /// The caller's audio was sent. Times never run backwards: a stamp before the end of what was sent earlier is moved to it.
    pub fn audio(&mut self, place: Place, length: Samples) {
        let end = self.end();
        let last = self.stretches.back().filter(|last| last.audio && end.position == place.position);
        let place = match last {
            Some(_) if place.at.saturating_since(end.at) <= TOLERANCE => end,
            _ => Place { position: place.position.max(end.position), at: place.at.max(end.at) },
        };
        self.push(place, length, true);
    }

    /// Silence of ours was sent.
    pub fn silence(&mut self, length: Samples) {
        self.push(self.end(), length, false);
    }

    /// How much was sent on this connection.
    pub const fn sent(&self) -> Samples {
        self.sent
    }

    /// The end of the caller's audio that was sent.
    pub fn end(&self) -> Place {
        self.stretches.back().map_or(self.begin, |last| last.place_at(last.length, self.rate))
    }

    /// Where so many of the vendor's seconds are. What is outside of what was sent is moved to its nearer end; in silence of ours
    /// it is the end of the caller's audio before it.
    pub fn locate(&self, seconds: f64) -> Place {
        let sample = samples(seconds, self.rate);
        let after = self.stretches.partition_point(|stretch| stretch.from <= sample);
        match after.checked_sub(1).and_then(|index| self.stretches.get(index)) {
            None => self.stretches.front().map_or(self.begin, |first| first.place),
            Some(stretch) => stretch.place_at(sample.saturating_sub(stretch.from).min(stretch.length), self.rate),
        }
    }

    fn push(&mut self, place: Place, length: Samples, audio: bool) {
        let end = self.end();
        let from = self.sent;
        self.sent += length;
        match self.stretches.back_mut() {
            Some(last) if last.audio == audio && end == place => last.length += length,
            _ => {
                if self.stretches.len() == STRETCHES {
                    self.stretches.pop_front();
                }
                self.stretches.push_back(Stretch { from, length, place, audio });
            }
        }
    }
}

impl Stretch {
    fn place_at(&self, offset: Samples, rate: SampleRate) -> Place {
        if !self.audio {
            return self.place;
        }
        Place { position: self.place.position + offset, at: self.place.at + offset.duration(rate) }
    }
}

/// Seconds as samples, to the nearest. What is negative or no number is the beginning; what is beyond a day is a day.
fn samples(seconds: f64, rate: SampleRate) -> Samples {
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, 86_400.0) } else { 0.0 };
    Samples((seconds * f64::from(rate.hz())).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;

    fn place(position: u64, ms: u64) -> Place {
        Place { position: Samples(position), at: MediaTime::from_millis(ms) }
    }

    #[test]
    fn silence_before_the_callers_audio_is_not_on_the_calls_clock() {
        let mut map = TimeMap::new(RATE);
        map.silence(Samples(16_000));
        map.audio(place(0, 5_000), Samples(8_000));
        assert_eq!(map.locate(2.0), place(0, 5_000));
        assert_eq!(map.locate(2.5), place(4_000, 5_500));
        assert_eq!(map.locate(99.0), place(8_000, 6_000));
    }

    #[test]
    fn a_gap_moves_the_clock_and_silence_in_it_is_at_the_audio_before() {
        let mut map = TimeMap::new(RATE);
        map.audio(place(0, 0), Samples(8_000));
        map.silence(Samples(800));
        map.audio(place(8_000, 3_000), Samples(8_000));
        assert_eq!(map.locate(1.05), place(8_000, 1_000));
        assert_eq!(map.locate(1.6), place(12_000, 3_500));
        assert_eq!(map.sent(), Samples(16_800));
    }

    #[test]
    fn after_a_reconnect_the_vendors_zero_is_where_the_replay_began() {
        let mut map = TimeMap::new(RATE);
        map.audio(place(0, 1_000), Samples(80_000));
        map.restart(place(72_000, 10_000));
        assert_eq!(map.locate(0.5), place(72_000, 10_000));
        map.audio(place(72_000, 10_000), Samples(8_000));
        assert_eq!(map.locate(0.5), place(76_000, 10_500));
    }

    #[test]
    fn stamps_that_jitter_or_run_backwards_keep_order_and_make_no_stretches() {
        let mut map = TimeMap::new(RATE);
        for n in 0..2_000_u64 {
            map.audio(place(n * 160, n * 20 + n % 3), Samples(160));
        }
        assert_eq!(map.stretches.len(), 1);
        map.audio(place(320_000, 100), Samples(160));
        assert_eq!(map.end(), place(320_160, 40_020));
    }

    #[test]
    fn nonsense_times_are_moved_inside() {
        let mut map = TimeMap::new(RATE);
        assert_eq!(map.locate(7.0), Place::default());
        map.audio(place(0, 1_000), Samples(8_000));
        for (seconds, expected) in [(-1.0, place(0, 1_000)), (f64::NAN, place(0, 1_000)), (1e300, place(8_000, 2_000))]
        {
            assert_eq!(map.locate(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn memory_is_bounded_however_many_gaps_there_are() {
        let mut map = TimeMap::new(RATE);
        for n in 0..3_000_u64 {
            map.audio(place(n * 160, n * 1_000), Samples(160));
        }
        assert_eq!(map.stretches.len(), STRETCHES);
        assert!(map.locate(0.0).at > MediaTime::ZERO);
    }
}
