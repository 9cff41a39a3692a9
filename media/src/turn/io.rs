//! What goes into the turn machine and what comes out.

use serde::{Deserialize, Serialize};
use trunkline_base::Personal;

use crate::{
    audio::Samples,
    event::{CallEvent, EndReason, RecordingState, ToolOutcome},
    ids::{Epoch, GenerationId, MarkId, ReplyId, TurnId},
    llm::{LlmEvent, LlmRequest, ToolCall},
    stt::SttEvent,
    telephony::{AnsweredBy, Keys, Transfer, TransferOutcome},
    time::MediaTime,
    tts::AlignedChar,
};

/// Something that happened outside the machine. Serialisable, so that a call's inputs can be logged and replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Input {
    /// A media stream was attached: the caller can hear and be heard.
    Attached {
        /// The carrier's name for it.
        stream: String,
    },
    /// The media socket was lost, and may come back. `unheard` is what the carrier had not played.
    Detached,
    /// The carrier has taken the stream away for us, to press keys or to move the caller: that is no fault, and may be for good.
    Moved,
    /// A mark came back.
    Mark {
        /// Which.
        mark: MarkId,
    },
    /// Audio of a reply left for the carrier.
    AudioSent {
        /// Its epoch.
        epoch: Epoch,
        /// How much.
        samples: Samples,
    },
    /// Voice activity: the caller began to make speech-like sound.
    SpeechStarted {
        /// When it began, which is before it was noticed.
        at: MediaTime,
    },
    /// Voice activity: the sound ended.
    SpeechStopped {
        /// When it ended, which is before it was noticed.
        at: MediaTime,
    },
    /// The recogniser said something.
    Stt {
        /// What.
        event: SttEvent,
    },
    /// The model said something.
    Llm {
        /// In which generation.
        generation: GenerationId,
        /// What.
        event: LlmEvent,
    },
    /// Audio of a reply came from the voice and is queued.
    SpeechAudio {
        /// Which reply.
        reply: ReplyId,
        /// How much, in samples of the carrier's format.
        samples: Samples,
        /// Which characters are in it.
        alignment: Vec<AlignedChar>,
    },
    /// All audio of a finished reply is queued.
    SpeechDone {
        /// Which reply.
        reply: ReplyId,
    },
    /// The rest of a reply's audio will not come.
    SpeechFailed {
        /// Which reply.
        reply: ReplyId,
        /// Why, without anything personal or secret.
        cause: String,
    },
    /// A vendor's connection failed, or was mended.
    VendorFault {
        /// Whose.
        provider: String,
        /// What it was doing.
        phase: String,
        /// Why, without anything personal or secret.
        cause: String,
        /// Whether it is whole again.
        recovered: bool,
    },
    /// Something was used that costs money.
    Usage {
        /// Whose.
        provider: String,
        /// In which unit.
        unit: String,
        /// How much.
        quantity: u64,
        /// Whether it came to nothing.
        wasted: bool,
    },
    /// The recording began or ended.
    Recording {
        /// Which.
        state: RecordingState,
    },
    /// A tool came to its end.
    ToolFinished {
        /// The model's id for the call.
        call: String,
        /// How.
        outcome: ToolOutcome,
    },
    /// The caller pressed a key.
    Dtmf {
        /// Which.
        digit: char,
    },
    /// The outside wants this said.
    Say {
        /// The words.
        text: Personal<String>,
        /// Whether the caller can cut it.
        interruptible: bool,
    },
    /// The outside wants the call ended now.
    HangUp {
        /// Why.
        reason: EndReason,
    },
    /// The outside puts the caller on hold, or takes them off it.
    Hold {
        /// Which.
        on: bool,
    },
    /// The outside wants keys pressed.
    SendKeys {
        /// Which.
        keys: Keys,
    },
    /// The carrier took keys, or did not.
    KeysSent {
        /// The model's id for the call, if it was the model that wanted them.
        call: Option<String>,
        /// Why it did not, without anything personal or secret.
        error: Option<String>,
    },
    /// The outside wants the caller handed to somebody else.
    Transfer {
        /// To whom, and how.
        transfer: Transfer,
    },
    /// The transfer under way is over.
    TransferOver {
        /// How it went.
        outcome: TransferOutcome,
    },
    /// The carrier says who or what answered.
    AnsweredBy {
        /// Who.
        by: AnsweredBy,
    },
    /// The caller hung up, or the line is gone for good.
    Closed {
        /// Why, if it was not our own hanging up.
        reason: EndReason,
    },
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Ask the model.
    Generate(LlmRequest),
    /// Stop asking.
    CancelGeneration {
        /// Which generation.
        generation: GenerationId,
    },
    /// Have this clause spoken. The first one of a reply opens it in the outgoing queue under its epoch.
    Speak {
        /// The reply.
        reply: ReplyId,
        /// The reply's epoch.
        epoch: Epoch,
        /// The clause.
        text: Personal<String>,
    },
    /// No more text follows for this reply.
    FinishSpeech {
        /// The reply.
        reply: ReplyId,
    },
    /// The reply's audio is not wanted any more.
    CancelSpeech {
        /// The reply.
        reply: ReplyId,
    },
    /// Send a mark as soon as the reply's audio up to this position has been sent.
    PlaceMark {
        /// The reply's epoch.
        epoch: Epoch,
        /// Position in the reply's audio.
        at: Samples,
        /// The mark.
        mark: MarkId,
    },
    /// All audio of the reply is queued: pad the last frame, and let this mark follow it.
    FinishAudio {
        /// The reply's epoch.
        epoch: Epoch,
        /// The mark that proves that the caller heard it to its end.
        mark: MarkId,
    },
    /// Send no more audio for now. Reversible.
    Hold,
    /// Go on from the sample after the last one sent.
    Release,
    /// Put so much of what was sent, but not heard, back to the front of the queue (a socket was lost with it).
    Rewind {
        /// How much.
        samples: Samples,
    },
    /// Drop everything queued, here and at the carrier; audio of this and earlier epochs is never sent again.
    Clear {
        /// The last cancelled epoch.
        epoch: Epoch,
    },
    /// Run a tool.
    RunTool {
        /// The turn that it belongs to.
        turn: TurnId,
        /// The call.
        call: ToolCall,
    },
    /// Ask the recogniser for what it has.
    FinalizeStt,
    /// End the call at the carrier, then close the socket.
    HangUp {
        /// Why.
        reason: EndReason,
    },
    /// Press keys.
    SendKeys {
        /// Which.
        keys: Keys,
        /// The model's id for the call, if it was the model that wanted them.
        call: Option<String>,
    },
    /// Have the carrier hand the caller over.
    Transfer {
        /// To whom, and how.
        transfer: Transfer,
    },
    /// The transfer is given up: what is not connected is not to be.
    CancelTransfer,
    /// The caller is somebody else's: close the socket, and tell the carrier nothing.
    Leave {
        /// Why.
        reason: EndReason,
    },
    /// Tell the outside.
    Event(CallEvent),
}
