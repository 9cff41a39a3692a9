//! When each frame leaves.
//!
//! A carrier plays 20 ms in 20 ms. Frames leave a little before they are due, the *lead*, so that a late wakeup is not heard; and no
//! more than a little, because what the carrier holds is what an interruption has to take back. Deadlines are absolute: they are
//! counted from the moment the carrier began to play, never from the last wakeup, so lateness does not add up.

use std::time::Duration;

use super::FRAME;
use crate::time::MediaTime;

/// The lead where nothing else is asked for. Between 100 and 200 ms: below, a busy machine is heard; above, an interruption
/// has more to take back than a caller tolerates.
pub const DEFAULT_LEAD: Duration = Duration::from_millis(120);

/// Says when frames are to leave, so that a carrier which plays them as they come holds more than `lead` at each deadline and never
/// more than `lead` and one frame.
///
/// The driver's loop: [`Pacer::start`] when there is audio; at [`Pacer::deadline`], send [`Pacer::due`] frames and tell with
/// [`Pacer::sent`]; [`Pacer::idle`] when there is none left, or while the audio is held; [`Pacer::clear`] when the carrier is told to
/// drop what it has.
///
/// A carrier that has run dry begins anew with the next frame, so the schedule does too: else all that should have left meanwhile
/// would leave at once and stay with the carrier as delay for the rest of the call. A pause that the carrier doesn't notice, because
/// it still has audio when the next frame comes, changes nothing.
#[derive(Debug, Clone)]
pub struct Pacer {
    lead: Duration,
    schedule: Option<Schedule>,
    running: bool,
    underruns: u64,
}

/// What the carrier plays without a gap: it began at `anchor`, and has got so many frames.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    anchor: MediaTime,
    sent: u64,
}

impl Schedule {
    const fn new(anchor: MediaTime) -> Self {
        Self { anchor, sent: 0 }
    }

    fn after(self, frames: u64) -> MediaTime {
        self.anchor + Duration::from_nanos(frames.saturating_mul(FRAME.as_nanos() as u64))
    }

    /// When the carrier has played all that it has got.
    fn dry_at(self) -> MediaTime {
        self.after(self.sent)
    }

    /// When the next frame is to leave.
    fn deadline(self, lead: Duration) -> MediaTime {
        self.dry_at().saturating_sub(lead).max(self.anchor)
    }
}

impl Pacer {
    /// With this lead; [`DEFAULT_LEAD`] is a good one.
    pub const fn new(lead: Duration) -> Self {
        Self { lead, schedule: None, running: false, underruns: 0 }
    }

    /// There is audio to send, from `now`. Goes on with the schedule if the carrier has not run dry yet. May be repeated.
    pub fn start(&mut self, now: MediaTime) {
        if !self.running {
            self.running = true;
            if self.schedule.is_none_or(|schedule| schedule.dry_at() <= now) {
                self.schedule = Some(Schedule::new(now));
            }
        }
    }

    /// There is nothing to send: no deadline until the next start. The carrier goes on playing what it has.
    pub const fn idle(&mut self) {
        self.running = false;
    }

    /// The carrier was told to drop what it has: nothing to send, and the next start begins anew.
    pub const fn clear(&mut self) {
        self.running = false;
        self.schedule = None;
    }

    /// How many frames are to leave now. The first time that is the whole lead.
    ///
    /// If the carrier has run dry although there was audio, that is counted (see [`Pacer::underruns`]) and the schedule begins anew.
    pub fn due(&mut self, now: MediaTime) -> u32 {
        let Some(schedule) = self.schedule.as_mut().filter(|_| self.running) else { return 0 };
        if schedule.sent > 0 && schedule.dry_at() <= now {
            self.underruns += 1;
            *schedule = Schedule::new(now);
        }
        let elapsed = now.saturating_since(schedule.anchor);
        let until = (elapsed + self.lead).as_nanos() / FRAME.as_nanos() + 1;
        let due = u64::try_from(until).unwrap_or(u64::MAX).saturating_sub(schedule.sent);
        // A first frame that leaves late, by more than the carrier could hold, begins the schedule when it leaves.
        u32::try_from(due.min(self.burst())).unwrap_or(u32::MAX)
    }

