//! A client's bytes as 8 kHz samples, a channel each: raw G.711 or 16-bit audio at any usual rate, or a WAV file as it streams in.

use crate::audio::{TELEPHONE_RATE, alaw_decode, mulaw_decode};

/// Bytes within which the header of a WAV file must end.
const LONGEST_HEADER: usize = 4_096;

/// How the audio is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A container says it itself.
    Container,
    /// Headerless samples.
    Raw(Encoding, u32),
}

/// How a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Linear16,
    Mulaw,
    Alaw,
}

/// The bytes can't be read as audio.
#[derive(Debug, thiserror::Error)]
#[error("the payload is no audio that this simulator can decode")]
pub(super) struct Undecodable;

impl Format {
    /// `None` for encodings and rates that can't be decoded here.
    pub(super) fn raw(encoding: &str, rate: u32) -> Option<Self> {
        let encoding = match encoding {
            "linear16" => Encoding::Linear16,
            "mulaw" => Encoding::Mulaw,
            "alaw" => Encoding::Alaw,
            _ => return None,
        };
        (TELEPHONE_RATE..=48_000).contains(&rate).then_some(Self::Raw(encoding, rate))
    }
}

/// Decodes one stream.
#[derive(Debug)]
pub(super) struct Decoder {
    source: Source,
    channels: usize,
    /// Bytes that are no whole frame yet.
    rest: Vec<u8>,
    averages: Vec<Average>,
    /// Samples a channel so far, at the source's rate.
    heard: u64,
}

#[derive(Debug)]
enum Source {
    Header,
    Samples { encoding: Encoding, rate: u32, left: u64 },
}

/// Brings one channel down to 8 kHz: the mean of what falls between two samples of the slower clock.
#[derive(Debug, Clone, Default)]
struct Average {
    sum: i64,
    count: i64,
    phase: u32,
}

impl Decoder {
    pub(super) fn new(format: Format, channels: usize) -> Self {
        let source = match format {
            Format::Container => Source::Header,
            Format::Raw(encoding, rate) => Source::Samples { encoding, rate, left: u64::MAX },
        };
        Self { source, channels, rest: Vec::new(), averages: vec![Average::default(); channels], heard: 0 }
    }

