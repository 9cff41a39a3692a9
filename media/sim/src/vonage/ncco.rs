//! NCCO, read strictly: a list of known actions, each with what it needs and nothing of the wrong kind. The vendor treats anything else
//! as a document that could not be had.

use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;

/// Most characters that are said at once.
const TALK: usize = 1_500;
/// Most bytes of the JSON of a socket's headers.
const HEADERS: usize = 512;

/// What a document asks for, in its order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Connects the call to somebody, or something.
    Connect(Connect),
    /// Says something.
    Talk(Talk),
    /// Plays something: nothing is fetched.
    Stream(String),
    /// Waits for this many seconds.
    Wait(f64),
    /// Lets the leg take part in a conversation.
    Conversation(Conversation),
    /// Tells an address something.
    Notify {
        /// The address.
        event_url: String,
        /// What is told.
        payload: Value,
    },
    /// Waits for keys.
    Input(Input),
    /// Records the call from now on.
    Record {
        /// Where the recording is told of, once it is there; the application's address if there is none.
        event_url: Option<String>,
    },
    /// Known, and without consequence here: `transfer`.
    NotSimulated(String),
}

/// A `talk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// What is said.
    pub text: String,
    /// A key ends it, and is the first of those that are waited for next.
    pub barge_in: bool,
}

/// An `input` of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where what was pressed is told; the application's address if there is none.
    pub event_url: Option<String>,
    /// It is POSTed.
    pub post: bool,
    /// How many keys are waited for.
    pub most: usize,
    /// For how many seconds each is.
    pub seconds: u64,
}

/// A `connect`.
#[derive(Debug, Clone, PartialEq)]
pub struct Connect {
    /// To what.
    pub endpoint: Endpoint,
    /// Where the new leg's events go; the application's address if there is none.
    pub event_url: Option<String>,
    /// Its events are POSTed.
    pub post: bool,
    /// An event that ends the leg is answered with what comes next.
    pub synchronous: bool,
    /// Who calls.
    pub from: Option<String>,
    /// For how many seconds it may ring.
    pub timeout: u64,
    /// For how many seconds it may last.
    pub limit: u64,
}

/// The far end of a `connect`.
#[derive(Debug, Clone, PartialEq)]
pub enum Endpoint {
    /// A media socket.
    Socket(SocketEndpoint),
    /// A telephone: a number without its plus.
    Phone(String),
}

/// A media socket's end.
#[derive(Debug, Clone, PartialEq)]
pub struct SocketEndpoint {
    /// `ws://…` or `wss://…`
    pub uri: String,
    /// What its audio is.
    pub content_type: String,
    /// Samples a second.
    pub rate: u32,
    /// What comes along in its first message.
    pub headers: Map<String, Value>,
    /// What its upgrade is authorised with.
    pub authorization: Option<Authorization>,
}

/// What a socket's upgrade is authorised with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// The token of a signed webhook.
    Vonage,
    /// These words.
    Custom(String),
}

/// A `conversation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its name.
    pub name: String,
    /// Whether it begins with this leg.
    pub start_on_enter: bool,
    /// Whether it ends with this leg.
    pub end_on_exit: bool,
}

/// Why a document is none: which action, counted from 0, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NccoError(pub String);

/// Reads a document.
pub fn parse(text: &str) -> Result<Vec<Action>, NccoError> {
    let document: Value = serde_json::from_str(text).map_err(|error| NccoError(format!("no JSON: {error}")))?;
    parse_value(&document)
}

/// Reads a document that has come inside another.
pub fn parse_value(document: &Value) -> Result<Vec<Action>, NccoError> {
    let actions = document.as_array().ok_or_else(|| NccoError("not a list of actions".into()))?;
    let read = |(n, action): (usize, &Value)| action_of(action).map_err(|wrong| NccoError(format!("[{n}] {wrong}")));
    actions.iter().enumerate().map(read).collect()
}

fn action_of(action: &Value) -> Result<Action, String> {
    let fields = Fields(action.as_object().ok_or("is no object")?);
    Ok(match fields.text("action")?.ok_or("has no action")? {
        "connect" => Action::Connect(connect(&fields)?),
        "talk" => {
            let text = fields.text("text")?.filter(|text| !text.is_empty()).ok_or("talk has no text")?;
            if text.chars().count() > TALK {
                return Err(format!("talk has more than {TALK} characters"));
            }
            Action::Talk(Talk { text: text.to_owned(), barge_in: fields.flag("bargeIn", false)? })
        }
        "stream" => Action::Stream(fields.url("streamUrl")?.ok_or("stream has no streamUrl")?),
        "wait" => {
            let seconds = fields.0.get("timeout").map_or(Some(10.0), Value::as_f64).ok_or("timeout is no number")?;
            Action::Wait(seconds.clamp(0.1, 7_200.0))
        }
        "conversation" => Action::Conversation(Conversation {
            name: fields.text("name")?.filter(|name| !name.is_empty()).ok_or("conversation has no name")?.to_owned(),
            start_on_enter: fields.flag("startOnEnter", true)?,
            end_on_exit: fields.flag("endOnExit", false)?,
        }),
        "notify" => Action::Notify {
            event_url: fields.url("eventUrl")?.ok_or("notify has no eventUrl")?,
            payload: fields.0.get("payload").filter(|it| it.is_object()).cloned().ok_or("notify has no payload")?,
        },
        "input" => Action::Input(input(&fields)?),
        "record" => Action::Record { event_url: fields.url("eventUrl")? },
        known @ "transfer" => Action::NotSimulated(known.to_owned()),
        unknown => return Err(format!("{unknown:?} is no action")),
    })
}

