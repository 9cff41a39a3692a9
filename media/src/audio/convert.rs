//! From a vendor's audio format to the carrier's, or back.

use std::time::Duration;

use bytes::Bytes;

use super::{AudioFormat, Encoding, g711, resample::Resampler};

/// Converts one stream of bytes from one format to another: decode, resample, encode.
///
/// Chunks may be cut anywhere, in the middle of a sample too. Where the formats are equal the bytes pass as they are, uncopied.
#[derive(Debug)]
pub struct Converter {
    from: AudioFormat,
    to: AudioFormat,
    resampler: Resampler,
    /// The first byte of a sample whose second has not come.
    half: Option<u8>,
    decoded: Vec<i16>,
    resampled: Vec<i16>,
}

impl Converter {
    /// Between these formats.
    pub fn new(from: AudioFormat, to: AudioFormat) -> Self {
        Self {
            from,
            to,
            resampler: Resampler::new(from.rate, to.rate),
            half: None,
            decoded: Vec::new(),
            resampled: Vec::new(),
        }
    }

    /// The format that comes out.
    pub const fn to(&self) -> AudioFormat {
        self.to
    }

    /// Converts a chunk. What a filter still needs to see more for comes out with the next.
    pub fn convert(&mut self, chunk: Bytes) -> Bytes {
        if self.from == self.to {
            return chunk;
        }
        self.decoded.clear();
        match self.from.encoding {
            Encoding::Mulaw => g711::mulaw_decode(&chunk, &mut self.decoded),
            Encoding::Linear16 => self.decode_linear(&chunk),
        }
        if self.from.rate == self.to.rate {
            return encode(&self.decoded, self.to.encoding);
        }
        self.resampled.clear();
        self.resampler.process(&self.decoded, &mut self.resampled);
        encode(&self.resampled, self.to.encoding)
    }

    /// How long what went in lasts that has not come out yet, halves of samples left aside: so much before the next chunk is where what
    /// comes out next belongs.
    pub fn withheld(&self) -> Duration {
        self.resampler.withheld()
    }

    /// Ends the stream: what was still held back. Half a sample is dropped.
    pub fn flush(&mut self) -> Bytes {
        self.half = None;
        self.resampled.clear();
        self.resampler.flush(&mut self.resampled);
        encode(&self.resampled, self.to.encoding)
    }

    /// Forgets what is held back: for when the stream is cut, so that the next one doesn't begin with its tail.
    pub fn reset(&mut self) {
        self.half = None;
        self.resampler.reset();
    }

    fn decode_linear(&mut self, mut bytes: &[u8]) {
        if let (Some(low), Some((&high, rest))) = (self.half, bytes.split_first()) {
            self.decoded.push(i16::from_le_bytes([low, high]));
            self.half = None;
            bytes = rest;
        }
        let (pairs, rest) = bytes.as_chunks();
        self.decoded.extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
        if let [low] = rest {
            self.half = Some(*low);
        }
    }
}

