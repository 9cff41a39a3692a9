//! What the engine tells the outside of one call. [`CallEvent`]s are the only source of transcript, recording state, billing and journal.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_base::Personal;

use crate::{
    ids::{ReplyId, TurnId},
    telephony::{AnsweredBy, TransferMode, TransferOutcome},
    time::MediaTime,
};

/// One thing that happened in a call, numbered and timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallEvent {
    /// Counted within the call, from 0, without a gap. A call that is taken up again goes on from where it was told to.
    pub seq: u64,
    /// When, on the call's clock.
    pub at: MediaTime,
    /// What.
    #[serde(flatten)]
    pub kind: CallEventKind,
}

/// What happened. The serialised `kind` is the name that the stored row has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CallEventKind {
    /// The call was answered: the first media stream has begun. It happens once, however often the call is taken up again.
    Answered,
    /// A media stream was attached to the call.
    StreamAttached {
        /// The carrier's name for the stream.
        stream: String,
        /// Whether the call had an earlier one that was lost. One that the carrier took away for us, to press keys or to move the caller,
        /// was not.
        reattached: bool,
    },
    /// One side began a turn.
    TurnStarted {
        /// Which turn.
        turn: TurnId,
        /// Whose.
        speaker: Speaker,
    },
    /// The recogniser's text for a stretch of the caller's speech.
    Transcript {
        /// The turn it belongs to.
        turn: TurnId,
        /// Whether the text may still change.
        stability: Stability,
        /// The words.
        text: Personal<String>,
    },
    /// One side's turn is over.
    TurnEnded {
        /// Which turn.
        turn: TurnId,
        /// Whose.
        speaker: Speaker,
        /// What was said: for the agent, what was heard.
        text: Personal<String>,
        /// When the speech began.
        started: MediaTime,
        /// When the speech ended.
        ended: MediaTime,
        /// What produced it.
        source: TurnSource,
    },
    /// The agent's reply began to be prepared.
    ReplyStarted {
        /// Which reply.
        reply: ReplyId,
        /// The agent's turn that it is.
        turn: TurnId,
        /// What produced it.
        source: TurnSource,
    },
    /// The agent's reply is over: played to its end, or cut.
    ReplyEnded {
        /// Which reply.
        reply: ReplyId,
        /// The agent's turn that it was.
        turn: TurnId,
        /// All that was generated.
        generated: Personal<String>,
        /// What the caller heard of it.
        heard: HeardText,
        /// Whether it was cut.
        interrupted: bool,
    },
    /// The agent was stopped.
    Interruption {
        /// Why.
        cause: InterruptionCause,
        /// The reply that was cut.
        reply: ReplyId,
    },
    /// The agent had paused for nothing and went on from the same sample.
    FalseInterruption {
        /// How long it was silent.
        paused_for: Duration,
        /// The reply that went on.
        reply: ReplyId,
    },
    /// A tool was started.
    ToolCalled {
        /// The turn it belongs to.
        turn: TurnId,
        /// The model's id for the call.
        call: String,
        /// The tool's name.
        name: String,
        /// Its arguments.
        arguments: Personal<serde_json::Value>,
    },
    /// A tool came to its end.
    ToolFinished {
        /// The model's id for the call.
        call: String,
        /// The tool's name.
        name: String,
        /// What it returned, or why it failed.
        outcome: Personal<ToolOutcome>,
    },
    /// A key.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`; `x` for one that the agent pressed: it may be of somebody's secret number.
        digit: Personal<char>,
        /// Who pressed it.
        direction: Direction,
    },
    /// The caller said nothing for long.
    CallerIdle {
        /// For the how-many-th time in a row, from 1.
        n: u32,
    },
    /// How long the stages between the caller's last word and the agent's first took.
    Latency(TurnLatency),
    /// Something that costs money.
    Usage {
        /// Whose service.
        provider: String,
        /// What was used, in the provider's own terms, such as `prompt_tokens` or `characters`.
        unit: String,
        /// How much.
        quantity: u64,
        /// Whether it was spent on a thought that was thrown away.
        wasted: bool,
    },
    /// A vendor failed.
    VendorFault {
        /// Whose service.
        provider: String,
        /// What we were doing, such as `connect` or `stream`.
        phase: String,
        /// What went wrong, in words that hold nothing personal and no secret.
        cause: String,
        /// Whether the call goes on as if nothing had happened.
        recovered: bool,
    },
    /// The recording began or ended.
    Recording {
        /// Which.
        state: RecordingState,
    },
    /// The carrier said who or what answered.
    AnsweredBy {
        /// Who.
        by: AnsweredBy,
    },
    /// The caller was put on hold, or taken off it.
    Hold {
        /// Which.
        on: bool,
    },
    /// The call is handed to somebody else.
    Transfer {
        /// How.
        mode: TransferMode,
        /// How far it is.
        state: TransferState,
        /// How it ended, when it is over.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        outcome: Option<TransferOutcome>,
    },
    /// The call is over. Nothing follows.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// Whose turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The human.
    Caller,
    /// The machine.
    Agent,
}

