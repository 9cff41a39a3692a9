//! `output_format`: the formats the simulator can make.

use std::time::Duration;

use crate::audio::{linear16_encode, mulaw_encode};

/// How audio is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) rate: u32,
    mulaw: bool,
}

impl Format {
    /// Reads a format's name. Compressed formats and A-law are the vendor's, but not the simulator's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (mulaw, rate) = match name {
            "ulaw_8000" => (true, 8_000),
            "pcm_8000" => (false, 8_000),
            "pcm_16000" => (false, 16_000),
            "pcm_22050" => (false, 22_050),
            "pcm_24000" => (false, 24_000),
            "pcm_44100" => (false, 44_100),
            _ => return None,
        };
        Some(Self { rate, mulaw })
    }

    pub(super) fn encode(self, samples: &[i16]) -> Vec<u8> {
        if self.mulaw { samples.iter().copied().map(mulaw_encode).collect() } else { linear16_encode(samples) }
    }

    pub(super) fn content_type(self) -> &'static str {
        if self.mulaw { "audio/basic" } else { "audio/pcm" }
    }

    pub(super) fn samples_in(self, length: Duration) -> usize {
        (length.as_secs_f64() * f64::from(self.rate)).round().max(1.0) as usize
    }

    pub(super) fn length_of(self, samples: usize) -> Duration {
        Duration::from_secs_f64(samples as f64 / f64::from(self.rate))
    }
}
