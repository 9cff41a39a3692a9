//! Both sides of a call as sound.

use std::{path::Path, time::Duration};

/// Both sides of a call: samples at 8 kHz.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sides {
    pub caller: Vec<i16>,
    pub agent: Vec<i16>,
}

/// Samples in a frame.
pub(super) const FRAME: usize = 160;
/// How long a frame is.
pub(super) const FRAME_LENGTH: Duration = Duration::from_millis(20);
/// Mean magnitude from which 20 ms count as sound: about -46 dBFS.
const LOUD: u64 = 160;

impl Sides {
    /// Reads a recording: 8 kHz, 16 bit, caller left, agent right.
    pub fn read(path: &Path) -> hound::Result<Self> {
        let mut reader = hound::WavReader::open(path)?;
        let spec = reader.spec();
        if (spec.channels, spec.sample_rate, spec.bits_per_sample) != (2, 8_000, 16) {
            return Err(hound::Error::FormatError("not a recording of a call: two channels of 16 bit at 8 kHz"));
        }
        let mut sides = Self::default();
        for (index, sample) in reader.samples::<i16>().enumerate() {
            let side = if index % 2 == 0 { &mut sides.caller } else { &mut sides.agent };
            side.push(sample?);
        }
        Ok(sides)
    }

    /// How long it is.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(125 * self.caller.len() as u64)
    }
}

/// Whether there is sound in a frame.
pub(super) fn is_loud(frame: &[i16]) -> bool {
    frame.iter().map(|sample| u64::from(sample.unsigned_abs())).sum::<u64>() >= LOUD * frame.len() as u64
}

/// How long there is sound in these samples at 8 kHz.
pub(super) fn sound(samples: &[i16]) -> Duration {
    FRAME_LENGTH * samples.chunks(FRAME).filter(|frame| is_loud(frame)).count() as u32
}
