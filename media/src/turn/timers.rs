//! The machine's timers: one enum, one table.

use crate::time::MediaTime;

/// Why the machine wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The caller has been silent for as long as ends this turn.
    EndOfTurn,
    /// The caller has been silent for so long that the recogniser should say what it has.
    Finalize,
    /// The agent paused for speech that brought no words.
    FalseInterruption,
    /// The agent paused for sound that does not stop and brings no words.
    HoldTooLong,
    /// The last mark of a reply did not come back.
    MarkMissing,
    /// A reply makes no progress of any kind.
    ReplyStalled,
    /// The caller says nothing.
    Idle,
    /// No more keys came.
    DtmfCollect,
    /// The carrier does not say how a transfer went.
    TransferTooLong,
    /// The end of a machine's greeting was not heard.
    NoBeep,
    /// The call reached its longest duration.
    MaxDuration,
}

impl Timer {
    const ALL: [Self; 11] = [
        Self::EndOfTurn,
        Self::Finalize,
        Self::FalseInterruption,
        Self::HoldTooLong,
        Self::MarkMissing,
        Self::ReplyStalled,
        Self::Idle,
        Self::DtmfCollect,
        Self::TransferTooLong,
        Self::NoBeep,
        Self::MaxDuration,
    ];
}

/// When each timer fires, if it is set.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers([Option<MediaTime>; Timer::ALL.len()]);

impl Timers {
    pub(super) const fn set(&mut self, timer: Timer, at: MediaTime) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) const fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn stop_all(&mut self) {
        self.0 = Default::default();
    }

    pub(super) const fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// The earliest deadline with its owner; of equal ones, the first in the enum's order.
    pub(super) fn next(&self) -> Option<(MediaTime, Timer)> {
        Timer::ALL.into_iter().filter_map(|timer| Some((self.0[timer as usize]?, timer))).min()
    }

    /// Takes the earliest timer that is due.
    pub(super) fn expire(&mut self, now: MediaTime) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_only_when_it_is_due() {
        let mut timers = Timers::default();
        timers.set(Timer::Idle, MediaTime::from_millis(30));
        timers.set(Timer::EndOfTurn, MediaTime::from_millis(10));
        assert_eq!(timers.next(), Some((MediaTime::from_millis(10), Timer::EndOfTurn)));
        assert_eq!(timers.expire(MediaTime::from_millis(9)), None);
        assert_eq!(timers.expire(MediaTime::from_millis(30)), Some(Timer::EndOfTurn));
        assert_eq!(timers.expire(MediaTime::from_millis(30)), Some(Timer::Idle));
        assert_eq!(timers.next(), None);
    }
}
