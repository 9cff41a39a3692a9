//! Voice activity: when the caller began and stopped to speak, on the media clock.
//!
//! A small neural detector (earshot) gives each 16 ms a probability of voice; a hysteresis makes stretches of speech of them. What
//! comes out is a proposal: whether a turn has begun or ended is for the turn machine to decide.

use std::{collections::VecDeque, fmt, time::Duration};

use earshot::Detector;

use super::{SampleRate, Samples, resample::Resampler};
use crate::time::MediaTime;

/// The detector's rate.
const RATE: SampleRate = SampleRate::HZ_16000;
/// The detector's frame: 16 ms.
const FRAME_SAMPLES: usize = 256;
const FRAME: Duration = Duration::from_millis(16);
/// The detector looks back over 80 ms, so its probability rises late, by this many frames that are at least audible,
const RISE_FRAMES: u32 = 2;
/// and falls late, by about so much.
const FALL: Duration = Duration::from_millis(64);
/// A stream that jumps by more than this is another stream for the detector.
const JUMP: Duration = Duration::from_millis(100);

/// When voice counts as speech.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadConfig {
    /// Probability from which a frame is voiced, 0 to 1. Default 0.5. Higher (0.7) hears less of music on the line, and starts later.
    pub start_threshold: f32,
    /// Probability below which a frame of ongoing speech is not voiced. Default 0.35: 0.15 below the other.
    pub stop_threshold: f32,
    /// How much voice it takes for speech to start, in steps of 16 ms. Default 64 ms. Less, and clicks are speech.
    pub min_speech: Duration,
    /// Within how long a window that much voice must lie, 1 s at the most. Default 128 ms.
    pub window: Duration,
    /// How long no frame may be voiced for speech to stop. Default 250 ms. It delays the decision, not the time that it tells.
    pub hangover: Duration,
}

impl Default for VadConfig {
    fn default() -> Self {
        Self {
            start_threshold: 0.5,
            stop_threshold: 0.35,
            min_speech: Duration::from_millis(64),
            window: Duration::from_millis(128),
            hangover: Duration::from_millis(250),
        }
    }
}

impl VadConfig {
    /// The defaults around another start threshold: speech stops 0.15 below it.
    pub fn with_threshold(start: f32) -> Self {
        Self { start_threshold: start, stop_threshold: start - 0.15, ..Self::default() }
    }
}

/// A stretch of speech begins or ends. They alternate, and their times never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VadEvent {
    /// Speech began.
    SpeechStarted {
        /// When the first voiced frame began; it was decided later.
        at: MediaTime,
    },
    /// Speech ended.
    SpeechStopped {
        /// When the last voiced frame ended; it was decided a hangover later.
        at: MediaTime,
    },
}

impl VadEvent {
    /// When speech began or ended.
    pub const fn at(self) -> MediaTime {
        match self {
            Self::SpeechStarted { at } | Self::SpeechStopped { at } => at,
        }
    }
}

/// Finds speech in one caller's audio.
///
/// Push frames of the carrier's audio, then poll events until there is none.
pub struct Vad {
    config: VadConfig,
    rate: SampleRate,
    resampler: Resampler,
    detector: Box<Detector>,
    /// At the detector's rate; less than a frame is left between calls.
    pending: Vec<i16>,
    /// Media time just behind the last sample pushed.
    head: Option<MediaTime>,
    /// How many samples were pushed since the last reset.
    pushed: u64,
    /// How many the detector has seen since, at its own rate.
    seen: u64,
    probability: f32,
    hysteresis: Hysteresis,
    events: VecDeque<VadEvent>,
}

impl Vad {
    /// For audio of this rate.
    pub fn new(config: VadConfig, rate: SampleRate) -> Self {
        Self {
            config,
            rate,
            resampler: Resampler::new(rate, RATE),
            detector: Detector::default_boxed(),
            // A 20 ms frame and what was left of the last.
            pending: Vec::with_capacity(1024),
            head: None,
            pushed: 0,
            seen: 0,
            probability: 0.0,
            hysteresis: Hysteresis::default(),
            events: VecDeque::with_capacity(4),
        }
    }

