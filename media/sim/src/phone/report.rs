//! What a phone has to tell of one stream.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    playback::{PlaybackReport, SILENCE},
    wire::{Invalid, Sids},
};
use crate::audio::{TELEPHONE_RATE, mulaw_decode};

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// It never began: 31920.
    NotOpened {
        /// Status with which the server refused the upgrade, if it answered at all.
        status: Option<u16>,
        /// What went wrong.
        detail: String,
    },
    /// The server closed the socket, with this code if it gave one: 31921.
    ClosedByServer {
        /// Code of its close frame.
        code: Option<u16>,
        /// Reason of its close frame.
        reason: String,
    },
    /// The connection broke without a close frame, or the server broke the WebSocket protocol (31924).
    Broken(String),
    /// The server sent audio that the carrier does not take, and the carrier dropped the connection without a close frame (Vonage).
    Refused(String),
    /// The caller hung up.
    HungUp,
    /// The caller lost patience with a step that waited, and hung up.
    GaveUp {
        /// The step's index in the script.
        step: usize,
    },
    /// The caller's script cut the connection without a `stop`.
    Dropped,
    /// The call was ended by REST.
    Completed,
    /// The call was given another document by REST.
    Redirected,
    /// The call had lasted as long as it may.
    TimeLimit,
}

/// A condition that the vendor's error log would show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Twilio's number for it, such as 31951, on each carrier's telephone.
    pub code: u32,
    /// On the media clock.
    pub at: Duration,
    /// What it was about.
    pub detail: String,
}

/// A mark from the server and its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRecord {
    /// Its name.
    pub name: String,
    /// When it arrived, on the media clock.
    pub received_at: Duration,
    /// When it was returned, if it was.
    pub returned_at: Option<Duration>,
    /// It was returned because of a `clear`.
    pub cleared: bool,
}

/// Something that happened on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneEvent {
    /// On the stream's media clock. Stops of speech are told 300 ms after the time they bear.
    pub at: Duration,
    /// What happened.
    pub kind: PhoneEventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneEventKind {
    /// The stream has begun; its time is zero.
    Started {
        /// `MZ…`
        stream_sid: String,
    },
    /// The caller's script went on to the step of this index; its length once all are done.
    Step(usize),
    /// Speech of the agent is heard.
    AgentStartedSpeaking,
    /// The agent's speech ended.
    AgentStoppedSpeaking,
    /// Speech of the caller began.
    CallerStartedSpeaking,
    /// Speech of the caller ended.
    CallerStoppedSpeaking,
    /// A mark went back to the server.
    MarkReturned {
        /// Its name.
        name: String,
        /// Because of a `clear`.
        cleared: bool,
    },
    /// The server cleared the queue.
    Cleared {
        /// Bytes that will not be heard.
        dropped: usize,
    },
    /// A key was pressed.
    Dtmf(char),
    /// The vendor's log has a new entry.
    Warning(Warning),
    /// The stream has ended.
    Ended(StreamEnd),
}

/// Most invalid messages kept with their reasons.
pub(crate) const INVALID_LIMIT: usize = 32;

/// One stream, from its start to its end.
#[derive(Debug, Clone)]
pub struct PhoneReport {
    /// Account, call and stream.
    pub sids: Sids,
    /// Where it connected.
    pub url: String,
    /// When `start` was sent: zero of the media clock. `None` if the stream never began.
    pub started: Option<Instant>,
    /// How long it lasted, on the media clock.
    pub duration: Duration,
    /// What the caller said: µ-law, one byte per 125 µs of the media clock; empty if not recorded.
    pub said: Vec<u8>,
    /// What the caller heard, on the same clock, and all that is known of how it was played.
    pub playback: PlaybackReport,
    /// Marks in the order received.
    pub marks: Vec<MarkRecord>,
    /// The log's entries, one per code.
    pub warnings: Vec<Warning>,
    /// Messages that were ignored, with the reasons of the first 32.
    pub invalid: Vec<Invalid>,
    /// How many messages were ignored.
    pub invalid_count: u64,
    /// Media messages sent.
    pub sent: u64,
    /// Media messages lost on the way, by impairment or because the server read too slowly.
    pub lost: u64,
    /// How late the phone's own 20 ms clock was at worst: what figures taken from this report can't be better than.
    pub worst_lateness: Duration,
    /// All that happened, in order.
    pub events: Vec<PhoneEvent>,
    /// How it ended.
    pub ended: StreamEnd,
}

impl PhoneReport {
    /// Whether the log has an entry with this code.
    pub fn has_warning(&self, code: u32) -> bool {
        self.warnings.iter().any(|warning| warning.code == code)
    }

    /// Times at which the agent began to speak.
    pub fn agent_starts(&self) -> Vec<Duration> {
        self.times(&PhoneEventKind::AgentStartedSpeaking)
    }

    /// Times at which the caller's speech ended.
    pub fn caller_stops(&self) -> Vec<Duration> {
        self.times(&PhoneEventKind::CallerStoppedSpeaking)
    }

    fn times(&self, kind: &PhoneEventKind) -> Vec<Duration> {
        self.events.iter().filter(|event| event.kind == *kind).map(|event| event.at).collect()
    }

    /// Writes both sides as a WAV file: 8 kHz, 16 bit, caller left, agent right.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_stereo_wav(&self, path: impl AsRef<Path>) -> hound::Result<()> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: TELEPHONE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec)?;
        let at = |bytes: &[u8], index: usize| mulaw_decode(bytes.get(index).copied().unwrap_or(SILENCE));
        for index in 0..self.said.len().max(self.playback.heard.len()) {
            writer.write_sample(at(&self.said, index))?;
            writer.write_sample(at(&self.playback.heard, index))?;
        }
        writer.finalize()
    }
}
