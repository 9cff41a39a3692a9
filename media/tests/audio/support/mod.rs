//! Recorded speech, as a telephone brings it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::time::Duration;

use trunkline_media::{
    audio::{
        SampleRate, Samples, g711,
        vad::{Vad, VadConfig, VadEvent},
    },
    time::MediaTime,
};

/// The clips of the manifest: file name and samples at 8 kHz.
pub(crate) fn clips() -> Vec<(String, Vec<i16>)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/audio");
    let manifest = std::fs::read_to_string(format!("{root}/manifest.tsv")).unwrap();
    let files = manifest.lines().skip(1).map(|line| line.split('\t').next().unwrap());
    files
        .map(|file| {
            let reader = hound::WavReader::open(format!("{root}/{file}")).unwrap();
            assert_eq!(reader.spec().sample_rate, 8000);
            (file.to_owned(), reader.into_samples().map(Result::unwrap).collect())
        })
        .collect()
}

/// Through µ-law, in 20 ms frames of which the first was spoken at `start`.
pub(crate) fn detect(samples: &[i16], start: MediaTime) -> Vec<VadEvent> {
    let mut vad = Vad::new(VadConfig::default(), SampleRate::HZ_8000);
    let (mut coded, mut heard, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for (n, frame) in samples.chunks(160).enumerate() {
        coded.clear();
        heard.clear();
        g711::mulaw_encode(frame, &mut coded);
        g711::mulaw_decode(&coded, &mut heard);
        vad.push(start + Samples(n as u64 * 160).duration(SampleRate::HZ_8000), &heard);
        events.extend(std::iter::from_fn(|| vad.poll_event()));
    }
    events
}

/// So many samples of silence.
pub(crate) fn silence(duration: Duration) -> Vec<i16> {
    vec![0; SampleRate::HZ_8000.samples_in(duration).0 as usize]
}