    /// Seconds of audio decoded.
    pub(super) fn seconds(&self) -> f64 {
        match self.source {
            Source::Header => 0.0,
            Source::Samples { rate, .. } => self.heard as f64 / f64::from(rate),
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Appends the samples in `bytes` to `channels`, a vector each.
    pub(super) fn decode(&mut self, bytes: &[u8], channels: &mut Vec<Vec<i16>>) -> Result<(), Undecodable> {
        self.rest.extend_from_slice(bytes);
        if matches!(self.source, Source::Header) && !self.read_header()? {
            return Ok(());
        }
        let Source::Samples { encoding, rate, left } = &mut self.source else { return Ok(()) };
        channels.resize_with(self.channels, Vec::new);
        let width = if *encoding == Encoding::Linear16 { 2 } else { 1 };
        let usable = (self.rest.len() as u64).min(*left) as usize;
        let whole = usable - usable % (width * self.channels);
        for frame in self.rest[..whole].chunks_exact(width * self.channels) {
            for ((average, channel), sample) in
                self.averages.iter_mut().zip(&mut *channels).zip(frame.chunks_exact(width))
            {
                let sample = match encoding {
                    Encoding::Linear16 => i16::from_le_bytes([sample[0], sample[1]]),
                    Encoding::Mulaw => mulaw_decode(sample[0]),
                    Encoding::Alaw => alaw_decode(sample[0]),
                };
                channel.extend(average.push(sample, *rate));
            }
            self.heard += 1;
        }
        if *left == whole as u64 {
            // What follows the samples in a WAV file is no sound.
            self.rest.clear();
            *left = 0;
        } else {
            self.rest.drain(..whole);
            *left = left.saturating_sub(if *left == u64::MAX { 0 } else { whole as u64 });
        }
        Ok(())
    }

    /// Reads a RIFF header from `rest`; false if it isn't complete.
    fn read_header(&mut self) -> Result<bool, Undecodable> {
        let complete = self.rest.len() >= LONGEST_HEADER;
        let Some(head) = self.rest.get(..12) else { return Ok(false) };
        if &head[..4] != b"RIFF" || &head[8..] != b"WAVE" {
            return Err(Undecodable);
        }
        let mut at = 12;
        let mut format = None;
        while let Some(chunk) = self.rest.get(at..at + 8) {
            let size = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
            if &chunk[..4] == b"data" {
                let (tag, channels, rate, bits) = format.ok_or(Undecodable)?;
                let encoding = match (tag, bits) {
                    (1, 16) => Encoding::Linear16,
                    (6, 8) => Encoding::Alaw,
                    (7, 8) => Encoding::Mulaw,
                    _ => return Err(Undecodable),
                };
                if channels == 0 || rate < TELEPHONE_RATE {
                    return Err(Undecodable);
                }
                // A file written as a stream doesn't know its length.
                let left = if matches!(size, 0 | u32::MAX) { u64::MAX } else { u64::from(size) };
                self.source = Source::Samples { encoding, rate, left };
                self.channels = usize::from(channels);
                self.averages = vec![Average::default(); self.channels];
                self.rest.drain(..at + 8);
                return Ok(true);
            }
            if &chunk[..4] == b"fmt " {
                let Some(body) = self.rest.get(at + 8..at + 24) else { break };
                let word = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
                format = Some((word(0), word(2), u32::from(word(4)) | u32::from(word(6)) << 16, word(14)));
            }
            at += 8 + size as usize + size as usize % 2;
        }
        if complete { Err(Undecodable) } else { Ok(false) }
    }
}

impl Average {
    fn push(&mut self, sample: i16, rate: u32) -> Option<i16> {
        self.sum += i64::from(sample);
        self.count += 1;
        self.phase += TELEPHONE_RATE;
        if self.phase < rate {
            return None;
        }
        self.phase -= rate;
        let mean = (self.sum / self.count) as i16;
        (self.sum, self.count) = (0, 0);
        Some(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(format: Format, channels: usize, chunks: &[&[u8]]) -> Vec<Vec<i16>> {
        let mut decoder = Decoder::new(format, channels);
        let mut samples = Vec::new();
        for chunk in chunks {
            decoder.decode(chunk, &mut samples).unwrap();
        }
        samples
    }

    #[test]
    fn samples_may_be_cut_anywhere_and_rates_come_down() {
        let format = Format::raw("linear16", 16_000).unwrap();
        assert_eq!(decode(format, 1, &[&[2, 0, 4], &[0, 10, 0, 20, 0]]), [vec![3, 15]]);
        let format = Format::raw("linear16", 8_000).unwrap();
        assert_eq!(decode(format, 2, &[&[1, 0, 2, 0, 3, 0, 4, 0]]), [vec![1, 3], vec![2, 4]]);
        let format = Format::raw("mulaw", 8_000).unwrap();
        assert_eq!(decode(format, 1, &[&[0xff, 0x80]]), [vec![0, 32_124]]);
        let samples = decode(Format::raw("linear16", 44_100).unwrap(), 1, &[&[0; 88_200]]);
        assert_eq!(samples[0].len(), 8_000);
        assert!(Format::raw("opus", 48_000).is_none());
    }

    #[test]
    fn a_wav_file_streams_in() {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        (1..=3).for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        let mut bytes = bytes.into_inner();
        bytes.extend(b"LIST\x04\0\0\0abcd");
        let chunks: Vec<&[u8]> = bytes.chunks(7).collect();
        assert_eq!(decode(Format::Container, 1, &chunks), [vec![1, 2, 3]]);
        let mut decoder = Decoder::new(Format::Container, 1);
        assert!(decoder.decode(b"this is no container", &mut Vec::new()).is_err());
    }
}