    /// Hears `samples`, of which the first was spoken `at`. A stream that jumps is taken up anew: speech that was going on has stopped
    /// where it was last heard.
    pub fn push(&mut self, at: MediaTime, samples: &[i16]) {
        if self.head.is_some_and(|head| at.saturating_since(head).max(head.saturating_since(at)) > JUMP) {
            self.reset();
        }
        let head = at + Samples(samples.len() as u64).duration(self.rate);
        self.head = Some(head);
        self.pushed += samples.len() as u64;
        let pushed = self.pushed * u64::from(RATE.hz()) / u64::from(self.rate.hz());
        self.resampler.process(samples, &mut self.pending);

        let mut pending = std::mem::take(&mut self.pending);
        let mut frames = pending.chunks_exact(FRAME_SAMPLES);
        for frame in &mut frames {
            self.seen += FRAME_SAMPLES as u64;
            // The resampler keeps positions, so what it still withholds counts as not seen.
            let end = head.saturating_sub(Samples(pushed.saturating_sub(self.seen)).duration(RATE));
            self.probability = self.detector.predict_i16(frame);
            self.events.extend(self.hysteresis.step(&self.config, end, self.probability));
        }
        let done = pending.len() - frames.remainder().len();
        pending.drain(..done);
        self.pending = pending;
    }

    /// The next event, in order.
    pub fn poll_event(&mut self) -> Option<VadEvent> {
        self.events.pop_front()
    }

    /// Ends the stream: speech that was going on has stopped where it was last heard. Polled events stay.
    pub fn reset(&mut self) {
        self.resampler.reset();
        self.detector.reset();
        self.pending.clear();
        self.head = None;
        self.pushed = 0;
        self.seen = 0;
        self.probability = 0.0;
        self.events.extend(self.hysteresis.end());
    }

    /// Whether speech has started and not stopped.
    pub const fn is_speaking(&self) -> bool {
        self.hysteresis.speaking
    }

    /// Probability of voice in the last 16 ms, 0 to 1.
    pub const fn probability(&self) -> f32 {
        self.probability
    }
}

impl fmt::Debug for Vad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vad")
            .field("config", &self.config)
            .field("rate", &self.rate)
            .field("head", &self.head)
            .field("probability", &self.probability)
            .field("hysteresis", &self.hysteresis)
            .finish_non_exhaustive()
    }
}

/// Makes stretches of speech of probabilities.
#[derive(Debug, Default)]
struct Hysteresis {
    speaking: bool,
    /// The last 64 frames, the newest lowest: whether each was voiced by the start threshold.
    voiced: u64,
    /// The same by the stop threshold, for where speech began and whether it goes on.
    audible: u64,
    /// Where the last audible frame of the speech that goes on ended.
    last_audible: MediaTime,
    /// No event lies before this.
    floor: MediaTime,
}

impl Hysteresis {
    /// A frame that ended at `end`.
    fn step(&mut self, config: &VadConfig, end: MediaTime, probability: f32) -> Option<VadEvent> {
        let audible = probability >= config.stop_threshold;
        self.voiced = self.voiced << 1 | u64::from(probability >= config.start_threshold);
        self.audible = self.audible << 1 | u64::from(audible);
        if self.speaking {
            if audible {
                self.last_audible = end;
            } else if end.saturating_since(self.last_audible) >= config.hangover {
                return self.end();
            }
            return None;
        }
        let window = self.voiced & window_mask(config.window);
        if u128::from(window.count_ones()) * FRAME.as_millis() < config.min_speech.as_millis().max(1) {
            return None;
        }
        // Back to the first voiced frame, and from there through what was audible right before it.
        let first = 63 - window.leading_zeros();
        let before = (self.audible >> first >> 1).trailing_ones().min(RISE_FRAMES);
        let at = end.saturating_sub(FRAME * (first + 1 + before)).max(self.floor);
        self.speaking = true;
        self.last_audible = end;
        self.floor = at;
        Some(VadEvent::SpeechStarted { at })
    }

