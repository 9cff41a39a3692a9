//! NCCO: the documents that we answer Vonage's webhooks with, and that REST requests carry. They go out as `application/json`.
//!
//! A document is made of actions that follow each other. Behind a media socket nothing should stand: what follows may run as soon as
//! the socket is up, and not when it ends.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::wire::ContentType;
use crate::audio::SampleRate;

/// What Vonage takes of an endpoint's headers: their JSON has at most this many bytes.
pub const MAX_HEADERS: usize = 512;

/// What Vonage says at once: at most this many characters.
pub const MAX_TALK: usize = 1_500;

/// Our endpoint's headers are longer than [`MAX_HEADERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the headers of a media socket have {0} bytes, which is more than {MAX_HEADERS}")]
pub struct HeadersTooLong(pub usize);

/// A leg to a media socket.
#[derive(Debug, Clone, Copy)]
pub struct SocketLeg<'a> {
    /// `wss://…`
    pub uri: &'a str,
    /// What the audio is to be, both ways.
    pub rate: SampleRate,
    /// What comes back in the socket's first message, the token among it.
    pub headers: &'a [(&'a str, &'a str)],
    /// Where the leg's events go. They are synchronous: one that ends the leg is answered with what is to come next.
    pub event_url: &'a str,
    /// Who the leg is from: E.164, with or without its plus.
    pub from: Option<&'a str>,
}

/// A leg to a telephone, as a transfer has one.
#[derive(Debug, Clone, Copy)]
pub struct PhoneLeg<'a> {
    /// Who is called: E.164, with or without its plus.
    pub number: &'a str,
    /// Who calls: one of the account's numbers.
    pub from: &'a str,
    /// Where the leg's events go.
    pub event_url: &'a str,
    /// Whether an event that ends the leg before it was answered is answered with what is to come next.
    pub synchronous: bool,
    /// For how many seconds it may ring: 1 to 120.
    pub ringing_seconds: u16,
}

/// A wait for keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyInput<'a> {
    /// Where what was pressed is told, which is answered with what is to come next.
    pub event_url: &'a str,
    /// How many keys are waited for: 1 to 20.
    pub most: u8,
    /// For how many seconds the first key, and each after it, is waited for: 1 to 10.
    pub seconds: u8,
}

/// A conversation that several legs take part in, by its name.
#[derive(Debug, Clone, Copy)]
pub struct Conversation<'a> {
    /// Its name, within the account.
    pub name: &'a str,
    /// Whether it begins when this leg enters; one who does not begin it hears music, or nothing.
    pub start_on_enter: bool,
    /// Whether it ends for everybody when this leg leaves.
    pub end_on_exit: bool,
    /// What is heard until it begins.
    pub music_on_hold_url: Option<&'a str>,
}

/// A document. Empty, it ends the call.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Ncco(Vec<Value>);

impl Ncco {
    /// Nothing to do: as the answer to a webhook it ends the call, or leaves the leg's event without consequence.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Connects the call to a media socket, both ways, with the token of a signed webhook in its upgrade.
    ///
    /// # Errors
    /// When the headers are too long: what Vonage does with such is not known.
    pub fn socket(self, leg: &SocketLeg<'_>) -> Result<Self, HeadersTooLong> {
        let headers: Map<String, Value> =
            leg.headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let headers = Value::Object(headers);
        let bytes = headers.to_string().len();
        if bytes > MAX_HEADERS {
            return Err(HeadersTooLong(bytes));
        }
        let mut action = json!({
            "action": "connect",
            "eventType": "synchronous",
            "eventUrl": [leg.event_url],
            "eventMethod": "POST",
            "endpoint": [{
                "type": "websocket",
                "uri": leg.uri,
                "content-type": ContentType(leg.rate).to_string(),
                "headers": headers,
                "authorization": { "type": "vonage" },
            }],
        });
        if let Some(from) = leg.from {
            action["from"] = number(from).into();
        }
        Ok(self.then(action))
    }

    /// Connects the call to a telephone.
    #[must_use]
    pub fn phone(self, leg: &PhoneLeg<'_>) -> Self {
        let mut action = json!({
            "action": "connect",
            "eventUrl": [leg.event_url],
            "eventMethod": "POST",
            "from": number(leg.from),
            "timeout": leg.ringing_seconds.clamp(1, 120),
            "endpoint": [{ "type": "phone", "number": number(leg.number) }],
        });
        if leg.synchronous {
            action["eventType"] = "synchronous".into();
        }
        self.then(action)
    }

    /// Has Vonage's own voice say something, cut to [`MAX_TALK`].
    #[must_use]
    pub fn talk(self, text: &str, language: Option<&str>) -> Self {
        let text: String = text.chars().take(MAX_TALK).collect();
        let mut action = json!({ "action": "talk", "text": text });
        if let Some(language) = language {
            action["language"] = language.into();
        }
        self.then(action)
    }

    /// Has Vonage's own voice ask something, until the first key of those that are then waited for.
    #[must_use]
    pub fn ask(self, text: &str, language: Option<&str>, input: &KeyInput<'_>) -> Self {
        let mut asking = self.talk(text, language);
        if let Some(talk) = asking.0.last_mut() {
            talk["bargeIn"] = true.into();
        }
        asking.then(json!({
            "action": "input",
            "type": ["dtmf"],
            "dtmf": { "maxDigits": input.most.clamp(1, 20), "timeOut": input.seconds.clamp(1, 10) },
            "eventUrl": [input.event_url],
            "eventMethod": "POST",
        }))
    }

