//! What a carrier does with the audio a server sends: one queue of bytes with marks bound to positions in it, played at 8000 bytes a
//! second of µ-law, which is what a telephone hears whatever the carrier speaks. Pure: time comes in as the time since the stream's start, its media clock.
//!
//! Audio leaves the queue in whole ticks of 20 ms on an absolute clock: tick *n* takes up to 160 bytes at *n* × 20 ms and has played
//! them when tick *n* + 1 begins. What it can't fill is silence. What is handed in before [`Playback::handle_timeout`] still counts for
//! the ticks then due: a simulator that is late reads its socket first, and doesn't blame the server for its own lateness.

use std::{collections::VecDeque, time::Duration};

/// Length of one tick.
pub const TICK: Duration = Duration::from_millis(20);
/// Bytes played in one tick.
pub const TICK_BYTES: usize = 160;
/// A byte of µ-law silence.
pub const SILENCE: u8 = 0xff;
/// Ten minutes of audio: what Twilio's queue holds at most.
pub const QUEUE_LIMIT: usize = 4_800_000;

/// A mark that goes back to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedMark {
    /// Its name.
    pub name: String,
    /// When it is returned, on the media clock.
    pub at: Duration,
    /// It is returned because of a `clear`: the audio before it was not heard to its end.
    pub cleared: bool,
}

/// A time at which the queue ran dry while it was playing. Whether that was the end of what the server had to say or an underrun,
/// only its length and [`Gap::marked`] can tell: see [`PlaybackReport::underruns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When the last byte had been played.
    pub dry_at: Duration,
    /// When audio arrived again; `None` when none did, or not before a `clear`.
    pub refilled_at: Option<Duration>,
    /// A mark stood at the very end of what was played: the sender had told that a stretch ends there.
    pub marked: bool,
}

/// One media message: when it arrived and how many bytes of audio it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// On the media clock.
    pub at: Duration,
    /// Bytes of audio.
    pub bytes: usize,
}

/// A `clear` and what it took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearing {
    /// On the media clock.
    pub at: Duration,
    /// Bytes that were queued and never played.
    pub dropped: usize,
    /// Marks it returned.
    pub marks: usize,
}

/// The facts of one stream's playback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaybackReport {
    /// The µ-law bytes played, one per 125 µs of the media clock, silence where nothing was; empty if not recorded.
    pub heard: Vec<u8>,
    /// Every media message.
    pub arrivals: Vec<Arrival>,
    /// Every time the queue ran dry.
    pub gaps: Vec<Gap>,
    /// Every `clear`.
    pub clears: Vec<Clearing>,
    /// Bytes played.
    pub played: u64,
    /// Bytes dropped because the queue was full.
    pub overflowed: u64,
}

impl PlaybackReport {
    /// Gaps inside a stretch of speech: no mark stood before them and audio came again within `longest`.
    pub fn underruns(&self, longest: Duration) -> usize {
        let inside = |gap: &&Gap| {
            !gap.marked && gap.refilled_at.is_some_and(|refilled| refilled.saturating_sub(gap.dry_at) <= longest)
        };
        self.gaps.iter().filter(inside).count()
    }
}

/// The queue and what became of it.
#[derive(Debug, Default)]
pub struct Playback {
    queue: VecDeque<u8>,
    /// Marks not yet returned, with the count of bytes that must have been played first.
    marks: VecDeque<(u64, String)>,
    returned: VecDeque<ReturnedMark>,
    /// Ticks begun.
    ticks: u64,
    /// Bytes taken from the queue, by playing or clearing.
    taken: u64,
    /// Bytes taken whose tick is over.
    finished: u64,
    /// Position of the last mark accepted.
    last_mark: Option<u64>,
    dry: bool,
    /// The last gap has neither been refilled nor been ended by a `clear`.
    gap_open: bool,
    record: bool,
    rules: PlaybackRules,
    report: PlaybackReport,
}

/// Where carriers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaybackRules {
    /// Bytes that the queue holds at most.
    pub limit: usize,
    /// What a `clear` does with the marks that wait: it returns them, or forgets them.
    pub returns_cleared: bool,
}

impl Default for PlaybackRules {
    /// Twilio's: ten minutes, and every mark comes back.
    fn default() -> Self {
        Self { limit: QUEUE_LIMIT, returns_cleared: true }
    }
}

impl Playback {
    /// An empty queue at the start of the stream. `record` keeps every byte played: 8 kB a second.
    pub fn new(record: bool) -> Self {
        Self { dry: true, record, ..Self::default() }
    }

    /// The same, with another carrier's rules.
    #[must_use]
    pub fn with_rules(mut self, rules: PlaybackRules) -> Self {
        self.rules = rules;
        self
    }