fn encode(samples: &[i16], encoding: Encoding) -> Bytes {
    let mut bytes = Vec::with_capacity(samples.len() * encoding.bytes_per_sample());
    match encoding {
        Encoding::Mulaw => g711::mulaw_encode(samples, &mut bytes),
        Encoding::Linear16 => bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::SampleRate;

    const fn linear(rate: SampleRate) -> AudioFormat {
        AudioFormat { encoding: Encoding::Linear16, rate }
    }

    const LINEAR_8K: AudioFormat = linear(SampleRate::HZ_8000);
    const LINEAR_24K: AudioFormat = linear(SampleRate::HZ_24000);

    fn convert(converter: &mut Converter, input: &[u8], chunk: usize) -> Vec<u8> {
        let mut output = Vec::new();
        for chunk in input.chunks(chunk) {
            output.extend_from_slice(&converter.convert(Bytes::copy_from_slice(chunk)));
        }
        output.extend_from_slice(&converter.flush());
        output
    }

    fn bytes_of(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn equal_formats_pass_uncopied() {
        let chunk = Bytes::from_static(&[1, 2, 3]);
        let out = Converter::new(LINEAR_24K, LINEAR_24K).convert(chunk.clone());
        assert_eq!(out.as_ptr(), chunk.as_ptr());
        assert_eq!(out, chunk);
    }

    #[test]
    fn mulaw_becomes_linear_and_mulaw_again() {
        let mulaw: Vec<u8> = (0..=255).filter(|&byte| byte != 0x7F).collect();
        let linear = convert(&mut Converter::new(AudioFormat::MULAW_8K, LINEAR_8K), &mulaw, 160);
        assert_eq!(linear[..4], bytes_of(&[-32_124, -31_100]));
        let again = convert(&mut Converter::new(LINEAR_8K, AudioFormat::MULAW_8K), &linear, 33);
        assert_eq!(again, mulaw);
    }

    #[test]
    fn a_second_of_a_voice_is_a_second_for_the_carrier() {
        let mut converter = Converter::new(LINEAR_24K, AudioFormat::MULAW_8K);
        // A tone that both rates hold: the level survives.
        let input: Vec<i16> = (0..24_000).map(|n| ((f64::from(n) * 0.1).sin() * 8000.0) as i16).collect();
        let output = convert(&mut converter, &bytes_of(&input), 1001);
        assert_eq!(output.len(), 8000);
        let power = |samples: &mut dyn Iterator<Item = i16>| samples.map(|s| f64::from(s).powi(2)).sum::<f64>();
        let before = power(&mut input.iter().copied()) / 24_000.0;
        let after = power(&mut output.iter().map(|&byte| g711::mulaw_to_linear(byte))) / 8000.0;
        assert!((0.98..1.02).contains(&(after / before)), "{}", after / before);
    }

    /// Trap: the resampler's filter tail leaks the old reply.
    #[test]
    fn reset_leaves_neither_tail_nor_half_a_sample() {
        let mut converter = Converter::new(LINEAR_24K, AudioFormat::MULAW_8K);
        converter.convert(bytes_of(&[20_000; 1000]).into());
        converter.convert(Bytes::from_static(&[0x55]));
        converter.reset();
        let output = convert(&mut converter, &[0; 4800], 960);
        assert_eq!(output, [0xFF; 800]);
    }

    #[test]
    fn what_comes_out_has_its_place() {
        // A click in silence, and where it is afterwards.
        let mut input = vec![0_i16; 16_000];
        input[8_000..8_016].fill(20_000);
        let linear_16k = linear(SampleRate::HZ_16000);
        for (from, to) in [(linear_16k, AudioFormat::MULAW_8K), (linear_16k, LINEAR_24K), (linear_16k, linear_16k)] {
            let mut converter = Converter::new(from, to);
            let (mut loudest, mut place) = (0, Duration::ZERO);
            for (n, chunk) in bytes_of(&input).chunks(640).enumerate() {
                let at = (Duration::from_millis(20) * n as u32).saturating_sub(converter.withheld());
                let out = converter.convert(Bytes::copy_from_slice(chunk));
                let samples: Vec<i16> = match to.encoding {
                    Encoding::Mulaw => out.iter().map(|&byte| g711::mulaw_to_linear(byte)).collect(),
                    Encoding::Linear16 => {
                        out.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
                    }
                };
                for (k, sample) in samples.iter().enumerate() {
                    if i32::from(*sample).abs() > loudest {
                        loudest = i32::from(*sample).abs();
                        place = at + crate::audio::Samples(k as u64).duration(to.rate);
                    }
                }
            }
            assert!(loudest > 5_000);
            let off = place.abs_diff(Duration::from_micros(500_500));
            assert!(off < Duration::from_micros(1_000), "{to:?}: {place:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn chunks_make_no_difference(
            input in prop::collection::vec(any::<u8>(), 0..4000),
            chunk in 1..700_usize,
            same_rate in any::<bool>(),
        ) {
            let from = if same_rate { LINEAR_8K } else { LINEAR_24K };
            let new = || Converter::new(from, AudioFormat::MULAW_8K);
            let whole = convert(&mut new(), &input, 4000);
            let cut = convert(&mut new(), &input, chunk);
            prop_assert_eq!(whole.len(), cut.len());
            let far = whole.iter().zip(&cut).filter(|(a, b)| {
                // Floats may round to neighbouring codes.
                let (a, b) = (i32::from(g711::mulaw_to_linear(**a)), i32::from(g711::mulaw_to_linear(**b)));
                (a - b).abs() > (a.abs() / 15).max(8)
            });
            prop_assert_eq!(far.count(), 0);
        }
    }
}
