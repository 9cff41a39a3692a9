//! Reading the coded voice: sounds are found by their envelope, then named by Goertzel filters.

use std::{f64::consts::TAU, ops::Range};

use super::{
    alphabet::{HIGH, LOW, character_of},
    coded::{DecodedChar, Shape},
};

/// Mean square of the faintest sound looked at: some 45 dB below full scale.
const FLOOR: f64 = 180.0 * 180.0;
/// A sound begins and ends where its energy passes this share of the loudest nearby.
const EDGE: f64 = 0.4;
/// The two tones must hold this share of a window's energy, whose few periods let them disturb each other.
const PURITY: f64 = 0.55;
/// They must hold this share of the whole symbol's. The pitch of a human voice never stands still for so long.
const STEADY: f64 = 0.75;
/// One tone may be so many times as strong as the other (10 dB).
const TWIST: f64 = 10.0;

pub(super) fn characters(samples: &[i16], rate: u32, shape: Shape) -> Vec<DecodedChar> {
    let bank = Bank::new(rate, shape);
    let mut found = Vec::new();
    for sound in sounds(samples, rate, shape) {
        for (ch, part) in bank.name(samples, sound) {
            if part.len() as f64 > shape.tone / 2.0 && bank.is_steady(&samples[part.clone()]) {
                let margin = shape.half_gap.round() as usize;
                let start = part.start.saturating_sub(margin);
                found.push(DecodedChar { ch, start, end: (part.end + margin).min(samples.len()) });
            }
        }
    }
    found
}

/// The stretches of sound between silences, in samples.
fn sounds(samples: &[i16], rate: u32, shape: Shape) -> Vec<Range<usize>> {
    let hop = (rate as usize / 1_000).max(1);
    let envelope = envelope(samples, hop, shape.half_gap.round() as usize);
    let nearby = (shape.symbol / hop as f64).ceil() as usize;
    let mut sounds = Vec::new();
    let mut start = None;
    for index in 0..=envelope.len() {
        let on = envelope.get(index).is_some_and(|energy| {
            *energy > FLOOR && {
                let around = &envelope[index.saturating_sub(nearby)..(index + nearby + 1).min(envelope.len())];
                *energy > EDGE * around.iter().fold(0.0, |loudest, energy| f64::max(loudest, *energy))
            }
        });
        match (on, start) {
            (true, None) => start = Some(index),
            (false, Some(first)) => {
                sounds.push(first * hop..((index - 1) * hop + 1).min(samples.len()));
                start = None;
            }
            _ => {}
        }
    }
    sounds
}

/// The mean square of the signal around every `hop`-th sample. Outside the recording is silence.
fn envelope(samples: &[i16], hop: usize, window: usize) -> Vec<f64> {
    let mut sums = Vec::with_capacity(samples.len() + 1);
    let mut sum = 0u64;
    sums.push(0);
    for sample in samples {
        sum += u64::from(sample.unsigned_abs()).pow(2);
        sums.push(sum);
    }
    let window = window.max(1);
    (0..=samples.len())
        .step_by(hop)
        .map(|centre| {
            let from = centre.saturating_sub(window / 2);
            let to = (centre + window.div_ceil(2)).min(samples.len());
            (sums[to] - sums[from]) as f64 / window as f64
        })
        .collect()
}

/// The sixteen filters of the grid, over windows of a third of a tone.
struct Bank {
    low: [f64; 8],
    high: [f64; 8],
    window: usize,
    hop: usize,
}

impl Bank {
    fn new(rate: u32, shape: Shape) -> Self {
        let coefficient = |hz: f64| 2.0 * (TAU * hz / f64::from(rate)).cos();
        Self {
            low: LOW.map(coefficient),
            high: HIGH.map(coefficient),
            window: (shape.tone * 0.3).round().max(1.0) as usize,
            hop: (rate as usize / 500).max(1),
        }
    }

    /// The symbols of one sound, each with its extent. More than one means that the gap between them was lost.
    fn name(&self, samples: &[i16], sound: Range<usize>) -> Vec<(char, Range<usize>)> {
        let mut runs: Vec<(char, Range<usize>)> = Vec::new();
        let Some(last) = sound.end.checked_sub(self.window).filter(|last| *last >= sound.start) else { return runs };
        let mut going_on = false;
        for at in (sound.start..=last).step_by(self.hop) {
            let Some(ch) = self.character(&samples[at..at + self.window]) else {
                going_on = false;
                continue;
            };
            let from = if at == sound.start { sound.start } else { at + self.window / 2 };
            let to = if at + self.hop > last { sound.end } else { at + self.window / 2 };
            match runs.last_mut() {
                Some((same, extent)) if going_on && *same == ch => extent.end = to.max(extent.end),
                _ => runs.push((ch, from..to.max(from))),
            }
            going_on = true;
        }
        runs
    }

    /// Whether the loudest two tones are nearly all there is.
    fn is_steady(&self, part: &[i16]) -> bool {
        loudest(&self.low, part).1 + loudest(&self.high, part).1 > STEADY * energy(part)
    }

    /// The symbol of a window that is nothing but two of the tones.
    fn character(&self, window: &[i16]) -> Option<char> {
        let (low, low_energy) = loudest(&self.low, window);
        let (high, high_energy) = loudest(&self.high, window);
        let pure = low_energy + high_energy > PURITY * energy(window);
        let even = low_energy < TWIST * high_energy && high_energy < TWIST * low_energy;
        if pure && even { character_of(low, high) } else { None }
    }
}

fn energy(part: &[i16]) -> f64 {
    part.iter().map(|sample| f64::from(*sample).powi(2)).sum()
}

/// The filter that finds the most energy, and the energy it finds.
fn loudest(coefficients: &[f64; 8], window: &[i16]) -> (usize, f64) {
    let mut best = (0, 0.0);
    for (place, coefficient) in coefficients.iter().enumerate() {
        let energy = goertzel(*coefficient, window);
        if energy > best.1 {
            best = (place, energy);
        }
    }
    best
}

/// The energy of one frequency in a window (G. Goertzel, 1958); `coefficient` is 2·cos(2π·hz/rate). A pure tone gives the window's
/// whole energy.
fn goertzel(coefficient: f64, window: &[i16]) -> f64 {
    let (mut before, mut last) = (0.0, 0.0);
    for sample in window {
        let next = f64::from(*sample) + coefficient * last - before;
        before = last;
        last = next;
    }
    let power = last * last + before * before - coefficient * last * before;
    2.0 * power / window.len() as f64
}
