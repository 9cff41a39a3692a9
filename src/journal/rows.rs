//! The values of the rows that a call leaves.

use serde::Serialize;
use trunkline_base::Personal;
use trunkline_media::{
    event::{CallEvent, CallEventKind, EndReason, Speaker, Stability, TurnLatency, TurnSource},
    turn::PastTurn,
};

/// What is new of a call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The conversation's columns that have changed.
    pub conversation: Option<ConversationRow>,
    /// Turns that are over, in the order in which they ended; to be upserted by `turn`.
    pub turns: Vec<TurnRow>,
    /// In the order of `seq`.
    pub events: Vec<EventRow>,
    /// In the order of `seq`.
    pub usage: Vec<UsageRow>,
    /// Whether the call is over: nothing follows.
    pub ended: bool,
}

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

/// What changes in a call's row of `conversations`; `None` stays as it is. Times are milliseconds of the call's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConversationRow {
    /// Its new status.
    pub status: Option<Status>,
    /// When it was answered.
    pub answered_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// How many streams have taken over or come back, to be added to those that were counted before.
    pub reattached: u32,
}

/// `turns.speaker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnSpeaker {
    /// The machine.
    Agent,
    /// The human.
    Customer,
}

/// A row of `turns`: `text` is what was heard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnRow {
    /// The engine's number of the turn, which is `seq`: counted over both sides, in the order in which turns were begun.
    pub turn: u32,
    /// Whose.
    pub speaker: TurnSpeaker,
    /// When speech began.
    pub started_ms: u64,
    /// When speech ended.
    pub ended_ms: u64,
    /// What was heard.
    pub text: String,
    /// What had been generated, only if not all of it was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_text: Option<String>,
    /// Whether it was cut.
    pub interrupted: bool,
    /// What produced it.
    pub source: TurnSource,
    /// Of the answer to this turn. It is known when that is heard: then the row comes again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<TurnLatency>,
}

/// A row of `conversation_events`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow {
    /// The event's number.
    pub seq: u64,
    /// When it happened.
    pub at_ms: u64,
    /// What it is called.
    pub kind: String,
    /// Its fields.
    pub data: serde_json::Value,
}

/// What becomes a row of `usage_entries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageRow {
    /// The number of the event that told of it, the same however often a row is written.
    pub seq: u64,
    /// When it was told.
    pub at_ms: u64,
    /// Which of the agent's vendors: `stt`, `llm` or `tts`.
    pub provider: String,
    /// In the vendor's own terms, such as `prompt_tokens`.
    pub unit: String,
    /// How much.
    pub quantity: u64,
    /// Whether it came to nothing.
    pub wasted: bool,
    /// The turn that was under way, as far as it can be told.
    pub turn: Option<u32>,
}

impl Rows {
    /// Whether there is nothing to be written.
    pub const fn is_empty(&self) -> bool {
        self.conversation.is_none() && self.turns.is_empty() && self.events.is_empty() && self.usage.is_empty()
    }

    /// Adds what was taken later, as a database does that upserts it: for rows that could not be written at once.
    pub fn merge(&mut self, later: Self) {
        if let Some(patch) = later.conversation {
            self.conversation.get_or_insert_default().merge(patch);
        }
        for row in later.turns {
            self.put_turn(row);
        }
        self.events.extend(later.events);
        self.usage.extend(later.usage);
        self.ended |= later.ended;
    }

    pub(super) fn put_turn(&mut self, row: TurnRow) {
        // A row that comes again is among the last.
        match self.turns.iter_mut().rev().find(|known| known.turn == row.turn) {
            Some(known) => *known = row,
            None => self.turns.push(row),
        }
    }
}

impl ConversationRow {
    fn merge(&mut self, later: Self) {
        self.status = later.status.or(self.status);
        self.answered_ms = later.answered_ms.or(self.answered_ms);
        self.ended_ms = later.ended_ms.or(self.ended_ms);
        self.end_reason = later.end_reason.or(self.end_reason);
        self.reattached += later.reattached;
    }
}

impl TurnRow {
    /// The turn as the engine wants it back when its call is taken up again; `None` for a sign of listening, which asked for no answer.
    pub fn past(&self) -> Option<PastTurn> {
        let asks_for_answer = self.source != TurnSource::Backchannel;
        asks_for_answer.then(|| PastTurn { speaker: self.speaker.into(), text: Personal::new(self.text.clone()) })
    }
}

impl From<Speaker> for TurnSpeaker {
    fn from(speaker: Speaker) -> Self {
        match speaker {
            Speaker::Caller => Self::Customer,
            Speaker::Agent => Self::Agent,
        }
    }
}

impl From<TurnSpeaker> for Speaker {
    fn from(speaker: TurnSpeaker) -> Self {
        match speaker {
            TurnSpeaker::Customer => Self::Caller,
            TurnSpeaker::Agent => Self::Agent,
        }
    }
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
