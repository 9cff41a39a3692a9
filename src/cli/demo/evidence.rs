//! What is known of a call when it is over: the server's events, the phone's report, the simulators' counters and the recording.

use std::time::Duration;

use trunkline_media::{
    call::CallSummary,
    event::{CallEvent, CallEventKind, HeardText},
};
use trunkline_sim::{
    audio::mulaw_decode,
    twilio::{
        CallReport,
        phone::{PhoneEventKind, PhoneReport},
    },
};

use super::scenario::Request;
use crate::{
    cli::audio::{FRAME, FRAME_LENGTH, Sides, is_loud},
    journal::{Journal, TurnRow, TurnSpeaker},
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
    pub journal: Journal,
    /// What the engine counted.
    pub summary: Option<CallSummary>,
    /// What the phone and the carrier saw.
    pub phone: Option<CallReport>,
    /// Words that the recogniser could not make out.
    pub unrecognised: u64,
    /// Guesses at the end of a turn that were taken back.
    pub resumed: usize,
    /// Connections that were still open when the call was long over.
    pub open: Vec<(&'static str, usize)>,
    /// The server's recording.
    pub recording: Option<Sides>,
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

    /// For how long the agent was still heard after the caller began to talk over it; `None`: that never happened.
    pub(super) fn stopped_after(&self) -> Option<Duration> {
        let stream = self.stream()?;
        let step = PhoneEventKind::Step(self.barge_in_step?);
        let mut events = stream.events.iter().skip_while(|event| event.kind != step);
        let began = events.find(|event| event.kind == PhoneEventKind::CallerStartedSpeaking)?.at;
        let ended = events.find(|event| event.kind == PhoneEventKind::CallerStoppedSpeaking)?.at;
        let cleared = stream.playback.clears.iter().any(|clear| (began..ended).contains(&clear.at));
        let last_heard = |frame: usize| {
            let samples: Vec<i16> =
                stream.playback.heard.chunks(FRAME).nth(frame)?.iter().map(|b| mulaw_decode(*b)).collect();
            is_loud(&samples).then_some(FRAME_LENGTH * (frame as u32 + 1))
        };
        let frames = |at: Duration| (at.as_millis() / FRAME_LENGTH.as_millis()) as usize;
        let last = (frames(began)..frames(ended)).rev().find_map(last_heard);
        cleared.then(|| last.map_or(Duration::ZERO, |last| last.saturating_sub(began)))
    }
}
