//! Calls in REST's words: one to be placed, and one as Vonage has it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::telephony::{
    CarrierStatus,
    vonage::{
        dates::milliseconds,
        event::{is_uuid, status},
        ncco::{Ncco, number},
    },
};

/// A call to be placed.
#[derive(Debug, Clone, Copy)]
pub struct CreateCall<'a> {
    /// Who is called: E.164, with or without its plus.
    pub to: &'a str,
    /// Who calls: one of the account's numbers.
    pub from: &'a str,
    /// What happens when it is answered.
    pub flow: Flow<'a>,
    /// Where its events go.
    pub event_url: &'a str,
    /// Whether, and how, it is to be found out who answers.
    pub machine: Option<MachineDetection>,
    /// For how many seconds it may ring: 1 to 120.
    pub ringing_seconds: u16,
    /// For how many seconds it may last: 1 to 86 400.
    pub longest_seconds: u32,
}

/// What happens when a call is answered.
#[derive(Debug, Clone, Copy)]
pub enum Flow<'a> {
    /// This document.
    Ncco(&'a Ncco),
    /// The document that a POST to this address is answered with.
    AnswerUrl(&'a str),
}

/// How it is found out who answers. The verdict is an event; the document goes on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineDetection {
    /// The call is ended when a machine answers.
    pub hang_up: bool,
    /// The beep is waited for, for so many seconds: 45 to 120.
    pub beep_seconds: Option<u16>,
}

/// A call that was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its leg.
    pub uuid: String,
    /// `CON-…`
    pub conversation_uuid: String,
}

/// A leg as Vonage has it. `Debug` shows no number.
#[derive(Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The leg.
    pub uuid: String,
    /// `CON-…`
    pub conversation_uuid: Option<String>,
    /// How far it has come; `None` for a word that this version does not know.
    pub status: Option<CarrierStatus>,
    /// Who is called: a number without its plus, or a socket's URI.
    pub to: Option<String>,
    /// Who calls.
    pub from: Option<String>,
    /// Whether Vonage made it.
    pub outbound: bool,
    /// When it was answered, in milliseconds since 1970.
    pub started_ms: Option<u64>,
    /// How long it lasted, once it is over.
    pub duration: Option<Duration>,
    /// What it cost, once it is over, in the account's currency, as it is written.
    pub price: Option<String>,
}

impl std::fmt::Debug for CallRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallRecord")
            .field("uuid", &self.uuid)
            .field("status", &self.status)
            .field("outbound", &self.outbound)
            .finish_non_exhaustive()
    }
}

impl CreateCall<'_> {
    pub(super) fn body(&self) -> Value {
        let mut body = Map::from_iter([
            ("to".to_owned(), json!([{ "type": "phone", "number": number(self.to) }])),
            ("from".to_owned(), json!({ "type": "phone", "number": number(self.from) })),
            ("event_url".to_owned(), json!([self.event_url])),
            ("event_method".to_owned(), "POST".into()),
            ("ringing_timer".to_owned(), self.ringing_seconds.clamp(1, 120).into()),
            ("length_timer".to_owned(), self.longest_seconds.clamp(1, 86_400).into()),
        ]);
        match self.flow {
            Flow::Ncco(ncco) => drop(body.insert("ncco".to_owned(), json!(ncco))),
            Flow::AnswerUrl(url) => {
                body.insert("answer_url".to_owned(), json!([url]));
                body.insert("answer_method".to_owned(), "POST".into());
            }
        }
        if let Some(machine) = self.machine {
            let mut detection = json!({
                "behavior": if machine.hang_up { "hangup" } else { "continue" },
                "mode": if machine.beep_seconds.is_some() { "detect_beep" } else { "detect" },
            });
            if let Some(seconds) = machine.beep_seconds {
                detection["beep_timeout"] = seconds.clamp(45, 120).into();
            }
            body.insert("advanced_machine_detection".to_owned(), detection);
        }
        Value::Object(body)
    }
}

impl Created {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| body.get(name)?.as_str().map(str::to_owned);
        let uuid = text("uuid").filter(|uuid| is_uuid(uuid))?;
        Some(Self { uuid, conversation_uuid: text("conversation_uuid").unwrap_or_default() })
    }
}

impl CallRecord {
    /// Of the vendor's resource; `None` if it is none.
    pub(super) fn of(call: &Value) -> Option<Self> {
        let text = |name: &str| match call.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        // An object, a list of one, or the number itself: all three have been seen.
        let party = |name: &str| {
            let party = match call.get(name)? {
                Value::Array(list) => list.first()?,
                party => party,
            };
            let said = |field: &str| party.get(field)?.as_str().map(str::to_owned);
            party.as_str().map(str::to_owned).or_else(|| said("number")).or_else(|| said("uri"))
        };
        let seconds = |text: String| Duration::try_from_secs_f64(text.trim().parse().ok()?).ok();
        Some(Self {
            uuid: text("uuid").filter(|uuid| is_uuid(uuid))?,
            conversation_uuid: text("conversation_uuid"),
            status: text("status").and_then(|word| status(&word, text("detail").as_deref())),
            to: party("to"),
            from: party("from"),
            outbound: text("direction").as_deref() == Some("outbound"),
            started_ms: text("start_time").and_then(|time| milliseconds(&time)),
            duration: text("duration").and_then(seconds),
            price: text("price"),
        })
    }
}
