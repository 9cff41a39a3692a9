//! What is known of a call when it is over: the server's events, the phone's report, the simulators' counters and the recording.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use serde_json::Value;
use trunkline_media::{
    call::CallSummary,
    event::{CallEvent, CallEventKind, HeardText},
};
use trunkline_sim::{
    audio::mulaw_decode,
    deepgram::{Message, SimEvent, SimEventKind},
    twilio::{
        CallReport,
        phone::{PhoneEvent, PhoneEventKind, PhoneReport},
    },
};

use super::scenario::Request;
use crate::{
    cli::audio::{FRAME, FRAME_LENGTH, Sides, is_loud},
    journal::{ConversationRow, EventRow, Journal, Rows, TurnRow, TurnSpeaker},
};

/// All that is known of the call.
#[derive(Debug, Default)]
pub struct Evidence {
    pub(super) requests: Vec<Request>,
    pub(super) greeting: String,
    /// Index of the step in which the caller talks over the agent.
    pub(super) barge_in_step: Option<usize>,
    /// The server's events, in order.
    pub events: Vec<CallEvent>,
    /// The rows that they make.
    pub journal: Collected,
    /// What the engine counted.
    pub summary: Option<CallSummary>,
    /// What the phone and the carrier saw.
    pub phone: Option<CallReport>,
    /// Words that the recogniser could not make out.
    pub unrecognised: u64,
    /// When the recogniser took back its guess that a turn was over.
    pub taken_back: Vec<Instant>,
    /// Connections that were still open when the call was long over.
    pub open: Vec<(&'static str, usize)>,
    /// The server's recording.
    pub recording: Option<Sides>,
    /// The conversation as the API returns it; null if it was not asked for.
    pub stored: Value,
}

/// How talking over the agent went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BargeIn {
    /// The caller did not get to it.
    Never,
    /// The agent was silent when the caller began: nothing was talked over, and nothing is proven.
    Silence,
    /// The agent went on.
    NotStopped,
    /// The agent was stopped.
    Stopped {
        /// From the caller's first sound to the agent's last.
        after: Duration,
    },
}

/// An agent that was heard so shortly before is in the middle of speaking.
const JUST_BEFORE: Duration = Duration::from_millis(100);

/// The rows of the call so far.
#[derive(Debug, Default)]
pub struct Collected {
    journal: Journal,
    rows: Rows,
}

impl Collected {
    fn handle_event(&mut self, event: &CallEvent) {
        self.journal.handle_event(event);
        self.rows.merge(self.journal.take());
    }

    /// The conversation's own columns.
    pub fn conversation(&self) -> ConversationRow {
        self.rows.conversation.clone().unwrap_or_default()
    }

    /// The transcript, by when speech began.
    pub fn turns(&self) -> Vec<TurnRow> {
        let mut turns = self.rows.turns.clone();
        turns.sort_by_key(|turn| (turn.started_ms, turn.turn));
        turns
    }

    /// What happened.
    pub fn events(&self) -> &[EventRow] {
        &self.rows.events
    }
}

/// A reply that was cut.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cut {
    pub(super) generated: String,
    pub(super) heard: HeardText,
}

impl Evidence {
    pub(super) fn push_event(&mut self, event: CallEvent) {
        self.journal.handle_event(&event);
        self.events.push(event);
    }

    pub(super) fn turns(&self, speaker: TurnSpeaker) -> Vec<TurnRow> {
        self.journal.turns().into_iter().filter(|turn| turn.speaker == speaker).collect()
    }

    pub(super) fn cuts(&self) -> Vec<Cut> {
        let cuts = self.events.iter().filter_map(|event| match &event.kind {
            CallEventKind::ReplyEnded { generated, heard, interrupted: true, .. } => {
                Some(Cut { generated: generated.expose().clone(), heard: heard.clone() })
            }
            _ => None,
        });
        cuts.collect()
    }

    /// The phone's one stream.
    pub(super) fn stream(&self) -> Option<&PhoneReport> {
        self.phone.as_ref().and_then(|phone| phone.streams.first())
    }

    /// Keeps what the recogniser's log tells of guesses.
    pub(super) fn heard_by_recogniser(&mut self, log: &[SimEvent]) {
        let taken_back =
            log.iter().filter(|event| matches!(event.kind, SimEventKind::Sent { kind: Message::TurnResumed, .. }));
        self.taken_back = taken_back.map(|event| event.at).collect();
    }

    /// From when to when the caller was busy with a step, on the phone's clock.
    pub(super) fn span(&self, step: usize) -> Option<Range<Duration>> {
        let stream = self.stream()?;
        let at = |step| stream.events.iter().find(|event| event.kind == PhoneEventKind::Step(step));
        Some(at(step)?.at..at(step + 1)?.at)
    }

    /// How many guesses were taken back within a time on the phone's clock.
    pub(super) fn taken_back_within(&self, span: &Range<Duration>) -> usize {
        let zero = self.stream().and_then(|stream| stream.started);
        let on_clock = |at: &&Instant| zero.is_some_and(|zero| span.contains(&at.saturating_duration_since(zero)));
        self.taken_back.iter().filter(on_clock).count()
    }