    /// So many frames have left.
    pub fn sent(&mut self, frames: u32, now: MediaTime) {
        if frames == 0 {
            return;
        }
        let schedule = self.schedule.get_or_insert(Schedule::new(now));
        if schedule.dry_at() < now {
            // Nothing had left before, or not in time: the carrier begins to play with these.
            *schedule = Schedule::new(now);
        }
        schedule.sent += u64::from(frames);
    }

    /// When the next frame is to leave; it may have passed. `None` while there is nothing to send.
    pub fn deadline(&self) -> Option<MediaTime> {
        self.running.then_some(self.schedule?.deadline(self.lead))
    }

    /// How late the next frame is, if it left now: for the histogram.
    pub fn lateness(&self, now: MediaTime) -> Duration {
        self.deadline().map_or(Duration::ZERO, |deadline| now.saturating_since(deadline))
    }

    /// How much audio the carrier holds, unplayed, if it plays what it gets at once.
    pub fn ahead(&self, now: MediaTime) -> Duration {
        self.schedule.map_or(Duration::ZERO, |schedule| schedule.dry_at().saturating_since(now))
    }

    /// When the carrier will have played all that it has got; what leaves now will be heard from then on, or from now if that has
    /// passed.
    pub fn heard_from(&self, now: MediaTime) -> MediaTime {
        now + self.ahead(now)
    }

    /// The lead.
    pub const fn lead(&self) -> Duration {
        self.lead
    }

    /// How often the carrier has run dry while there was audio to send.
    pub const fn underruns(&self) -> u64 {
        self.underruns
    }

