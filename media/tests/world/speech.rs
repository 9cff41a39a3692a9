//! A caller's sound: something that voice activity takes for speech, something that it does not, and nothing.

use trunkline_media::audio::g711;

/// 20 ms of µ-law.
pub(crate) const FRAME_BYTES: usize = 160;

/// A vowel with a caller's pitch and four syllables a second, in whole frames; endless when repeated.
pub(crate) fn voice() -> Vec<[u8; FRAME_BYTES]> {
    let samples: Vec<i16> = (0..8000).map(|n| vowel(f64::from(n) / 8000.0)).collect();
    coded(&samples)
}

/// The crackle of a bad line: loud enough, and nobody's voice.
pub(crate) fn crackle() -> Vec<[u8; FRAME_BYTES]> {
    let mut state = 0x2545_F491_u32;
    let samples: Vec<i16> = (0..8000)
        .map(|n| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if n % 400 < 24 { (state >> 18) as i16 } else { 0 }
        })
        .collect();
    coded(&samples)
}

/// µ-law silence.
pub(crate) const SILENCE: [u8; FRAME_BYTES] = [0xFF; FRAME_BYTES];

fn vowel(t: f64) -> i16 {
    const PITCH: f64 = 140.0;
    let turn = std::f64::consts::TAU * t;
    let near = |harmonic: f64, formant: f64, width: f64| (-(harmonic - formant).powi(2) / (2.0 * width * width)).exp();
    let sound: f64 = (1..20)
        .map(|k| {
            let harmonic = PITCH * f64::from(k);
            let loud = near(harmonic, 600.0, 150.0)
                + 0.6 * near(harmonic, 1200.0, 200.0)
                + 0.3 * near(harmonic, 2500.0, 300.0);
            loud * (turn * harmonic).sin()
        })
        .sum();
    let syllable = 0.55 + 0.45 * (turn * 4.0).sin();
    (sound * syllable * 4000.0) as i16
}

fn coded(samples: &[i16]) -> Vec<[u8; FRAME_BYTES]> {
    let mut bytes = Vec::with_capacity(samples.len());
    g711::mulaw_encode(samples, &mut bytes);
    bytes.as_chunks().0.to_vec()
}
