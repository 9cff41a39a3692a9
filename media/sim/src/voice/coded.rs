//! The coded voice: each character is a short sound of two tones, so that speech can be read back from any recording of it.
//!
//! A symbol is a gap and a two-tone sound (the idea of DTMF, ITU-T Q.23, on a wider grid). The gap makes repeated characters distinct
//! and lets a decoder start anywhere. [`CodedVoice::decode`] needs no common clock with the encoder: it finds sounds by their
//! envelope and names them by Goertzel filters, at any rate from 8 kHz up, also after G.711.

use std::{f64::consts::TAU, time::Duration};

use super::{
    CharTime, Speech,
    alphabet::{HIGH, LOW, tones_of},
    decode,
};

/// The default length of a symbol: twenty characters a second, a little faster than people talk.
pub const DEFAULT_SYMBOL: Duration = Duration::from_millis(50);

/// Says text as coded sound, and reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodedVoice {
    symbol: Duration,
}

impl Default for CodedVoice {
    fn default() -> Self {
        Self::new(DEFAULT_SYMBOL)
    }
}

/// A character found in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodedChar {
    /// The character, as [`super::normalise`] writes it.
    pub ch: char,
    /// The first sample of its symbol (of the part that was heard).
    pub start: usize,
    /// One past the last sample of its symbol.
    pub end: usize,
}

/// The parts of a symbol, in samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) symbol: f64,
    pub(super) tone: f64,
    /// Half of the silence around a tone; each symbol begins and ends with so much.
    pub(super) half_gap: f64,
}

impl CodedVoice {
    /// A voice whose symbols last `symbol`, held within 40 to 200 ms: below, a tone is too short to be named after G.711.
    pub fn new(symbol: Duration) -> Self {
        Self { symbol: symbol.clamp(Duration::from_millis(40), Duration::from_millis(200)) }
    }

    /// How long each character lasts.
    pub fn symbol(&self) -> Duration {
        self.symbol
    }

    /// Says `text` at `rate` samples a second. Every character, space included, lasts one symbol.
    pub fn encode(&self, text: &str, rate: u32) -> Speech {
        let shape = self.shape(rate);
        let count = text.chars().count();
        let mut samples = vec![0; (count as f64 * shape.symbol).round() as usize];
        let mut chars = Vec::with_capacity(count);
        let symbol_ms = self.symbol.as_secs_f64() * 1_000.0;
        for (index, ch) in text.chars().enumerate() {
            let at = index as f64;
            let start = (at * shape.symbol + shape.half_gap).round() as usize;
            let end = ((at + 1.0) * shape.symbol - shape.half_gap).round() as usize;
            let (low, high) = tones_of(ch);
            sound(&mut samples[start..end], [LOW[low], HIGH[high]], rate);
            let start_ms = (at * symbol_ms).round() as u32;
            let end_ms = ((at + 1.0) * symbol_ms).round() as u32;
            chars.push(CharTime { ch, start_ms, duration_ms: end_ms - start_ms });
        }
        Speech { samples, rate, chars }
    }

    /// Finds the characters in a recording at `rate` samples a second, in order of time.
    ///
    /// A symbol that is cut is reported if more than half of it is there. Silence may come anywhere; inside a symbol it costs at most
    /// that symbol.
    pub fn decode(&self, samples: &[i16], rate: u32) -> Vec<DecodedChar> {
        decode::characters(samples, rate, self.shape(rate))
    }

    /// The text of [`Self::decode`].
    pub fn read(&self, samples: &[i16], rate: u32) -> String {
        self.decode(samples, rate).iter().map(|found| found.ch).collect()
    }

    fn shape(&self, rate: u32) -> Shape {
        let symbol = self.symbol.as_secs_f64() * f64::from(rate);
        Shape { symbol, tone: symbol * 0.8, half_gap: symbol * 0.1 }
    }
}

/// Says `text` with symbols of the default length.
pub fn encode(text: &str, rate: u32) -> Vec<i16> {
    CodedVoice::default().encode(text, rate).samples
}

/// Reads a recording of symbols of the default length.
pub fn decode(samples: &[i16], rate: u32) -> Vec<DecodedChar> {
    CodedVoice::default().decode(samples, rate)
}

/// The peak of each of the two tones; together 6 dB below full scale.
const AMPLITUDE: f64 = 8_000.0;

/// Fills `out` with two tones, rising and falling over a twentieth of its length so that it makes no clicks.
fn sound(out: &mut [i16], tones: [f64; 2], rate: u32) {
    let length = out.len() as f64;
    let ramp = (length / 20.0).max(1.0);
    for (index, sample) in out.iter_mut().enumerate() {
        let at = index as f64 + 0.5;
        let edge = (at.min(length - at) / ramp).min(1.0);
        let gain = AMPLITUDE * 0.5 * (1.0 - (edge * TAU / 2.0).cos());
        let sum: f64 = tones.iter().map(|hz| (TAU * hz * at / f64::from(rate)).sin()).sum();
        *sample = (gain * sum).round() as i16;
    }
}
