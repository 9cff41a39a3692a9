//! A leg: one party's part of a call, as REST shows it and events tell of it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::ncco::Action;
use crate::dates::iso8601;

/// How far a leg has come: the vendor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegStatus {
    /// It is there.
    Started,
    /// It rings.
    Ringing,
    /// It was answered.
    Answered,
    /// It is over after it was answered.
    Completed,
    /// Whoever called gave up.
    Cancelled,
    /// The line was busy.
    Busy,
    /// It rang for as long as it might.
    Timeout,
    /// Nobody could be reached.
    Unanswered,
    /// It was declined, or the number is none.
    Rejected,
    /// It could not be made.
    Failed,
}

impl LegStatus {
    /// The vendor's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Unanswered => "unanswered",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    /// The leg is over.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Started | Self::Ringing | Self::Answered)
    }
}

/// Who is at one end of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Party {
    /// A number without its plus.
    Phone(String),
    /// A media socket's URI.
    Socket(String),
    /// Any other endpoint, as it was given.
    Other(Value),
}

impl Party {
    /// As events write it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Phone(text) | Self::Socket(text) => text.clone(),
            Self::Other(endpoint) => endpoint["uri"].as_str().unwrap_or("unknown").to_owned(),
        }
    }

    /// As REST writes it.
    fn json(&self) -> Value {
        match self {
            Self::Phone(number) => json!({"type": "phone", "number": number}),
            Self::Socket(uri) => json!({"type": "websocket", "uri": uri}),
            Self::Other(endpoint) => endpoint.clone(),
        }
    }
}

/// What is asked of a call while it is on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// REST ends this leg.
    HangUp(String),
    /// Somebody at the telephone hangs up.
    CallerHangsUp,
    /// The caller's leg goes on with other actions, or with the document at this address.
    Transfer(Destination),
}

/// Where a leg is transferred to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Destination {
    Actions(Vec<Action>),
    Url(String),
}

/// A leg as the registry holds it.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) uuid: String,
    pub(super) application_id: String,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) outbound: bool,
    /// The endpoint's headers, of a media socket.
    pub(super) headers: Option<Map<String, Value>>,
    /// The request that it was asked for with.
    pub(super) request: Option<Value>,
    /// Which of the vendor's addresses knows it.
    pub(super) region: usize,
    created: SystemTime,
    changing: Mutex<Changing>,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
struct Changing {
    status: LegStatus,
    conversation_uuid: String,
    answered: Option<SystemTime>,
    ended: Option<SystemTime>,
    commands: Vec<Value>,
    keys: String,
    closed: bool,
}

/// What a new leg is.
#[derive(Debug, Clone)]
pub(super) struct NewLeg {
    pub(super) application_id: String,
    pub(super) conversation_uuid: String,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) outbound: bool,
    pub(super) headers: Option<Map<String, Value>>,
    pub(super) request: Option<Value>,
    pub(super) region: usize,
}

/// A new name for a conversation.
pub(super) fn conversation_uuid() -> String {
    format!("CON-{}", Uuid::new_v4())
}

impl Leg {
    pub(super) fn new(leg: NewLeg, commands: mpsc::UnboundedSender<Command>) -> Self {
        let changing = Changing {
            status: LegStatus::Started,
            conversation_uuid: leg.conversation_uuid,
            answered: None,
            ended: None,
            commands: Vec::new(),
            keys: String::new(),
            closed: false,
        };
        Self {
            uuid: Uuid::new_v4().to_string(),
            application_id: leg.application_id,
            from: leg.from,
            to: leg.to,
            outbound: leg.outbound,
            headers: leg.headers,
            request: leg.request,
            region: leg.region,
            created: SystemTime::now(),
            changing: Mutex::new(changing),
            commands,
        }
    }

    pub(super) fn status(&self) -> LegStatus {
        self.lock().status
    }

    pub(super) fn set_status(&self, status: LegStatus) {
        let mut changing = self.lock();
        changing.status = status;
        if status == LegStatus::Answered {
            changing.answered = Some(SystemTime::now());
        }
        if status.is_final() {
            changing.ended = Some(SystemTime::now());
        }
    }

    pub(super) fn conversation_uuid(&self) -> String {
        self.lock().conversation_uuid.clone()
    }

