//! The actor that owns one call: the only `select!` of the engine.
//!
//! It moves bytes and time into the [`TurnMachine`](crate::turn::TurnMachine) and its outputs to the vendors and onto the socket, in a
//! fixed order, and decides nothing itself. It is generic over its socket: production hands it a WebSocket, a test a pair of channels.
//! The socket may be lost and another attached; the call goes on.
//!
//! Of two shapes — a task for each direction with a lock between, or one task that also writes — this is the second: between
//! the machine's `clear` and the wire is then no queue in which a frame of the old reply could hide.

mod actor;
mod asked;
mod inbound;
mod outbound;
mod recorder;
mod socket;

use std::{fmt::Debug, future::Future, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use trunkline_base::{CallId, Clock, Personal};

pub use self::{actor::run, socket::MediaSocket};
use crate::{
    audio::vad::VadConfig,
    event::{CallEvent, EndReason},
    llm::Llm,
    stt::SttSession,
    telephony::{AnsweredBy, Keys, MediaCodec, Started, Transfer, TransferMode, TransferStep},
    tools::ToolRunner,
    tts::TtsSession,
    turn::{Resumed, TurnConfig},
};

/// All that one call needs to know.
#[derive(Debug, Clone)]
pub struct CallConfig {
    /// The conversation's id.
    pub id: CallId,
    /// How the agent takes turns.
    pub turn: TurnConfig,
    /// When sound counts as speech.
    pub vad: VadConfig,
    /// How far ahead of playing audio is sent. 100–200 ms: less risks gaps, more cannot be taken back by a pause.
    pub lead: Duration,
    /// What the voice delivers; converted if the carrier plays something else.
    pub voice_format: crate::audio::AudioFormat,
    /// Where the stereo recording goes; `None`: the call is not recorded. A file that is there is never written over: a call that is
    /// taken up again wants a name of its own for each part, which begins where that part does.
    pub recording: Option<PathBuf>,
    /// Where the call stood when the process that had it died; `None`: it begins.
    pub resumed: Option<Resumed>,
    /// How long each wait may take.
    pub limits: CallLimits,
}

/// Named limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// A write to a carrier that has stopped reading. Default 2 s; then the socket counts as lost.
    pub socket_write: Duration,
    /// How long a call whose socket was lost waits for another. Default 20 s.
    pub reattach: Duration,
    /// Telling the carrier to hang up. Default 10 s; then the socket is closed all the same.
    pub hang_up: Duration,
    /// A tool that sets no limit of its own. Default 5 s.
    pub tool: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            socket_write: Duration::from_secs(2),
            reattach: Duration::from_secs(20),
            hang_up: Duration::from_secs(10),
            tool: Duration::from_secs(5),
        }
    }
}

/// What a call talks to, besides its socket. The sessions are opened while it still rings.
#[derive(Debug)]
pub struct CallPeers {
    /// The recogniser.
    pub stt: SttSession,
    /// The voice.
    pub tts: TtsSession,
    /// The model.
    pub llm: Arc<dyn Llm>,
    /// The tools.
    pub tools: Arc<dyn ToolRunner>,
    /// Who can end the call.
    pub carrier: Arc<dyn Carrier>,
    /// Where time is read.
    pub clock: Arc<dyn Clock>,
}

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What only the carrier can do to a call: closing a socket does not end it, and nothing but sound goes through one.
pub trait Carrier: Debug + Send + Sync {
    /// Ends the call; an `Ok` means that the carrier confirmed it, or that it was over already. The error holds nothing secret.
    fn hang_up(&self, reason: EndReason) -> BoxFuture<'static, Result<(), String>>;

    /// Presses keys towards the caller. An `Ok` means that the carrier took them. The error holds nothing secret.
    fn send_keys(&self, keys: Keys) -> BoxFuture<'static, Result<(), String>>;

    /// Whether a carrier that presses keys ends the call's stream for that, and opens another.
    fn keys_end_the_stream(&self) -> bool;

    /// Hands the caller to somebody else. Its steps come until [`TransferStep::Over`]; whoever drops the receiver has given the transfer
    /// up, and what is not connected by then is hung up.
    fn transfer(&self, transfer: Transfer) -> mpsc::Receiver<TransferStep>;
}

/// A media socket that has begun its stream.
pub struct Attachment<S> {
    /// The socket.
    pub socket: S,
    /// The carrier's codec, which has seen the stream begin.
    pub codec: Box<dyn MediaCodec>,
    /// How it began.
    pub started: Started,
}

impl<S> Debug for Attachment<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").field("started", &self.started).finish_non_exhaustive()
    }
}

/// What the outside may ask of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum CallCommand {
    /// Say this.
    Say {
        /// The words.
        text: Personal<String>,
        /// Whether the caller can cut it.
        interruptible: bool,
    },
    /// End the call.
    HangUp {
        /// Why.
        reason: EndReason,
    },
    /// Put the caller on hold, or take them off it: the agent neither speaks nor listens.
    Hold {
        /// Which.
        on: bool,
    },
    /// Press keys.
    SendKeys {
        /// Which.
        keys: Keys,
    },
    /// Hand the caller to somebody else. While a transfer is under way, another is ignored.
    Transfer {
        /// The number, in E.164.
        target: Personal<String>,
        /// How.
        mode: TransferMode,
    },
    /// The carrier tells who or what answered.
    AnsweredBy {
        /// Who.
        by: AnsweredBy,
    },
}

/// A call's ends of the outside's channels.
#[derive(Debug)]
pub struct CallChannels<S> {
    /// Sockets in. The newest takes over, and the older one is closed.
    pub attachments: mpsc::Receiver<Attachment<S>>,
    /// Commands in.
    pub commands: mpsc::Receiver<CallCommand>,
    /// Events out. Unbounded because a call has some tens of them a turn and none may be lost; a journal that has stopped reading
    /// shows in its own gauge.
    pub events: mpsc::UnboundedSender<CallEvent>,
}

/// What a finished call counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallSummary {
    /// Why it ended.
    pub reason: Option<EndReason>,
    /// Frames sent to the carrier.
    pub frames_sent: u64,
    /// Frames of cancelled replies that were dropped at the last hop.
    pub stale_frames: u64,
    /// How often the carrier ran dry while there was audio to send.
    pub underruns: u64,
    /// The latest that a frame left, after its deadline.
    pub max_lateness: Duration,
    /// Messages that were counted and ignored.
    pub bad_messages: u64,
    /// Sockets that took over from an older one, or came after one was lost, be it with its process.
    pub reattached: u32,
    /// The most memory that the recording has held, in bytes: however long the call, it stays below half a megabyte.
    pub recording_held: usize,
}
