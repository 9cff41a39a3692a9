//! What the engine adds to a turn, stage by stage, from what the vendors and the callers saw.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trunkline_sim::{
    deepgram::{self, Message},
    event::SimEventKind,
    twilio::phone::PhoneReport,
};

use super::load::Events;

/// One turn's overhead.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turn {
    /// The recogniser's last word on the turn left → the model's request arrived.
    pub(super) think: Duration,
    /// The model's text left → it arrived at the voice.
    pub(super) speak: Duration,
    /// The voice's audio left → the first frame of it arrived at the caller.
    pub(super) play: Duration,
}

impl Turn {
    pub(super) fn sum(&self) -> Duration {
        self.think + self.speak + self.play
    }
}

/// All that was measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages {
    pub(super) turns: Vec<Turn>,
    /// How late each frame arrived, against a cadence of 20 ms.
    pub(super) lateness: Vec<Duration>,
    pub(super) underruns: usize,
    /// The worst error of the callers' own clocks: figures below it say nothing.
    pub(super) caller_lateness: Duration,
}

/// A gap longer than this in the agent's audio is the end of a reply, not an underrun.
const LONGEST_UNDERRUN: Duration = Duration::from_millis(500);
const FRAME: Duration = Duration::from_millis(20);
/// Frames at a reply's beginning that may leave ahead of the cadence: the longest lead, and the voice's first pieces.
const FILLING: usize = 20;

impl Stages {
    pub(super) fn of(events: &Events, reports: &[PhoneReport]) -> Self {
        let mut stages = Self::default();
        let decided = decisions(events);
        let requests = requests(events);
        let speech = speech(events);
        for report in reports {
            stages.underruns += report.playback.underruns(LONGEST_UNDERRUN);
            stages.caller_lateness = stages.caller_lateness.max(report.worst_lateness);
            stages.lateness.extend(lateness(report));
            let Some(started) = report.started else { continue };
            // The conversation's id is the last part of the stream's address; it tags all that its call does at the vendors.
            let call = report.url.rsplit('/').next().unwrap_or_default();
            let frames: Vec<Instant> = report.playback.arrivals.iter().map(|arrival| started + arrival.at).collect();
            for at in decided.get(call).into_iter().flatten() {
                let Some(turn) = turn(*at, requests.get(call), speech.get(call), &frames) else { continue };
                stages.turns.push(turn);
            }
        }
        stages
    }
}

fn turn(
    decided: Instant,
    requests: Option<&Vec<Request>>,
    speech: Option<&Vec<Spoken>>,
    frames: &[Instant],
) -> Option<Turn> {
    let request = requests?.iter().find(|request| request.arrived >= decided)?;
    let text_left = request.text_left?;
    let spoken = speech?.iter().find(|spoken| spoken.text_arrived >= text_left)?;
    let audio_left = spoken.audio_left?;
    let frame = frames.iter().find(|frame| **frame >= audio_left)?;
    Some(Turn {
        think: request.arrived.duration_since(decided),
        speak: spoken.text_arrived.duration_since(text_left),
        play: frame.duration_since(audio_left),
    })
}

/// When the recogniser said its last word on each turn, by call.
fn decisions(events: &Events) -> BTreeMap<&str, Vec<Instant>> {
    let mut decided: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for event in &events.deepgram {
        if let (deepgram::SimEventKind::Sent { kind: Message::EndOfTurn, .. }, Some(tag)) = (&event.kind, &event.tag) {
            decided.entry(tag).or_default().push(event.at);
        }
    }
    decided
}

struct Request {
    id: String,
    arrived: Instant,
    text_left: Option<Instant>,
}

/// Requests to the model, by call. The header is `<call>-<generation>`.
fn requests(events: &Events) -> BTreeMap<String, Vec<Request>> {
    let mut requests: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    let mut calls: BTreeMap<&str, String> = BTreeMap::new();
    for event in &events.vendors {
        match &event.kind {
            SimEventKind::LlmRequest { id, client_request_id: Some(tag), .. } => {
                let call = tag.rsplit_once('-').map_or("", |(call, _)| call).to_owned();
                calls.insert(id, call.clone());
                requests.entry(call).or_default().push(Request { id: id.clone(), arrived: event.at, text_left: None });
            }
            // The whole answer leaves at once, so its first piece is when a clause was ready.
            SimEventKind::LlmDelta { id, index: 0, .. } => {
                let of = calls.get(id.as_str()).and_then(|call| requests.get_mut(call));
                if let Some(request) = of.and_then(|requests| requests.iter_mut().find(|request| request.id == *id)) {
                    request.text_left = Some(event.at);
                }
            }
            _ => {}
        }
    }
    requests
}

struct Spoken {
    context: String,
    text_arrived: Instant,
    audio_left: Option<Instant>,
}

/// Contexts at the voice, by call. Their names are `<call>-<reply>-<attempt>`.
fn speech(events: &Events) -> BTreeMap<String, Vec<Spoken>> {
    let mut speech: BTreeMap<String, Vec<Spoken>> = BTreeMap::new();
    let call_of = |context: &str| context.rsplitn(3, '-').nth(2).unwrap_or_default().to_owned();
    for event in &events.vendors {
        match &event.kind {
            SimEventKind::TtsText { context, text, .. } if !text.trim().is_empty() => {
                let spoken = speech.entry(call_of(context)).or_default();
                if !spoken.iter().any(|spoken| spoken.context == *context) {
                    spoken.push(Spoken { context: context.clone(), text_arrived: event.at, audio_left: None });
                }
            }
            SimEventKind::TtsAudio { context, .. } => {
                let of = speech.get_mut(&call_of(context));
                if let Some(spoken) = of.and_then(|spoken| spoken.iter_mut().find(|spoken| spoken.context == *context))
                {
                    spoken.audio_left.get_or_insert(event.at);
                }
            }
            _ => {}
        }
    }
    speech
}

/// How late each frame of a reply arrived. Its schedule is a frame each 20 ms, which frames only reach once the lead is filled, however
/// the voice delivered its first pieces: from there on, the earliest frame tells where the schedule lies.
fn lateness(report: &PhoneReport) -> Vec<Duration> {
    let arrivals: Vec<Duration> = report.playback.arrivals.iter().map(|arrival| arrival.at).collect();
    let mut late = Vec::with_capacity(arrivals.len());
    for reply in arrivals.chunk_by(|a, b| b.saturating_sub(*a) < Duration::from_millis(300)) {
        let Some(paced) = reply.get(FILLING..) else { continue };
        let due = |i: usize| FRAME * u32::try_from(i).unwrap_or(u32::MAX);
        let Some(anchor) = paced.iter().enumerate().map(|(i, at)| at.saturating_sub(due(i))).min() else { continue };
        late.extend(paced.iter().enumerate().map(|(i, at)| at.saturating_sub(anchor + due(i))));
    }
    late
}
