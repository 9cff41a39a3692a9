//! What is known of a call when it is over: the server's events, the phone's report, the simulators' counters and the recording.

use std::{ops::Range, path::Path, time::Duration};

use trunkline_media::{
    call::CallSummary,
    event::{CallEvent, CallEventKind, HeardText},
};
use trunkline_sim::twilio::{
    CallReport,
    phone::{PhoneEventKind, PhoneReport},
};

use super::scenario::Request;
use crate::journal::{Journal, TurnRow, TurnSpeaker};

/// All that is known of the call.
#[derive(Debug, Default)]
pub struct Evidence {
    pub(super) requests: Vec<Request>,
    pub(super) greeting: String,
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

/// Both sides of a call: samples at 8 kHz.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sides {
    pub caller: Vec<i16>,
    pub agent: Vec<i16>,
}

/// A reply that was cut.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cut {
    pub(super) generated: String,
    pub(super) heard: HeardText,
}

/// Samples in 20 ms.
const FRAME: usize = 160;
/// Mean magnitude from which 20 ms count as sound: about -46 dBFS.
const LOUD: u64 = 160;

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

    /// How long the agent was still heard after the caller began to talk over it; `None`: that never happened.
    pub(super) fn barge_in(&self) -> Option<Duration> {
        let stream = self.stream()?;
        let times = |wanted: &PhoneEventKind| {
            stream.events.iter().filter(|event| event.kind == *wanted).map(|event| event.at).collect::<Vec<_>>()
        };
        let starts = times(&PhoneEventKind::AgentStartedSpeaking);
        let agent: Vec<Range<Duration>> = starts
            .into_iter()
            .zip(times(&PhoneEventKind::AgentStoppedSpeaking))
            .map(|(start, stop)| start..stop)
            .collect();
        times(&PhoneEventKind::CallerStartedSpeaking)
            .into_iter()
            .find_map(|at| agent.iter().find(|spoken| spoken.contains(&at)).map(|spoken| spoken.end - at))
    }
}

impl Sides {
    /// Reads a recording: 8 kHz, 16 bit, caller left, agent right.
    pub fn read(path: &Path) -> hound::Result<Self> {
        let mut reader = hound::WavReader::open(path)?;
        let spec = reader.spec();
        if (spec.channels, spec.sample_rate, spec.bits_per_sample) != (2, 8_000, 16) {
            return Err(hound::Error::FormatError("not a recording of ours: two channels of 16 bit at 8 kHz"));
        }
        let mut sides = Self::default();
        for (index, sample) in reader.samples::<i16>().enumerate() {
            let side = if index % 2 == 0 { &mut sides.caller } else { &mut sides.agent };
            side.push(sample?);
        }
        Ok(sides)
    }

    /// How long it is.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(125 * self.caller.len() as u64)
    }
}

/// How long there is sound in these samples at 8 kHz.
pub(super) fn sound(samples: &[i16]) -> Duration {
    let loud = |frame: &&[i16]| {
        frame.iter().map(|sample| u64::from(sample.unsigned_abs())).sum::<u64>() >= LOUD * frame.len() as u64
    };
    Duration::from_millis(20) * samples.chunks(FRAME).filter(loud).count() as u32
}