    /// Queues audio. Returns `false` when the queue is full and the rest of the message was dropped.
    pub fn handle_media(&mut self, now: Duration, audio: &[u8]) -> bool {
        self.report.arrivals.push(Arrival { at: now, bytes: audio.len() });
        if self.dry && !audio.is_empty() {
            self.dry = false;
            if std::mem::take(&mut self.gap_open)
                && let Some(gap) = self.report.gaps.last_mut()
            {
                gap.refilled_at = Some(now);
            }
        }
        let room = self.rules.limit.saturating_sub(self.queue.len());
        let accepted = audio.len().min(room);
        self.queue.extend(&audio[..accepted]);
        self.report.overflowed += (audio.len() - accepted) as u64;
        accepted == audio.len()
    }

    /// Binds a mark to the end of what is queued; it is returned at once if all of that has been played.
    pub fn handle_mark(&mut self, now: Duration, name: String) {
        let position = self.taken + self.queue.len() as u64;
        self.last_mark = Some(position);
        self.marks.push_back((position, name));
        self.return_marks(now, false);
    }

    /// Drops what is queued and returns every pending mark. The tick that is playing is heard to its end.
    pub fn handle_clear(&mut self, now: Duration) -> Clearing {
        let clearing = Clearing { at: now, dropped: self.queue.len(), marks: self.marks.len() };
        self.report.clears.push(clearing);
        self.taken += self.queue.len() as u64;
        self.queue.clear();
        // What a clear ends is no gap.
        self.dry = true;
        self.gap_open = false;
        if self.rules.returns_cleared {
            self.return_marks(now, true);
        } else {
            self.marks.clear();
        }
        clearing
    }

    /// When the next tick begins.
    pub fn poll_timeout(&self) -> Duration {
        tick_time(self.ticks)
    }

    /// Begins every tick that is due, handing each with its time and its 160 bytes to `played`.
    pub fn handle_timeout(&mut self, now: Duration, mut played: impl FnMut(Duration, &[u8; TICK_BYTES])) {
        while self.poll_timeout() <= now {
            let at = self.poll_timeout();
            self.finished = self.taken;
            self.return_marks(at, false);
            let mut frame = [SILENCE; TICK_BYTES];
            let audible = self.queue.len().min(TICK_BYTES);
            for (place, byte) in frame.iter_mut().zip(self.queue.drain(..audible)) {
                *place = byte;
            }
            self.taken += audible as u64;
            self.report.played += audible as u64;
            if audible < TICK_BYTES && !self.dry {
                self.dry = true;
                self.gap_open = true;
                let dry_at = at + Duration::from_micros(125 * audible as u64);
                let marked = self.last_mark == Some(self.taken);
                self.report.gaps.push(Gap { dry_at, refilled_at: None, marked });
            }
            if self.record {
                self.report.heard.extend_from_slice(&frame);
            }
            self.ticks += 1;
            played(at, &frame);
        }
    }

    /// The next mark to return to the server, in the order in which they were sent.
    pub fn poll_mark(&mut self) -> Option<ReturnedMark> {
        self.returned.pop_front()
    }

    /// Nothing is queued; the last tick may still be playing.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The facts so far.
    pub fn report(&self) -> &PlaybackReport {
        &self.report
    }

    /// The facts, at the end.
    pub fn into_report(self) -> PlaybackReport {
        self.report
    }

    fn return_marks(&mut self, at: Duration, cleared: bool) {
        while let Some((_, name)) = self.marks.pop_front_if(|(position, _)| cleared || *position <= self.finished) {
            self.returned.push_back(ReturnedMark { name, at, cleared });
        }
    }
}

