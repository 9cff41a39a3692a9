//! The states of a call and the callbacks that tell them.

use serde::Serialize;

/// State of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    /// Waiting to be placed.
    Queued,
    /// Ringing; an inbound call until it is answered by its TwiML.
    Ringing,
    /// Answered.
    InProgress,
    /// Over after it was answered.
    Completed,
    /// Refused as busy.
    Busy,
    /// Could not be placed.
    Failed,
    /// Not answered.
    NoAnswer,
    /// Ended by REST before it was answered.
    Canceled,
}

impl CallStatus {
    /// As in forms and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
        }
    }

    /// The call is over.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Ringing | Self::InProgress)
    }
}

/// An event for which a status callback can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusEvent {
    /// The call has been placed (outbound only).
    Initiated,
    /// It rings.
    Ringing,
    /// It was answered.
    Answered,
    /// It is over, whatever its final status.
    Completed,
}

impl StatusEvent {
    /// The event of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "initiated" => Self::Initiated,
            "ringing" => Self::Ringing,
            "answered" => Self::Answered,
            "completed" => Self::Completed,
            _ => return None,
        })
    }
}

/// Where a call's status is told, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCallback {
    /// The address.
    pub url: String,
    /// The events wanted.
    pub events: Vec<StatusEvent>,
}

impl StatusCallback {
    /// The end of the call only, as is the vendor's default.
    pub fn completed(url: impl Into<String>) -> Self {
        Self { url: url.into(), events: vec![StatusEvent::Completed] }
    }

    /// All events.
    pub fn all(url: impl Into<String>) -> Self {
        use StatusEvent::{Answered, Completed, Initiated, Ringing};
        Self { url: url.into(), events: vec![Initiated, Ringing, Answered, Completed] }
    }
}