    /// No more frames follow the last one, or none that belong to it.
    fn end(&mut self) -> Option<VadEvent> {
        self.voiced = 0;
        self.audible = 0;
        if !self.speaking {
            return None;
        }
        self.speaking = false;
        self.floor = self.floor.max(self.last_audible.saturating_sub(FALL));
        Some(VadEvent::SpeechStopped { at: self.floor })
    }
}

/// As many of the newest frames as fit in `window`.
fn window_mask(window: Duration) -> u64 {
    let frames = (window.as_millis() / FRAME.as_millis()).clamp(1, 64) as u32;
    u64::MAX >> (64 - frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of these probabilities, from time zero.
    fn events(probabilities: impl IntoIterator<Item = f32>) -> Vec<VadEvent> {
        let (config, mut hysteresis, mut end) = (VadConfig::default(), Hysteresis::default(), MediaTime::ZERO);
        let step = |probability| {
            end += FRAME;
            hysteresis.step(&config, end, probability)
        };
        probabilities.into_iter().filter_map(step).collect()
    }

    fn frames(counts: &[(usize, f32)]) -> Vec<f32> {
        counts.iter().flat_map(|&(count, probability)| vec![probability; count]).collect()
    }

    fn started(frame: u64) -> VadEvent {
        VadEvent::SpeechStarted { at: MediaTime::from_millis(16 * frame) }
    }

    fn stopped(frame: u64) -> VadEvent {
        VadEvent::SpeechStopped { at: MediaTime::from_millis(16 * frame) }
    }

    #[test]
    fn times_are_those_of_the_speech_and_not_of_the_decision() {
        // Voiced from frame 10 to 30, and the detector falls 4 frames late.
        assert_eq!(events(frames(&[(10, 0.1), (20, 0.9), (16, 0.1)])), [started(10), stopped(26)]);
        // It rises late too: what is audible right before belongs to the speech, two frames at the most.
        assert_eq!(events(frames(&[(5, 0.1), (5, 0.4), (20, 0.9)])), [started(8)]);
        // The hangover is not over.
        assert_eq!(events(frames(&[(10, 0.1), (20, 0.9), (15, 0.1)])), [started(10)]);
    }

    #[test]
    fn too_little_voice_in_the_window_is_no_speech() {
        assert_eq!(events(frames(&[(10, 0.1), (3, 0.9), (20, 0.1)])), []);
        // Four frames, but never within eight.
        assert_eq!(events(frames(&[(1, 0.9), (6, 0.1)]).repeat(5)), []);
        // Four with gaps between them.
        assert_eq!(events(frames(&[(1, 0.9), (1, 0.1)]).repeat(4)), [started(0)]);
    }

    #[test]
    fn a_dip_above_the_stop_threshold_or_below_the_hangover_goes_on() {
        assert_eq!(events(frames(&[(10, 0.9), (50, 0.36), (15, 0.1), (1, 0.36), (15, 0.1)])), [started(0)]);
    }

    #[test]
    fn stretches_do_not_overlap() {
        let mut hysteresis = Hysteresis::default();
        let config = VadConfig { min_speech: FRAME, ..VadConfig::default() };
        let mut at = Vec::new();
        for n in 0..200 {
            let event =
                hysteresis.step(&config, MediaTime::from_millis(16 * (n + 1)), if n % 17 == 0 { 0.9 } else { 0.1 });
            at.extend(event.map(VadEvent::at));
        }
        assert!(at.len() > 10);
        assert!(at.is_sorted());
    }
}