fn tick_time(tick: u64) -> Duration {
    Duration::from_nanos(tick * TICK.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn run(playback: &mut Playback, until: Duration) {
        playback.handle_timeout(until, |_, _| {});
    }

    fn marks(playback: &mut Playback) -> Vec<(String, u64, bool)> {
        std::iter::from_fn(|| playback.poll_mark())
            .map(|mark| (mark.name, mark.at.as_millis() as u64, mark.cleared))
            .collect()
    }

    #[test]
    fn audio_leaves_at_eight_bytes_a_millisecond() {
        let mut playback = Playback::new(true);
        run(&mut playback, ms(0));
        assert!(playback.handle_media(ms(5), &[1; 400]));
        run(&mut playback, ms(99));
        let report = playback.into_report();
        assert_eq!(report.heard.len(), 5 * 160);
        assert!(report.heard[..160].iter().all(|&byte| byte == SILENCE));
        assert!(report.heard[160..560].iter().all(|&byte| byte == 1));
        assert!(report.heard[560..].iter().all(|&byte| byte == SILENCE));
        assert_eq!((report.played, report.arrivals), (400, vec![Arrival { at: ms(5), bytes: 400 }]));
        // 400 bytes from 20 ms on last 50 ms.
        assert_eq!(report.gaps, [Gap { dry_at: ms(70), refilled_at: None, marked: false }]);
    }

    #[test]
    fn ten_seconds_sent_at_once_play_exactly_ten_seconds() {
        let mut playback = Playback::new(false);
        playback.handle_media(ms(0), &[2; 80_000]);
        playback.handle_mark(ms(0), "end".into());
        let mut ticks = 0;
        // The clock is read late and irregularly: nothing adds up.
        for now in (7..10_000).step_by(33).chain([9_999, 10_013]) {
            assert_eq!(marks(&mut playback), [], "{now}");
            playback.handle_timeout(ms(now), |_, frame| ticks += usize::from(frame == &[2; 160]));
        }
        assert_eq!((ticks, marks(&mut playback)), (500, vec![("end".into(), 10_000, false)]));
    }

    #[test]
    fn marks_return_when_what_stands_before_them_has_been_played() {
        let mut playback = Playback::new(false);
        playback.handle_mark(ms(0), "before".into());
        assert_eq!(marks(&mut playback), [("before".into(), 0, false)]);
        playback.handle_media(ms(0), &[1; 160]);
        playback.handle_mark(ms(0), "a".into());
        playback.handle_media(ms(0), &[1; 161]);
        playback.handle_mark(ms(0), "b".into());
        playback.handle_mark(ms(0), "b2".into());
        run(&mut playback, ms(0));
        assert_eq!(marks(&mut playback), []);
        run(&mut playback, ms(20));
        assert_eq!(marks(&mut playback), [("a".into(), 20, false)]);
        run(&mut playback, ms(40));
        // The queue is empty, but its last byte is playing: a mark has to wait for it.
        assert!(playback.is_empty());
        playback.handle_mark(ms(45), "c".into());
        assert_eq!(marks(&mut playback), []);
        run(&mut playback, ms(60));
        let at_sixty = |name: &str| (name.to_owned(), 60, false);
        assert_eq!(marks(&mut playback), [at_sixty("b"), at_sixty("b2"), at_sixty("c")]);
    }

    #[test]
    fn clear_empties_the_queue_and_returns_all_marks() {
        let mut playback = Playback::new(true);
        playback.handle_media(ms(0), &[1; 1600]);
        playback.handle_mark(ms(0), "a".into());
        playback.handle_media(ms(0), &[1; 1600]);
        playback.handle_mark(ms(0), "b".into());
        run(&mut playback, ms(40));
        let clearing = playback.handle_clear(ms(50));
        assert_eq!(clearing, Clearing { at: ms(50), dropped: 3200 - 480, marks: 2 });
        assert_eq!(marks(&mut playback), [("a".into(), 50, true), ("b".into(), 50, true)]);
        // What comes after starts a new queue.
        run(&mut playback, ms(60));
        playback.handle_media(ms(70), &[3; 160]);
        playback.handle_mark(ms(70), "c".into());
        run(&mut playback, ms(120));
        assert_eq!(marks(&mut playback), [("c".into(), 100, false)]);
        let report = playback.into_report();
        let expected = [vec![1; 480], vec![SILENCE; 160], vec![3; 160], vec![SILENCE; 160]].concat();
        assert_eq!(report.heard[..960], expected);
        assert_eq!(report.gaps, [Gap { dry_at: ms(100), refilled_at: None, marked: true }]);
    }

    #[test]
    fn a_gap_is_an_underrun_when_the_stretch_goes_on() {
        let mut playback = Playback::new(false);
        playback.handle_media(ms(0), &[1; 160]);
        run(&mut playback, ms(60));
        playback.handle_media(ms(70), &[1; 160]);
        playback.handle_mark(ms(70), "end".into());
        run(&mut playback, ms(140));
        playback.handle_media(ms(150), &[1; 160]);
        run(&mut playback, ms(1000));
        playback.handle_media(ms(1010), &[1; 160]);
        let gap = |dry, refilled, marked| Gap { dry_at: ms(dry), refilled_at: Some(ms(refilled)), marked };
        let report = playback.report();
        assert_eq!(report.gaps, [gap(20, 70, false), gap(100, 150, true), gap(180, 1010, false)]);
        assert_eq!((report.underruns(ms(500)), report.underruns(ms(40)), report.underruns(ms(900))), (1, 0, 2));
    }

    #[test]
    fn a_carrier_may_forget_what_a_clear_overtakes_and_hold_less() {
        let rules = PlaybackRules { limit: 320, returns_cleared: false };
        let mut playback = Playback::new(false).with_rules(rules);
        assert!(playback.handle_media(ms(0), &[1; 320]));
        assert!(!playback.handle_media(ms(0), &[1; 160]));
        playback.handle_mark(ms(0), "a".into());
        assert_eq!(playback.handle_clear(ms(10)), Clearing { at: ms(10), dropped: 320, marks: 1 });
        run(&mut playback, ms(200));
        assert_eq!(marks(&mut playback), []);
        assert_eq!(playback.report().overflowed, 160);
    }

    #[test]
    fn ten_minutes_fit_and_no_byte_more() {
        let mut playback = Playback::new(false);
        assert!(playback.handle_media(ms(0), &vec![1; QUEUE_LIMIT]));
        assert!(!playback.handle_media(ms(0), &[1; 10]));
        run(&mut playback, ms(0));
        assert!(playback.handle_media(ms(1), &[1; 160]));
        assert!(!playback.handle_media(ms(1), &[1; 1]));
        assert_eq!(playback.report().overflowed, 11);
    }
}
