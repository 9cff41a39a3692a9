//! A call: what it begins with and what it reports.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    legs::{Command, Leg, LegStatus},
    ncco::{Action, NccoError},
    webhook::WebhookRecord,
};
use crate::phone::{PhoneConfig, PhoneReport};

/// Somebody calls a number of an application's.
#[derive(Debug, Clone, Default)]
pub struct InboundCall {
    /// Who calls: a number without its plus.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// Where it is asked what happens; the application's own address if there is none.
    pub answer_url: Option<String>,
    /// Where events go; the application's own address if there is none.
    pub event_url: Option<String>,
    /// Where it is asked if the first address gives nothing; the application's own if there is none.
    pub fallback_url: Option<String>,
    /// Further fields of the answer webhook, such as `SipHeader_X-UserId`.
    pub fields: Vec<(String, String)>,
    /// Sign with this secret for the account with this key, instead of the account's own: for a server that must refuse it.
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
    pub parsed: Result<Vec<Action>, NccoError>,
}

/// A conversation that a leg took part in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRecord {
    /// Its name.
    pub name: String,
    /// Whether somebody else was in it at the same time.
    pub met: bool,
}

/// One leg of a call, at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct LegRecord {
    /// Its id.
    pub uuid: String,
    /// Who was called: a number or a socket's URI.
    pub to: String,
    /// How it ended.
    pub status: LegStatus,
    /// The commands that REST gave for it and that were obeyed.
    pub commands: Vec<Value>,
    /// The keys that REST pressed.
    pub keys: String,
}

/// A call from its start to the last event.
#[derive(Debug)]
pub struct CallReport {
    /// The caller's leg, or the one that was placed.
    pub uuid: String,
    /// Who called.
    pub from: String,
    /// Who was called.
    pub to: String,
    /// How that leg ended.
    pub status: LegStatus,
    /// When it began.
    pub began: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// When it was over.
    pub ended: Instant,
    /// Every webhook sent, in the order of their answers.
    pub webhooks: Vec<WebhookRecord>,
    /// The documents, in order.
    pub documents: Vec<DocumentRecord>,
    /// What Vonage's own voice said.
    pub said: Vec<String>,
    /// The conversations that it took part in, in order.
    pub conversations: Vec<ConversationRecord>,
    /// Its media streams, in order.
    pub streams: Vec<PhoneReport>,
    /// Its legs, the caller's first.
    pub legs: Vec<LegRecord>,
    /// What the vendor's log would show.
    pub errors: Vec<String>,
}

impl CallReport {
    /// The statuses of the events about a leg that were sent, in that order.
    pub fn events_of(&self, uuid: &str) -> Vec<&str> {
        let of_it =
            |record: &&WebhookRecord| record.field("uuid") == Some(uuid) || record.field("call_uuid") == Some(uuid);
        self.webhooks.iter().filter(of_it).filter_map(|record| record.field("status")).collect()
    }

    /// From the answer to the end.
    pub fn duration(&self) -> Duration {
        self.answered.map_or(Duration::ZERO, |answered| self.ended.saturating_duration_since(answered))
    }
}

/// A call that is on. Dropping it lets the call go on by itself, as long as the simulator lives.
#[derive(Debug)]
pub struct OngoingCall {
    pub(super) leg: Arc<Leg>,
    pub(super) task: JoinHandle<Option<CallReport>>,
}

/// The simulator was dropped before the call was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the simulator ended before the call")]
pub struct Abandoned;

impl OngoingCall {
    /// The id of the caller's leg, or of the one that was placed.
    pub fn uuid(&self) -> &str {
        &self.leg.uuid
    }

    /// Its present state.
    pub fn status(&self) -> LegStatus {
        self.leg.status()
    }

    /// The person at the phone hangs up now, whatever the script says.
    pub fn hang_up(&self) {
        let _ = self.leg.command(Command::CallerHangsUp);
    }

    /// Waits for the end of the call and its last event.
    pub async fn report(self) -> Result<CallReport, Abandoned> {
        self.task.await.ok().flatten().ok_or(Abandoned)
    }
}
