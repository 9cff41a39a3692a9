//! Conversations as the API shows them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use trunkline_base::Personal;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::recordings::transcription::Retranscription;

/// A conversation without its transcript.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ConversationSummary {
    pub(super) id: Uuid,
    pub(super) agent_id: Uuid,
    /// The agent's version that the call ran.
    pub(super) agent_version: i32,
    /// The caller's number; null only for calls from a browser, and for what has been erased.
    #[schema(value_type = Option<String>, example = "+14155550111")]
    pub(super) customer_phone: Option<Personal<String>>,
    /// The tenant's number that was called, or that called.
    #[schema(value_type = Option<String>, example = "+14155550100")]
    pub(super) our_number: Option<Personal<String>>,
    /// `ringing`, `active`, `completed` or `failed`.
    #[schema(example = "completed")]
    pub(super) status: String,
    /// `inbound` or `outbound`.
    #[schema(example = "inbound")]
    pub(super) direction: String,
    /// `phone` or `web`.
    #[schema(example = "phone")]
    pub(super) channel: String,
    /// Why it ended.
    #[schema(example = "caller_hangup")]
    pub(super) end_reason: Option<String>,
    pub(super) start_time: DateTime<Utc>,
    pub(super) end_time: Option<DateTime<Utc>>,
    /// From answer to end, in whole seconds.
    #[schema(example = 184)]
    pub(super) duration_seconds: Option<i32>,
    #[schema(example = "positive")]
    pub(super) sentiment: Option<String>,
    #[schema(example = "appointment_booked")]
    pub(super) outcome: Option<String>,
    #[schema(example = json!(["new-customer"]))]
    pub(super) tags: Vec<String>,
    #[schema(example = "The caller booked a table for two.")]
    pub(super) summary: Option<String>,
    #[schema(example = 4.5)]
    pub(super) satisfaction_score: Option<f32>,
    /// What the agent's `extraction_schema` asks for.
    #[schema(value_type = Option<Object>, example = json!({ "guests": 2 }))]
    pub(super) extraction: Option<Map<String, Value>>,
    /// When sentiment, outcome, tags, summary, score and extraction were found out.
    pub(super) analyzed_at: Option<DateTime<Utc>>,
    #[schema(value_type = Object, example = json!({}))]
    pub(super) metadata: Map<String, Value>,
    /// What the call was begun with; it fills the variables of the agent's instructions.
    #[schema(value_type = Object, example = json!({ "customer_name": "Ada" }))]
    pub(super) context: Map<String, Value>,
    /// When its text was erased, if it was.
    pub(super) erased_at: Option<DateTime<Utc>>,
    /// When the media stream began: transcript times count from here.
    #[serde(skip)]
    pub(super) answered_at: Option<DateTime<Utc>>,
    /// What of its recording is to be had first.
    #[serde(skip)]
    pub(super) recording_id: Option<Uuid>,
}

/// A conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Conversation {
    #[serde(flatten)]
    conversation: ConversationSummary,
    /// Ordered by when speech began.
    transcript: Vec<TranscriptEntry>,
    /// Where the stereo recording is, if there is one to be had: a path of this API.
    #[schema(example = "/v1/conversations/01970b5e-8a3c-7f00-8000-000000000001/recording")]
    recording_url: Option<String>,
    /// What the recording was transcribed as when that was asked for; `transcript` is what was heard live.
    #[serde(skip_serializing_if = "Option::is_none")]
    retranscription: Option<Retranscription>,
}

/// One side's turn.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TranscriptEntry {
    /// `agent` or `customer`.
    #[schema(example = "customer")]
    speaker: String,
    /// What was heard.
    #[schema(value_type = String, example = "A table for two, please.")]
    text: Personal<String>,
    /// When it began.
    timestamp: DateTime<Utc>,
    /// Whether the agent was cut off.
    interrupted: bool,
    /// What the agent had to say; only where not all of it was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = json!(null))]
    generated_text: Option<Personal<String>>,
    /// When it began, in milliseconds since the call was answered.
    #[schema(example = 4200)]
    started_ms: i32,
    /// When it ended.
    #[schema(example = 5650)]
    ended_ms: Option<i32>,
}

/// Something that happened in a call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Event {
    /// Its number: events are in this order.
    pub(super) seq: i32,
    /// When, in milliseconds since the call was answered.
    pub(super) at_ms: i32,
    /// What, such as `turn_ended`, `interruption`, `tool_called` or `latency`.
    pub(super) kind: String,
    /// The rest of it, which depends on the kind.
    #[schema(value_type = Object)]
    pub(super) data: Map<String, Value>,
}

/// A turn as it is stored.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) speaker: String,
    pub(super) text: String,
    pub(super) generated_text: Option<String>,
    pub(super) interrupted: bool,
    pub(super) started_ms: i32,
    pub(super) ended_ms: Option<i32>,
}

impl Conversation {
    pub(super) fn new(
        conversation: ConversationSummary,
        turns: Vec<Turn>,
        retranscription: Option<Retranscription>,
    ) -> Self {
        let zero = conversation.answered_at.unwrap_or(conversation.start_time);
        let entry = |turn: Turn| TranscriptEntry {
            speaker: turn.speaker,
            text: Personal::new(turn.text),
            timestamp: zero + TimeDelta::milliseconds(turn.started_ms.into()),
            interrupted: turn.interrupted,
            generated_text: turn.generated_text.map(Personal::new),
            started_ms: turn.started_ms,
            ended_ms: turn.ended_ms,
        };
        let id = conversation.id;
        let recording_url = conversation.recording_id.map(|_| format!("/v1/conversations/{id}/recording"));
        Self { conversation, transcript: turns.into_iter().map(entry).collect(), recording_url, retranscription }
    }
}
