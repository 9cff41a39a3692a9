//! Speech-to-text: what a call says to a recogniser and hears from it, whichever vendor it is.
//!
//! A session is one task that owns the vendor's socket for as long as the call lasts, reconnecting and replaying underneath.
//! Audio goes in through a broadcast channel, because that is the kind that drops the *oldest* when a vendor is slow, and counts it;
//! commands and events use bounded queues that never drop.

pub mod deepgram;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::{Personal, Secret};

use crate::{audio::AudioFormat, net::BaseUrl, time::MediaTime};

/// Which recogniser, and how it is to listen.
#[derive(Debug, Clone)]
pub struct SttConfig {
    /// `http(s)://host[:port]` of the vendor, a proxy or a simulator.
    pub base_url: BaseUrl,
    /// The vendor's key.
    pub api_key: Secret,
    /// The vendor's model, such as `nova-3` or `flux-general-en`.
    pub model: String,
    /// BCP-47, if the model takes one.
    pub language: Option<String>,
    /// Words to expect.
    pub keyterms: Vec<String>,
    /// Whether the vendor is to leave numbers out of what it says.
    pub redact_numbers: bool,
    /// What the audio is.
    pub format: AudioFormat,
    /// Whether guesses at the end of a turn are wanted before it is certain.
    pub eager: bool,
    /// How much silence makes the vendor propose an endpoint, for models that endpoint by silence.
    pub endpointing: Duration,
    /// Travels with the session to the vendor's own records: the call's id.
    pub tag: String,
    /// How long each wait may take.
    pub limits: SttLimits,
}

impl SttConfig {
    /// Who decides that the caller's turn is over.
    pub fn turn_detection(&self) -> TurnDetection {
        if self.model.starts_with("flux") { TurnDetection::Recogniser } else { TurnDetection::Endpointing }
    }
}

/// Who proposes the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnDetection {
    /// The recogniser has a turn model of its own and says [`SttEvent::EndOfTurn`].
    Recogniser,
    /// Ours: silence, transcripts and hints.
    Endpointing,
}

/// Named limits of a recogniser's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SttLimits {
    /// TCP, TLS and upgrade together. Default 3 s.
    pub connect: Duration,
    /// A write to a slow peer. Default 2 s.
    pub write: Duration,
    /// No message from the vendor while audio flows. Default 6 s; a live vendor reports every second or oftener, even on silence. With
    /// what the vendor had not acknowledged before (some 5 s), it must fit into `replay`, or a stall costs words.
    pub idle: Duration,
    /// How much unacknowledged audio is kept for a replay. Default 14 s (112 kB of µ-law).
    pub replay: Duration,
    /// Attempts to reconnect in a row before the session gives up. Default 4, with back-off from 100 ms.
    pub reconnects: u32,
}

impl Default for SttLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            write: Duration::from_secs(2),
            idle: Duration::from_secs(6),
            replay: Duration::from_secs(14),
            reconnects: 4,
        }
    }
}

/// A stretch of the caller's audio.
#[derive(Debug, Clone)]
pub struct SttAudio {
    /// When its first sample was said, on the call's clock.
    pub at: MediaTime,
    /// Samples in the session's format.
    pub data: Bytes,
}

/// What a call asks of the recogniser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SttCommand {
    /// Say now what was heard so far.
    Finalize,
    /// The call is over.
    Close,
}

/// What the recogniser says. Times are on the call's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stt", rename_all = "snake_case")]
pub enum SttEvent {
    /// Something voiced began (a hint: it may be noise, and it may be missing).
    SpeechStarted {
        /// When.
        at: MediaTime,
    },
    /// Text that may still change. For [`TurnDetection::Recogniser`] it is the whole turn so far; otherwise it follows the finals.
    Interim {
        /// The words.
        text: Personal<String>,
        /// First word's begin.
        start: MediaTime,
        /// Last word's end.
        end: MediaTime,
    },
    /// A segment that will not change any more. A turn may have several. Only with [`TurnDetection::Endpointing`].
    Final {
        /// The words.
        text: Personal<String>,
        /// First word's begin.
        start: MediaTime,
        /// Last word's end.
        end: MediaTime,
    },
    /// The vendor heard a pause that is long enough, or has said all that it was asked to finalize. Only with
    /// [`TurnDetection::Endpointing`].
    EndpointHint {
        /// Last word's end, where it is known.
        last_word_end: Option<MediaTime>,
    },
    /// The turn may be over: start thinking, say nothing. Only with [`TurnDetection::Recogniser`], like the two below.
    EagerEndOfTurn {
        /// The whole turn.
        text: Personal<String>,
        /// First word's begin.
        start: MediaTime,
        /// Last word's end.
        end: MediaTime,
    },
    /// It was not over.
    TurnResumed,
    /// The turn is over.
    EndOfTurn {
        /// The whole turn.
        text: Personal<String>,
        /// First word's begin.
        start: MediaTime,
        /// Last word's end.
        end: MediaTime,
    },
    /// The connection failed; the session is being mended, and nothing said is lost if `recovered`.
    Fault {
        /// What the session was doing.
        phase: SttPhase,
        /// What went wrong, without anything personal or secret.
        cause: String,
        /// Whether the session is whole again.
        recovered: bool,
    },
    /// The session gave up. Nothing follows.
    Failed {
        /// Why.
        cause: String,
    },
    /// So much audio was heard, for billing. Sent when the session ends.
    Usage {
        /// Of audio sent, replays and silence included.
        audio: Duration,
    },
}

/// What a recogniser's session was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SttPhase {
    /// Opening the socket.
    Connect,
    /// Sending and receiving.
    Stream,
}

/// How many frames of audio wait for a slow vendor before the oldest is dropped: 5 s.
pub const AUDIO_BACKLOG: usize = 256;

/// A call's ends of the channels to a recogniser. Dropping it ends the session.
#[derive(Debug)]
pub struct SttSession {
    /// What the audio is that goes in.
    pub format: AudioFormat,
    /// Audio in; when [`AUDIO_BACKLOG`] frames wait, the oldest is dropped and counted by the driver.
    pub audio: broadcast::Sender<SttAudio>,
    /// Commands in.
    pub commands: mpsc::Sender<SttCommand>,
    /// Events out. Closed when the session is over.
    pub events: mpsc::Receiver<SttEvent>,
    /// The task that owns the socket, if there is one.
    pub task: Option<AbortOnDropHandle<()>>,
}
