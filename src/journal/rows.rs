//! The values of the rows that a call leaves.

use serde::Serialize;
use trunkline_media::event::{CallEvent, CallEventKind, EndReason, Stability, TurnLatency, TurnSource};

/// `conversations.status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has answered yet.
    #[default]
    Ringing,
    /// The call is going on.
    Active,
    /// It was answered, and ended in any way but a fault of ours or the carrier's.
    Completed,
    /// All else.
    Failed,
}

/// What a call writes into its row of `conversations`. Times are milliseconds of the call's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConversationRow {
    pub status: Status,
    pub answered_ms: Option<u64>,
    pub ended_ms: Option<u64>,
    pub end_reason: Option<EndReason>,
    pub reattached: u32,
}

/// `turns.speaker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnSpeaker {
    Agent,
    Customer,
}

/// A row of `turns`: `text` is what was heard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnRow {
    /// The engine's number of the turn; `seq` follows from the order of the rows.
    pub turn: u32,
    pub speaker: TurnSpeaker,
    pub started_ms: u64,
    pub ended_ms: u64,
    pub text: String,
    /// What had been generated, only if not all of it was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_text: Option<String>,
    pub interrupted: bool,
    pub source: TurnSource,
    /// Of the answer to this turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<TurnLatency>,
}

/// A row of `conversation_events`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow {
    pub seq: u64,
    pub at_ms: u64,
    pub kind: String,
    pub data: serde_json::Value,
}

impl EventRow {
    /// The row of an event; `None` for interim transcripts, which are worth nothing once they are replaced.
    pub(super) fn of(event: &CallEvent) -> Option<Self> {
        if matches!(event.kind, CallEventKind::Transcript { stability: Stability::Interim, .. }) {
            return None;
        }
        let mut data = serde_json::to_value(&event.kind).expect("an event's fields have string keys");
        let object = data.as_object_mut().expect("an event is an object with its kind");
        let kind = object.remove("kind").expect("an event is an object with its kind");
        let kind = kind.as_str().expect("the kind is a name").to_owned();
        Some(Self { seq: event.seq, at_ms: event.at.as_millis(), kind, data })
    }
}
