//! Two streams of audio onto one time line.

use std::{ops::Range, time::Duration};

use super::{CHANNELS, RATE};
use crate::{
    audio::{FRAME, Samples},
    time::MediaTime,
};

/// How long the recording stays open for changes where nothing else is asked for: longer than a carrier's lead, because what was
/// sent ahead may still be cut, and than audio is usually late.
pub const DEFAULT_SETTLE: Duration = Duration::from_millis(600);

/// Stereo samples in the window that is still open, a power of two: 1.024 s in 32 KiB.
const WINDOW: u64 = 8192;

/// Stereo samples that may leave the window before they are drained: 4 s. Only after a stall are there any.
const SPILL: u64 = 32_000;

const CALLER: usize = 0;
const AGENT: usize = 1;

/// Places what the caller said and what the agent was heard to say, and yields what can't change any more.
///
/// Place audio as it comes, and drain a few times a second. What is placed before what was drained comes too late, and what is placed
/// further ahead than the window reaches pushes the oldest out of it; both are bounded, and what is lost is counted.
#[derive(Debug)]
pub struct RecordingMixer {
    settle: Duration,
    /// A ring: the sample at position `p` is at `p % WINDOW`. What isn't placed is silence.
    window: Box<[[i16; CHANNELS]]>,
    /// Position of the first sample in the window: all before it have been settled.
    base: u64,
    /// Position behind the agent's last sample.
    agent_end: u64,
    /// Settled samples that were pushed out of the window, interleaved.
    spill: Vec<i16>,
    lost: u64,
}

impl Default for RecordingMixer {
    fn default() -> Self {
        Self::new(DEFAULT_SETTLE)
    }
}

impl RecordingMixer {
    /// Keeps audio open for `settle`, 900 ms at the most.
    pub fn new(settle: Duration) -> Self {
        Self {
            settle: settle.min(Duration::from_millis(900)),
            window: vec![[0; CHANNELS]; WINDOW as usize].into_boxed_slice(),
            base: 0,
            agent_end: 0,
            spill: Vec::new(),
            lost: 0,
        }
    }

    /// The caller's samples at 8 kHz, of which the first was spoken `at`. Gaps are silence; what is placed twice is replaced.
    pub fn caller(&mut self, at: MediaTime, samples: &[i16]) {
        self.place(CALLER, position(at), samples);
    }

    /// The agent's samples at 8 kHz that are heard from `at` on, once the carrier has played what it was sent before. Within a frame
    /// of the end of what was placed before they follow it without a gap; otherwise they begin `at`, and replace what lies behind.
    pub fn agent(&mut self, at: MediaTime, samples: &[i16]) {
        let mut start = position(at);
        if start.abs_diff(self.agent_end) <= position(MediaTime::new(FRAME)) {
            start = self.agent_end;
        } else {
            self.cut_agent(at);
        }
        self.place(AGENT, start, samples);
        self.agent_end = start + samples.len() as u64;
    }

    /// The carrier dropped what the agent would have been heard to say after `at`.
    pub fn cut_agent(&mut self, at: MediaTime) {
        let cut = position(at).max(self.base);
        for position in cut..self.agent_end.min(self.base + WINDOW) {
            self.window[index(position)][AGENT] = 0;
        }
        self.agent_end = self.agent_end.min(cut);
    }

    /// Appends to `out`, interleaved, what has settled at the time `until`.
    pub fn drain(&mut self, until: MediaTime, out: &mut Vec<i16>) {
        out.append(&mut std::mem::take(&mut self.spill));
        let settled = position(until.saturating_sub(self.settle));
        self.settle_until(settled, out);
    }

    /// Ends the recording at `end`, to the sample: appends to `out` all that is left before it.
    pub fn finish(mut self, end: MediaTime, out: &mut Vec<i16>) {
        out.append(&mut std::mem::take(&mut self.spill));
        self.settle_until(position(end), out);
    }

    /// How many samples of either side came too late, or too far ahead, to be recorded.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// How much memory it holds, in bytes.
    pub fn held(&self) -> usize {
        self.window.len() * size_of::<[i16; CHANNELS]>() + self.spill.capacity() * size_of::<i16>()
    }

    fn place(&mut self, channel: usize, start: u64, samples: &[i16]) {
        let end = start + samples.len() as u64;
        self.make_room(end);
        let open = start.clamp(self.base, end.max(self.base))..end.min(self.base + WINDOW);
        self.lost += samples.len() as u64 - len(&open);
        for position in open {
            self.window[index(position)][channel] = samples[(position - start) as usize];
        }
    }

    /// Lets the window reach to `end`, if that doesn't push out too much.
    fn make_room(&mut self, end: u64) {
        let first = end.saturating_sub(WINDOW);
        if first > self.base && first - self.base + self.spill.len() as u64 / CHANNELS as u64 <= SPILL {
            let mut spill = std::mem::take(&mut self.spill);
            self.settle_until(first, &mut spill);
            self.spill = spill;
        }
    }

    /// Moves the window's beginning up to `end`.
    fn settle_until(&mut self, end: u64, out: &mut Vec<i16>) {
        for position in self.base..end {
            // Behind the window there is nothing but silence, which is what a slot holds that was settled.
            out.extend_from_slice(&std::mem::take(&mut self.window[index(position)]));
        }
        self.base = self.base.max(end);
    }
}

const fn index(position: u64) -> usize {
    (position % WINDOW) as usize
}

fn len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// The sample that is nearest to a time: what is a whole number of samples stays it, whatever the nanoseconds were rounded to.
fn position(at: MediaTime) -> u64 {
    let half = Samples(1).duration(RATE) / 2;
    RATE.samples_in((at + half).since_start()).0
}

#[cfg(test)]
mod tests;
