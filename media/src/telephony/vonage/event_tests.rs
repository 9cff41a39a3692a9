//! Webhooks in the shapes that the vendor's pages and other people's logs show.

use serde_json::{Value, json};

use super::*;

const UUID: &str = "63f61863-4a51-4f6b-86e1-46edebcf9356";

fn event(body: Value) -> EventWebhook {
    EventWebhook::of_json(body.to_string().as_bytes()).unwrap()
}

fn kind_of(fields: Value) -> EventKind {
    let mut body = json!({ "uuid": UUID });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    event(body).kind
}

#[test]
fn a_status_with_its_detail_means_one_thing() {
    use CarrierStatus::{
        Answered, Busy, Canceled, Completed, Failed, Initiated, InvalidNumber, NoAnswer, Rejected, Ringing,
    };
    for (word, detail, status) in [
        ("started", Value::Null, Initiated),
        ("ringing", Value::Null, Ringing),
        ("answered", Value::Null, Answered),
        ("completed", Value::Null, Completed),
        ("busy", Value::Null, Busy),
        ("timeout", Value::Null, NoAnswer),
        ("unanswered", json!("unavailable"), NoAnswer),
        ("unanswered", json!("carrier_timeout"), NoAnswer),
        ("rejected", json!("declined"), Rejected),
        ("rejected", json!("restricted"), Rejected),
        ("rejected", json!("invalid_number"), InvalidNumber),
        ("rejected", json!("a new word"), Rejected),
        ("failed", json!("number_out_of_service"), InvalidNumber),
        ("failed", json!("cannot_route"), Failed),
        ("failed", json!("internal_error"), Failed),
        ("cancelled", Value::Null, Canceled),
        ("CANCELED", Value::Null, Canceled),
    ] {
        let fields = json!({ "status": word, "detail": detail });
        assert_eq!(kind_of(fields.clone()), EventKind::Status(status), "{fields}");
    }
}

#[test]
fn what_is_no_state_is_told_apart() {
    for (fields, kind) in [
        (json!({ "status": "human" }), EventKind::AnsweredBy(Answerer::Human)),
        (json!({ "status": "machine" }), EventKind::AnsweredBy(Answerer::Machine)),
        (json!({ "status": "machine", "sub_state": null }), EventKind::AnsweredBy(Answerer::Machine)),
        (json!({ "status": "machine", "sub_state": "beep_start" }), EventKind::AnsweredBy(Answerer::Beep)),
        (json!({ "status": "machine", "sub_state": "beep_timeout" }), EventKind::AnsweredBy(Answerer::NoBeep)),
        (json!({ "status": "disconnected" }), EventKind::Disconnected),
        (json!({ "status": "transfer", "conversation_uuid_to": "CON-2" }), EventKind::Transferred),
        (json!({ "conversation_uuid_from": "CON-1", "conversation_uuid_to": "CON-2" }), EventKind::Transferred),
        (json!({ "dtmf": { "digits": "12", "timed_out": false } }), EventKind::Input { pressed: true }),
        (json!({ "dtmf": { "digits": "", "timed_out": true } }), EventKind::Input { pressed: false }),
        (json!({ "dtmf": { "digits": null }, "status": "input" }), EventKind::Input { pressed: false }),
        (json!({ "dtmf": "1", "timed_out": false }), EventKind::Input { pressed: true }),
        (
            json!({
                "recording_url": "https://api.nexmo.com/v1/files/1", "recording_uuid": "r",
                "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:02Z",
            }),
            EventKind::Recorded {
                url: "https://api.nexmo.com/v1/files/1".into(),
                uuid: Some("r".into()),
                duration: Some(Duration::from_secs(2)),
            },
        ),
        (json!({ "reason": "Syntax error in NCCO" }), EventKind::Problem("Syntax error in NCCO".into())),
        (json!({ "status": "levitating" }), EventKind::Unknown("levitating".into())),
        (json!({ "status": null }), EventKind::Unknown(String::new())),
        (json!({ "status": 7 }), EventKind::Unknown("7".into())),
    ] {
        assert_eq!(kind_of(fields.clone()), kind, "{fields}");
    }
}

