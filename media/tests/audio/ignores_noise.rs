//! What is not speech is no speech, or at least doesn't stay: a stretch that never closes would hold the agent's tongue for ever.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::time::Duration;

use crate::support::{detect, silence};
use rand::{Rng, SeedableRng, rngs::StdRng};
use trunkline_media::{audio::vad::VadEvent, time::MediaTime};

fn noise(duration: Duration, amplitude: i16) -> Vec<i16> {
    let mut rng = StdRng::seed_from_u64(3);
    silence(duration).iter().map(|_| rng.random_range(-amplitude..=amplitude)).collect()
}

/// A second of silence, the sound, two seconds of silence.
fn around(sound: &[i16]) -> Vec<VadEvent> {
    detect(&[&silence(Duration::from_secs(1)), sound, &silence(Duration::from_secs(2))].concat(), MediaTime::ZERO)
}

fn closes(events: &[VadEvent]) -> bool {
    matches!(events, [] | [VadEvent::SpeechStarted { .. }, VadEvent::SpeechStopped { .. }])
}

#[test]
fn silence_is_no_speech() {
    assert_eq!(around(&silence(Duration::from_secs(10))), []);
}

#[test]
fn faint_noise_on_the_line_is_no_speech() {
    assert_eq!(around(&noise(Duration::from_secs(5), 60)), []);
}

#[test]
fn a_click_is_nothing_or_closes() {
    for len in [1, 8, 40, 160] {
        let click: Vec<i16> = (0..len).map(|n| if n % 2 == 0 { 20_000 } else { -20_000 }).collect();
        let events = around(&click);
        assert!(closes(&events), "{len} samples: {events:?}");
    }
}

#[test]
fn a_short_noise_is_nothing_or_closes() {
    for ms in [20, 60, 150, 300] {
        let events = around(&noise(Duration::from_millis(ms), 3000));
        assert!(closes(&events), "{ms} ms: {events:?}");
    }
}