    /// The most frames that a carrier is given at once: a lead and one.
    const fn burst(&self) -> u64 {
        (self.lead.as_nanos() / FRAME.as_nanos()) as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn at(ms: u64) -> MediaTime {
        MediaTime::from_millis(ms)
    }

    /// Sends what is due; how many frames that was.
    fn send(pacer: &mut Pacer, now: MediaTime) -> u32 {
        let due = pacer.due(now);
        pacer.sent(due, now);
        due
    }

    fn started(lead_ms: u64) -> Pacer {
        let mut pacer = Pacer::new(Duration::from_millis(lead_ms));
        pacer.start(at(1000));
        pacer
    }

    #[test]
    fn the_lead_leaves_at_once_and_then_a_frame_every_20_ms() {
        let mut pacer = started(120);
        assert_eq!(pacer.deadline(), Some(at(1000)));
        assert_eq!(send(&mut pacer, at(1000)), 7);
        assert_eq!(pacer.ahead(at(1000)), Duration::from_millis(140));
        for n in 1..100 {
            let deadline = pacer.deadline().unwrap();
            assert_eq!(deadline, at(1000 + 20 * n));
            assert_eq!(pacer.due(deadline.saturating_sub(Duration::from_nanos(1))), 0);
            assert_eq!(send(&mut pacer, deadline), 1);
        }
    }

    #[test]
    fn no_lead_is_a_frame_at_a_time() {
        let mut pacer = started(0);
        assert_eq!(send(&mut pacer, at(1000)), 1);
        assert_eq!(pacer.deadline(), Some(at(1020)));
    }

    #[test]
    fn late_once_is_not_late_for_ever() {
        let mut pacer = started(120);
        send(&mut pacer, at(1000));
        assert_eq!(pacer.lateness(at(1095)), Duration::from_millis(75));
        assert_eq!(send(&mut pacer, at(1095)), 4);
        assert_eq!(pacer.deadline(), Some(at(1100)));
        assert_eq!(pacer.underruns(), 0);
    }

    #[test]
    fn jittered_wakeups_do_not_drift_over_half_an_hour() {
        const HALF_HOUR: u64 = 30 * 60 * 1000;
        let mut rng = StdRng::seed_from_u64(20);
        let mut pacer = started(120);
        let (mut now, mut sent) = (at(1000), 0_u64);
        while now < at(1000 + HALF_HOUR) {
            sent += u64::from(send(&mut pacer, now));
            let late = Duration::from_micros(rng.random_range(0..100_000));
            now = pacer.deadline().unwrap() + late;
            assert!(pacer.ahead(now) > Duration::ZERO, "dry at {now}");
        }
        assert_eq!(pacer.underruns(), 0);
        let end = at(1000 + HALF_HOUR);
        sent += u64::from(send(&mut pacer, end));
        assert_eq!(sent, HALF_HOUR / 20 + 7);
    }

    #[test]
    fn a_stall_does_not_become_delay() {
        let mut pacer = started(120);
        send(&mut pacer, at(1000));
        // The machine slept for two seconds: the carrier ran dry at 1140.
        assert_eq!(send(&mut pacer, at(3000)), 7);
        assert_eq!(pacer.underruns(), 1);
        assert_eq!(pacer.ahead(at(3000)), Duration::from_millis(140));
        assert_eq!(pacer.deadline(), Some(at(3020)));
    }

    #[test]
    fn a_pause_that_the_carrier_does_not_notice_changes_nothing() {
        let mut pacer = started(120);
        send(&mut pacer, at(1000));
        pacer.idle();
        assert_eq!(pacer.deadline(), None);
        assert_eq!(pacer.due(at(1100)), 0);
        pacer.start(at(1100));
        assert_eq!(send(&mut pacer, at(1100)), 5);
        assert_eq!(pacer.deadline(), Some(at(1120)));
    }

    #[test]
    fn a_pause_longer_than_the_lead_begins_anew() {
        let mut pacer = started(120);
        send(&mut pacer, at(1000));
        pacer.idle();
        pacer.start(at(1150));
        assert_eq!(send(&mut pacer, at(1150)), 7);
        assert_eq!(pacer.deadline(), Some(at(1170)));
        // Nobody was kept waiting: there was nothing to send.
        assert_eq!(pacer.underruns(), 0);
    }

    #[test]
    fn a_cleared_carrier_begins_anew() {
        let mut pacer = started(120);
        send(&mut pacer, at(1000));
        pacer.clear();
        assert_eq!(pacer.ahead(at(1010)), Duration::ZERO);
        pacer.start(at(1010));
        assert_eq!(send(&mut pacer, at(1010)), 7);
    }

    #[test]
    fn a_first_frame_that_leaves_late_begins_the_schedule() {
        let mut pacer = started(120);
        assert_eq!(send(&mut pacer, at(1500)), 7);
        assert_eq!(pacer.deadline(), Some(at(1520)));
        assert_eq!(pacer.underruns(), 0);
    }

    /// A carrier that plays what it gets: how much it holds.
    #[derive(Default)]
    struct Carrier {
        dry_at: MediaTime,
    }

    impl Carrier {
        fn play(&mut self, frames: u32, now: MediaTime) -> Duration {
            self.dry_at = self.dry_at.max(now) + FRAME * frames;
            self.dry_at.saturating_since(now)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_carrier_never_holds_more_than_the_lead_and_a_frame(
            lead in 0..250_u64,
            steps in prop::collection::vec((0..400_000_u64, 0..12_u32, 0..8_u8), 1..200),
        ) {
            let lead = Duration::from_millis(lead);
            let (mut pacer, mut carrier, mut now) = (Pacer::new(lead), Carrier::default(), MediaTime::ZERO);
            for (elapsed, available, what) in steps {
                // Small steps are the rule.
                now += Duration::from_micros(if what < 6 { elapsed / 10 } else { elapsed });
                pacer.start(now);
                if what == 7 {
                    pacer.clear();
                    carrier = Carrier::default();
                    continue;
                }
                let due = pacer.due(now);
                let sent = due.min(available);
                pacer.sent(sent, now);
                let held = carrier.play(sent, now);
                prop_assert!(held <= lead + FRAME, "{held:?}");
                prop_assert_eq!(pacer.ahead(now), carrier.dry_at.saturating_since(now));
                if sent == due {
                    prop_assert!(held > lead.saturating_sub(FRAME));
                } else {
                    pacer.idle();
                }
            }
        }
    }
}
