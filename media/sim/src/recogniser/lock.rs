//! Following a recording once it is found: its words fall due by its own clock, and the sound must go on agreeing.

use super::{
    features::{BANDS, FRAMES_PER_S},
    history::History,
    library::{Library, PAD, Recording},
    search::{Place, clip_seconds},
    timing::Span,
};

/// Frames and recordings are compared above this level only, in decibels: below is line noise.
const COMPARED_ABOVE: f32 = 40.0;
/// The most that one frame counts as disagreement, in decibels: a lost packet is not another speaker.
const WORST: f32 = 12.0;
/// Weight of a new frame in the running disagreement.
const NEW: f32 = 0.06;
/// The running disagreement at which the recording is no longer what is heard, in decibels.
const LOST: f32 = 4.8;
/// A frame that disagrees by more than this belongs to something else, when looking for where that began.
const ODD: f32 = 4.0;
/// Frames compared at once when a recording is followed backwards.
const STRIDE: u64 = 15;

/// The place in a recording that is being heard.
#[derive(Debug)]
pub(super) struct Lock {
    clip: usize,
    phase: usize,
    /// The recording's frame (counted with its padding) is the sound's frame plus this.
    delta: i64,
    /// Level of the sound over that of the recording, in decibels.
    gain: [f32; BANDS],
    disagreement: f32,
    /// The sound's first frame that is of this recording.
    pub(super) from: u64,
    pub(super) next_word: usize,
    pub(super) confidence: f32,
}

/// What a frame did to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// It agrees.
    On,
    /// The recording is over.
    Over,
    /// Something else is heard since this frame.
    Lost { since: u64 },
}

impl Lock {
    /// Locks to `place`, found for frames `start..end`, and follows it back to `earliest` as far as the sound agrees.
    pub(super) fn new(library: &Library, history: &History, place: Place, start: u64, end: u64, earliest: u64) -> Self {
        let mut lock = Self {
            clip: place.clip,
            phase: place.phase,
            delta: place.at as i64 - start as i64,
            gain: [0.0; BANDS],
            disagreement: 0.0,
            from: start,
            next_word: 0,
            confidence: place.score.clamp(0.0, 0.999) as f32,
        };
        let recording = lock.recording(library);
        let window = history.window(start, end);
        for band in 0..BANDS {
            let heard: f32 = window[band].iter().sum();
            let shape = &recording.shapes[place.phase].bands[band];
            let expected: f32 = shape[place.at..place.at + window[band].len()].iter().sum();
            lock.gain[band] = (heard - expected) / window[band].len().max(1) as f32;
        }
        while lock.from > earliest {
            let before = lock.from.saturating_sub(STRIDE).max(earliest);
            let errors = (before..lock.from).map(|at| lock.error(recording, history, at));
            let Some(total) = errors.sum::<Option<f32>>() else { break };
            if total / (lock.from - before) as f32 > LOST {
                break;
            }
            lock.from = before;
        }
        let heard_from = lock.clip_time(lock.from) - 0.05;
        lock.next_word = recording.words().take_while(|(_, start, end)| (start + end) / 2.0 < heard_from).count();
        lock
    }

    pub(super) fn recording<'l>(&self, library: &'l Library) -> &'l Recording {
        &library.recordings()[self.clip]
    }

    /// Takes the sound's frame `at`, which is in `history`.
    pub(super) fn follow(&mut self, library: &Library, history: &History, at: u64) -> Followed {
        let recording = self.recording(library);
        let shape = &recording.shapes[self.phase];
        if at as i64 + self.delta >= (shape.len() - PAD) as i64 {
            return Followed::Over;
        }
        let Some(error) = self.error(recording, history, at) else { return Followed::Over };
        self.disagreement += NEW * (error - self.disagreement);
        if self.disagreement <= LOST {
            return Followed::On;
        }
        let odd = |&frame: &u64| self.error(recording, history, frame).is_some_and(|error| error > ODD);
        let since = (self.from..=at).rev().take_while(odd).last().unwrap_or(at);
        Followed::Lost { since }
    }

    /// Seconds into the recording at the beginning of the sound's frame `at`.
    pub(super) fn clip_time(&self, at: u64) -> f64 {
        clip_seconds((at as i64 + self.delta) as f64, self.phase)
    }

    /// A span of the recording on the sound's clock.
    pub(super) fn heard(&self, span: Span) -> Span {
        let shift = -clip_seconds(self.delta as f64, self.phase);
        Span { start: (span.start + shift).max(self.from as f64 / FRAMES_PER_S), end: span.end + shift }
    }

    /// How much the frame disagrees, in decibels; `None` outside the recording or what is kept.
    fn error(&self, recording: &Recording, history: &History, at: u64) -> Option<f32> {
        let heard = history.frame(at)?;
        let shape = &recording.shapes[self.phase];
        let index = usize::try_from(at as i64 + self.delta).ok().filter(|index| *index < shape.len())?;
        let expected = shape.frame(index);
        let mut error = 0.0;
        for band in 0..BANDS {
            let expected = (expected[band] + self.gain[band]).max(COMPARED_ABOVE);
            error += (heard[band].max(COMPARED_ABOVE) - expected).abs();
        }
        Some((error / BANDS as f32).min(WORST))
    }
}
