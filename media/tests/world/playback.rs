//! What a carrier does with the agent's audio: plays it at once, in order and in real time, and gives marks back when what was before
//! them is over — played or cleared.

use std::collections::VecDeque;

use trunkline_media::time::MediaTime;

/// Samples a millisecond.
const RATE: u64 = 8;

/// A stretch of equal bytes that the caller heard without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) value: u8,
    pub(crate) samples: u64,
    pub(crate) from: MediaTime,
}

#[derive(Debug)]
enum Item {
    Audio(VecDeque<u8>),
    Mark(String),
}

/// The carrier's buffer.
#[derive(Debug, Default)]
pub(crate) struct Playback {
    queue: VecDeque<Item>,
    /// When the first byte in the queue began to be played, while there is one.
    playing_since: Option<MediaTime>,
    /// Bytes of it that have been played since.
    played: u64,
    /// All that was heard, byte by byte.
    pub(crate) heard: Vec<u8>,
    pub(crate) runs: Vec<Run>,
    pub(crate) most_buffered: u64,
}

impl Playback {
    pub(crate) fn audio(&mut self, now: MediaTime, bytes: Vec<u8>) -> Vec<String> {
        let passed = self.advance(now);
        if self.buffered() == 0 {
            self.playing_since = Some(now);
            self.played = 0;
        }
        self.queue.push_back(Item::Audio(bytes.into()));
        self.most_buffered = self.most_buffered.max(self.buffered());
        passed
    }

    pub(crate) fn mark(&mut self, now: MediaTime, name: String) -> Vec<String> {
        let mut passed = self.advance(now);
        self.queue.push_back(Item::Mark(name));
        passed.extend(self.pass());
        passed
    }

    /// Forgets what was not played; gives back the marks behind it, as Twilio does.
    pub(crate) fn clear(&mut self, now: MediaTime) -> Vec<String> {
        let mut passed = self.advance(now);
        self.playing_since = None;
        passed.extend(self.queue.drain(..).filter_map(|item| match item {
            Item::Mark(name) => Some(name),
            Item::Audio(_) => None,
        }));
        passed
    }

    /// Plays up to `now`; gives the marks that were passed.
    pub(crate) fn advance(&mut self, now: MediaTime) -> Vec<String> {
        let mut passed = self.pass();
        let Some(since) = self.playing_since else { return passed };
        let due = now.saturating_since(since).as_micros() as u64 * RATE / 1000;
        while self.played < due {
            let Some(Item::Audio(bytes)) = self.queue.front_mut() else { break };
            while self.played < due
                && let Some(byte) = bytes.pop_front()
            {
                let from = since + std::time::Duration::from_micros(self.played * 1000 / RATE);
                self.heard.push(byte);
                match self.runs.last_mut() {
                    Some(run)
                        if run.value == byte
                            && from.saturating_since(run.from).as_micros() as u64 * RATE / 1000
                                <= run.samples + RATE =>
                    {
                        run.samples += 1;
                    }
                    _ => self.runs.push(Run { value: byte, samples: 1, from }),
                }
                self.played += 1;
            }
            if bytes.is_empty() {
                self.queue.pop_front();
            }
            passed.extend(self.pass());
        }
        if self.buffered() == 0 {
            self.playing_since = None;
        }
        passed
    }

    /// When the next mark will be passed.
    pub(crate) fn next_mark(&self) -> Option<MediaTime> {
        let since = self.playing_since?;
        let mut before = self.played;
        for item in &self.queue {
            match item {
                Item::Audio(bytes) => before += bytes.len() as u64,
                Item::Mark(_) => return Some(since + std::time::Duration::from_micros((before * 1000).div_ceil(RATE))),
            }
        }
        None
    }

    pub(crate) fn buffered(&self) -> u64 {
        self.queue.iter().map(|item| if let Item::Audio(bytes) = item { bytes.len() as u64 } else { 0 }).sum()
    }

    fn pass(&mut self) -> Vec<String> {
        let mut passed = Vec::new();
        while matches!(self.queue.front(), Some(Item::Mark(_))) {
            if let Some(Item::Mark(name)) = self.queue.pop_front() {
                passed.push(name);
            }
        }
        passed
    }
}
