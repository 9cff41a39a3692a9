//! Rows may be taken at any time: whoever writes after every event and whoever writes once at the end have the same in the end.

use std::time::Duration;

use proptest::{prelude::*, sample::Index};
use trunkline::journal::{Journal, Rows};
use trunkline_base::Personal;
use trunkline_media::{
    event::{CallEvent, CallEventKind, EndReason, HeardText, Speaker, Stability, TurnLatency, TurnSource},
    ids::{ReplyId, TurnId},
    time::MediaTime,
};

/// Some event of a call, in no order that a call would have them.
fn kind() -> impl Strategy<Value = CallEventKind> {
    let turn = || (1..40_u32).prop_map(TurnId);
    let speaker = || prop_oneof![3 => Just(Speaker::Caller), 1 => Just(Speaker::Agent)];
    let text = || "[a-z]{1,5}".prop_map(Personal::new);
    prop_oneof![
        1 => Just(CallEventKind::Answered),
        1 => any::<bool>().prop_map(|reattached| CallEventKind::StreamAttached { stream: "MZ".into(), reattached }),
        3 => (turn(), speaker()).prop_map(|(turn, speaker)| CallEventKind::TurnStarted { turn, speaker }),
        2 => (turn(), any::<bool>(), text()).prop_map(|(turn, last, text)| CallEventKind::Transcript {
            turn,
            stability: if last { Stability::Final } else { Stability::Interim },
            text,
        }),
        8 => (turn(), speaker(), text(), 0..90_000_u64).prop_map(|(turn, speaker, text, at)| CallEventKind::TurnEnded {
            turn,
            speaker,
            text,
            started: MediaTime::from_millis(at),
            ended: MediaTime::from_millis(at + 900),
            source: TurnSource::Speech,
        }),
        2 => turn().prop_map(|turn| CallEventKind::ReplyStarted {
            reply: ReplyId(turn.0),
            turn,
            source: TurnSource::Llm
        }),
        2 => (turn(), text(), any::<bool>()).prop_map(|(turn, generated, interrupted)| CallEventKind::ReplyEnded {
            reply: ReplyId(turn.0),
            turn,
            generated,
            heard: HeardText::default(),
            interrupted,
        }),
        8 => turn().prop_map(|turn| CallEventKind::Latency(TurnLatency {
            turn,
            reply: ReplyId(turn.0),
            endpoint_delay: Duration::from_millis(500),
            transcription_delay: None,
            ttft: None,
            ttfb: None,
            playout: Duration::ZERO,
            response_latency: Duration::from_millis(900),
            speculative: false,
        })),
        2 => any::<bool>().prop_map(|wasted| CallEventKind::Usage {
            provider: "llm".into(),
            unit: "prompt_tokens".into(),
            quantity: 5,
            wasted,
        }),
        1 => prop_oneof![Just(EndReason::CallerHangup), Just(EndReason::MediaLost)]
            .prop_map(|reason| CallEventKind::Ended { reason }),
    ]
}

/// Each row once, as it was written last.
fn rows(events: &[CallEvent], resumed: bool, take_after: impl Fn(usize) -> bool) -> Rows {
    let mut journal = if resumed { Journal::resumed() } else { Journal::default() };
    let mut all = Rows::default();
    for (index, event) in events.iter().enumerate() {
        journal.handle_event(event);
        if take_after(index) {
            all.merge(journal.take());
        }
    }
    all.merge(journal.take());
    assert!(journal.take().is_empty(), "nothing comes twice by itself");
    all
}

proptest! {
    #[test]
    fn when_rows_are_taken_makes_no_difference(
        kinds in prop::collection::vec(kind(), 0..120),
        resumed in any::<bool>(),
        takes in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let event = |(seq, kind): (usize, &CallEventKind)| CallEvent {
            seq: seq as u64,
            at: MediaTime::from_millis(seq as u64 * 100),
            kind: kind.clone(),
        };
        let events: Vec<_> = kinds.iter().enumerate().map(event).collect();
        let at_the_end = rows(&events, resumed, |_| false);
        prop_assert_eq!(&rows(&events, resumed, |_| true), &at_the_end);
        let some: Vec<usize> = if events.is_empty() { vec![] } else { takes.iter().map(|at| at.index(events.len())).collect() };
        prop_assert_eq!(&rows(&events, resumed, |index| some.contains(&index)), &at_the_end);
        // And nothing is missing that was told.
        let stored = |event: &&CallEvent| !matches!(event.kind, CallEventKind::Transcript { stability: Stability::Interim, .. });
        prop_assert_eq!(at_the_end.events.len(), events.iter().filter(stored).count());
        for event in &events {
            if let CallEventKind::TurnEnded { turn, .. } = event.kind {
                prop_assert_eq!(at_the_end.turns.iter().filter(|row| row.turn == turn.0).count(), 1);
            }
        }
    }
}