fn connect(fields: &Fields<'_>) -> Result<Connect, String> {
    let endpoint = match fields.0.get("endpoint").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::Object(endpoint)]) => endpoint_of(&Fields(endpoint))?,
        _ => return Err("endpoint is no list of one object".into()),
    };
    let synchronous = match fields.text("eventType")? {
        None => false,
        Some("synchronous") => true,
        Some(other) => return Err(format!("eventType {other:?} is none")),
    };
    let post = fields.by_post()?;
    let from = fields.text("from")?.map(str::to_owned);
    if from.as_deref().is_some_and(|from| !is_number(from)) {
        return Err("from is no number without +".into());
    }
    Ok(Connect {
        endpoint,
        event_url: fields.url("eventUrl")?,
        post,
        synchronous,
        from,
        timeout: fields.seconds("timeout", 60, 7_200)?,
        limit: fields.seconds("limit", 7_200, 7_200)?,
    })
}

/// Keys alone: what is spoken is not recognised here.
fn input(fields: &Fields<'_>) -> Result<Input, String> {
    match fields.0.get("type").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::String(kind)]) if kind == "dtmf" => {}
        _ => return Err("type is no list of \"dtmf\"".into()),
    }
    let none = Map::new();
    let keys = match fields.0.get("dtmf") {
        None => Fields(&none),
        Some(keys) => Fields(keys.as_object().ok_or("dtmf is no object")?),
    };
    Ok(Input {
        event_url: fields.url("eventUrl")?,
        post: fields.by_post()?,
        most: keys.seconds("maxDigits", 4, 20)? as usize,
        seconds: keys.seconds("timeOut", 3, 10)?,
    })
}

fn endpoint_of(endpoint: &Fields<'_>) -> Result<Endpoint, String> {
    match endpoint.text("type")?.unwrap_or_default() {
        "websocket" => socket(endpoint).map(Endpoint::Socket),
        "phone" => {
            let number = endpoint.text("number")?.unwrap_or_default();
            if is_number(number) {
                Ok(Endpoint::Phone(number.to_owned()))
            } else {
                Err("number is none without +".into())
            }
        }
        other => Err(format!("an endpoint of type {other:?} is not simulated")),
    }
}

/// Reads a media socket's end.
pub(super) fn socket_endpoint(endpoint: &Value) -> Result<SocketEndpoint, String> {
    socket(&Fields(endpoint.as_object().ok_or("is no object")?))
}

fn socket(endpoint: &Fields<'_>) -> Result<SocketEndpoint, String> {
    let uri = endpoint.text("uri")?.unwrap_or_default();
    if !Url::parse(uri).is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host()) {
        return Err("uri is no ws:// or wss:// URL".into());
    }
    let content_type = endpoint.text("content-type")?.unwrap_or_default();
    let rate = match content_type {
        "audio/l16;rate=8000" => 8_000,
        "audio/l16;rate=16000" => 16_000,
        "audio/l16;rate=24000" => 24_000,
        other => return Err(format!("content-type {other:?} is none")),
    };
    let headers = match endpoint.0.get("headers") {
        None => Map::new(),
        Some(Value::Object(headers)) => headers.clone(),
        Some(_) => return Err("headers are no object".into()),
    };
    let bytes = Value::Object(headers.clone()).to_string().len();
    if bytes > HEADERS {
        return Err(format!("headers have {bytes} bytes, more than {HEADERS}"));
    }
    let authorization = match endpoint.0.get("authorization") {
        None => None,
        Some(said) => Some(match (said["type"].as_str(), said["value"].as_str()) {
            (Some("vonage"), _) => Authorization::Vonage,
            (Some("custom"), Some(value)) => Authorization::Custom(value.to_owned()),
            _ => return Err("authorization is none".into()),
        }),
    };
    Ok(SocketEndpoint { uri: uri.to_owned(), content_type: content_type.to_owned(), rate, headers, authorization })
}

