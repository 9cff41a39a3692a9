//! TwiML: the document with which a server says what happens to a call.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use thiserror::Error;

use super::call::{StatusCallback, StatusEvent};

/// A parsed document: its verbs in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// What to do, one after the other.
    pub verbs: Vec<Verb>,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// `<Connect><Stream>`: a two-way media stream; the next verb runs once the server closes the socket.
    Connect(StreamNoun),
    /// `<Redirect>`: another document replaces this one.
    Redirect {
        /// Where it is, absolute or relative to this document.
        url: String,
        /// POST unless the document says GET.
        method: Method,
    },
    /// `<Reject>`: refuse the call unanswered.
    Reject {
        /// `true` for `reason="busy"`.
        busy: bool,
    },
    /// `<Hangup/>`.
    Hangup,
    /// `<Pause length="…"/>`, seconds.
    Pause(u32),
    /// `<Say>`: the text.
    Say(String),
    /// `<Play>`: address of a recording.
    Play(String),
    /// `<Play digits="…"/>`: the keys.
    Digits(String),
    /// `<Dial>` of one number or one room.
    Dial(DialNoun),
    /// `<Gather>` of keys, with the `<Say>` inside it.
    Gather(GatherNoun),
    /// Any other verb, with the text inside it: the simulator goes past it.
    Unknown {
        /// The element's name.
        name: String,
        /// All text inside it, such as the client of a `<Dial>`.
        text: String,
    },
}

/// The attributes and parameters of a `<Stream>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamNoun {
    /// Where to connect.
    pub url: String,
    /// The stream's name.
    pub name: Option<String>,
    /// Absolute address of the stream's own status callback.
    pub status_callback: Option<String>,
    /// `<Parameter name value>`, in order.
    pub parameters: Vec<(String, String)>,
}

/// Whom to join the call with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialNoun {
    /// A number or a room.
    pub to: DialTo,
    /// Where the document to run afterwards is, and how it is asked for; `None`: the next verb runs.
    pub action: Option<(String, Method)>,
    /// How long a number rings, seconds.
    pub timeout: u32,
}

/// A number or a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialTo {
    /// `<Number>`.
    Number(NumberNoun),
    /// `<Conference>`: its name. Whatever the attributes say, it begins with whoever enters and ends with whoever leaves.
    Room(String),
}

/// A `<Number>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberNoun {
    /// The number.
    pub number: String,
    /// Where the status of its own leg is told.
    pub callback: Option<StatusCallback>,
}

/// A `<Gather>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatherNoun {
    /// Where the keys are told; `None`: where this document was.
    pub action: Option<String>,
    /// How.
    pub method: Method,
    /// How many keys are enough.
    pub keys: u32,
    /// How long is waited for one, seconds.
    pub timeout: u32,
    /// What is said meanwhile.
    pub text: String,
}

/// The method of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Fields in the body.
    #[default]
    Post,
    /// Fields in the query.
    Get,
}

/// Why a document can't be run; the vendor reports it as error 12100.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TwimlError {
    /// It is not well-formed XML.
    #[error("not well-formed XML: {0}")]
    Xml(String),
    /// Its root is not `<Response>`.
    #[error("the root element is <{0}>, not <Response>")]
    Root(String),
    /// It ends before its root is closed, or has none.
    #[error("the document is empty or ends early")]
    Truncated,
    /// A noun or verb lacks something it can't do without.
    #[error("<{element}> lacks {what}")]
    Missing {
        /// The element.
        element: &'static str,
        /// What it lacks.
        what: &'static str,
    },
    /// A parameter's name and value reach [`PARAMETER_LIMIT`] characters.
    #[error("the parameter {0} is too long")]
    LongParameter(String),
}

/// Longest name and value of one `<Parameter>`, together.
pub const PARAMETER_LIMIT: usize = 500;

/// Deepest nesting that is read; TwiML needs four.
const DEPTH_LIMIT: usize = 16;

/// Parses a document.
pub fn parse(text: &str) -> Result<Document, TwimlError> {
    let root = Element::read(text)?;
    if root.name != "Response" {
        return Err(TwimlError::Root(root.name));
    }
    let verbs = root.children.into_iter().map(verb).collect::<Result<_, _>>()?;
    Ok(Document { verbs })
}

