//! Audio as pure arithmetic: formats, G.711, resampling, pacing, voice activity and recording. No clock, no socket.

mod byte_queue;
pub mod convert;
pub mod frames;
pub mod g711;
pub mod outbound;
pub mod pacer;
pub mod recording;
pub mod resample;
pub mod vad;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Samples a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleRate(u32);

impl SampleRate {
    /// 8 kHz: the telephone.
    pub const HZ_8000: Self = Self(8_000);
    /// 16 kHz: wideband speech; what voice activity detection wants.
    pub const HZ_16000: Self = Self(16_000);
    /// 24 kHz.
    pub const HZ_24000: Self = Self(24_000);
    /// 48 kHz: Opus and WebRTC.
    pub const HZ_48000: Self = Self(48_000);

    /// Samples a second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// How many samples last so long, rounded down.
    pub const fn samples_in(self, duration: Duration) -> Samples {
        Samples((duration.as_micros() * self.0 as u128 / 1_000_000) as u64)
    }
}

impl fmt::Debug for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// A count of samples of one channel, or a position in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(pub u64);

impl Samples {
    /// How long so many samples last.
    pub const fn duration(self, rate: SampleRate) -> Duration {
        Duration::from_nanos((self.0 as u128 * 1_000_000_000 / rate.0 as u128) as u64)
    }

    /// The difference, zero at the least.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Add for Samples {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for Samples {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// How one sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// G.711 µ-law, a byte a sample.
    Mulaw,
    /// Signed 16-bit linear PCM, little-endian.
    Linear16,
}

impl Encoding {
    /// Bytes of one sample.
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::Mulaw => 1,
            Self::Linear16 => 2,
        }
    }
}

/// What a mono stream's bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AudioFormat {
    /// How one sample is written.
    pub encoding: Encoding,
    /// Samples a second.
    pub rate: SampleRate,
}

impl AudioFormat {
    /// What Twilio sends and plays.
    pub const MULAW_8K: Self = Self { encoding: Encoding::Mulaw, rate: SampleRate::HZ_8000 };

    /// Bytes of one [`FRAME`].
    pub const fn frame_bytes(self) -> usize {
        self.rate.samples_in(FRAME).0 as usize * self.encoding.bytes_per_sample()
    }

    /// How many whole samples are in so many bytes.
    pub const fn samples_in_bytes(self, bytes: usize) -> Samples {
        Samples((bytes / self.encoding.bytes_per_sample()) as u64)
    }

    /// The byte that is silence (for linear PCM every byte of a silent sample is the same).
    pub const fn silence_byte(self) -> u8 {
        match self.encoding {
            Encoding::Mulaw => 0xFF,
            Encoding::Linear16 => 0,
        }
    }
}

/// How much audio a frame holds, on every carrier.
pub const FRAME: Duration = Duration::from_millis(20);
