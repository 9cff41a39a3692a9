//! TwiML: the documents that we answer Twilio's voice webhooks with. They go out as `text/xml`.

use std::{io, time::Duration};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};
use trunkline_base::E164;

use crate::telephony::Keys;

/// What Twilio takes of one `<Parameter>`: its name and its value together are shorter than this many characters.
pub const MAX_PARAMETER: usize = 500;

/// Connects the call to a media socket, both ways; when that socket is closed, the call goes on at `redirect_url`.
///
/// `stream_url` is `wss://` and has no query, which Twilio would drop: `parameters` travel in its place, and come back in the stream's
/// start. Each is to be shorter than [`MAX_PARAMETER`].
pub fn connect_stream(stream_url: &str, parameters: &[(&str, &str)], redirect_url: &str) -> String {
    debug_assert!(!stream_url.contains('?'), "a stream's URL has no query");
    debug_assert!(
        parameters.iter().all(|(name, value)| name.chars().count() + value.chars().count() < MAX_PARAMETER),
        "a parameter is too long"
    );
    document(|response| write_stream(response, stream_url, parameters, redirect_url))
}

/// Presses keys, and then connects the call as [`connect_stream`] does: nothing that goes through a stream presses any. `w` waits half a
/// second.
pub fn press_keys(keys: &Keys, stream_url: &str, parameters: &[(&str, &str)], redirect_url: &str) -> String {
    document(|response| {
        response.create_element("Play").with_attribute(("digits", keys.expose())).write_empty()?;
        write_stream(response, stream_url, parameters, redirect_url)
    })
}

/// Rings a number, for so long at most, and connects the call to it. That it was answered is told to `status_url`; how it went, once it
/// is over, to `action_url`, which is asked what comes next. The target sees the number that the call came from.
pub fn dial(number: &E164, ring: Duration, action_url: &str, status_url: &str) -> String {
    document(|response| {
        let timeout = ring.as_secs().to_string();
        let attributes =
            [("action", action_url), ("method", "POST"), ("timeout", &timeout), ("answerOnBridge", "true")];
        response.create_element("Dial").with_attributes(attributes).write_inner_content(|dial| {
            let attributes =
                [("statusCallback", status_url), ("statusCallbackEvent", "answered"), ("statusCallbackMethod", "POST")];
            let number_noun = dial.create_element("Number").with_attributes(attributes);
            number_noun.write_text_content(BytesText::new(number.expose()))?;
            Ok(())
        })?;
        Ok(())
    })
}

/// Says something and waits for a key, which is told to `action_url`; without one, hangs up. `language` as in BCP 47.
pub fn ask_for_key(text: &str, language: &str, wait: Duration, action_url: &str) -> String {
    document(|response| {
        let timeout = wait.as_secs().to_string();
        let attributes =
            [("action", action_url), ("method", "POST"), ("numDigits", "1"), ("timeout", timeout.as_str())];
        response.create_element("Gather").with_attributes(attributes).write_inner_content(|gather| {
            let say = gather.create_element("Say").with_attribute(("language", language));
            say.write_text_content(BytesText::new(text))?;
            Ok(())
        })?;
        response.create_element("Hangup").write_empty()?;
        Ok(())
    })
}

/// Lets the call into a room with whoever else is in it. The room is gone with the first who leaves; then `action_url`, if there is one,
/// is asked what comes next.
pub fn join(room: &str, action_url: Option<&str>) -> String {
    document(|response| {
        let mut dial = response.create_element("Dial");
        if let Some(url) = action_url {
            dial = dial.with_attributes([("action", url), ("method", "POST")]);
        }
        dial.write_inner_content(|dial| {
            let attributes = [("beep", "false"), ("startConferenceOnEnter", "true"), ("endConferenceOnExit", "true")];
            dial.create_element("Conference").with_attributes(attributes).write_text_content(BytesText::new(room))?;
            Ok(())
        })?;
        Ok(())
    })
}

