//! Vonage's webhooks: a call that wants an answer, and what becomes of a call and of each of its legs.
//!
//! They are read loosely: the vendor writes numbers as text and text as numbers, leaves out what it does not know or writes null, and
//! has more words than its pages. What is not understood is kept as a word, and changes nothing. There is no sequence number: what comes
//! late is told by [`CarrierStatus::rank`] first, then by the time.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{dates::milliseconds, fields::Fields};
use crate::telephony::CarrierStatus;

/// A webhook that cannot be read: no JSON object, no call named, or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook of Vonage's")]
pub struct NotAWebhook;

/// A call that wants a document. `Debug` shows no number.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerWebhook {
    /// The caller's leg.
    pub uuid: String,
    /// `CON-…`
    pub conversation_uuid: Option<String>,
    /// Who was called: as Vonage writes it, a number without its plus.
    pub to: String,
    /// Who calls: a number without its plus, or a word such as `anonymous`.
    pub from: Option<String>,
    /// Where the call lives, and the only place that knows it.
    pub region_url: Option<String>,
    /// `phone`, `sip`, `app`, …
    pub endpoint_type: Option<String>,
    /// The headers of a SIP call, without `SipHeader_` before their names.
    pub sip_headers: BTreeMap<String, String>,
    /// Why this is asked at the fallback address, if it is.
    pub reason: Option<String>,
}

impl AnswerWebhook {
    /// Of a POST's body.
    pub fn of_json(body: &[u8]) -> Result<Self, NotAWebhook> {
        Self::of(&Fields::of_json(body).ok_or(NotAWebhook)?)
    }

    /// Of a GET's parameters.
    pub fn of_query(query: &[(String, String)]) -> Result<Self, NotAWebhook> {
        Self::of(&Fields::of_query(query))
    }

    fn of(fields: &Fields) -> Result<Self, NotAWebhook> {
        Ok(Self {
            uuid: leg(fields).ok_or(NotAWebhook)?,
            to: fields.text("to").ok_or(NotAWebhook)?,
            conversation_uuid: fields.text("conversation_uuid"),
            from: fields.text("from").or_else(|| fields.text("from_user")),
            region_url: fields.text("region_url"),
            endpoint_type: fields.text("endpoint_type"),
            sip_headers: fields.prefixed("SipHeader_"),
            reason: fields.text("reason"),
        })
    }
}

impl fmt::Debug for AnswerWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerWebhook")
            .field("uuid", &self.uuid)
            .field("region_url", &self.region_url)
            .finish_non_exhaustive()
    }
}

/// What became of a leg. `Debug` shows neither numbers nor what was pressed or said.
#[derive(Clone, PartialEq)]
pub struct EventWebhook {
    /// The leg, if the event is about one: an error is about a conversation.
    pub uuid: Option<String>,
    /// `CON-…`
    pub conversation_uuid: Option<String>,
    /// Who calls: for the leg of a media socket, the number called.
    pub from: Option<String>,
    /// Who is called: for the leg of a media socket, its URI.
    pub to: Option<String>,
    /// Whether the leg came to Vonage or was made by it; `None` if it does not say.
    pub outbound: Option<bool>,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: Option<u64>,
    /// Our endpoint's headers, on the leg of a media socket.
    pub headers: BTreeMap<String, String>,
    /// What happened.
    pub kind: EventKind,
    /// The answer of the telephone network.
    pub sip_code: Option<u16>,
    /// How long a completed leg lasted.
    pub duration: Option<Duration>,
    /// What a completed leg cost, in the account's currency, as it was written.
    pub price: Option<String>,
    /// Who ended a completed leg.
    pub ended_by: Option<EndedBy>,
}

/// Who ended a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The person at the telephone.
    Caller,
    /// Vonage, or we through it.
    Platform,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The leg has come so far.
    Status(CarrierStatus),
    /// It is known who answered.
    AnsweredBy(Answerer),
    /// A media socket was closed by our side: what we answer is what comes next.
    Disconnected,
    /// The leg went to another conversation.
    Transferred,
    /// An `input` action is over. Which keys or words they were is nobody's business here.
    Input {
        /// Whether a key was pressed.
        pressed: bool,
    },
    /// A recording is there.
    Recorded {
        /// Where it is; it is had with a token, from the vendor's hosts only.
        url: String,
        /// The recording's name.
        uuid: Option<String>,
        /// From its beginning to its end.
        duration: Option<Duration>,
    },
    /// The document could not be carried out. The words are the vendor's.
    Problem(String),
    /// A word that this version does not know, cut to 64 characters.
    Unknown(String),
}

/// Who, or what, answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answerer {
    /// A person.
    Human,
    /// A machine, whose greeting may still play.
    Machine,
    /// A machine that beeps: what is said from now on is recorded.
    Beep,
    /// A machine that has not beeped in the time that was set.
    NoBeep,
}

impl EventWebhook {
    /// Of a POST's body.
    pub fn of_json(body: &[u8]) -> Result<Self, NotAWebhook> {
        Self::of(&Fields::of_json(body).ok_or(NotAWebhook)?)
    }

    /// Of a GET's parameters.
    pub fn of_query(query: &[(String, String)]) -> Result<Self, NotAWebhook> {
        Self::of(&Fields::of_query(query))
    }