/// Whether a transcript may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stability {
    /// It may.
    Interim,
    /// It may not.
    Final,
}

/// What produced a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnSource {
    /// The caller's voice.
    Speech,
    /// The caller's keys.
    Dtmf,
    /// A sign of listening ("mm-hm") that asked for no answer.
    Backchannel,
    /// The configured announcement that the call is recorded.
    Consent,
    /// The configured greeting.
    Greeting,
    /// The configured words with which a call is taken up again.
    Resume,
    /// The LLM.
    Llm,
    /// A prompt after the caller was silent for long.
    Idle,
    /// The configured goodbye.
    Goodbye,
    /// Text given from outside, such as the API's `say`.
    Say,
    /// Words with which a caller is put on hold, taken off it or handed over.
    Hold,
    /// The configured message for a machine.
    Voicemail,
    /// Said because a vendor failed and silence would be worse.
    Apology,
}

/// What the caller heard of a reply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardText {
    /// The text, cut after the last word that was heard whole.
    pub text: Personal<String>,
    /// How much of the reply's audio was heard.
    pub audio: Duration,
}

/// Why the agent was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterruptionCause {
    /// The caller talked over it.
    BargeIn,
    /// The outside asked for it.
    Command,
    /// The caller went on before anything was heard.
    TurnResumed,
}

/// Who pressed a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The caller.
    Inbound,
    /// The agent.
    Outbound,
}

/// How a tool ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    /// It returned this.
    Result(serde_json::Value),
    /// It failed; the words are for the model.
    Error(String),
}

/// The stages between the caller's last word and the agent's first. All on the call's clock; `None` where a stage did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnLatency {
    /// The caller's turn that was answered.
    pub turn: TurnId,
    /// The reply that answered it.
    pub reply: ReplyId,
    /// Last word → the turn was decided to be over.
    pub endpoint_delay: Duration,
    /// Last word → its transcript in hand.
    pub transcription_delay: Option<Duration>,
    /// LLM request → first token.
    pub ttft: Option<Duration>,
    /// First text to TTS → first audio from it.
    pub ttfb: Option<Duration>,
    /// First audio from TTS → first frame on the socket.
    pub playout: Duration,
    /// Last word → first frame on the socket: the headline.
    pub response_latency: Duration,
    /// Whether the answer was begun on an eager end of turn.
    pub speculative: bool,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// The carrier is asked for it.
    Started,
    /// It is over, one way or another.
    Over,
}

/// Whether a recording is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// It began.
    Started,
    /// It is whole, and on disk.
    Finished,
    /// It could not be written to its end; what is there is playable.
    Failed,
}

/// Why a call ended, in the stored conversation's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller hung up.
    CallerHangup,
    /// The agent said goodbye and hung up.
    AgentHangup,
    /// The API hung up.
    ApiHangup,
    /// The caller was handed to somebody else.
    Transferred,
    /// A machine answered.
    Voicemail,
    /// The call reached its longest duration.
    MaxDuration,
    /// The caller said nothing for too long.
    Idle,
    /// The media socket was lost and did not come back.
    MediaLost,
    /// A vendor failed for good.
    VendorFailed,
    /// The carrier says that it failed.
    CarrierFailed,
    /// The node was drained before the call ended.
    Drained,
}