    /// Moves it to another conversation; returns the one before.
    pub(super) fn move_to(&self, conversation_uuid: String) -> String {
        std::mem::replace(&mut self.lock().conversation_uuid, conversation_uuid)
    }

    /// Passes a command on; `false` when the leg is over.
    pub(super) fn command(&self, command: Command) -> bool {
        !self.status().is_final() && self.commands.send(command).is_ok()
    }

    /// REST has ended it, whatever it still has to tell; `false` if it had before.
    pub(super) fn close(&self) -> bool {
        !std::mem::replace(&mut self.lock().closed, true)
    }

    pub(super) fn record(&self, body: Value) {
        self.lock().commands.push(body);
    }

    pub(super) fn recorded(&self) -> Vec<Value> {
        self.lock().commands.clone()
    }

    pub(super) fn press(&self, keys: &str) {
        self.lock().keys.push_str(keys);
    }

    pub(super) fn keys(&self) -> String {
        self.lock().keys.clone()
    }

    pub(super) fn created(&self) -> SystemTime {
        self.created
    }

    fn times(&self) -> (Option<SystemTime>, Option<SystemTime>, Duration) {
        let changing = self.lock();
        let lasted = changing.answered.zip(changing.ended);
        let lasted = lasted.and_then(|(answered, ended)| ended.duration_since(answered).ok()).unwrap_or_default();
        (changing.answered, changing.ended, lasted)
    }

    /// The vendor's resource.
    pub(super) fn to_json(&self) -> Value {
        let (answered, ended, lasted) = self.times();
        let mut call = json!({
            "_links": {"self": {"href": format!("/v1/calls/{}", self.uuid)}},
            "uuid": self.uuid,
            "conversation_uuid": self.conversation_uuid(),
            "to": self.to.json(),
            "from": self.from.json(),
            "status": self.status().word(),
            "direction": self.direction(),
        });
        if ended.is_some() {
            call["start_time"] = iso8601(answered.unwrap_or(self.created)).into();
            call["end_time"] = ended.map(iso8601).into();
            call["duration"] = lasted.as_secs_f64().round().to_string().into();
            call["rate"] = "0.01000000".into();
            call["price"] = price(lasted).into();
            call["network"] = "US-FIXED".into();
        }
        call
    }

    /// The fields of an event about it that is no state of its.
    pub(super) fn event_named(&self, word: &str) -> Map<String, Value> {
        let mut fields = self.event(LegStatus::Started);
        fields.insert("status".to_owned(), word.into());
        fields
    }

    /// The fields of the event that tells of a state.
    pub(super) fn event(&self, status: LegStatus) -> Map<String, Value> {
        let mut fields = Map::from_iter([
            ("from".to_owned(), self.from.text().into()),
            ("to".to_owned(), self.to.text().into()),
            ("uuid".to_owned(), self.uuid.as_str().into()),
            ("conversation_uuid".to_owned(), self.conversation_uuid().into()),
            ("status".to_owned(), status.word().into()),
            ("direction".to_owned(), self.direction().into()),
            ("timestamp".to_owned(), iso8601(SystemTime::now()).into()),
        ]);
        if let Some(headers) = &self.headers {
            fields.insert("headers".to_owned(), Value::Object(headers.clone()));
        }
        let (answered, ended, lasted) = self.times();
        match status {
            LegStatus::Answered => {
                fields.insert("start_time".to_owned(), Value::Null);
                fields.insert("rate".to_owned(), Value::Null);
                fields.insert("network".to_owned(), Value::Null);
            }
            LegStatus::Completed => {
                fields.insert("start_time".to_owned(), answered.map(iso8601).into());
                fields.insert("end_time".to_owned(), ended.map(iso8601).into());
                fields.insert("duration".to_owned(), lasted.as_secs_f64().round().to_string().into());
                fields.insert("rate".to_owned(), "0.01000000".into());
                fields.insert("price".to_owned(), price(lasted).into());
                fields.insert("network".to_owned(), "US-FIXED".into());
            }
            _ => {}
        }
        fields
    }

    const fn direction(&self) -> &'static str {
        if self.outbound { "outbound" } else { "inbound" }
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cent a minute.
fn price(lasted: Duration) -> String {
    format!("{:.8}", lasted.as_secs_f64() / 60.0 * 0.01)
}
