//! `output_format`: the formats the simulator can make.
//!
//! A whole file may be MP3: as long as the speech, and silent, for nobody here encodes it. What is streamed is not.

use std::time::Duration;

use crate::audio::{linear16_encode, mulaw_encode};

/// How audio is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) rate: u32,
    coding: Coding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Linear16,
    Mulaw,
    /// MPEG-1 Layer III, mono, with this index of a bit rate.
    Mp3 {
        index: u8,
        kbps: usize,
    },
}

/// Samples of an MP3 frame.
const MP3_FRAME: usize = 1152;

impl Format {
    /// Reads the name of a format that a whole file may have.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        let (index, kbps) = match name {
            "mp3_44100_32" => (1, 32),
            "mp3_44100_64" => (5, 64),
            "mp3_44100_96" => (7, 96),
            "mp3_44100_128" => (9, 128),
            "mp3_44100_192" => (11, 192),
            _ => return Self::parse(name),
        };
        Some(Self { rate: 44_100, coding: Coding::Mp3 { index, kbps } })
    }

    /// Reads a format's name. Compressed formats and A-law are the vendor's, but not the simulator's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (coding, rate) = match name {
            "ulaw_8000" => (Coding::Mulaw, 8_000),
            "pcm_8000" => (Coding::Linear16, 8_000),
            "pcm_16000" => (Coding::Linear16, 16_000),
            "pcm_22050" => (Coding::Linear16, 22_050),
            "pcm_24000" => (Coding::Linear16, 24_000),
            "pcm_44100" => (Coding::Linear16, 44_100),
            _ => return None,
        };
        Some(Self { rate, coding })
    }

    pub(super) fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self.coding {
            Coding::Mulaw => samples.iter().copied().map(mulaw_encode).collect(),
            Coding::Linear16 => linear16_encode(samples),
            // Sync, version and layer; bit rate and sampling rate; mono. Side information of zeros is silence.
            Coding::Mp3 { index, kbps } => {
                let mut frame = vec![0; 144 * kbps * 1000 / 44_100];
                frame[..4].copy_from_slice(&[0xff, 0xfb, index << 4, 0xc0]);
                frame.repeat(samples.len().div_ceil(MP3_FRAME))
            }
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self.coding {
            Coding::Mulaw => "audio/basic",
            Coding::Linear16 => "audio/pcm",
            Coding::Mp3 { .. } => "audio/mpeg",
        }
    }

    pub(super) fn samples_in(self, length: Duration) -> usize {
        (length.as_secs_f64() * f64::from(self.rate)).round().max(1.0) as usize
    }

    pub(super) fn length_of(self, samples: usize) -> Duration {
        Duration::from_secs_f64(samples as f64 / f64::from(self.rate))
    }
}
