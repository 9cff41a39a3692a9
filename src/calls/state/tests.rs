use proptest::prelude::*;

use super::*;

const ALL: [CarrierStatus; 11] = [
    CarrierStatus::Queued,
    CarrierStatus::Initiated,
    CarrierStatus::Ringing,
    CarrierStatus::Answered,
    CarrierStatus::Completed,
    CarrierStatus::Busy,
    CarrierStatus::NoAnswer,
    CarrierStatus::Rejected,
    CarrierStatus::InvalidNumber,
    CarrierStatus::Canceled,
    CarrierStatus::Failed,
];

fn any_status() -> impl Strategy<Value = CarrierStatus> {
    prop::sample::select(ALL.to_vec())
}

/// What a carrier tells of one call, in its order: some of the steps, and one end.
fn history() -> impl Strategy<Value = Vec<Report>> {
    (prop::sample::subsequence(ALL[..4].to_vec(), 0..=4), prop::sample::select(ALL[4..].to_vec()), any::<bool>())
        .prop_map(|(steps, end, counted)| {
            let statuses = steps.into_iter().chain([end]);
            statuses.zip(0..).map(|(status, n)| Report { status, seq: counted.then_some(n) }).collect()
        })
}

/// The same, with repeats, in any order.
fn delivered() -> impl Strategy<Value = (Vec<Report>, Vec<Report>)> {
    history().prop_flat_map(|history| {
        let twice: Vec<Report> = history.iter().chain(&history).copied().collect();
        (Just(history), Just(twice).prop_shuffle())
    })
}

fn begun() -> Leg {
    Leg { status: CarrierStatus::Queued, last_seq: None }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order and the repeats, the call ends as its carrier says, and once.
    #[test]
    fn any_order_with_repeats_ends_the_same((history, delivered) in delivered()) {
        let end = history.last().unwrap();
        let mut leg = begun();
        let steps: Vec<Step> = delivered.iter().map(|report| leg.handle_report(*report)).collect();
        prop_assert_eq!(leg.status, end.status);
        prop_assert_eq!(steps.iter().filter(|step| **step == Step::Over).count(), 1);
        // What comes after the end changes nothing, its number included.
        let over = steps.iter().position(|step| *step == Step::Over).unwrap();
        prop_assert!(steps[over + 1..].iter().all(|step| *step == Step::Settled));
        let counted: Option<i32> = delivered[..=over].iter().filter_map(|report| report.seq).max();
        prop_assert_eq!(leg.last_seq, counted);
    }

    /// A call never goes back, and what is settled stays, whatever nonsense comes.
    #[test]
    fn a_leg_goes_one_way(reports in prop::collection::vec((any_status(), any::<Option<i32>>()), 0..40)) {
        let mut leg = begun();
        let mut settled = None;
        for (status, seq) in reports {
            let before = leg;
            let step = leg.handle_report(Report { status, seq });
            prop_assert!(leg.status.rank() >= before.status.rank());
            prop_assert_eq!(step == Step::Settled, before.status.is_terminal());
            prop_assert_eq!(matches!(step, Step::Moved | Step::Over), leg.status != before.status);
            prop_assert_eq!(step == Step::Over, leg.status.is_terminal() && !before.status.is_terminal());
            if leg.status.is_terminal() {
                prop_assert_eq!(*settled.get_or_insert(leg), leg);
            }
            // What was stored and read again is the same.
            prop_assert_eq!(Leg::stored(leg.status.name(), i32::from(leg.status.rank()), leg.last_seq), leg);
        }
    }

    /// There is a verdict for every end and for nothing else, and completed is what was answered and failed by nobody.
    #[test]
    fn every_end_has_a_verdict(
        status in any_status(),
        outbound: bool,
        answered: bool,
        ending in prop::option::of(prop::sample::select(vec!["agent_hangup", "api_hangup", "vendor_failed", "idle"])),
    ) {
        let verdict = verdict(status, Known { outbound, answered, ending });
        prop_assert_eq!(verdict.is_some(), status.is_terminal());
        if let Some(verdict) = verdict {
            prop_assert_eq!(verdict.status == "completed", answered && !is_fault(verdict.reason));
        }
    }
}

#[test]
fn what_an_end_means() {
    use CarrierStatus::{Busy, Canceled, Completed, Failed, InvalidNumber, NoAnswer, Rejected, Ringing};
    let told = |status, answered, ending| {
        let verdict = verdict(status, Known { outbound: true, answered, ending });
        verdict.map(|verdict| (verdict.status, verdict.reason))
    };
    for (status, reason) in [
        (Busy, "busy"),
        (NoAnswer, "no_answer"),
        (Rejected, "rejected"),
        (InvalidNumber, "invalid_number"),
        (Canceled, "canceled"),
        (Failed, "carrier_failed"),
        (Completed, "media_lost"),
    ] {
        assert_eq!(told(status, false, None), Some(("failed", reason)));
    }
    assert_eq!(told(Ringing, false, None), None);
    assert_eq!(told(Completed, true, None), Some(("completed", "caller_hangup")));
    assert_eq!(told(Failed, true, None), Some(("failed", "carrier_failed")));
    assert_eq!(told(Completed, true, Some("agent_hangup")), Some(("completed", "agent_hangup")));
    assert_eq!(told(Completed, true, Some("vendor_failed")), Some(("failed", "vendor_failed")));
    // Given up by us before anybody answered.
    assert_eq!(told(Canceled, false, Some("api_hangup")), Some(("failed", "api_hangup")));
    assert_eq!(told(Busy, false, Some("api_hangup")), Some(("failed", "busy")));
    let inbound = verdict(Completed, Known { outbound: false, answered: false, ending: None });
    assert_eq!(inbound, Some(Verdict { status: "failed", reason: "caller_hangup" }));
}

#[test]
fn a_word_that_nobody_knows_means_what_its_rank_does() {
    assert_eq!(Leg::stored("in-progress", 3, None).status, CarrierStatus::Answered);
    assert!(Leg::stored("gone", 4, None).status.is_terminal());
    assert_eq!(Leg::stored("", -1, None).status, CarrierStatus::Queued);
}
