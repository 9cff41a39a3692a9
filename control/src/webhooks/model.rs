//! Webhooks as the API takes and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::Pagination;

/// What a webhook can be told of. The database's triggers have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEvent)]
pub enum Event {
    /// A call rings, or is placed.
    #[serde(rename = "call.started")]
    CallStarted,
    /// It is answered.
    #[serde(rename = "call.answered")]
    CallAnswered,
    /// It is over.
    #[serde(rename = "call.ended")]
    CallEnded,
    /// What was said in it has been analysed.
    #[serde(rename = "call.analyzed")]
    CallAnalyzed,
    /// Its recording can be had.
    #[serde(rename = "recording.ready")]
    RecordingReady,
}

impl Event {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::CallStarted, Self::CallAnswered, Self::CallEnded, Self::CallAnalyzed, Self::RecordingReady];

    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallStarted => "call.started",
            Self::CallAnswered => "call.answered",
            Self::CallEnded => "call.ended",
            Self::CallAnalyzed => "call.analyzed",
            Self::RecordingReady => "recording.ready",
        }
    }
}

pub(super) fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.name().to_owned()).collect()
}

/// A webhook to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEndpoint {
    /// Where events are posted to: `https`, at an address on the public internet. Redirects are not followed.
    #[schema(max_length = 2048, pattern = "^https?://", example = "https://hooks.example.com/trunkline")]
    pub(super) url: String,
    /// Which events. At least one.
    #[schema(min_items = 1, max_items = 5, example = json!(["call.started", "call.ended"]))]
    pub(super) events: Vec<Event>,
    /// What it is for, for people.
    #[serde(default)]
    #[schema(max_length = 200, example = "The ticket system")]
    pub(super) description: String,
    /// Whether it is told anything. Default: true.
    #[serde(default = "enabled")]
    #[schema(default = enabled)]
    pub(super) enabled: bool,
}

const fn enabled() -> bool {
    true
}

/// What to change of a webhook. What is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EndpointPatch {
    /// Where events are posted to.
    #[schema(max_length = 2048, pattern = "^https?://", example = "https://hooks.example.com/trunkline")]
    pub(super) url: Option<String>,
    /// Which events.
    #[schema(min_items = 1, max_items = 5, example = json!(["call.ended"]))]
    pub(super) events: Option<Vec<Event>>,
    /// What it is for, for people.
    #[schema(max_length = 200, example = "The ticket system")]
    pub(super) description: Option<String>,
    /// Whether it is told anything.
    pub(super) enabled: Option<bool>,
    /// Whether it gets a new secret.
    #[schema(default = false)]
    pub(super) rotate_secret: bool,
}

impl EndpointPatch {
    /// The names of what is given.
    pub(super) fn changed(&self) -> Vec<&'static str> {
        let given = [
            ("url", self.url.is_some()),
            ("events", self.events.is_some()),
            ("description", self.description.is_some()),
            ("enabled", self.enabled.is_some()),
            ("secret", self.rotate_secret),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// Where events are posted to.
    #[schema(example = "https://hooks.example.com/trunkline")]
    pub url: String,
    /// What it is for, for people.
    pub description: String,
    /// Which events it is told of.
    #[schema(example = json!(["call.started", "call.ended"]))]
    pub events: Vec<String>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why the service has disabled it; null if it has not.
    #[schema(example = json!(null))]
    pub disabled_reason: Option<String>,
    /// When the service did.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Since when nothing could be delivered; null if the last attempt succeeded.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when requests are signed with its former secret too.
    pub previous_secret_until: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed.
    pub updated_at: DateTime<Utc>,
}

/// A webhook, with its secret if that is new.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WithSecret {
    /// What requests are signed with, as Standard Webhooks' libraries take it. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^whsec_[A-Za-z0-9+/]{43}=$",
        example = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    pub(super) secret: Option<Shown>,
    /// The rest of it.
    #[serde(flatten)]
    pub(super) endpoint: Endpoint,
}

/// A secret that is meant to be shown, in an answer and nowhere else.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Shown(pub(super) String);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// A page of webhooks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndpointList {
    pub(super) webhooks: Vec<Endpoint>,
    pub(super) pagination: Pagination,
}

/// Something that a webhook is told, or was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Delivery {
    /// Its id, which requests have as `webhook-id`.
    pub(super) id: Uuid,
    /// What happened.
    #[schema(example = "call.ended")]
    pub(super) event: String,
    /// In which conversation.
    pub(super) conversation_id: Option<Uuid>,
    /// `pending`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    pub(super) status: String,
    /// How often it was tried.
    #[schema(example = 1)]
    pub(super) attempts: i32,
    /// When it is tried next, while it is pending.
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    /// When it was last tried.
    pub(super) attempted_at: Option<DateTime<Utc>>,
    /// How long that took, in milliseconds.
    #[schema(example = 84)]
    pub(super) duration_ms: Option<i32>,
    /// The HTTP status of the answer.
    #[schema(example = 204)]
    pub(super) response_status: Option<i32>,
    /// How its body begins: up to 1 KiB.
    #[schema(example = "")]
    pub(super) response_body: Option<String>,
    /// Why the last attempt failed.
    #[schema(example = json!(null))]
    pub(super) error: Option<String>,
    /// What is told.
    #[schema(value_type = Object, example = json!({ "type": "call.ended", "timestamp": "2026-11-28T09:30:00.000Z", "data": { "status": "completed" } }))]
    pub(super) payload: Map<String, Value>,
    /// When it happened.
    pub(super) created_at: DateTime<Utc>,
}

/// A page of deliveries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryList {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) pagination: Pagination,
}

/// Something that will be told again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Redelivered {
    /// The delivery's id.
    pub(super) id: Uuid,
    /// Always `pending`.
    #[schema(example = "pending")]
    pub(super) status: &'static str,
}