    fn of(fields: &Fields) -> Result<Self, NotAWebhook> {
        let (uuid, conversation_uuid) = (leg(fields), fields.text("conversation_uuid"));
        if uuid.is_none() && conversation_uuid.is_none() {
            return Err(NotAWebhook);
        }
        Ok(Self {
            uuid,
            conversation_uuid,
            from: fields.text("from"),
            to: fields.text("to"),
            outbound: match fields.text("direction").as_deref() {
                Some("outbound") => Some(true),
                Some("inbound") => Some(false),
                _ => None,
            },
            at_ms: fields.text("timestamp").and_then(|text| milliseconds(&text)),
            headers: fields.parts("headers"),
            kind: kind(fields),
            sip_code: fields.number("sip_code").map(|code| code as u16),
            duration: fields.number("duration").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            price: fields.text("price"),
            ended_by: match fields.text("disconnected_by").as_deref() {
                Some("user") => Some(EndedBy::Caller),
                Some("platform") => Some(EndedBy::Platform),
                _ => None,
            },
        })
    }

    /// Whether the leg is a media socket's, which is not the call's own.
    pub fn is_socket(&self) -> bool {
        self.to.as_deref().is_some_and(|to| to.starts_with("wss://") || to.starts_with("ws://"))
    }

    /// How far the leg has come, if that is what the event says.
    pub const fn status(&self) -> Option<CarrierStatus> {
        match self.kind {
            EventKind::Status(status) => Some(status),
            _ => None,
        }
    }
}

impl fmt::Debug for EventWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWebhook")
            .field("uuid", &self.uuid)
            .field("conversation_uuid", &self.conversation_uuid)
            .field("outbound", &self.outbound)
            .field("at_ms", &self.at_ms)
            .field("kind", &self.kind)
            .field("sip_code", &self.sip_code)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

/// The leg's name: what listens for machines calls it otherwise.
fn leg(fields: &Fields) -> Option<String> {
    fields.text("uuid").or_else(|| fields.text("call_uuid")).filter(|uuid| is_uuid(uuid))
}

/// A name that goes into a URL as it is: hexadecimal digits, with dashes or without.
pub(super) fn is_uuid(uuid: &str) -> bool {
    (32..=36).contains(&uuid.len()) && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn kind(fields: &Fields) -> EventKind {
    let Some(word) = fields.text("status") else { return without_status(fields) };
    let word = word.to_ascii_lowercase();
    let detail = fields.text("detail").map(|detail| detail.to_ascii_lowercase());
    match (word.as_str(), fields.text("sub_state").as_deref()) {
        ("machine", Some("beep_start")) => EventKind::AnsweredBy(Answerer::Beep),
        ("machine", Some("beep_timeout")) => EventKind::AnsweredBy(Answerer::NoBeep),
        ("machine", _) => EventKind::AnsweredBy(Answerer::Machine),
        ("human", _) => EventKind::AnsweredBy(Answerer::Human),
        ("disconnected", _) => EventKind::Disconnected,
        ("transfer", _) => EventKind::Transferred,
        ("input", _) => input(fields),
        (word, _) => match status(word, detail.as_deref()) {
            Some(status) => EventKind::Status(status),
            None => EventKind::Unknown(word.chars().take(64).collect()),
        },
    }
}

fn without_status(fields: &Fields) -> EventKind {
    if let Some(url) = fields.text("recording_url") {
        let at = |name: &str| fields.text(name).and_then(|text| milliseconds(&text));
        let lasted = at("end_time").zip(at("start_time")).and_then(|(end, start)| end.checked_sub(start));
        let duration = lasted.map(Duration::from_millis);
        return EventKind::Recorded { url, uuid: fields.text("recording_uuid"), duration };
    }
    if fields.has("dtmf") || fields.has("speech") {
        return input(fields);
    }
    if fields.has("conversation_uuid_to") {
        return EventKind::Transferred;
    }
    match fields.text("reason") {
        Some(reason) => EventKind::Problem(reason.chars().take(256).collect()),
        None => EventKind::Unknown(String::new()),
    }
}

fn input(fields: &Fields) -> EventKind {
    // An older form has the keys themselves in the field's place.
    let pressed = fields.parts("dtmf").get("digits").is_some_and(|keys| !keys.is_empty());
    EventKind::Input { pressed: pressed || fields.text("dtmf").is_some_and(|keys| !keys.starts_with('{')) }
}

/// What a word of Vonage's for a leg's state means, with the detail that some come with. REST uses the same words.
pub fn status(word: &str, detail: Option<&str>) -> Option<CarrierStatus> {
    Some(match (word, detail) {
        (_, Some("invalid_number" | "number_out_of_service"))
            if matches!(word, "rejected" | "failed" | "unanswered") =>
        {
            CarrierStatus::InvalidNumber
        }
        ("started", _) => CarrierStatus::Initiated,
        ("ringing", _) => CarrierStatus::Ringing,
        // What REST says of a leg that has just been answered, and of one that a machine detector listens to.
        ("answered" | "human" | "machine", _) => CarrierStatus::Answered,
        ("completed", _) => CarrierStatus::Completed,
        ("busy", _) => CarrierStatus::Busy,
        ("timeout" | "unanswered", _) => CarrierStatus::NoAnswer,
        ("rejected", _) => CarrierStatus::Rejected,
        // Two l in webhooks; REST has been seen with one.
        ("cancelled" | "canceled", _) => CarrierStatus::Canceled,
        ("failed", _) => CarrierStatus::Failed,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
