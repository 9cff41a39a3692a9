use proptest::{collection::vec, prelude::*};

use super::*;
use crate::audio::{Encoding, SampleRate};

const ONE: Epoch = Epoch(1);
const TWO: Epoch = Epoch(2);

fn mark(n: u32) -> MarkId {
    MarkId { epoch: ONE, n }
}

fn speech(len: usize) -> Bytes {
    (0..len).map(|n| (n % 251) as u8).collect()
}

fn begun() -> Outbound {
    let mut outbound = Outbound::new(AudioFormat::MULAW_8K);
    outbound.begin(ONE);
    outbound
}

/// Frames as their first sample's position and the reply's samples in them, marks as they are.
fn drain(outbound: &mut Outbound) -> Vec<Result<(u64, u64), u32>> {
    std::iter::from_fn(|| outbound.next_item())
        .map(|item| match item {
            OutboundItem::Frame { at, samples, data, .. } => {
                assert_eq!(data.len(), 160);
                Ok((at.0, samples.0))
            }
            OutboundItem::Mark(mark) => Err(mark.n),
        })
        .collect()
}

#[test]
fn a_mark_follows_the_frame_with_the_last_sample_before_it() {
    let mut outbound = begun();
    for (at, n) in [(161, 3), (160, 2), (0, 1), (320, 4), (500, 5)] {
        outbound.place_mark(ONE, Samples(at), mark(n)).unwrap();
    }
    outbound.push(ONE, speech(400)).unwrap();
    assert_eq!(drain(&mut outbound), [Err(1), Ok((0, 160)), Err(2), Ok((160, 160)), Err(3), Err(4)]);
    outbound.finish(ONE);
    // What lies past the end leaves with the end: a goodbye waits for its mark.
    assert_eq!(drain(&mut outbound), [Ok((320, 80)), Err(5)]);
    assert!(outbound.is_empty());
}

#[test]
fn a_mark_placed_late_leaves_at_once() {
    let mut outbound = begun();
    outbound.push(ONE, speech(160)).unwrap();
    drain(&mut outbound);
    outbound.place_mark(ONE, Samples(100), mark(1)).unwrap();
    assert!(outbound.is_ready());
    assert_eq!(drain(&mut outbound), [Err(1)]);
}

#[test]
fn less_than_a_frame_waits_until_the_reply_is_finished() {
    let mut outbound = begun();
    outbound.push(ONE, speech(159)).unwrap();
    assert!(!outbound.is_ready());
    assert_eq!(outbound.next_item(), None);
    outbound.finish(ONE);
    let Some(OutboundItem::Frame { samples, data, .. }) = outbound.next_item() else { panic!("a frame") };
    assert_eq!((samples, data[159]), (Samples(159), 0xFF));
}

#[test]
fn audio_of_another_epoch_is_counted_and_never_leaves() {
    let mut outbound = begun();
    outbound.push(ONE, speech(320)).unwrap();
    assert_eq!(outbound.clear(TWO), Samples(0));
    assert_eq!(outbound.begin(TWO), Samples(320));
    assert_eq!(outbound.push(ONE, speech(160)), Err(OutboundError::Stale));
    assert_eq!(outbound.place_mark(ONE, Samples(0), mark(1)), Err(OutboundError::Stale));
    outbound.finish(ONE);
    assert_eq!(outbound.next_item(), None);
    assert_eq!(outbound.stale(), 2);
}

#[test]
fn clear_drops_audio_and_marks_and_ends_the_hold() {
    let mut outbound = begun();
    outbound.push(ONE, speech(480)).unwrap();
    outbound.place_mark(ONE, Samples(160), mark(1)).unwrap();
    outbound.next_item();
    outbound.hold();
    assert_eq!(outbound.clear(ONE), Samples(320));
    assert!(!outbound.is_held());
    assert_eq!(outbound.push(ONE, speech(1)), Err(OutboundError::Stale));
    assert_eq!(outbound.rewind(Samples(160), |mark| mark), Samples(0));
    outbound.begin(TWO);
    outbound.push(TWO, speech(160)).unwrap();
    assert_eq!(drain(&mut outbound), [Ok((0, 160))]);
}

#[test]
fn a_hold_goes_on_with_the_very_next_sample() {
    let mut outbound = begun();
    outbound.push(ONE, speech(480)).unwrap();
    outbound.next_item();
    outbound.hold();
    assert!(!outbound.is_ready());
    assert_eq!(outbound.next_item(), None);
    outbound.release();
    assert_eq!(drain(&mut outbound), [Ok((160, 160)), Ok((320, 160))]);
}

#[test]
fn rewound_marks_leave_again_under_another_number() {
    let mut outbound = begun();
    for (at, n) in [(100, 1), (320, 2), (330, 3)] {
        outbound.place_mark(ONE, Samples(at), mark(n)).unwrap();
    }
    outbound.push(ONE, speech(350)).unwrap();
    outbound.finish(ONE);
    assert_eq!(drain(&mut outbound).len(), 6);
    // 130 samples of the last frame were silence.
    assert_eq!(outbound.rewind(Samples(150), |old| mark(old.n + 10)), Samples(150));
    assert_eq!(outbound.position(), Samples(330));
    assert_eq!(drain(&mut outbound), [Err(13), Ok((330, 20))]);
    assert_eq!(outbound.rewind(Samples(170), |old| mark(old.n + 10)), Samples(170));
    assert_eq!(drain(&mut outbound), [Err(12), Ok((320, 30)), Err(23)]);
}

