//! Changing a sample rate: band-limited interpolation with a windowed sinc (J. O. Smith, "Digital Audio Resampling").

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side.
const CROSSINGS: f64 = 16.0;
/// Points of the kernel's table per sample.
const STEPS: f64 = 256.0;
/// The pass band, as a share of the lower of both rates' half.
const PASS_BAND: f64 = 0.92;

/// `samples` at rate `from`, at rate `to`. The length is rounded to the nearest sample; there is no delay.
pub(super) fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to || samples.is_empty() || from == 0 {
        return samples.to_vec();
    }
    let kernel = Kernel::new(PASS_BAND * f64::min(1.0, f64::from(to) / f64::from(from)));
    let step = f64::from(from) / f64::from(to);
    let count = (samples.len() as f64 / step).round() as usize;
    (0..count)
        .map(|index| {
            let at = index as f64 * step;
            let first = (at - kernel.reach).ceil().max(0.0) as usize;
            let last = ((at + kernel.reach).floor() as usize).min(samples.len() - 1);
            let sum: f64 = (first..=last).map(|place| f64::from(samples[place]) * kernel.at(at - place as f64)).sum();
            sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

/// One half of a low-pass filter's impulse response, which is symmetric.
struct Kernel {
    table: Vec<f64>,
    /// How many samples to each side it reaches.
    reach: f64,
}

impl Kernel {
    /// A low pass at `cutoff`, as a share of half the input's rate.
    fn new(cutoff: f64) -> Self {
        let reach = CROSSINGS / cutoff;
        let points = (reach * STEPS).ceil() as usize + 1;
        let value = |point: usize| {
            let distance = point as f64 / STEPS;
            let phase = PI * cutoff * distance;
            let sinc = if point == 0 { 1.0 } else { phase.sin() / phase };
            let window = 0.5 + 0.5 * (PI * (distance / reach).min(1.0)).cos();
            cutoff * sinc * window
        };
        Self { table: (0..points).map(value).collect(), reach }
    }

    fn at(&self, distance: f64) -> f64 {
        let place = (distance.abs() * STEPS).round() as usize;
        self.table.get(place).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32) -> Vec<i16> {
        (0..rate).map(|at| ((f64::from(at) * 2.0 * PI * hz / f64::from(rate)).sin() * 10_000.0) as i16).collect()
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn a_tone_in_both_bands_is_the_same_tone() {
        for (from, to) in [(16_000, 8_000), (8_000, 44_100), (16_000, 22_050), (16_000, 24_000)] {
            let expected = tone(1_000.0, to);
            let got = resample(&tone(1_000.0, from), from, to);
            assert_eq!(got.len(), expected.len());
            let middle = 1_000..expected.len() - 1_000;
            let error: Vec<i16> = middle.map(|at| got[at] - expected[at]).collect();
            assert!(rms(&error) < 70.0, "{from} to {to}: {}", rms(&error));
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        let got = resample(&tone(5_000.0, 16_000), 16_000, 8_000);
        assert!(rms(&got[500..7_500]) < 30.0, "{}", rms(&got[500..7_500]));
    }
}
