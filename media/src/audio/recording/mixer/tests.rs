use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;

fn at(ms: u64) -> MediaTime {
    MediaTime::from_millis(ms)
}

/// One side of the recording of the first `ms`.
fn channel(mixer: RecordingMixer, ms: u64, channel: usize) -> Vec<i16> {
    let mut out = Vec::new();
    mixer.finish(at(ms), &mut out);
    assert_eq!(out.len() as u64, ms * 16);
    out.into_iter().skip(channel).step_by(2).collect()
}

#[test]
fn gaps_are_silence_and_order_of_arrival_is_nothing() {
    let mut mixer = RecordingMixer::default();
    mixer.caller(at(60), &[3; 160]);
    mixer.caller(at(20), &[1; 160]);
    mixer.caller(at(60), &[3; 160]);
    let caller = channel(mixer, 100, CALLER);
    assert_eq!(caller, [[0; 160], [1; 160], [0; 160], [3; 160], [0; 160]].concat());
}

#[test]
fn the_agent_follows_itself_without_a_gap_within_a_frame() {
    let mut mixer = RecordingMixer::default();
    mixer.agent(at(100), &[1; 160]);
    mixer.agent(at(135), &[2; 160]);
    mixer.agent(at(121), &[3; 160]);
    // Later than a frame: a pause that was heard.
    mixer.agent(at(200), &[4; 160]);
    let agent = channel(mixer, 220, AGENT);
    assert_eq!(agent[800..1280], [[1; 160], [2; 160], [3; 160]].concat());
    assert_eq!(agent[1280..], [[0; 160], [0; 160], [4; 160]].concat());
}

#[test]
fn what_was_cut_was_not_heard() {
    let mut mixer = RecordingMixer::default();
    mixer.caller(at(0), &[9; 1600]);
    mixer.agent(at(0), &[1; 1600]);
    mixer.cut_agent(at(50));
    mixer.agent(at(60), &[2; 160]);
    // A cut behind what is placed changes nothing.
    mixer.cut_agent(at(500));
    let mut out = Vec::new();
    mixer.finish(at(200), &mut out);
    let (caller, agent): (Vec<_>, Vec<_>) = out.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    assert_eq!(caller[..1600], [9; 1600]);
    // Ten milliseconds after the cut is within a frame: the new audio follows at once.
    assert_eq!(agent, [vec![1; 400], vec![2; 160], vec![0; 1040]].concat());
}

#[test]
fn an_earlier_place_replaces_what_lies_behind_it() {
    let mut mixer = RecordingMixer::default();
    mixer.agent(at(0), &[1; 1600]);
    mixer.agent(at(100), &[2; 160]);
    assert_eq!(channel(mixer, 200, AGENT), [vec![1; 800], vec![2; 160], vec![0; 640]].concat());
}

#[test]
fn nothing_is_yielded_before_it_has_settled() {
    let mut mixer = RecordingMixer::default();
    let mut out = Vec::new();
    mixer.drain(at(600), &mut out);
    assert_eq!(out.len(), 0);
    mixer.drain(at(700), &mut out);
    assert_eq!(out.len(), 1600);
    mixer.caller(at(90), &[5; 160]);
    assert_eq!(mixer.lost(), 80);
    mixer.drain(at(1000), &mut out);
    assert_eq!(out[1600..1762], [[5, 0]; 81].concat()[..160].iter().copied().chain([0, 0]).collect::<Vec<_>>());
}

#[test]
fn a_stall_of_the_drain_loses_nothing_within_four_seconds() {
    let mut mixer = RecordingMixer::default();
    for n in 0..240 {
        mixer.caller(at(20 * n), &[n as i16 + 1; 160]);
    }
    assert_eq!(mixer.lost(), 0);
    let caller = channel(mixer, 4800, CALLER);
    assert!(caller.chunks(160).enumerate().all(|(n, frame)| frame == [n as i16 + 1; 160]));
}

#[test]
fn a_wild_time_is_lost_and_harms_nothing() {
    let mut mixer = RecordingMixer::default();
    mixer.caller(at(0), &[1; 160]);
    mixer.caller(at(3_600_000), &[2; 160]);
    mixer.agent(at(3_600_000), &[2; 160]);
    mixer.cut_agent(at(0));
    assert_eq!(mixer.lost(), 320);
    assert_eq!(channel(mixer, 20, CALLER), [1; 160]);
}

