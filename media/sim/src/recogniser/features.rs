//! Sound as frames of 10 ms: the energy in three bands, in decibels. Speech is told apart by how these rise and fall.

/// Samples in a frame: 10 ms at 8 kHz.
pub(super) const FRAME: usize = 80;
/// Frames a second.
pub(super) const FRAMES_PER_S: f64 = 100.0;
/// How many bands a frame has: below about 400 Hz, up to about 1.3 kHz, and above.
pub(super) const BANDS: usize = 3;

/// Share of a sample that the low pass of the lowest band takes in: one pole at 400 Hz.
const LOW_POLE: f32 = 0.27;
/// The same for the middle band: one pole at 1.3 kHz.
const MID_POLE: f32 = 0.64;
/// Added to every band's mean square, so that line noise doesn't count as shape (an RMS of 40).
const FLOOR: f32 = 1_600.0;
/// A band this much weaker than the whole frame (27 dB) is below the quantisation noise of G.711 and says nothing.
const LEAK: f32 = 0.002;

/// Energies of 10 ms of sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    /// Decibels in each band, over a floor.
    pub(super) bands: [f32; BANDS],
    /// Decibels of the whole; 0 is an RMS of 1.
    pub(super) level: f32,
}

/// Cuts samples into frames.
#[derive(Debug, Clone, Default)]
pub(super) struct Framer {
    low: f32,
    mid: f32,
    energy: [f32; BANDS],
    total: f32,
    filled: usize,
}

impl Framer {
    /// Takes one sample; returns a frame with every 80th.
    #[inline]
    pub(super) fn push(&mut self, sample: i16) -> Option<Frame> {
        let sample = f32::from(sample);
        self.low += LOW_POLE * (sample - self.low);
        self.mid += MID_POLE * (sample - self.mid);
        let split = [self.low, self.mid - self.low, sample - self.mid];
        for (energy, part) in self.energy.iter_mut().zip(split) {
            *energy += part * part;
        }
        self.total += sample * sample;
        self.filled += 1;
        (self.filled == FRAME).then(|| self.finish())
    }

    fn finish(&mut self) -> Frame {
        let total = self.total / FRAME as f32;
        let bands = self.energy.map(|energy| decibels(energy / FRAME as f32 + LEAK * total + FLOOR));
        self.energy = [0.0; BANDS];
        self.total = 0.0;
        self.filled = 0;
        Frame { bands, level: decibels(total + 1.0) }
    }
}

fn decibels(mean_square: f32) -> f32 {
    10.0 * mean_square.log10()
}

/// All whole frames of `samples`.
pub(super) fn frames(samples: impl IntoIterator<Item = i16>) -> Vec<Frame> {
    let mut framer = Framer::default();
    samples.into_iter().filter_map(|sample| framer.push(sample)).collect()
}
