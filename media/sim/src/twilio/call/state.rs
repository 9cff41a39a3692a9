//! What the REST API sees of a call, and its way to the task that runs it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{recording::Recorder, status::CallStatus};
use crate::{
    dates::rfc2822,
    twilio::{rest::RestRecord, twiml::Method},
};

/// Which way a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Somebody called a number of the account.
    Inbound,
    /// Placed by REST.
    OutboundApi,
    /// Placed by a `<Dial>`.
    OutboundDial,
}

impl Direction {
    /// As in forms and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::OutboundApi => "outbound-api",
            Self::OutboundDial => "outbound-dial",
        }
    }
}

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Inline(String),
    Url(String, Method),
}

/// What is asked of a call while it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Complete,
    Cancel,
    Run(Source),
    HangUp,
}

/// A call as the registry holds it.
#[derive(Debug)]
pub(crate) struct CallState {
    pub(crate) sid: String,
    pub(crate) account_sid: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) direction: Direction,
    created: SystemTime,
    changing: Mutex<Changing>,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
struct Changing {
    status: CallStatus,
    answered: Option<SystemTime>,
    ended: Option<SystemTime>,
    requests: Vec<RestRecord>,
    answered_by: Option<&'static str>,
    recorder: Option<Recorder>,
    /// How long it waited for its turn.
    queued: Duration,
}

impl CallState {
    pub(crate) fn new(
        sid: String,
        account_sid: String,
        (from, to): (String, String),
        direction: Direction,
    ) -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let changing = Changing {
            status: CallStatus::Queued,
            answered: None,
            ended: None,
            requests: Vec::new(),
            answered_by: None,
            recorder: None,
            queued: Duration::ZERO,
        };
        let created = SystemTime::now();
        let state = Self { sid, account_sid, from, to, direction, created, changing: Mutex::new(changing), commands };
        (state, receiver)
    }

    pub(crate) fn status(&self) -> CallStatus {
        self.lock().status
    }

    pub(crate) fn set_status(&self, status: CallStatus) {
        let mut changing = self.lock();
        changing.status = status;
        if status == CallStatus::InProgress {
            changing.answered = Some(SystemTime::now());
        }
        if status.is_final() {
            changing.ended = Some(SystemTime::now());
        }
    }

    pub(crate) fn created(&self) -> SystemTime {
        self.created
    }

    /// When it was answered.
    pub(crate) fn started(&self) -> Option<SystemTime> {
        self.lock().answered
    }

    pub(crate) fn set_answered_by(&self, word: &'static str) {
        self.lock().answered_by = Some(word);
    }

    pub(crate) fn set_queued(&self, queued: Duration) {
        self.lock().queued = queued;
    }

    /// How the vendor records it, if it does.
    pub(crate) fn recorder(&self) -> Option<Recorder> {
        self.lock().recorder.clone()
    }

    pub(crate) fn record(&self, recorder: Recorder) {
        self.lock().recorder = Some(recorder);
    }

    /// Passes a command on; `false` when the call is over.
    pub(crate) fn command(&self, command: Command) -> bool {
        !self.status().is_final() && self.commands.send(command).is_ok()
    }

    pub(crate) fn push_request(&self, request: RestRecord) {
        self.lock().requests.push(request);
    }

    pub(crate) fn requests(&self) -> Vec<RestRecord> {
        self.lock().requests.clone()
    }

    /// The vendor's resource of the call.
    pub(crate) fn to_json(&self) -> Value {
        let changing = self.lock();
        let duration = changing.answered.zip(changing.ended).map(|(answered, ended)| {
            ended.duration_since(answered).unwrap_or_default().as_secs_f64().round().to_string()
        });
        let uri = format!("/2010-04-01/Accounts/{}/Calls/{}", self.account_sid, self.sid);
        json!({
            "sid": self.sid,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(changing.ended.or(changing.answered).unwrap_or(self.created)),
            "parent_call_sid": null,
            "account_sid": self.account_sid,
            "to": self.to,
            "to_formatted": self.to,
            "from": self.from,
            "from_formatted": self.from,
            "phone_number_sid": null,
            "status": changing.status,
            "start_time": changing.answered.map(rfc2822),
            "end_time": changing.ended.map(rfc2822),
            "duration": duration,
            "price": null,
            "price_unit": "USD",
            "direction": self.direction.as_str(),
            "answered_by": changing.answered_by,
            "api_version": "2010-04-01",
            "forwarded_from": null,
            "group_sid": null,
            "caller_name": null,
            "queue_time": changing.queued.as_millis().to_string(),
            "trunk_sid": null,
            "uri": format!("{uri}.json"),
            "subresource_uris": {"recordings": format!("{uri}/Recordings.json"), "streams": format!("{uri}/Streams.json")},
        })
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
