//! Finding the place of a few hundred milliseconds of sound in the library: normalised correlation of band envelopes.

use super::{
    features::BANDS,
    library::{Library, PAD, PHASES, Shape},
};

/// Frames around the best place that count as the same place.
const SAME_PLACE: usize = 6;
/// The least variation of a window, in decibels (standard deviation over its bands): a steady sound looks like anything.
const LEAST_SHAPE: f64 = 2.5;

/// The sound to be found: the most recent frames, a slice a band, of equal length.
#[derive(Debug)]
pub(super) struct Window<'a> {
    bands: [&'a [f32]; BANDS],
    means: [f64; BANDS],
    /// Sum of squared deviations over all bands.
    energy: f64,
}

/// A place in the library.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) clip: usize,
    pub(super) phase: usize,
    /// The recording's frame (counted with its padding) that the window's first frame is.
    pub(super) at: usize,
    /// Correlation, at most 1.
    pub(super) score: f64,
}

/// The best place, and how well the best *other* place does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) best: Place,
    pub(super) runner_up: f64,
}

/// Where in the recordings a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// At their beginnings: where a caller who starts to speak will be.
    Openings,
    /// Everywhere: where a replay after a lost connection may begin.
    Everywhere,
}

impl<'a> Window<'a> {
    /// `None` when the sound is too steady to be told from anything.
    pub(super) fn new(bands: [&'a [f32]; BANDS]) -> Option<Self> {
        let count = bands[0].len() as f64;
        let means = bands.map(|band| band.iter().copied().map(f64::from).sum::<f64>() / count);
        let energy = (0..BANDS)
            .map(|band| bands[band].iter().map(|&value| (f64::from(value) - means[band]).powi(2)).sum::<f64>())
            .sum::<f64>();
        ((energy / (count * BANDS as f64)).sqrt() >= LEAST_SHAPE).then_some(Self { bands, means, energy })
    }

    fn len(&self) -> usize {
        self.bands[0].len()
    }

    fn correlation(&self, shape: &Shape, at: usize) -> f64 {
        let length = self.len();
        let mut shared = 0.0;
        let mut energy = 0.0;
        for band in 0..BANDS {
            let sum = shape.sums[band][at + length] - shape.sums[band][at];
            let squares = shape.squares[band][at + length] - shape.squares[band][at];
            energy += squares - sum * sum / length as f64;
            shared += f64::from(dot(self.bands[band], &shape.bands[band][at..at + length])) - self.means[band] * sum;
        }
        if energy <= 1.0 { 0.0 } else { shared / (energy * self.energy).sqrt() }
    }
}

/// The best place for `window` within `scope`; `None` if no recording is long enough.
pub(super) fn find(library: &Library, window: &Window<'_>, scope: Scope) -> Option<Found> {
    // The grid of 10 ms at one phase first, the other phases only around the best place of each recording.
    let mut best: Option<Place> = None;
    let mut runner_up = f64::MIN;
    let mut scores: Vec<f64> = Vec::new();
    for (clip, recording) in library.recordings().iter().enumerate() {
        let shape = &recording.shapes[0];
        let Some(last) = shape.len().checked_sub(window.len() + 1) else { continue };
        let places = match scope {
            Scope::Openings => last.min(recording.opening),
            Scope::Everywhere => last,
        };
        scores.clear();
        scores.extend((0..=places).map(|at| window.correlation(shape, at)));
        let Some((at, _)) = scores.iter().enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other)) else {
            continue;
        };
        let place = refine(library, window, clip, at, last);
        let elsewhere = scores.iter().enumerate().filter(|(other, _)| other.abs_diff(at) > SAME_PLACE);
        let elsewhere = elsewhere.map(|(_, score)| *score).fold(f64::MIN, f64::max);
        runner_up = runner_up.max(elsewhere);
        match &mut best {
            Some(best) if best.score >= place.score => runner_up = runner_up.max(place.score),
            best => {
                if let Some(beaten) = best.replace(place) {
                    runner_up = runner_up.max(beaten.score);
                }
            }
        }
    }
    best.map(|best| Found { best, runner_up })
}

fn refine(library: &Library, window: &Window<'_>, clip: usize, at: usize, last: usize) -> Place {
    let mut best = Place { clip, phase: 0, at, score: f64::MIN };
    for phase in 0..PHASES {
        let shape = &library.recordings()[clip].shapes[phase];
        for at in at.saturating_sub(1)..=(at + 1).min(last) {
            if at + window.len() > shape.len() {
                continue;
            }
            let score = window.correlation(shape, at);
            if score > best.score {
                best = Place { clip, phase, at, score };
            }
        }
    }
    best
}

/// Eight sums side by side, which a compiler turns into vector instructions.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    for (ones, others) in ones.zip(others) {
        for lane in 0..8 {
            sums[lane] += ones[lane] * others[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Seconds from the beginning of a recording to the beginning of its frame `at` at `phase`.
pub(super) fn clip_seconds(at: f64, phase: usize) -> f64 {
    (at - PAD as f64 + phase as f64 / PHASES as f64) / super::features::FRAMES_PER_S
}