fn verb(element: Element) -> Result<Verb, TwimlError> {
    Ok(match element.name.as_str() {
        "Connect" => match element.children.iter().find(|child| child.name == "Stream") {
            Some(noun) => Verb::Connect(stream_noun(noun)?),
            None => element.unknown(),
        },
        "Redirect" => Verb::Redirect { url: element.text.trim().to_owned(), method: element.method("method") },
        "Reject" => Verb::Reject { busy: element.attribute("reason") == Some("busy") },
        "Hangup" => Verb::Hangup,
        "Pause" => Verb::Pause(element.attribute("length").and_then(|length| length.parse().ok()).unwrap_or(1)),
        "Say" => Verb::Say(element.text.trim().to_owned()),
        "Play" => match element.attribute("digits") {
            Some(keys) => Verb::Digits(keys.to_owned()),
            None => Verb::Play(element.text.trim().to_owned()),
        },
        "Dial" => match dial_to(&element) {
            Some(to) => Verb::Dial(DialNoun {
                to,
                action: element.attribute("action").map(|url| (url.to_owned(), element.method("method"))),
                timeout: element.attribute("timeout").and_then(|seconds| seconds.parse().ok()).unwrap_or(30),
            }),
            None => element.unknown(),
        },
        "Gather" => Verb::Gather(GatherNoun {
            action: element.attribute("action").map(str::to_owned),
            method: element.method("method"),
            keys: element.attribute("numDigits").and_then(|keys| keys.parse().ok()).unwrap_or(1),
            timeout: element.attribute("timeout").and_then(|seconds| seconds.parse().ok()).unwrap_or(5),
            text: element.children.iter().filter(|child| child.name == "Say").map(|say| say.text.trim()).collect(),
        }),
        _ => element.unknown(),
    })
}

/// One number or one room: of several, the first, as nobody here dials two at once.
fn dial_to(element: &Element) -> Option<DialTo> {
    if let Some(room) = element.children.iter().find(|child| child.name == "Conference") {
        return Some(DialTo::Room(room.text.trim().to_owned()));
    }
    let Some(number) = element.children.iter().find(|child| child.name == "Number") else {
        let bare = element.text.trim();
        let is_number = element.children.is_empty() && bare.starts_with('+');
        return is_number.then(|| DialTo::Number(NumberNoun { number: bare.to_owned(), callback: None }));
    };
    let callback = number.attribute("statusCallback").map(|url| {
        let events = number.attribute("statusCallbackEvent").unwrap_or("completed");
        StatusCallback { url: url.to_owned(), events: events.split(' ').filter_map(StatusEvent::parse).collect() }
    });
    Some(DialTo::Number(NumberNoun { number: number.text.trim().to_owned(), callback }))
}

fn stream_noun(element: &Element) -> Result<StreamNoun, TwimlError> {
    let url = element.attribute("url").ok_or(TwimlError::Missing { element: "Stream", what: "a url" })?.to_owned();
    let mut parameters = Vec::new();
    for child in element.children.iter().filter(|child| child.name == "Parameter") {
        let name = child.attribute("name").ok_or(TwimlError::Missing { element: "Parameter", what: "a name" })?;
        let value = child.attribute("value").ok_or(TwimlError::Missing { element: "Parameter", what: "a value" })?;
        if name.chars().count() + value.chars().count() >= PARAMETER_LIMIT {
            return Err(TwimlError::LongParameter(name.to_owned()));
        }
        parameters.push((name.to_owned(), value.to_owned()));
    }
    Ok(StreamNoun {
        url,
        name: element.attribute("name").map(str::to_owned),
        status_callback: element.attribute("statusCallback").map(str::to_owned),
        parameters,
    })
}

#[derive(Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Self>,
}

impl Element {
    /// The root element with all below it.
    fn read(text: &str) -> Result<Self, TwimlError> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        loop {
            let closed = match reader.read_event().map_err(xml)? {
                Event::Start(_) if open.len() >= DEPTH_LIMIT => {
                    return Err(TwimlError::Xml("nested too deeply".into()));
                }
                Event::Start(start) => {
                    open.push(Self::open(&start)?);
                    continue;
                }
                Event::Empty(start) => Self::open(&start)?,
                Event::End(_) => open.pop().ok_or(TwimlError::Truncated)?,
                Event::Text(part) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&part.decode().map_err(xml)?);
                    }
                    continue;
                }
                Event::CData(part) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&part.decode().map_err(xml)?);
                    }
                    continue;
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(xml)?;
                    let resolved = match reference.resolve_char_ref().map_err(xml)? {
                        Some(character) => character.to_string(),
                        None => quick_xml::escape::resolve_predefined_entity(&name)
                            .ok_or_else(|| TwimlError::Xml(format!("unknown entity &{name};")))?
                            .to_owned(),
                    };
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&resolved);
                    }
                    continue;
                }
                Event::Eof => return Err(TwimlError::Truncated),
                _ => continue,
            };
            match open.last_mut() {
                Some(parent) => parent.children.push(closed),
                None => return Ok(closed),
            }
        }
    }

    fn open(start: &BytesStart<'_>) -> Result<Self, TwimlError> {
        let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(xml)?;
            let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(xml)?.into_owned();
            attributes.push((key, value));
        }
        Ok(Self { name, attributes, ..Self::default() })
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// POST unless it says GET.
    fn method(&self, name: &str) -> Method {
        let get = self.attribute(name).is_some_and(|method| method.eq_ignore_ascii_case("GET"));
        if get { Method::Get } else { Method::Post }
    }

    fn unknown(self) -> Verb {
        let mut text = self.text.trim().to_owned();
        for child in &self.children {
            if !text.is_empty() && !child.text.trim().is_empty() {
                text.push(' ');
            }
            text.push_str(child.text.trim());
        }
        Verb::Unknown { name: self.name, text }
    }
}

