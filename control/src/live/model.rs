//! What streams say.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_base::Personal;
use utoipa::ToSchema;
use uuid::Uuid;

/// A call as it is now. Whoever has an older one replaces it with this.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct LiveCall {
    pub(super) id: Uuid,
    pub(super) agent_id: Uuid,
    /// The agent's version that the call runs.
    pub(super) agent_version: i32,
    /// `inbound` or `outbound`.
    pub(super) direction: String,
    /// `phone` or `web`.
    pub(super) channel: String,
    /// The caller's number; null only for calls from a browser.
    #[schema(value_type = Option<String>)]
    pub(super) customer_phone: Option<Personal<String>>,
    /// The tenant's number that was called, or that called.
    #[schema(value_type = Option<String>)]
    pub(super) our_number: Option<Personal<String>>,
    /// `ringing`, `active`, `completed` or `failed`.
    pub(super) status: String,
    /// Whether it is active and is being hung up.
    pub(super) ending: bool,
    /// How often its media stream was lost and came back.
    pub(super) reattached: i32,
    pub(super) start_time: DateTime<Utc>,
    pub(super) answered_at: Option<DateTime<Utc>>,
    pub(super) end_time: Option<DateTime<Utc>>,
    /// Why it ended.
    pub(super) end_reason: Option<String>,
    /// From answer to end, in whole seconds.
    pub(super) duration_seconds: Option<i32>,
}

impl LiveCall {
    pub(super) const fn is_over(&self) -> bool {
        self.end_time.is_some()
    }
}

/// The calls that are not over.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Snapshot {
    /// Newest first.
    pub(super) calls: Vec<LiveCall>,
    /// Whether there are more than are here.
    pub(super) more: bool,
}

/// One side's turn that is over.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Transcript {
    /// Its number in the call.
    pub(super) turn: i32,
    /// `agent` or `customer`.
    pub(super) speaker: String,
    /// What was heard.
    #[schema(value_type = String)]
    pub(super) text: Personal<String>,
    /// When it began.
    pub(super) timestamp: DateTime<Utc>,
    /// Whether the agent was cut off.
    pub(super) interrupted: bool,
    /// What the agent had to say; only where not all of it was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) generated_text: Option<Personal<String>>,
    /// When it began, in milliseconds since the call was answered. A transcript is read in this order.
    pub(super) started_ms: i32,
    /// When it ended.
    pub(super) ended_ms: Option<i32>,
}

/// How long an answer took, in milliseconds; null where a stage did not happen.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Latency {
    /// The caller's turn that was answered.
    turn: i64,
    /// Last word → the turn was decided to be over.
    endpoint_delay_ms: Option<u64>,
    /// Last word → its transcript in hand.
    transcription_delay_ms: Option<u64>,
    /// Model asked → its first token.
    ttft_ms: Option<u64>,
    /// First text to the voice → its first audio.
    ttfb_ms: Option<u64>,
    /// First audio → first frame on the line.
    playout_ms: Option<u64>,
    /// Last word → first frame on the line.
    response_latency_ms: Option<u64>,
}

/// Anything else that happened in a call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineEntry {
    /// Its number in the call.
    pub(super) seq: i32,
    /// When, in milliseconds since the call was answered.
    pub(super) at_ms: i32,
    /// What.
    pub(super) kind: String,
    /// The rest of it.
    #[schema(value_type = Object)]
    pub(super) data: Value,
}

/// Why a stream ends, as its last event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// The conversation is over, and its final state was sent.
    ConversationOver,
    /// The token, key or ticket's token has expired.
    TokenExpired,
    /// Whoever listens may not any more.
    AccessRevoked,
    /// This node stops; another, or this one in a moment, goes on.
    Draining,
    /// An error of the service.
    Error,
}

impl Reason {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ConversationOver => "conversation_over",
            Self::TokenExpired => "token_expired",
            Self::AccessRevoked => "access_revoked",
            Self::Draining => "draining",
            Self::Error => "error",
        }
    }
}

/// The last event of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct End {
    pub(super) reason: Reason,
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ticket {
    /// To be shown once, as `?ticket=`.
    pub(super) ticket: String,
    /// Until when it may be shown.
    pub(super) expires_at: DateTime<Utc>,
}

impl Latency {
    /// Of a timeline's entry; `None` if it is none.
    pub(super) fn of(data: &Value) -> Option<Self> {
        let stage = |name: &str| {
            let stored = Stored::deserialize(data.get(name)?).ok()?;
            let length = Duration::new(stored.secs, stored.nanos.min(999_999_999));
            u64::try_from(length.as_millis()).ok()
        };
        Some(Self {
            turn: data.get("turn")?.as_i64()?,
            endpoint_delay_ms: stage("endpoint_delay"),
            transcription_delay_ms: stage("transcription_delay"),
            ttft_ms: stage("ttft"),
            ttfb_ms: stage("ttfb"),
            playout_ms: stage("playout"),
            response_latency_ms: stage("response_latency"),
        })
    }
}

/// A length of time as timelines have it.
#[derive(Deserialize)]
struct Stored {
    secs: u64,
    nanos: u32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn latencies_are_told_in_milliseconds() {
        let stored = json!({
            "turn": 3, "reply": 1, "endpoint_delay": { "secs": 0, "nanos": 500_000_000 }, "transcription_delay": null,
            "ttft": { "secs": 1, "nanos": 2_999_999 }, "ttfb": { "secs": "x" }, "speculative": false,
        });
        let told = serde_json::to_value(Latency::of(&stored).unwrap()).unwrap();
        assert_eq!(
            told,
            json!({
                "turn": 3, "endpoint_delay_ms": 500, "transcription_delay_ms": null, "ttft_ms": 1002, "ttfb_ms": null,
                "playout_ms": null, "response_latency_ms": null,
            })
        );
        assert_eq!(Latency::of(&json!({ "turn": "x" })), None);
    }
}