    /// The caller's turns that share some of a time with it. The call's clock and the phone's begin together, with the stream.
    pub(super) fn caller_turns_within(&self, span: &Range<Duration>) -> Vec<TurnRow> {
        let ms = |ms| Duration::from_millis(ms);
        let mut turns = self.turns(TurnSpeaker::Customer);
        turns.retain(|turn| ms(turn.started_ms) < span.end && span.start < ms(turn.ended_ms));
        turns
    }

    /// How talking over the agent went, by what the phone played.
    pub(super) fn barge_in(&self) -> BargeIn {
        let span = self.barge_in_step.and_then(|step| self.span(step));
        self.stream().zip(span).map_or(BargeIn::Never, |(stream, span)| BargeIn::of(stream, &span))
    }
}

impl BargeIn {
    /// How it went on this stream, in the time in which the caller was busy with it.
    fn of(stream: &PhoneReport, span: &Range<Duration>) -> Self {
        let began =
            |event: &&PhoneEvent| event.kind == PhoneEventKind::CallerStartedSpeaking && span.contains(&event.at);
        let Some(began) = stream.events.iter().find(began).map(|event| event.at) else { return Self::Never };
        let heard = |frame: usize| {
            let bytes = stream.playback.heard.chunks(FRAME).nth(frame).unwrap_or_default();
            let samples: Vec<i16> = bytes.iter().map(|byte| mulaw_decode(*byte)).collect();
            !samples.is_empty() && is_loud(&samples)
        };
        let frames = |at: Duration| (at.as_millis() / FRAME_LENGTH.as_millis()) as usize;
        if !(frames(began.saturating_sub(JUST_BEFORE))..frames(began)).any(heard) {
            return Self::Silence;
        }
        // All that is heard before it was cleared is of the reply that is cut, and nothing behind that is.
        let cleared = stream.playback.clears.iter().map(|clear| clear.at).find(|at| (began..span.end).contains(at));
        let Some(cleared) = cleared else { return Self::NotStopped };
        let last = (frames(began)..=frames(cleared)).rev().find(|frame| heard(*frame));
        let silent = last.map_or(began, |last| FRAME_LENGTH * (last as u32 + 1));
        Self::Stopped { after: silent.saturating_sub(began) }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_sim::{
        audio::mulaw_encode,
        twilio::{
            phone::{Sids, StreamEnd},
            playback::{Clearing, PlaybackReport, SILENCE},
        },
    };

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A caller who speaks over the agent from 2 s to 4 s, and an agent that is heard when this says so.
    fn barge_in(heard: &[(u64, u64)], cleared: Option<u64>) -> BargeIn {
        let mut bytes = vec![SILENCE; 8 * 6_000];
        for (from, to) in heard {
            bytes[8 * *from as usize..8 * *to as usize].fill(mulaw_encode(6_000));
        }
        let clears = cleared.map(|at| Clearing { at: ms(at), dropped: 800, marks: 1 });
        let event = |at, kind| PhoneEvent { at: ms(at), kind };
        let stream = PhoneReport {
            sids: Sids { account: "AC1".into(), call: "CA1".into(), stream: "MZ1".into() },
            url: String::new(),
            started: None,
            duration: ms(6_000),
            said: Vec::new(),
            playback: PlaybackReport {
                heard: bytes,
                clears: clears.into_iter().collect(),
                ..PlaybackReport::default()
            },
            marks: Vec::new(),
            warnings: Vec::new(),
            invalid: Vec::new(),
            invalid_count: 0,
            sent: 0,
            lost: 0,
            worst_lateness: Duration::ZERO,
            events: vec![
                event(0, PhoneEventKind::CallerStartedSpeaking),
                event(1_000, PhoneEventKind::Step(2)),
                event(2_000, PhoneEventKind::CallerStartedSpeaking),
                event(4_000, PhoneEventKind::Step(3)),
            ],
            ended: StreamEnd::HungUp,
        };
        BargeIn::of(&stream, &(ms(1_000)..ms(4_000)))
    }

    #[test]
    fn an_interruption_is_measured_to_the_last_sound_before_the_clear() {
        assert_eq!(barge_in(&[(500, 2_300)], Some(2_500)), BargeIn::Stopped { after: ms(300) });
        // The next answer is no part of it, however soon it comes.
        assert_eq!(barge_in(&[(500, 2_300), (3_000, 3_900)], Some(2_500)), BargeIn::Stopped { after: ms(300) });
        // Nor is a stop between two words its end.
        assert_eq!(barge_in(&[(500, 2_300), (2_700, 3_400)], Some(3_400)), BargeIn::Stopped { after: ms(1_400) });
        // An agent that was silent when the caller began was not stopped by it.
        assert_eq!(barge_in(&[(500, 1_800)], Some(2_500)), BargeIn::Silence);
        assert_eq!(barge_in(&[(500, 1_800), (2_200, 2_400)], Some(2_500)), BargeIn::Silence);
        assert_eq!(barge_in(&[(500, 5_500)], None), BargeIn::NotStopped);
        assert_eq!(barge_in(&[(500, 5_500)], Some(4_500)), BargeIn::NotStopped);
    }
}