fn xml(error: impl std::fmt::Display) -> TwimlError {
    TwimlError::Xml(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_with_parameters_and_a_redirect_behind_it() {
        let document = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <!-- how a call is answered -->
            <Response>
              <Connect>
                <Stream url="wss://h/media/1" name="agent" statusCallback="https://h/s?a=1&amp;b=2">
                  <Parameter name="token" value="a&lt;b&quot;"/>
                </Stream>
              </Connect>
              <Redirect method="POST">https://h/resume?kind=resume&amp;c=1</Redirect>
            </Response>"#,
        )
        .unwrap();
        let stream = StreamNoun {
            url: "wss://h/media/1".into(),
            name: Some("agent".into()),
            status_callback: Some("https://h/s?a=1&b=2".into()),
            parameters: vec![("token".into(), "a<b\"".into())],
        };
        let redirect = Verb::Redirect { url: "https://h/resume?kind=resume&c=1".into(), method: Method::Post };
        assert_eq!(document.verbs, [Verb::Connect(stream), redirect]);
    }

    #[test]
    fn the_other_verbs_in_order() {
        let document = parse(
            "<Response><Say voice=\"x\">Caf&#233; <![CDATA[& co]]></Say><Play>https://h/a.wav</Play><Pause/><Pause length='3'/>\
             <Redirect method='get'>/next</Redirect><Dial timeout='5'><Client>ada</Client></Dial>\
             <Reject reason='busy'/><Reject/><Hangup/></Response>",
        )
        .unwrap();
        assert_eq!(
            document.verbs,
            [
                Verb::Say("Café & co".into()),
                Verb::Play("https://h/a.wav".into()),
                Verb::Pause(1),
                Verb::Pause(3),
                Verb::Redirect { url: "/next".into(), method: Method::Get },
                Verb::Unknown { name: "Dial".into(), text: "ada".into() },
                Verb::Reject { busy: true },
                Verb::Reject { busy: false },
                Verb::Hangup,
            ]
        );
    }

    #[test]
    fn calls_are_joined_with_others() {
        let document = parse(
            "<Response><Play digits='w1#'/><Dial action='/a' timeout='7'><Number statusCallback='https://h/s' \
             statusCallbackEvent='initiated answered'>+15005550006</Number></Dial><Dial><Conference>room</Conference></Dial>\
             <Gather action='https://h/g' numDigits='1' timeout='10'><Say>Take it?</Say></Gather></Response>",
        )
        .unwrap();
        let callback =
            StatusCallback { url: "https://h/s".into(), events: vec![StatusEvent::Initiated, StatusEvent::Answered] };
        let number = NumberNoun { number: "+15005550006".into(), callback: Some(callback) };
        assert_eq!(
            document.verbs,
            [
                Verb::Digits("w1#".into()),
                Verb::Dial(DialNoun {
                    to: DialTo::Number(number),
                    action: Some(("/a".into(), Method::Post)),
                    timeout: 7
                }),
                Verb::Dial(DialNoun { to: DialTo::Room("room".into()), action: None, timeout: 30 }),
                Verb::Gather(GatherNoun {
                    action: Some("https://h/g".into()),
                    method: Method::Post,
                    keys: 1,
                    timeout: 10,
                    text: "Take it?".into()
                }),
            ]
        );
    }

    #[test]
    fn an_empty_response_has_no_verbs() {
        assert_eq!(parse("<Response/>").unwrap(), Document::default());
        assert_eq!(parse("<Response></Response>").unwrap(), Document::default());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        assert_eq!(parse(""), Err(TwimlError::Truncated));
        assert_eq!(parse("<Response><Hangup/>"), Err(TwimlError::Truncated));
        assert_eq!(parse("<html></html>"), Err(TwimlError::Root("html".into())));
        assert!(matches!(parse("<Response><Say></Response>"), Err(TwimlError::Xml(_))));
        assert!(matches!(parse("<Response><Say>&nope;</Say></Response>"), Err(TwimlError::Xml(_))));
        let lacking = TwimlError::Missing { element: "Stream", what: "a url" };
        assert_eq!(parse("<Response><Connect><Stream/></Connect></Response>"), Err(lacking));
        let long = "v".repeat(PARAMETER_LIMIT);
        let document = format!(
            "<Response><Connect><Stream url='wss://h'><Parameter name='n' value='{long}'/></Stream></Connect></Response>"
        );
        assert_eq!(parse(&document), Err(TwimlError::LongParameter("n".into())));
        assert!(matches!(parse(&"<Response>".repeat(100)), Err(TwimlError::Xml(_))));
    }
}