#[test]
fn a_pause_longer_than_the_window_keeps_its_length() {
    let mut mixer = RecordingMixer::default();
    let mut out = Vec::new();
    mixer.caller(at(0), &[1; 160]);
    mixer.drain(at(60_600), &mut out);
    assert_eq!(out.len(), 60_000 * 16);
    mixer.caller(at(60_700), &[1; 160]);
    mixer.finish(at(60_720), &mut out);
    assert_eq!(out.len(), 60_720 * 16);
    assert_eq!(out.iter().map(|&sample| u32::from(sample == 1)).sum::<u32>(), 320);
    assert_eq!(out[out.len() - 1 - 320..].iter().filter(|&&sample| sample == 1).count(), 160);
}

/// A sample that tells its position.
fn stamp(position: u64) -> i16 {
    (position % 30_011) as i16 + 1
}

fn stamped(start: u64, len: u64) -> Vec<i16> {
    (start..start + len).map(stamp).collect()
}

/// A field complaint: stereo recordings of others grew by 10 % against the call, and their sides drifted apart.
#[test]
fn half_an_hour_of_jitter_does_not_drift() {
    const END_MS: u64 = 30 * 60 * 1000;
    let mut rng = StdRng::seed_from_u64(25);
    let mut mixer = RecordingMixer::default();
    let mut out = Vec::new();
    let (mut yielded, mut spoken) = (0_u64, 0_u64);
    let mut check = |out: &mut Vec<i16>| {
        for pair in out.chunks(2) {
            assert_eq!(pair[CALLER], stamp(yielded));
            if pair[AGENT] != 0 {
                spoken += 1;
                // Stamps repeat after 30011 samples, so the nearest is meant.
                let off = (i64::from(pair[AGENT]) - i64::from(stamp(yielded))).rem_euclid(30_011);
                let off = off.min(30_011 - off);
                assert!(off <= 160, "{off} samples at {yielded}");
            }
            yielded += 1;
        }
        out.clear();
    };
    // Frames come in bursts and out of order, up to 300 ms late. The agent speaks for 3 s of every 5, told 120 ms ahead and up to
    // 10 ms wrong.
    for burst in 0..END_MS / 300 {
        let mut frames: Vec<u64> = (burst * 15..(burst + 1) * 15).collect();
        frames.shuffle(&mut rng);
        for frame in frames {
            mixer.caller(at(20 * frame), &stamped(160 * frame, 160));
        }
        for frame in burst * 15 + 6..(burst + 1) * 15 + 6 {
            if frame % 250 < 150 {
                let wrong = Duration::from_micros(rng.random_range(0..10_000));
                mixer.agent(at(20 * frame) + wrong, &stamped(160 * frame, 160));
            }
        }
        mixer.drain(at((burst + 1) * 300 + rng.random_range(0..200)), &mut out);
        check(&mut out);
    }
    assert_eq!(mixer.lost(), 0);
    mixer.finish(at(END_MS), &mut out);
    check(&mut out);
    assert_eq!(yielded, END_MS * 8);
    let share = spoken as f64 / yielded as f64;
    assert!((0.599..0.601).contains(&share), "{share}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_of_the_stream_is_the_same_recording(
        cuts in prop::collection::vec(1..700_usize, 1..40),
        attached_us in 0..5_000_000_u64,
    ) {
        let attached = MediaTime::new(Duration::from_micros(attached_us));
        let first = position(attached);
        let (mut mixer, mut out, mut sent) = (RecordingMixer::default(), Vec::new(), 0_u64);
        mixer.drain(attached, &mut out);
        for cut in cuts {
            let at = attached + Samples(sent).duration(RATE);
            mixer.caller(at, &stamped(first + sent, cut as u64));
            sent += cut as u64;
            mixer.drain(at, &mut out);
        }
        let end = attached + Samples(sent).duration(RATE);
        prop_assert_eq!(mixer.lost(), 0);
        mixer.finish(end, &mut out);
        prop_assert_eq!(out.len() as u64, 2 * (first + sent));
        for (n, pair) in out.chunks(2).enumerate() {
            let expected = if (n as u64) < first { 0 } else { stamp(n as u64) };
            prop_assert_eq!(pair[CALLER], expected);
        }
    }
}
