//! Text-to-speech: what a call says to a voice and hears from it, whichever vendor it is.
//!
//! A session is one task that owns the vendor's socket for as long as the call lasts; a reply is a context on it. If the socket
//! fails, the task opens another and re-sends the text whose audio has not arrived yet.

pub mod elevenlabs;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::Secret;

use crate::{audio::AudioFormat, ids::ReplyId, net::BaseUrl};

/// Which voice, and how it is to speak.
#[derive(Debug, Clone)]
pub struct TtsConfig {
    /// `http(s)://host[:port]` of the vendor, a proxy or a simulator.
    pub base_url: BaseUrl,
    /// The vendor's key.
    pub api_key: Secret,
    /// The vendor's id of the voice.
    pub voice_id: String,
    /// The vendor's model, such as `eleven_flash_v2_5`.
    pub model: String,
    /// ISO 639-1, if one is set.
    pub language: Option<String>,
    /// The vendor's settings of the voice; all optional.
    pub settings: VoiceSettings,
    /// What the audio shall be: the carrier's own format where the vendor has it, so that nothing is converted.
    pub format: AudioFormat,
    /// Begins the names of contexts, for the vendor's records: the call's id.
    pub tag: String,
    /// How long each wait may take.
    pub limits: TtsLimits,
}

/// ElevenLabs' voice settings. `None` is the voice's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VoiceSettings {
    /// 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<f32>,
    /// 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity_boost: Option<f32>,
    /// 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<f32>,
    /// Costs latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_speaker_boost: Option<bool>,
    /// 0.7–1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
}

/// Named limits of a voice's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtsLimits {
    /// TCP, TLS and upgrade together. Default 3 s.
    pub connect: Duration,
    /// A write to a slow peer. Default 2 s.
    pub write: Duration,
    /// From text that must be spoken to its first audio. Default 3 s.
    pub first_byte: Duration,
    /// Between two pieces of audio of text that is still to be spoken. Default 4 s.
    pub idle: Duration,
    /// How often the text of one reply is tried again before it fails. Default 2.
    pub retries: u32,
}

impl Default for TtsLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            write: Duration::from_secs(2),
            first_byte: Duration::from_secs(3),
            idle: Duration::from_secs(4),
            retries: 2,
        }
    }
}

/// What a call asks of the voice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TtsCommand {
    /// Speak this next; the first one of a reply opens it. Whole clauses, ending in white space unless they are the last.
    Speak {
        /// The reply it belongs to.
        reply: ReplyId,
        /// The clause.
        text: String,
    },
    /// No more text follows for this reply; [`TtsEvent::Done`] comes after its last audio.
    Finish {
        /// The reply.
        reply: ReplyId,
    },
    /// Forget the reply: no more of it will be played.
    Cancel {
        /// The reply.
        reply: ReplyId,
    },
    /// The call is over.
    Close,
}

/// What the voice says.
#[derive(Debug, Clone, PartialEq)]
pub enum TtsEvent {
    /// More audio of a reply, in order.
    Audio {
        /// The reply it belongs to.
        reply: ReplyId,
        /// Whole samples in the session's format.
        audio: Bytes,
        /// Which characters are in it, in order. Empty where the vendor did not say.
        alignment: Vec<AlignedChar>,
    },
    /// All audio of a finished reply has come.
    Done {
        /// The reply.
        reply: ReplyId,
    },
    /// The rest of this reply will not come.
    Failed {
        /// The reply.
        reply: ReplyId,
        /// What went wrong, without anything personal or secret.
        cause: String,
    },
    /// The connection failed and was mended or is being mended.
    Fault {
        /// What the session was doing: `connect` or `stream`.
        phase: &'static str,
        /// What went wrong, without anything personal or secret.
        cause: String,
        /// Whether the session is whole again.
        recovered: bool,
    },
    /// Characters sent to be spoken, for billing. Each sending of a character is in exactly one event.
    Usage {
        /// How many.
        characters: u64,
        /// Whether they were of a cancelled reply and never played.
        wasted: bool,
    },
}

/// One character of the spoken text and where it is in the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedChar {
    /// The character, as it was sent.
    pub ch: char,
    /// Its begin, from the beginning of the piece of audio it came with.
    pub start: Duration,
    /// How long it lasts.
    pub duration: Duration,
}

/// How many pieces of audio wait for a call before the voice's socket is no longer read.
pub const EVENT_BACKLOG: usize = 16;

/// A call's ends of the channels to a voice. Dropping it ends the session.
#[derive(Debug)]
pub struct TtsSession {
    /// Commands in.
    pub commands: mpsc::Sender<TtsCommand>,
    /// Events out; at most [`EVENT_BACKLOG`] wait.
    pub events: mpsc::Receiver<TtsEvent>,
    /// The task that owns the socket, if there is one.
    pub task: Option<AbortOnDropHandle<()>>,
}
