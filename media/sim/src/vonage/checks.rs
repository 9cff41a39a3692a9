//! Whether a request for a call makes sense, field by field.

use serde_json::Value;

use super::ncco::{self, socket_endpoint};

/// How a webhook may be called.
const METHODS: [&str; 2] = ["GET", "POST"];

/// What is wrong with a request for a call, by field.
pub(super) fn check(request: &Value) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut complain = |name: &str, reason: &str| wrong.push((name.to_owned(), reason.to_owned()));
    let present = |name: &str| request.get(name).is_some_and(|value| !value.is_null());
    match request.get("to").and_then(Value::as_array).map(Vec::as_slice) {
        Some([to]) => {
            if let Some(reason) = endpoint_error(to) {
                complain("to", reason);
            }
        }
        _ => complain("to", "must be a list of one endpoint"),
    }
    let random = request.get("random_from_number").and_then(Value::as_bool).unwrap_or(false);
    if present("from") == random {
        complain("from", "exactly one of from and random_from_number is needed");
    } else if let Some(from) = request.get("from").filter(|from| from.is_object())
        && !is_number(&from["number"])
    {
        complain("from", "must be a number in E.164 format, without +");
    }
    if present("ncco") == present("answer_url") {
        complain("ncco", "exactly one of ncco and answer_url is needed");
    }
    if present("ncco")
        && let Err(error) = ncco::parse_value(&request["ncco"])
    {
        wrong.push(("ncco".to_owned(), error.to_string()));
    }
    let mut complain = |name: &str, reason: &str| wrong.push((name.to_owned(), reason.to_owned()));
    for name in ["answer_url", "event_url"] {
        let one =
            |urls: &Vec<Value>| matches!(&urls[..], [url] if url.as_str().is_some_and(|url| url.starts_with("http")));
        if present(name) && !request[name].as_array().is_some_and(one) {
            complain(name, "must be a list of one URL");
        }
    }
    for name in ["answer_method", "event_method"] {
        if present(name) && !request[name].as_str().is_some_and(|method| METHODS.contains(&method)) {
            complain(name, "must be GET or POST");
        }
    }
    for (name, most) in [("length_timer", 86_400), ("ringing_timer", 120)] {
        if present(name) && !request[name].as_u64().is_some_and(|seconds| (1..=most).contains(&seconds)) {
            complain(name, "is out of range");
        }
    }
    if let Some(reason) = detection_error(&request["advanced_machine_detection"]) {
        complain("advanced_machine_detection", reason);
    }
    if present("machine_detection") && !matches!(request["machine_detection"].as_str(), Some("continue" | "hangup")) {
        complain("machine_detection", "must be continue or hangup");
    }
    wrong
}

fn endpoint_error(to: &Value) -> Option<&'static str> {
    let text = |name: &str| to.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "phone" if !is_number(&to["number"]) => Some("must be a number in E.164 format, without +"),
        "sip" if !text("uri").starts_with("sip:") && !text("uri").starts_with("sips:") => Some("must be a SIP URI"),
        "websocket" if socket_endpoint(to).is_err() => Some("must be a WebSocket endpoint"),
        "phone" | "sip" | "websocket" | "vbc" | "app" => None,
        _ => Some("is no known endpoint"),
    }
}

fn is_number(number: &Value) -> bool {
    number.as_str().is_some_and(ncco::is_number)
}

fn detection_error(detection: &Value) -> Option<&'static str> {
    if detection.is_null() {
        return None;
    }
    let one_of = |name: &str, words: &[&str]| {
        detection.get(name).is_none_or(|said| said.as_str().is_some_and(|said| words.contains(&said)))
    };
    if !one_of("behavior", &["continue", "hangup"]) {
        return Some("behavior must be continue or hangup");
    }
    if !one_of("mode", &["default", "detect", "detect_beep"]) {
        return Some("mode must be default, detect or detect_beep");
    }
    let in_range = |said: &Value| said.as_u64().is_some_and(|seconds| (45..=120).contains(&seconds));
    (!detection.get("beep_timeout").is_none_or(in_range)).then_some("beep_timeout must be 45 to 120")
}