fn write_stream(
    response: &mut Writer<Vec<u8>>,
    stream_url: &str,
    parameters: &[(&str, &str)],
    redirect_url: &str,
) -> io::Result<()> {
    response.create_element("Connect").write_inner_content(|connect| {
        let stream = connect.create_element("Stream").with_attribute(("url", stream_url));
        if parameters.is_empty() {
            stream.write_empty()?;
            return Ok(());
        }
        stream.write_inner_content(|stream| {
            for (name, value) in parameters {
                let attributes = [("name", *name), ("value", *value)];
                stream.create_element("Parameter").with_attributes(attributes).write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    let redirect = response.create_element("Redirect").with_attribute(("method", "POST"));
    redirect.write_text_content(BytesText::new(redirect_url))?;
    Ok(())
}

/// Ends the call.
pub fn hang_up() -> String {
    element("Hangup")
}

/// Refuses a call that was not answered yet; it costs nothing. The caller hears that the number is not in service.
pub fn reject() -> String {
    element("Reject")
}

/// Says nothing. As the answer to a voice webhook it ends the call.
pub fn empty() -> String {
    document(|_| Ok(()))
}

fn element(name: &str) -> String {
    document(|response| response.create_element(name).write_empty().map(|_| ()))
}

fn document(content: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>) -> String {
    let mut writer = Writer::new(Vec::with_capacity(512));
    let written = writer
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
        .and_then(|()| writer.create_element("Response").write_inner_content(content).map(|_| ()));
    written.expect("writing to memory does not fail");
    String::from_utf8(writer.into_inner()).expect("what was written is made of strings")
}

#[cfg(test)]
mod tests {
    use quick_xml::{Reader, escape::unescape};

    use super::*;

    /// The document as a list of `<name attribute=value …>` and text, unescaped by the library's reader.
    fn parsed(document: &str) -> Vec<String> {
        let mut reader = Reader::from_str(document);
        let mut out = Vec::new();
        let mut text = String::new();
        loop {
            let event = reader.read_event().unwrap();
            match &event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let mut line = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
                    for attribute in tag.attributes() {
                        let attribute = attribute.unwrap();
                        let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                        let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                        line.push_str(&format!(" {name}={}", unescape(&value).unwrap()));
                    }
                    out.push(line);
                }
                Event::Text(piece) => text.push_str(std::str::from_utf8(piece).unwrap()),
                Event::GeneralRef(name) => text.push_str(&format!("&{};", std::str::from_utf8(name).unwrap())),
                Event::End(_) if !text.is_empty() => {
                    out.push(unescape(&text).unwrap().into_owned());
                    text.clear();
                }
                Event::Eof => return out,
                _ => {}
            }
        }
    }

    #[test]
    fn a_stream_is_connected_and_the_call_goes_on_behind_it() {
        let document = connect_stream(
            "wss://h.example/media/twilio/018f",
            &[("token", "a<b>&\"c'"), ("empty", "")],
            "https://h.example/webhooks/twilio?kind=resume&conversation=018f",
        );
        assert!(document.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect><Stream url="));
        assert_eq!(
            parsed(&document),
            [
                "Response",
                "Connect",
                "Stream url=wss://h.example/media/twilio/018f",
                "Parameter name=token value=a<b>&\"c'",
                "Parameter name=empty value=",
                "Redirect method=POST",
                "https://h.example/webhooks/twilio?kind=resume&conversation=018f",
            ]
        );
    }

    #[test]
    fn what_a_value_says_never_becomes_a_verb() {
        let document = connect_stream("wss://h/m", &[("x", "\"/></Stream><Dial>+1900</Dial>")], "https://h/<Dial>");
        assert!(!document.contains("<Dial>"), "{document}");
        assert_eq!(
            parsed(&document)[3..5],
            ["Parameter name=x value=\"/></Stream><Dial>+1900</Dial>", "Redirect method=POST"]
        );
    }

    #[test]
    fn keys_are_pressed_before_the_stream_goes_on() {
        let document = press_keys(&"w12#".parse().unwrap(), "wss://h/m", &[("token", "t")], "https://h/r");
        assert_eq!(
            parsed(&document),
            [
                "Response",
                "Play digits=w12#",
                "Connect",
                "Stream url=wss://h/m",
                "Parameter name=token value=t",
                "Redirect method=POST",
                "https://h/r"
            ]
        );
    }

    #[test]
    fn a_call_is_handed_over() {
        let number = E164::parse("+14155550111").unwrap();
        let document = dial(&number, Duration::from_secs(30), "https://h/a?x=1&y=2", "https://h/s");
        assert_eq!(
            parsed(&document),
            [
                "Response",
                "Dial action=https://h/a?x=1&y=2 method=POST timeout=30 answerOnBridge=true",
                "Number statusCallback=https://h/s statusCallbackEvent=answered statusCallbackMethod=POST",
                "+14155550111"
            ]
        );
        let room = "Conference beep=false startConferenceOnEnter=true endConferenceOnExit=true";
        assert_eq!(parsed(&join("018f", None)), ["Response", "Dial", room, "018f"]);
        let action = "Dial action=https://h/a method=POST";
        assert_eq!(parsed(&join("018f", Some("https://h/a"))), ["Response", action, room, "018f"]);
    }

    #[test]
    fn a_key_is_asked_for() {
        assert_eq!(
            parsed(&ask_for_key("Take it? <1>", "en-US", Duration::from_secs(10), "https://h/k")),
            [
                "Response",
                "Gather action=https://h/k method=POST numDigits=1 timeout=10",
                "Say language=en-US",
                "Take it? <1>",
                "Hangup"
            ]
        );
    }

    #[test]
    fn the_short_documents() {
        assert_eq!(parsed(&hang_up()), ["Response", "Hangup"]);
        assert_eq!(parsed(&reject()), ["Response", "Reject"]);
        assert_eq!(parsed(&empty()), ["Response"]);
    }
}
