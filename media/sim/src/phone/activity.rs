//! Who speaks: a plain energy detector over 20 ms of µ-law, enough for a clean line. It tells the caller's script when the agent
//! speaks, and the report when either side did.

use std::time::Duration;

use super::playback::{TICK, TICK_BYTES};
use crate::audio::mulaw_decode;

/// Mean magnitude from which 20 ms count as speech: about -46 dBFS.
const LOUD: u32 = 160;
/// Ticks of quiet that end speech: 300 ms, longer than the stops inside a word.
const HANGOVER: u32 = 15;

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Speech began at this time.
    Started(Duration),
    /// Speech had ended at this time: it is told 300 ms later, when it is sure.
    Stopped(Duration),
}

/// One side's state.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    speaking: bool,
    quiet: u32,
    loud_until: Duration,
}

impl Activity {
    /// Takes the 20 ms that begin at `at`.
    pub(crate) fn handle_frame(&mut self, at: Duration, frame: &[u8; TICK_BYTES]) -> Option<Change> {
        if is_loud(frame) {
            self.quiet = 0;
            self.loud_until = at + TICK;
            if !self.speaking {
                self.speaking = true;
                return Some(Change::Started(at));
            }
            return None;
        }
        self.quiet = self.quiet.saturating_add(1);
        (self.speaking && self.quiet >= HANGOVER).then(|| {
            self.speaking = false;
            Change::Stopped(self.loud_until)
        })
    }

    /// Speech, or a stop too short to end it.
    pub(crate) fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// How long nothing has been loud.
    pub(crate) fn quiet_for(&self) -> Duration {
        TICK * self.quiet
    }

    /// The line is gone: what was being said has ended.
    pub(crate) fn handle_end(&mut self) -> Option<Change> {
        self.speaking.then(|| {
            self.speaking = false;
            Change::Stopped(self.loud_until)
        })
    }
}

fn is_loud(frame: &[u8; TICK_BYTES]) -> bool {
    let sum: u32 = frame.iter().map(|&byte| u32::from(mulaw_decode(byte).unsigned_abs())).sum();
    sum >= LOUD * TICK_BYTES as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audio::mulaw_encode, phone::playback::SILENCE};

    #[test]
    fn speech_ends_only_after_the_hangover_and_at_its_last_loud_tick() {
        let loud = [mulaw_encode(2000); TICK_BYTES];
        let quiet = [SILENCE; TICK_BYTES];
        let mut activity = Activity::default();
        let mut changes = Vec::new();
        // 100 ms of speech, a stop of 200 ms, 100 ms of speech, then quiet.
        for tick in 0..60u32 {
            let frame = if matches!(tick, 10..15 | 25..30) { &loud } else { &quiet };
            changes.extend(activity.handle_frame(TICK * tick, frame));
        }
        let ms = Duration::from_millis;
        assert_eq!(changes, [Change::Started(ms(200)), Change::Stopped(ms(600))]);
        assert!(!activity.is_speaking());
        assert_eq!(activity.quiet_for(), ms(600));
        assert_eq!(activity.handle_end(), None);
    }

    #[test]
    fn line_noise_is_no_speech() {
        let mut activity = Activity::default();
        let noise = std::array::from_fn(|index| mulaw_encode(if index % 2 == 0 { 60 } else { -60 }));
        assert_eq!(activity.handle_frame(Duration::ZERO, &noise), None);
    }
}