/// Whether a text is a number as the vendor writes it: 7 to 15 digits.
pub(super) fn is_number(text: &str) -> bool {
    (7..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} is no text")),
        }
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        self.0.get(name).map_or(Some(default), Value::as_bool).ok_or_else(|| format!("{name} is no boolean"))
    }

    fn seconds(&self, name: &str, default: u64, most: u64) -> Result<u64, String> {
        let seconds = self.0.get(name).map_or(Some(default), Value::as_u64);
        seconds
            .filter(|seconds| (1..=most).contains(seconds))
            .ok_or_else(|| format!("{name} is no number up to {most}"))
    }

    /// Whether `eventUrl` is POSTed to.
    fn by_post(&self) -> Result<bool, String> {
        match self.text("eventMethod")? {
            None | Some("POST") => Ok(true),
            Some("GET") => Ok(false),
            Some(other) => Err(format!("eventMethod {other:?} is none")),
        }
    }

    /// A list of one URL.
    fn url(&self, name: &str) -> Result<Option<String>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Array(list)) => match list.as_slice() {
                [Value::String(url)] if url.starts_with("http://") || url.starts_with("https://") => {
                    Ok(Some(url.clone()))
                }
                _ => Err(format!("{name} is no list of one URL")),
            },
            Some(_) => Err(format!("{name} is no list")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn socket_action() -> Value {
        json!({
            "action": "connect", "eventType": "synchronous", "eventUrl": ["https://h/e"], "from": "14155550101",
            "endpoint": [{
                "type": "websocket", "uri": "wss://h/m?x=1", "content-type": "audio/l16;rate=16000",
                "headers": {"token": "abc"}, "authorization": {"type": "vonage"},
            }],
        })
    }

    #[test]
    fn a_document_is_read_in_order() {
        let document = json!([
            {"action": "talk", "text": "hi", "language": "en-GB"},
            socket_action(),
            {"action": "connect", "endpoint": [{"type": "phone", "number": "14155550100"}], "timeout": 20},
            {"action": "wait", "timeout": 0.5},
            {"action": "conversation", "name": "c", "endOnExit": true},
            {"action": "record", "eventUrl": ["https://h/r"]},
            {"action": "input", "type": ["dtmf"], "dtmf": {"maxDigits": 1}, "eventUrl": ["https://h/k"]},
            {"action": "transfer", "conversationId": "CON-1"},
        ]);
        let actions = parse(&document.to_string()).unwrap();
        assert_eq!(actions[0], Action::Talk(Talk { text: "hi".into(), barge_in: false }));
        let Action::Connect(connect) = &actions[1] else { panic!("a connect") };
        assert!(connect.synchronous && connect.post && connect.event_url.as_deref() == Some("https://h/e"));
        let Endpoint::Socket(socket) = &connect.endpoint else { panic!("a socket") };
        assert_eq!((socket.rate, &socket.authorization), (16_000, &Some(Authorization::Vonage)));
        assert!(matches!(&actions[2], Action::Connect(connect) if connect.timeout == 20));
        assert_eq!(actions[3], Action::Wait(0.5));
        let conversation = Conversation { name: "c".into(), start_on_enter: true, end_on_exit: true };
        assert_eq!(actions[4], Action::Conversation(conversation));
        assert_eq!(actions[5], Action::Record { event_url: Some("https://h/r".into()) });
        let input = Input { event_url: Some("https://h/k".into()), post: true, most: 1, seconds: 3 };
        assert_eq!(actions[6], Action::Input(input));
        assert_eq!(actions[7], Action::NotSimulated("transfer".into()));
        assert_eq!(parse("[]"), Ok(vec![]));
    }

    #[test]
    fn anything_else_is_refused() {
        let with = |path: &str, value: Value| {
            let mut action = socket_action();
            *action.pointer_mut(path).unwrap() = value;
            json!([action])
        };
        let long = json!({"token": "x".repeat(501)});
        for document in [
            json!({}),
            json!("<Response/>"),
            json!([[]]),
            json!([{"action": "hangup"}]),
            json!([{"text": "hi"}]),
            json!([{"action": "talk"}]),
            json!([{"action": "input"}]),
            json!([{"action": "input", "type": ["speech"]}]),
            json!([{"action": "input", "type": ["dtmf"], "dtmf": {"maxDigits": 21}}]),
            json!([{"action": "record", "eventUrl": "https://h/r"}]),
            json!([{"action": "talk", "text": "x".repeat(1_501)}]),
            json!([{"action": "stream", "streamUrl": "https://h/s.mp3"}]),
            with("/endpoint", json!([])),
            with("/endpoint", json!({"type": "phone", "number": "14155550100"})),
            with("/endpoint/0/type", json!("carrier-pigeon")),
            with("/endpoint/0/uri", json!("https://h/m")),
            with("/endpoint/0/content-type", json!("audio/l16; rate=16000")),
            with("/endpoint/0/content-type", json!("audio/l16;rate=48000")),
            with("/endpoint/0/headers", json!([])),
            with("/endpoint/0/headers", long),
            with("/endpoint/0/authorization", json!({"type": "basic"})),
            with("/eventUrl", json!("https://h/e")),
            with("/eventType", json!("asynchronous")),
            with("/from", json!("+14155550101")),
        ] {
            assert!(parse(&document.to_string()).is_err(), "{document}");
        }
        assert!(parse("").is_err());
        let fits = json!({"token": "x".repeat(500)});
        assert!(parse(&with("/endpoint/0/headers", fits).to_string()).is_ok());
    }
}
