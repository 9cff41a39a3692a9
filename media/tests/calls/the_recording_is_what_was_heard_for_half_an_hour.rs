//! After half an hour of jitter, interruptions, marks and cleared audio, either side is in the recording where it was heard, within a
//! frame, and the recording has held no more memory than after a minute. A call that comes back in another process has a part that
//! begins where that process took it.
//!
//! The truth is the phone's: when it said what it said, and what it played of the agent, byte by byte.

use std::path::{Path, PathBuf};

use trunkline_media::{
    audio::g711,
    event::{CallEventKind, Speaker},
    testing::FakeReply,
    time::MediaTime,
};

use super::a_call_that_comes_back_is_taken_up::after;
use crate::world::{World, ms};

/// Eight seconds of it.
const STORY: &str = "It was a bright cold day in April, and the clocks were striking thirteen. Winston slipped quickly \
    through the doors of the house, though not quickly enough to be alone.";

/// A side may be this far from where it was heard.
const NEAR: u64 = 20;

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id())).join("call.wav")
}

struct Sides {
    samples: Vec<i16>,
    /// Where the recording begins on the call's clock.
    begins: MediaTime,
}

impl Sides {
    fn read(path: &Path, begins: MediaTime) -> Self {
        let mut wav = hound::WavReader::open(path).unwrap();
        let samples = wav.samples().map(Result::unwrap).collect();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        Self { samples, begins }
    }

    /// The value at a time of the call, in samples.
    fn at(&self, channel: usize, sample: u64) -> i16 {
        self.samples.get(sample as usize * 2 + channel).copied().unwrap_or(0)
    }

    fn place(&self, at: MediaTime) -> u64 {
        (at.saturating_since(self.begins).as_micros() as u64 * 8).div_ceil(1000)
    }

    /// How far from `at`, in samples, a stretch of `is` begins (or ends, going backwards); at the most a quarter of a second.
    fn edge(&self, channel: usize, at: u64, begins: bool, is: impl Fn(i16) -> bool) -> u64 {
        let edge = |sample: u64| {
            let before = sample.checked_sub(1).is_some_and(|before| is(self.at(channel, before)));
            let here = is(self.at(channel, sample));
            if begins { here && !before } else { before && !here }
        };
        (0..2000).find(|far| edge(at + far) || at.checked_sub(*far).is_some_and(&edge)).expect("an edge is near")
    }
}

/// The worst error of either side, in samples: caller, agent.
fn errors(world: &World, sides: &Sides) -> (u64, u64, usize, usize) {
    let (mut caller, mut agent) = (0, 0);
    let (mut said, mut heard) = (0, 0);
    for phone in &world.phones {
        let state = phone.state();
        for (from, until) in &state.said {
            said += 1;
            // A vowel crosses zero: what counts is where it is loud first and last.
            let loud = |begin: u64, end: u64| (begin..end).filter(move |at| sides.at(0, *at).unsigned_abs() > 60);
            let (from, until) = (sides.place(*from), sides.place(*until));
            let first = loud(from.saturating_sub(800), until).next().expect("it is in the recording");
            let last = loud(from, until + 800).next_back().expect("it is in the recording");
            caller = caller.max(first.abs_diff(from)).max(last.abs_diff(until));
        }
        for run in &state.playback.runs {
            // µ-law silence fills the last frame of a reply.
            if run.value == 0xFF {
                continue;
            }
            heard += 1;
            let mut decoded = Vec::new();
            g711::mulaw_decode(&[run.value], &mut decoded);
            let is = |value: i16| value == decoded[0];
            let from = sides.place(run.from);
            agent = agent.max(sides.edge(1, from, true, is));
            agent = agent.max(sides.edge(1, from + run.samples, false, is));
        }
    }
    (caller, agent, said, heard)
}

#[tokio::test(start_paused = true)]
async fn the_recording_is_what_was_heard_for_half_an_hour() {
    let path = temporary("half-an-hour");
    let mut builder = World::builder().recording(path.clone()).greeting("Hello there.").turn(|turn| {
        turn.idle.after = ms(3_600_000);
        turn.max_duration = ms(3_600_000);
    });
    for n in 0..400 {
        builder = builder.answer(FakeReply::text(if n % 3 == 2 { "That is right, of course." } else { STORY }));
    }
    let mut world = builder.start();
    world.phone().state().jitter = ms(60);
    world.until_replies_ended(1).await;
    while world.now() < MediaTime::from_millis(1_800_000) {
        let agents = |kind: &CallEventKind| matches!(kind, CallEventKind::TurnStarted { speaker: Speaker::Agent, .. });
        let spoken = world.count(agents);
        world.caller_says("And what came after that, please?").await;
        world.until_speaking(spoken + 1).await;
        // Some replies are heard whole, most are cut in their middle, and not always at the same place.
        world.run_for(ms(1_000 + world.now().as_millis() % 2_700)).await;
    }
    world.run_for(ms(10_000)).await;
    world.phone().hang_up();
    let summary = world.until_ended().await;
    let ended = world.at(|kind| matches!(kind, CallEventKind::Ended { .. })).unwrap();
    let sides = Sides::read(&path, MediaTime::ZERO);
    let length = ms(sides.samples.len() as u64 / 16);
    assert!(length.abs_diff(ended.since_start()) <= ms(NEAR), "{length:?} of {ended}");
    let (caller, agent, said, heard) = errors(&world, &sides);
    assert!(said > 100 && heard > 100 && world.clears() > 50, "{said} {heard} {}", world.clears());
    assert!(world.phone().state().marks_returned > 100);
    println!(
        "{} min: caller {} ms, agent {} ms off at the most; {} KiB held",
        length.as_secs() / 60,
        caller as f64 / 8.0,
        agent as f64 / 8.0,
        summary.recording_held / 1024
    );
    assert!(caller <= NEAR * 8 && agent <= NEAR * 8, "off by {caller} and {agent} samples");
    assert!(summary.recording_held < 512 * 1024, "{} bytes were held", summary.recording_held);
}

#[tokio::test(start_paused = true)]
async fn the_part_of_another_process_is_what_was_heard_there() {
    let path = temporary("part");
    let resumed = after(&[]);
    let begins = resumed.clock;
    let mut world = World::builder().recording(path.clone()).resumed(resumed).says(STORY).says(STORY).start();
    world.phone().state().jitter = ms(60);
    world.until_replies_ended(1).await;
    world.caller_says("And what came after that, please?").await;
    world.run_for(ms(2_000)).await;
    // Its socket is cut too: what the carrier had not played is not heard, and the rest is said on the next one.
    world.phones.last_mut().unwrap().break_connection();
    world.run_for(ms(700)).await;
    world.connect_again().await;
    world.run_for(ms(3_000)).await;
    world.caller_says("I have heard that one before.").await;
    world.run_for(ms(12_000)).await;
    world.phone().hang_up();
    world.until_ended().await;
    let (caller, agent, said, heard) = errors(&world, &Sides::read(&path, begins));
    assert!(said >= 2 && heard >= 3, "{said} {heard}");
    assert!(caller <= NEAR * 8 && agent <= NEAR * 8, "off by {caller} and {agent} samples");
}