    /// Lets the leg take part in a conversation.
    #[must_use]
    pub fn conversation(self, conversation: &Conversation<'_>) -> Self {
        let mut action = json!({
            "action": "conversation",
            "name": conversation.name,
            "startOnEnter": conversation.start_on_enter,
            "endOnExit": conversation.end_on_exit,
        });
        if let Some(url) = conversation.music_on_hold_url {
            action["musicOnHoldUrl"] = json!([url]);
        }
        self.then(action)
    }

    /// The document's JSON.
    pub fn to_json(&self) -> String {
        Value::Array(self.0.clone()).to_string()
    }

    fn then(mut self, action: Value) -> Self {
        self.0.push(action);
        self
    }
}

/// A number as Vonage writes it: without the plus.
pub(super) fn number(e164: &str) -> &str {
    e164.trim_start_matches('+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg<'a>(headers: &'a [(&'a str, &'a str)]) -> SocketLeg<'a> {
        SocketLeg {
            uri: "wss://h.example/media/vonage/018f",
            rate: SampleRate::HZ_16000,
            headers,
            event_url: "https://h.example/webhooks/vonage?kind=socket",
            from: Some("+14155550101"),
        }
    }

    #[test]
    fn a_call_is_connected_to_a_media_socket() {
        let ncco = Ncco::empty().socket(&leg(&[("token", "a\"b"), ("call_uuid", "u")])).unwrap();
        let expected = json!([{
            "action": "connect",
            "eventType": "synchronous",
            "eventUrl": ["https://h.example/webhooks/vonage?kind=socket"],
            "eventMethod": "POST",
            "from": "14155550101",
            "endpoint": [{
                "type": "websocket",
                "uri": "wss://h.example/media/vonage/018f",
                "content-type": "audio/l16;rate=16000",
                "headers": { "token": "a\"b", "call_uuid": "u" },
                "authorization": { "type": "vonage" },
            }],
        }]);
        assert_eq!(serde_json::from_str::<Value>(&ncco.to_json()).unwrap(), expected);
        assert_eq!(serde_json::to_value(&ncco).unwrap(), expected);
    }

    #[test]
    fn headers_have_512_bytes_and_no_more() {
        // {"token":"…"} is 12 bytes and the token.
        let fits = "x".repeat(MAX_HEADERS - 12);
        assert!(Ncco::empty().socket(&leg(&[("token", &fits)])).is_ok());
        let long = "x".repeat(MAX_HEADERS - 11);
        assert_eq!(Ncco::empty().socket(&leg(&[("token", &long)])), Err(HeadersTooLong(513)));
        // Counted as it is sent.
        let quotes = "\"".repeat(MAX_HEADERS / 2);
        assert!(Ncco::empty().socket(&leg(&[("token", &quotes)])).is_err());
    }

    #[test]
    fn a_transfer_says_something_and_calls_somebody() {
        let phone = PhoneLeg {
            number: "+442079460000",
            from: "+14155550101",
            event_url: "https://h/e",
            synchronous: true,
            ringing_seconds: 400,
        };
        let ncco = Ncco::empty().talk("One moment.", Some("en-GB")).phone(&phone);
        let expected = json!([
            { "action": "talk", "text": "One moment.", "language": "en-GB" },
            {
                "action": "connect", "eventType": "synchronous", "eventUrl": ["https://h/e"], "eventMethod": "POST",
                "from": "14155550101", "timeout": 120,
                "endpoint": [{ "type": "phone", "number": "442079460000" }],
            },
        ]);
        assert_eq!(serde_json::to_value(&ncco).unwrap(), expected);
        let one_way = Ncco::empty().phone(&PhoneLeg { synchronous: false, ..phone });
        assert!(!one_way.to_json().contains("synchronous"));
    }

    #[test]
    fn a_question_is_answered_by_a_key() {
        let input = KeyInput { event_url: "https://h/k", most: 1, seconds: 60 };
        let expected = json!([
            { "action": "talk", "text": "Press a key.", "language": "en-US", "bargeIn": true },
            {
                "action": "input", "type": ["dtmf"], "dtmf": { "maxDigits": 1, "timeOut": 10 },
                "eventUrl": ["https://h/k"], "eventMethod": "POST",
            },
        ]);
        let ncco = Ncco::empty().ask("Press a key.", Some("en-US"), &input);
        assert_eq!(serde_json::to_value(&ncco).unwrap(), expected);
    }

    #[test]
    fn the_short_documents() {
        assert_eq!(Ncco::empty().to_json(), "[]");
        let long = Ncco::empty().talk(&"é".repeat(2_000), None);
        assert_eq!(serde_json::to_value(&long).unwrap()[0]["text"].as_str().unwrap().chars().count(), MAX_TALK);
        let conversation = Conversation {
            name: "c-1",
            start_on_enter: false,
            end_on_exit: true,
            music_on_hold_url: Some("https://h/m.mp3"),
        };
        assert_eq!(
            serde_json::to_value(Ncco::empty().conversation(&conversation)).unwrap(),
            json!([{
                "action": "conversation", "name": "c-1", "startOnEnter": false, "endOnExit": true,
                "musicOnHoldUrl": ["https://h/m.mp3"],
            }])
        );
    }
}