#[test]
fn numbers_may_be_text_and_anything_null() {
    let read = event(json!({
        "uuid": UUID, "status": "completed", "duration": "10", "price": 0.0012, "sip_code": "487", "network": null,
        "disconnected_by": "platform", "direction": "outbound", "timestamp": "2026-01-01T00:00:12.345Z", "headers": null,
    }));
    assert_eq!((read.duration, read.sip_code), (Some(Duration::from_secs(10)), Some(487)));
    assert_eq!(
        (read.price.as_deref(), read.ended_by, read.outbound),
        (Some("0.0012"), Some(EndedBy::Platform), Some(true))
    );
    assert_eq!(read.at_ms, Some(1_767_225_612_345));
    let read =
        event(json!({ "uuid": UUID, "status": "completed", "duration": 1e300, "sip_code": -1, "timestamp": "soon" }));
    assert_eq!((read.duration, read.sip_code, read.at_ms), (None, None, None));
    let read = event(json!({ "call_uuid": "63F618634A514F6B86E146EDEBCF9356", "uuid": null, "status": "human" }));
    assert_eq!(read.uuid.as_deref(), Some("63F618634A514F6B86E146EDEBCF9356"));
}

#[test]
fn a_socket_s_leg_is_known_by_its_address() {
    let body = json!({
        "uuid": UUID, "status": "disconnected", "to": "wss://h.example/media/vonage/1",
        "headers": { "token": "abc", "n": 7, "deep": {} },
    });
    let read = event(body);
    assert!(read.is_socket());
    assert_eq!(read.headers, BTreeMap::from([("token".into(), "abc".into()), ("n".into(), "7".into())]));
    assert!(!event(json!({ "uuid": UUID, "to": "442079460000", "status": "ringing" })).is_socket());
    assert!(!format!("{read:?}").contains("abc"));
}

#[test]
fn an_answer_is_read_from_a_query_and_from_json() {
    let query: Vec<(String, String)> = [
        ("to", "442079460000"),
        ("from", "447700900123"),
        ("uuid", UUID),
        ("conversation_uuid", "CON-1"),
        ("region_url", "https://api-eu-3.vonage.com"),
        ("SipHeader_X-UserId", "42"),
        ("to", "1900"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let asked = AnswerWebhook::of_query(&query).unwrap();
    assert_eq!((asked.to.as_str(), asked.from.as_deref()), ("442079460000", Some("447700900123")));
    assert_eq!(asked.region_url.as_deref(), Some("https://api-eu-3.vonage.com"));
    assert_eq!(asked.sip_headers, BTreeMap::from([("X-UserId".into(), "42".into())]));
    let posted = json!({
        "to": 442079460000_u64, "from": "447700900123", "uuid": UUID, "conversation_uuid": "CON-1",
        "region_url": "https://api-eu-3.vonage.com", "SipHeader_X-UserId": 42, "custom_data": null,
    });
    assert_eq!(AnswerWebhook::of_json(posted.to_string().as_bytes()), Ok(asked.clone()));
    assert!(!format!("{asked:?}").contains("4477"));
}

#[test]
fn what_names_no_call_is_no_webhook() {
    for body in ["", "[]", "{}", "{\"uuid\":\"../../x\"}", "{\"uuid\":[]}", "7", "{\"status\":\"answered\"}"] {
        assert_eq!(EventWebhook::of_json(body.as_bytes()), Err(NotAWebhook), "{body}");
        assert_eq!(AnswerWebhook::of_json(body.as_bytes()), Err(NotAWebhook), "{body}");
    }
    let large = json!({ "uuid": UUID, "to": "1", "x": "x".repeat(64 * 1024) });
    assert_eq!(EventWebhook::of_json(large.to_string().as_bytes()), Err(NotAWebhook));
    // An error of a document is about a conversation.
    assert!(EventWebhook::of_json(b"{\"conversation_uuid\":\"CON-1\",\"reason\":\"no\"}").is_ok());
}
