//! Voice activity finds recorded speech where it is, on the media clock: endpoint delays and the order of the transcript rest on it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::time::Duration;

use crate::support::{clips, detect, silence};
use trunkline_media::{
    audio::{
        SampleRate,
        vad::{Vad, VadConfig, VadEvent},
    },
    time::MediaTime,
};

const TOLERANCE_MS: i64 = 250;

/// First and last time, in ms, at which the energy of 10 ms is above `db` relative to the loud parts of the clip.
fn audible(clip: &[i16], db: f64) -> (i64, i64) {
    let energy: Vec<f64> = clip
        .chunks(80)
        .map(|part| part.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / part.len() as f64)
        .collect();
    let mut sorted = energy.clone();
    sorted.sort_by(f64::total_cmp);
    let threshold = sorted[sorted.len() * 95 / 100] * 10_f64.powf(db / 10.0);
    let first = energy.iter().position(|&energy| energy > threshold).unwrap();
    let last = energy.iter().rposition(|&energy| energy > threshold).unwrap();
    (first as i64 * 10, last as i64 * 10 + 10)
}

/// Where speech begins in breath and room noise is a matter of taste: between where the energy leaves the floor and where it is loud.
#[test]
fn each_clip_is_found_where_its_energy_is() {
    const LEAD_IN: Duration = Duration::from_secs(1);
    let clips = clips();
    assert!(clips.len() >= 9);
    for (name, clip) in clips {
        let ((quiet_start, quiet_end), (loud_start, loud_end)) = (audible(&clip, -28.0), audible(&clip, -16.0));
        let around = [silence(LEAD_IN), clip, silence(LEAD_IN)].concat();
        // A call's stream is attached some time after the call began.
        let attached = MediaTime::from_millis(12_345);
        let events = detect(&around, attached);
        let in_clip = |at: MediaTime| at.as_millis() as i64 - 12_345 - LEAD_IN.as_millis() as i64;

        let (Some(VadEvent::SpeechStarted { at: start }), Some(VadEvent::SpeechStopped { at: end })) =
            (events.first().copied(), events.last().copied())
        else {
            panic!("{name}: {events:?}")
        };
        let (start, end) = (in_clip(start), in_clip(end));
        assert!(
            (quiet_start - TOLERANCE_MS..=loud_start + TOLERANCE_MS).contains(&start),
            "{name}: starts at {start}, heard from {quiet_start} to {loud_start}"
        );
        assert!(
            (loud_end - TOLERANCE_MS..=quiet_end + TOLERANCE_MS).contains(&end),
            "{name}: ends at {end}, heard until {loud_end} to {quiet_end}"
        );
        for (n, pair) in events.windows(2).enumerate() {
            assert!(pair[0].at() <= pair[1].at(), "{name}: {events:?}");
            let alternate = matches!(pair[0], VadEvent::SpeechStarted { .. }) == (n % 2 == 0);
            assert!(alternate, "{name}: {events:?}");
        }
    }
}

#[test]
fn the_way_the_stream_is_cut_makes_no_difference() {
    let (_, clip) = clips().swap_remove(0);
    let samples = [silence(Duration::from_millis(500)), clip, silence(Duration::from_secs(1))].concat();
    let find = |chunk: usize| {
        let mut vad = Vad::new(VadConfig::default(), SampleRate::HZ_8000);
        let mut events = Vec::new();
        for (n, part) in samples.chunks(chunk).enumerate() {
            vad.push(MediaTime::new(Duration::from_micros(125) * (n * chunk) as u32), part);
            events.extend(std::iter::from_fn(|| vad.poll_event()));
        }
        events
    };
    let expected = find(160);
    assert_eq!(expected.len(), 2);
    for chunk in [80, 161, 512] {
        assert_eq!(find(chunk), expected, "chunks of {chunk}");
    }
}

#[test]
fn speech_that_is_cut_off_by_a_jump_of_the_stream_has_stopped() {
    let (_, clip) = clips().swap_remove(1);
    // Up to the middle of the digits, then the stream goes on ten seconds later in silence.
    let mut vad = Vad::new(VadConfig::default(), SampleRate::HZ_8000);
    for (n, frame) in clip[..8000].chunks(160).enumerate() {
        vad.push(MediaTime::from_millis(20 * n as u64), frame);
    }
    assert!(vad.is_speaking());
    vad.push(MediaTime::from_millis(11_000), &[0; 160]);
    assert!(!vad.is_speaking());
    let events: Vec<_> = std::iter::from_fn(|| vad.poll_event()).collect();
    let [VadEvent::SpeechStarted { .. }, VadEvent::SpeechStopped { at }] = events[..] else { panic!("{events:?}") };
    assert!((800..=1000).contains(&at.as_millis()), "{at}");
}
