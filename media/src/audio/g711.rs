//! G.711 µ-law (ITU-T G.711): what the telephone network speaks, a byte a sample at 8 kHz.
//!
//! Both ways are one table look-up, so that a 20 ms frame costs less than a tenth of a microsecond.

use std::sync::LazyLock;

/// What µ-law adds to a magnitude before it takes the logarithm, at 16 bits.
const BIAS: u32 = 132;
/// The loudest magnitude that µ-law can write, at 16 bits.
const CLIP: u32 = 32_635;

static DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand(byte as u8);
        byte += 1;
    }
    table
};

/// Indexed by the sample's bits as an unsigned number. On the heap: it is built once, at the first frame.
static ENCODED: LazyLock<Box<[u8]>> =
    LazyLock::new(|| (0..=u16::MAX).map(|bits| compress(bits.cast_signed())).collect());

/// The linear sample that a µ-law byte stands for.
pub fn mulaw_to_linear(byte: u8) -> i16 {
    DECODED[usize::from(byte)]
}

/// The µ-law byte in whose interval a linear sample lies.
pub fn linear_to_mulaw(sample: i16) -> u8 {
    ENCODED[usize::from(sample.cast_unsigned())]
}

/// Appends the samples that `bytes` stand for to `samples`; no allocation if that has room.
pub fn mulaw_decode(bytes: &[u8], samples: &mut Vec<i16>) {
    samples.extend(bytes.iter().map(|&byte| mulaw_to_linear(byte)));
}

/// Appends `samples` in µ-law to `bytes`; no allocation if that has room.
pub fn mulaw_encode(samples: &[i16], bytes: &mut Vec<u8>) {
    let table = &**ENCODED;
    bytes.extend(samples.iter().map(|sample| table[usize::from(sample.cast_unsigned())]));
}

/// A byte is sign, exponent (3 bits) and mantissa (4 bits), all inverted.
const fn expand(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 0x07;
    let mantissa = (byte & 0x0F) as i16;
    let magnitude = (((mantissa << 3) + BIAS as i16) << exponent) - BIAS as i16;
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn compress(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs() as u32;
    let biased = BIAS + if magnitude > CLIP { CLIP } else { magnitude };
    // The bias puts the leading one at bit 7 or above.
    let exponent = 24 - biased.leading_zeros();
    let mantissa = (biased >> (exponent + 3)) & 0x0F;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.711, table 2a: decoder output values at the ends of each segment, times four (14 bits to 16).
    #[test]
    fn decodes_the_values_of_the_recommendation() {
        let table = [
            (0xFF, 0),
            (0xFE, 2),
            (0xF0, 30),
            (0xEF, 33),
            (0xDF, 99),
            (0xCF, 231),
            (0xBF, 495),
            (0xAF, 1023),
            (0x9F, 2079),
            (0x8F, 4191),
            (0x80, 8031),
        ];
        for (byte, value) in table {
            assert_eq!(mulaw_to_linear(byte), value * 4, "{byte:#x}");
            assert_eq!(mulaw_to_linear(byte & 0x7F), -value * 4, "negative {byte:#x}");
        }
    }

    #[test]
    fn every_byte_survives_the_round_trip() {
        for byte in 0..=u8::MAX {
            // There are two zeros; the encoder writes the positive one.
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(linear_to_mulaw(mulaw_to_linear(byte)), expected);
        }
    }

    /// The decision values of table 2a, at 14 bits: 1, then 15 steps of 2, then 16 each of 4, 8 … 256. What lies between the nth and
    /// the next is the nth code; the recommendation leaves open where the values themselves belong, we take the louder.
    #[test]
    fn every_sample_gets_the_code_between_whose_decision_values_it_lies() {
        let mut decisions = vec![0, 1];
        for segment in 0..8 {
            for _ in 0..if segment == 0 { 15 } else { 16 } {
                decisions.push(decisions[decisions.len() - 1] + (2 << segment));
            }
        }
        assert_eq!(decisions[128], 8159);
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(sample).abs();
            let code = decisions[..128].partition_point(|decision| decision * 4 <= magnitude) - 1;
            let sign = if sample < 0 { 0x80 } else { 0 };
            assert_eq!(linear_to_mulaw(sample), !(code as u8 | sign), "{sample}");
        }
    }

    #[test]
    fn slices_are_the_samples_one_by_one() {
        let mut samples = vec![7];
        mulaw_decode(&[0xFF, 0x80, 0x00], &mut samples);
        assert_eq!(samples, [7, 0, 32_124, -32_124]);
        let mut bytes = vec![1];
        mulaw_encode(&samples[1..], &mut bytes);
        assert_eq!(bytes, [1, 0xFF, 0x80, 0x00]);
    }
}
