//! Between a telephone's 8 kHz µ-law and a socket's 16-bit samples at a multiple of it: a windowed sinc, in whole frames, with 1.5 ms of
//! delay and nothing lost.

use std::f64::consts::PI;

use crate::audio::{mulaw_decode, mulaw_encode};

/// Samples at 8 kHz that the filter sees.
const SPAN: usize = 24;

/// From the telephone to the socket.
#[derive(Debug)]
pub(super) struct Up {
    factor: usize,
    taps: Vec<f64>,
    /// The latest samples, the newest first.
    seen: [f64; SPAN],
}

impl Up {
    pub(super) fn new(factor: usize) -> Self {
        Self { factor, taps: taps(factor), seen: [0.0; SPAN] }
    }

    /// Samples of µ-law as bytes of the socket's, `factor` times as many samples.
    pub(super) fn convert(&mut self, mulaw: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(mulaw.len() * self.factor * 2);
        for &byte in mulaw {
            if self.factor == 1 {
                out.extend_from_slice(&mulaw_decode(byte).to_le_bytes());
                continue;
            }
            self.seen.rotate_right(1);
            self.seen[0] = f64::from(mulaw_decode(byte));
            for phase in 0..self.factor {
                let taps = self.taps[phase..].iter().step_by(self.factor);
                let sample: f64 = taps.zip(&self.seen).map(|(tap, sample)| tap * sample).sum();
                out.extend_from_slice(&rounded(sample).to_le_bytes());
            }
        }
        out
    }
}

/// From the socket to the telephone.
#[derive(Debug)]
pub(super) struct Down {
    factor: usize,
    taps: Vec<f64>,
    /// The latest samples, the newest last.
    seen: Vec<f64>,
}

impl Down {
    pub(super) fn new(factor: usize) -> Self {
        Self { factor, taps: taps(factor), seen: vec![0.0; SPAN * factor] }
    }

    /// Bytes of the socket's, a multiple of `factor` samples, as µ-law.
    pub(super) fn convert(&mut self, linear: &[u8], out: &mut Vec<u8>) {
        let samples = linear.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        if self.factor == 1 {
            out.extend(samples.map(mulaw_encode));
            return;
        }
        let before = self.seen.len();
        self.seen.extend(samples.map(f64::from));
        for end in (before + self.factor..=self.seen.len()).step_by(self.factor) {
            let window = self.seen[..end].iter().rev();
            let sample: f64 = self.taps.iter().zip(window).map(|(tap, sample)| tap * sample).sum();
            out.push(mulaw_encode(rounded(sample / self.factor as f64)));
        }
        self.seen.drain(..self.seen.len() - before);
    }
}

fn rounded(sample: f64) -> i16 {
    sample.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

/// A low-pass at 4 kHz, whose taps add up to the factor.
fn taps(factor: usize) -> Vec<f64> {
    let length = SPAN * factor;
    let centre = (length as f64 - 1.0) / 2.0;
    let tap = |n: usize| {
        let x = (n as f64 - centre) / factor as f64;
        let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        let window = 0.5 - 0.5 * (2.0 * PI * (n as f64 + 0.5) / length as f64).cos();
        sinc * window
    };
    let taps: Vec<f64> = (0..length).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| tap * factor as f64 / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::linear16_decode;

    #[test]
    fn a_tone_goes_up_and_comes_down_again() {
        for factor in [1, 2, 3] {
            let (mut up, mut down) = (Up::new(factor), Down::new(factor));
            let tone: Vec<u8> = (0..8_000)
                .map(|n| mulaw_encode(((f64::from(n) * 2.0 * PI * 440.0 / 8_000.0).sin() * 8_000.0) as i16))
                .collect();
            let mut back = Vec::new();
            for frame in tone.chunks(160) {
                let raised = up.convert(frame);
                assert_eq!(raised.len(), 320 * factor);
                down.convert(&raised, &mut back);
            }
            assert_eq!(back.len(), tone.len());
            let power = |bytes: &[u8]| {
                bytes[400..].iter().map(|&byte| f64::from(mulaw_decode(byte)).powi(2)).sum::<f64>() / bytes.len() as f64
            };
            let ratio = power(&back) / power(&tone);
            assert!((0.95..1.05).contains(&ratio), "{factor}: {ratio}");
        }
    }

    #[test]
    fn what_a_telephone_cannot_carry_is_not_folded_into_it() {
        let mut down = Down::new(3);
        let hiss: Vec<u8> = (0..24_000)
            .flat_map(|n| (((f64::from(n) * 2.0 * PI * 7_000.0 / 24_000.0).sin() * 8_000.0) as i16).to_le_bytes())
            .collect();
        let mut out = Vec::new();
        down.convert(&hiss, &mut out);
        assert!(out[400..].iter().all(|&byte| mulaw_decode(byte).abs() < 100));
    }

    #[test]
    fn silence_is_silence() {
        assert!(linear16_decode(&Up::new(2).convert(&[0xff; 160])).iter().all(|sample| *sample == 0));
        let mut out = Vec::new();
        Down::new(2).convert(&[0; 640], &mut out);
        assert_eq!(out, [0xff; 160]);
    }
}