#[test]
fn no_more_than_a_second_comes_back() {
    let mut outbound = begun();
    outbound.push(ONE, speech(16_000)).unwrap();
    drain(&mut outbound);
    assert_eq!(outbound.rewind(Samples(12_000), |mark| mark), Samples(8_000));
    assert_eq!(outbound.position(), Samples(8_000));
    assert_eq!(outbound.queued(), Samples(8_000));
}

#[test]
fn what_waits_has_a_bound() {
    let mut outbound = begun();
    outbound.push(ONE, speech(8_000 * 120)).unwrap();
    assert_eq!(outbound.push(ONE, speech(1)), Err(OutboundError::Full));
    for n in 0..256 {
        outbound.place_mark(ONE, Samples(0), mark(n)).unwrap();
    }
    assert_eq!(outbound.place_mark(ONE, Samples(0), mark(256)), Err(OutboundError::Full));
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Mark(u64),
    Take(usize),
    Rewind(u64),
    HoldOrRelease,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..700_usize).prop_map(Step::Push),
        1 => (0..9_000_u64).prop_map(Step::Mark),
        3 => (1..5_usize).prop_map(Step::Take),
        1 => (0..900_u64).prop_map(Step::Rewind),
        1 => Just(Step::HoldOrRelease),
    ]
}

/// What the carrier has got and not dropped: the reply's bytes, and the position at which each mark came.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    marks: Vec<(usize, MarkId)>,
    padding: usize,
}

impl Heard {
    fn take(&mut self, outbound: &mut Outbound, sample: usize) -> bool {
        match outbound.next_item() {
            None => return false,
            Some(OutboundItem::Mark(mark)) => self.marks.push((self.bytes.len() / sample, mark)),
            Some(OutboundItem::Frame { epoch, at, samples, data }) => {
                assert_eq!(epoch, ONE);
                assert_eq!(at.0 as usize * sample, self.bytes.len());
                let bytes = samples.0 as usize * sample;
                self.bytes.extend_from_slice(&data[..bytes]);
                self.padding = data.len() - bytes;
            }
        }
        true
    }

    fn rewind(&mut self, outbound: &mut Outbound, samples: u64, sample: usize) {
        let mut renumbered = Vec::new();
        let rewound = outbound.rewind(Samples(samples), |old| {
            renumbered.push(old);
            MarkId { n: old.n + 1000, ..old }
        });
        let bytes = rewound.0 as usize * sample;
        let padding = bytes.min(self.padding);
        self.padding -= padding;
        self.bytes.truncate(self.bytes.len() - (bytes - padding));
        self.marks.retain(|(_, mark)| !renumbered.contains(mark));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_heard_is_what_was_pushed(steps in vec(step(), 1..60), wide in any::<bool>()) {
        let format = if wide {
            AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_16000 }
        } else {
            AudioFormat::MULAW_8K
        };
        let sample = format.encoding.bytes_per_sample();
        let mut outbound = Outbound::new(format);
        outbound.begin(ONE);
        let (mut input, mut placed, mut heard) = (Vec::new(), Vec::new(), Heard::default());
        for step in steps {
            match step {
                Step::Push(len) => {
                    let chunk: Bytes = (input.len()..input.len() + len).map(|n| (n % 251) as u8).collect();
                    input.extend_from_slice(&chunk);
                    outbound.push(ONE, chunk).unwrap();
                }
                Step::Mark(at) => {
                    let mark = mark(placed.len() as u32);
                    // One that lies behind what was taken leaves where the reply stands.
                    placed.push((at as usize, mark));
                    outbound.place_mark(ONE, Samples(at), mark).unwrap();
                }
                Step::Take(frames) => {
                    let held = outbound.is_held();
                    for _ in 0..frames {
                        let ready = outbound.is_ready();
                        prop_assert_eq!(heard.take(&mut outbound, sample), ready);
                        prop_assert!(!(held && ready));
                    }
                }
                Step::Rewind(samples) => heard.rewind(&mut outbound, samples, sample),
                Step::HoldOrRelease if outbound.is_held() => outbound.release(),
                Step::HoldOrRelease => outbound.hold(),
            }
            prop_assert_eq!(outbound.position().0 as usize * sample, heard.bytes.len());
            prop_assert_eq!(&heard.bytes[..], &input[..heard.bytes.len()]);
            prop_assert_eq!(outbound.queued().0 as usize, (input.len() - heard.bytes.len()) / sample);
        }
        outbound.finish(ONE);
        outbound.release();
        while heard.take(&mut outbound, sample) {}
        input.truncate(input.len() / sample * sample);
        prop_assert_eq!(&heard.bytes, &input);
        prop_assert!(outbound.is_empty());
        // Every mark left, once, and none before its sample.
        let mut left: Vec<_> = heard.marks.iter().map(|&(at, mark)| (mark.n % 1000, at)).collect();
        left.sort_unstable();
        prop_assert_eq!(left.len(), placed.len());
        for (&(n, at), (wanted, mark)) in left.iter().zip(placed) {
            prop_assert_eq!(n, mark.n);
            prop_assert!(at >= wanted.min(input.len() / sample));
        }
    }
}
