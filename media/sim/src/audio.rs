//! Sound as the simulators handle it: G.711 (ITU-T G.711), 16-bit little-endian samples, and WAV files.

use std::path::Path;

/// The rate of telephone speech, and of every recording the simulators recognise.
pub const TELEPHONE_RATE: u32 = 8_000;

/// Mono sound in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// The samples, 16 bit.
    pub samples: Vec<i16>,
    /// Samples a second.
    pub rate: u32,
}

impl Clip {
    /// How long it plays, in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate.max(1))
    }
}

/// Reads a 16-bit WAV file; several channels are averaged to one.
///
/// # Errors
/// When the file can't be read, is no WAV file, or does not hold 16-bit integers.
pub fn load_wav(path: impl AsRef<Path>) -> hound::Result<Clip> {
    clip_of(hound::WavReader::open(path)?)
}

/// Reads a 16-bit WAV file that is already in memory, as [`load_wav`] does.
///
/// # Errors
/// When the bytes are no WAV file, or it does not hold 16-bit integers.
pub fn parse_wav(bytes: &[u8]) -> hound::Result<Clip> {
    clip_of(hound::WavReader::new(bytes)?)
}

fn clip_of<R: std::io::Read>(reader: hound::WavReader<R>) -> hound::Result<Clip> {
    let spec = reader.spec();
    if spec.sample_format != hound::SampleFormat::Int || spec.bits_per_sample != 16 {
        return Err(hound::Error::Unsupported);
    }
    let interleaved = reader.into_samples::<i16>().collect::<hound::Result<Vec<i16>>>()?;
    let channels = usize::from(spec.channels.max(1));
    let samples = if channels == 1 { interleaved } else { interleaved.chunks_exact(channels).map(average).collect() };
    Ok(Clip { samples, rate: spec.sample_rate })
}

/// The mean of some samples, which fits a sample again; 0 of none.
pub(crate) fn average(samples: &[i16]) -> i16 {
    let sum: i64 = samples.iter().copied().map(i64::from).sum();
    (sum / samples.len().max(1) as i64) as i16
}

/// 16-bit little-endian bytes as samples; an odd last byte is left out.
pub fn linear16_decode(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Samples as 16-bit little-endian bytes.
pub fn linear16_encode(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// One µ-law byte as a sample.
pub fn mulaw_decode(byte: u8) -> i16 {
    MULAW[byte as usize]
}

/// One A-law byte as a sample.
pub fn alaw_decode(byte: u8) -> i16 {
    ALAW[byte as usize]
}

/// One sample as a µ-law byte.
pub fn mulaw_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(MULAW_CLIP) + MULAW_BIAS;
    // The bias makes the magnitude at least 132, so its highest set bit is 7 to 14: segment 0 to 7.
    let segment = magnitude.ilog2() - 7;
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) as u8 | step as u8)
}

/// One sample as an A-law byte.
pub fn alaw_encode(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80, i32::from(sample) >> 3) } else { (0, (!i32::from(sample)) >> 3) };
    // 13-bit magnitude: below 32 the steps are linear, above each segment doubles.
    let (segment, step) = if magnitude < 32 {
        (0, magnitude >> 1)
    } else {
        let segment = magnitude.ilog2() - 4;
        (segment, (magnitude >> segment) & 0x0f)
    };
    (sign | (segment << 4) as u8 | step as u8) ^ 0x55
}

/// What G.711 adds before it takes the logarithm, in 16-bit units.
const MULAW_BIAS: i32 = 132;
/// The largest magnitude µ-law carries, in 16-bit units.
const MULAW_CLIP: i32 = 32_635;

const MULAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = !(byte as u8);
        let segment = (code >> 4) & 7;
        let magnitude = ((((code & 0x0f) as i32) << 3) + MULAW_BIAS) << segment;
        let value = (magnitude - MULAW_BIAS) as i16;
        table[byte] = if code & 0x80 == 0 { value } else { -value };
        byte += 1;
    }
    table
};

const ALAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = byte as u8 ^ 0x55;
        let segment = (code >> 4) & 7;
        let step = ((code & 0x0f) as i32) << 4;
        let magnitude = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
        let value = magnitude as i16;
        table[byte] = if code & 0x80 == 0 { -value } else { value };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_g711() {
        for (byte, sample) in [(0xff, 0), (0x7f, 0), (0x80, 32_124), (0x00, -32_124), (0xf0, 120), (0x8f, 16_764)] {
            assert_eq!(mulaw_decode(byte), sample, "µ-law {byte:#x}");
        }
        for (byte, sample) in [(0xd5, 8), (0x55, -8), (0xaa, 32_256), (0x2a, -32_256), (0x80, 5_504)] {
            assert_eq!(alaw_decode(byte), sample, "A-law {byte:#x}");
        }
    }

    #[test]
    fn a_byte_survives_decoding_and_encoding() {
        for byte in 0..=255u8 {
            assert_eq!(alaw_encode(alaw_decode(byte)), byte);
            // µ-law has two zeros; the positive one is the one that is encoded.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(mulaw_encode(mulaw_decode(byte)), expected);
        }
    }

    #[test]
    fn every_sample_comes_back_within_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(sample).abs();
            let clipped = (magnitude - MULAW_CLIP).max(0);
            let mulaw_error = (i32::from(mulaw_decode(mulaw_encode(sample))) - i32::from(sample)).abs();
            assert!(mulaw_error <= (magnitude + MULAW_BIAS) / 32 + 4 + clipped, "µ-law {sample}");
            let alaw_error = (i32::from(alaw_decode(alaw_encode(sample))) - i32::from(sample)).abs();
            assert!(alaw_error <= magnitude / 32 + 9, "A-law {sample}");
        }
    }

    #[test]
    fn linear16_is_little_endian() {
        assert_eq!(linear16_decode(&[0x01, 0x00, 0xff, 0xff, 0x12]), [1, -1]);
        assert_eq!(linear16_encode(&[1, -1]), [0x01, 0x00, 0xff, 0xff]);
    }

    #[test]
    fn channels_of_a_wav_are_averaged() {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for sample in [100i16, 300, -2, -4] {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        let clip = parse_wav(bytes.get_ref()).unwrap();
        assert_eq!(clip, Clip { samples: vec![200, -3], rate: 8_000 });
    }
}
