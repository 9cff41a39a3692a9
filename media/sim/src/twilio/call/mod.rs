//! One call: its states, the documents it runs, its streams and what it reports.

mod bridging;
pub(crate) mod callbacks;
mod fields;
mod outbound;
mod recording;
mod runner;
mod state;
mod status;

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

pub use bridging::DialRecord;
pub use callbacks::CallbackDelivery;
pub use state::Direction;
pub use status::{CallStatus, StatusCallback, StatusEvent};
pub(crate) use {
    bridging::Rooms,
    outbound::{Detection, Outbound},
    recording::{Recorder, Recordings, wav},
    runner::{Plan, Runner},
    state::{CallState, Command, Source},
};

use super::{
    phone::{PhoneConfig, PhoneReport},
    rest::RestRecord,
    signature::Form,
    twiml::{Document, TwimlError},
    webhook::WebhookRecord,
};

/// Somebody calls a number of ours.
#[derive(Debug, Clone, Default)]
pub struct InboundCall {
    /// Who calls.
    pub from: String,
    /// The number dialled: one of an account's.
    pub to: String,
    /// Where its first document is.
    pub voice_url: String,
    /// Where a document is when another can't be had.
    pub fallback_url: Option<String>,
    /// Where the call's status is told.
    pub status_callback: Option<StatusCallback>,
    /// Further fields of every webhook, such as `CallerName`.
    pub fields: Form,
    /// Sign with this key and come from this account instead of the number's own: for a server that must refuse it.
    pub impostor: Option<(String, String)>,
    /// The caller.
    pub phone: PhoneConfig,
}

/// A document that a call ran, or tried to.
#[derive(Debug, Clone)]
pub struct DocumentRecord {
    /// When it was there.
    pub at: Instant,
    /// As it came.
    pub text: String,
    /// As it was read.
    pub parsed: Result<Document, TwimlError>,
}

/// An entry in the vendor's error log that belongs to the call rather than to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The vendor's number.
    pub code: u32,
    /// What it was about.
    pub detail: String,
}

/// A call from its first ring to the last callback.
#[derive(Debug)]
pub struct CallReport {
    /// `CA…`
    pub call_sid: String,
    /// `AC…`
    pub account_sid: String,
    /// Who called.
    pub from: String,
    /// Who was called.
    pub to: String,
    /// How it ended.
    pub status: CallStatus,
    /// When it began to ring, or was to be placed.
    pub began: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// When it was over.
    pub ended: Instant,
    /// Every webhook sent, in the order of their answers.
    pub webhooks: Vec<WebhookRecord>,
    /// The documents, in order.
    pub documents: Vec<DocumentRecord>,
    /// What joined it with others, in order.
    pub dials: Vec<DialRecord>,
    /// The digits of `<Play>`, in order.
    pub keys: Vec<String>,
    /// The texts of `<Say>` that the caller heard.
    pub said: Vec<String>,
    /// Its streams, in order.
    pub streams: Vec<PhoneReport>,
    /// REST requests that named the call.
    pub requests: Vec<RestRecord>,
    /// The error log.
    pub errors: Vec<CallError>,
}

impl CallReport {
    /// Whether the log of the call has an entry with this code.
    pub fn has_error(&self, code: u32) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }

    /// Seconds of talk: from the answer to the end.
    pub fn duration(&self) -> Duration {
        self.answered.map_or(Duration::ZERO, |answered| self.ended.saturating_duration_since(answered))
    }
}

/// A call that is on. Dropping it lets the call go on by itself, as long as the simulator lives.
#[derive(Debug)]
pub struct OngoingCall {
    pub(crate) sid: String,
    pub(crate) state: std::sync::Arc<CallState>,
    pub(crate) task: JoinHandle<Option<CallReport>>,
}

/// The simulator was dropped before the call was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the simulator ended before the call")]
pub struct Abandoned;

impl OngoingCall {
    /// `CA…`
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Its present state.
    pub fn status(&self) -> CallStatus {
        self.state.status()
    }

    /// The person at the phone hangs up now, whatever the script says.
    pub fn hang_up(&self) {
        let _ = self.state.command(Command::HangUp);
    }

    /// Waits for the end of the call and its last callback.
    pub async fn report(self) -> Result<CallReport, Abandoned> {
        self.task.await.ok().flatten().ok_or(Abandoned)
    }
}
