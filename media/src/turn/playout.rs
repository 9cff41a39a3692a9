//! The one clock for what was heard.
//!
//! heard = the estimate from what was sent and when, never before the last mark that proves playing, never past what was sent.
//! The carrier plays what it gets at once and in order, so the moment at which its buffer runs dry is enough state: every piece of
//! audio moves it on by its own length, from now if the buffer is dry already. Marks are retired when `clear` is sent: one that
//! returns because of it proves nothing.

use std::{collections::VecDeque, time::Duration};

use crate::{
    audio::{SampleRate, Samples},
    ids::{Epoch, MarkId},
    time::MediaTime,
};

/// Which part of one reply's audio the caller has heard.
#[derive(Debug, Clone)]
pub(super) struct Playout {
    rate: SampleRate,
    epoch: Epoch,
    sent: Samples,
    /// When the carrier's buffer runs dry.
    dry_at: MediaTime,
    /// Marks on their way, with the position in the reply that each proves, in the order of placing.
    marks: VecDeque<(MarkId, Samples)>,
    proven: Samples,
}

impl Playout {
    pub(super) const fn new(rate: SampleRate, epoch: Epoch) -> Self {
        Self { rate, epoch, sent: Samples(0), dry_at: MediaTime::ZERO, marks: VecDeque::new(), proven: Samples(0) }
    }

    /// Audio has left for the carrier.
    pub(super) fn handle_sent(&mut self, now: MediaTime, epoch: Epoch, samples: Samples) -> bool {
        if epoch != self.epoch {
            return false;
        }
        self.dry_at = self.dry_at.max(now) + samples.duration(self.rate);
        self.sent += samples;
        true
    }

    pub(super) fn place(&mut self, mark: MarkId, at: Samples) {
        self.marks.push_back((mark, at));
    }

    /// A mark came back. Says whether it was one that proves anything.
    pub(super) fn handle_mark(&mut self, now: MediaTime, mark: MarkId) -> bool {
        let Some(index) = self.marks.iter().position(|(m, _)| *m == mark) else { return false };
        // Marks return in order on every carrier that we know, but none promises it.
        let Some((_, at)) = self.marks.remove(index) else { return false };
        let at = at.min(self.sent);
        self.proven = self.proven.max(at);
        if self.estimate(now) < at {
            self.dry_at = now + self.sent.saturating_sub(at).duration(self.rate);
        }
        true
    }

    /// What the caller has heard by now.
    pub(super) fn heard(&self, now: MediaTime) -> Samples {
        self.estimate(now).max(self.proven).min(self.sent)
    }

    fn estimate(&self, now: MediaTime) -> Samples {
        self.sent.saturating_sub(self.unheard(now))
    }

    fn unheard(&self, now: MediaTime) -> Samples {
        // Rounded up: a sample that is being played has not been heard.
        let left = self.dry_at.saturating_since(now) + Duration::from_nanos(999_999_999 / u64::from(self.rate.hz()));
        self.rate.samples_in(left)
    }

    /// The carrier lost its buffer with its socket: what was not heard has to be sent again. Says how much that is.
    pub(super) fn handle_lost(&mut self, now: MediaTime) -> Samples {
        let heard = self.heard(now);
        let lost = self.sent.saturating_sub(heard);
        self.sent = heard;
        self.dry_at = now;
        lost
    }

    /// When all that was sent will have been heard.
    pub(super) const fn heard_all_at(&self) -> MediaTime {
        self.dry_at
    }

    pub(super) const fn sent(&self) -> Samples {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Samples = Samples(160);

    fn ms(ms: u64) -> MediaTime {
        MediaTime::from_millis(ms)
    }

    fn mark(n: u32) -> MarkId {
        MarkId { epoch: Epoch(1), n }
    }

    #[test]
    fn what_was_sent_ahead_is_heard_in_real_time() {
        let mut playout = Playout::new(SampleRate::HZ_8000, Epoch(1));
        for _ in 0..5 {
            assert!(playout.handle_sent(ms(1000), Epoch(1), FRAME));
        }
        assert_eq!(playout.heard(ms(1000)), Samples(0));
        assert_eq!(playout.heard(ms(1050)), Samples(400));
        assert_eq!(playout.heard(ms(2000)), Samples(800), "never past what was sent");
    }

    #[test]
    fn a_dry_buffer_shifts_the_clock() {
        let mut playout = Playout::new(SampleRate::HZ_8000, Epoch(1));
        playout.handle_sent(ms(0), Epoch(1), FRAME);
        playout.handle_sent(ms(500), Epoch(1), FRAME);
        assert_eq!(playout.heard(ms(510)), Samples(240));
        assert_eq!(playout.heard_all_at(), ms(520));
    }

    #[test]
    fn a_mark_proves_what_the_estimate_does_not_know_yet() {
        let mut playout = Playout::new(SampleRate::HZ_8000, Epoch(1));
        for _ in 0..10 {
            playout.handle_sent(ms(0), Epoch(1), FRAME);
        }
        playout.place(mark(1), Samples(800));
        assert!(playout.handle_mark(ms(50), mark(1)));
        assert_eq!(playout.heard(ms(50)), Samples(800));
        assert_eq!(playout.heard(ms(60)), Samples(880), "and the estimate goes on from there");
    }

    #[test]
    fn marks_of_other_epochs_or_never_sent_prove_nothing() {
        let mut playout = Playout::new(SampleRate::HZ_8000, Epoch(2));
        playout.handle_sent(ms(0), Epoch(2), FRAME);
        assert!(!playout.handle_mark(ms(0), mark(7)));
        assert_eq!(playout.heard(ms(0)), Samples(0));
        assert!(!playout.handle_sent(ms(0), Epoch(1), FRAME), "audio of a cancelled epoch does not count");
    }

    #[test]
    fn a_lost_socket_takes_back_what_was_not_heard() {
        let mut playout = Playout::new(SampleRate::HZ_8000, Epoch(1));
        for _ in 0..6 {
            playout.handle_sent(ms(0), Epoch(1), FRAME);
        }
        assert_eq!(playout.handle_lost(ms(30)), Samples(720));
        assert_eq!(playout.heard(ms(30)), Samples(240));
        assert_eq!(playout.heard(ms(900)), Samples(240));
    }
}
