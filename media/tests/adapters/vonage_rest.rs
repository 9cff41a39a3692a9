//! What Vonage's REST API answers is understood, and what is asked of it once is done once.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use crate::responder::{Answer, Responder};
use serde_json::{Value, json};
use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_media::{
    net::{BaseUrl, Http, Net},
    telephony::{
        CarrierStatus,
        twilio::rest::RestLimits,
        vonage::{
            VonageHosts,
            account::VonageAuth,
            ncco::Ncco,
            rest::{CreateCall, Created, Flow, ListCalls, MachineDetection, Reason, RestError, VonageRest},
        },
    },
};
use trunkline_sim::keys::RSA_PRIVATE;

const UUID: &str = "63f61863-4a51-4f6b-86e1-46edebcf9356";
const CONVERSATION: &str = "CON-f972836a-550f-45fa-956c-12a2ab5b7d22";

fn rest_with(url: &str, private_key: &str) -> VonageRest {
    let net = Net::new(&[]).expect("the usual authorities");
    let http = Http::new(&net, Duration::from_secs(2)).expect("a client");
    let auth = VonageAuth {
        api_key: "a1b2c3d4".into(),
        api_secret: Secret::new("hush"),
        application_id: "aaaaaaaa-bbbb-cccc-dddd-0123456789ab".into(),
        private_key: Secret::new(private_key),
    };
    let limits = RestLimits { backoff: Duration::from_millis(10), ..RestLimits::default() };
    VonageRest::new(http, &VonageHosts::at(BaseUrl::operator(url)), auth, Arc::new(SystemClock)).with_limits(limits)
}

fn rest(server: &Responder) -> VonageRest {
    rest_with(&server.url(), RSA_PRIVATE)
}

fn problem(status: u16, anchor: &str) -> Answer {
    let kind = format!("https://developer.vonage.com/api-errors#{anchor}");
    Answer::status(status, json!({ "type": kind, "title": "No", "detail": "hush" }).to_string())
}

fn created() -> Answer {
    let body = json!({ "uuid": UUID, "status": "started", "direction": "outbound", "conversation_uuid": CONVERSATION });
    Answer::status(201, body.to_string())
}

fn call(flow: Flow<'_>) -> CreateCall<'_> {
    CreateCall {
        to: "+14155550100",
        from: "+14155550101",
        flow,
        event_url: "https://h.example/webhooks/vonage?kind=event",
        machine: None,
        ringing_seconds: 45,
        longest_seconds: 3_600,
    }
}

#[tokio::test]
async fn a_call_is_placed_in_the_page_s_words() {
    let server = Responder::start([created(), created()]).await;
    let ncco = Ncco::empty().talk("hi", None);
    let expected = Created { uuid: UUID.into(), conversation_uuid: CONVERSATION.into() };
    let machine = Some(MachineDetection { hang_up: false, beep_seconds: Some(5) });
    let with_machine = CreateCall { machine, ..call(Flow::Ncco(&ncco)) };
    assert_eq!(rest(&server).create(&with_machine).await, Ok(expected.clone()));
    assert_eq!(rest(&server).create(&call(Flow::AnswerUrl("https://h.example/a"))).await, Ok(expected));
    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/v1/calls"));
    assert!(seen[0].headers["authorization"].starts_with("Bearer eyJ"));
    let body: Value = serde_json::from_str(&seen[0].body).unwrap();
    let mut expected = json!({
        "to": [{ "type": "phone", "number": "14155550100" }],
        "from": { "type": "phone", "number": "14155550101" },
        "ncco": [{ "action": "talk", "text": "hi" }],
        "event_url": ["https://h.example/webhooks/vonage?kind=event"],
        "event_method": "POST",
        "advanced_machine_detection": { "behavior": "continue", "mode": "detect_beep", "beep_timeout": 45 },
        "ringing_timer": 45,
        "length_timer": 3600,
    });
    assert_eq!(body, expected);
    for absent in ["ncco", "advanced_machine_detection"] {
        expected.as_object_mut().unwrap().remove(absent);
    }
    expected["answer_url"] = json!(["https://h.example/a"]);
    expected["answer_method"] = "POST".into();
    assert_eq!(serde_json::from_str::<Value>(&seen[1].body).unwrap(), expected);
    // Each request has a token of its own.
    assert_ne!(seen[0].headers["authorization"], seen[1].headers["authorization"]);
}

#[tokio::test]
async fn a_call_is_placed_with_one_attempt_and_it_is_said_whether_it_may_have_been() {
    let ncco = Ncco::empty();
    for (answer, error, may) in [
        (Answer::Hang, RestError::Timeout, true),
        (Answer::Drop, RestError::Lost, true),
        (Answer::status(201, "<html>"), RestError::Unreadable, true),
        (
            problem(500, "internal-error"),
            RestError::Refused { status: 500, reason: Reason::Vendor, retry_after: None },
            true,
        ),
        (
            problem(429, "rate-limit").header("Retry-After", "2"),
            RestError::Refused { status: 429, reason: Reason::Rate, retry_after: Some(Duration::from_secs(2)) },
            false,
        ),
        (
            problem(403, "low-balance"),
            RestError::Refused { status: 403, reason: Reason::Credit, retry_after: None },
            false,
        ),
        (
            Answer::status(400, r#"{"type":400,"title":"Bad Request","invalid_parameters":[{"name":"to"}]}"#),
            RestError::Refused { status: 400, reason: Reason::Fields(vec!["to".into()]), retry_after: None },
            false,
        ),
    ] {
        let server = Responder::start([answer, created()]).await;
        let limits = RestLimits { attempt: Duration::from_millis(500), ..RestLimits::default() };
        let refused = rest(&server).with_limits(limits).create(&call(Flow::Ncco(&ncco))).await.unwrap_err();
        assert_eq!((&refused, refused.may_have_happened()), (&error, may));
        assert_eq!(server.seen().len(), 1, "{error}");
        assert!(!format!("{refused} {refused:?}").contains("hush"));
    }
    let nobody = rest_with("http://127.0.0.1:9", RSA_PRIVATE).create(&call(Flow::Ncco(&ncco))).await.unwrap_err();
    assert_eq!((&nobody, nobody.may_have_happened()), (&RestError::Connect, false));
    let no_key = rest_with("http://127.0.0.1:9", "no key").create(&call(Flow::Ncco(&ncco))).await.unwrap_err();
    assert_eq!((&no_key, no_key.may_have_happened()), (&RestError::PrivateKey, false));
}

#[tokio::test]
async fn a_call_is_hung_up_however_often_that_takes() {
    let server =
        Responder::start([problem(429, "rate-limit"), Answer::Drop, Answer::status(503, ""), Answer::status(204, "")])
            .await;
    assert_eq!(rest(&server).hang_up(UUID).await, Ok(()));
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("PUT", format!("/v1/calls/{UUID}").as_str()));
    assert_eq!(seen[3].body, r#"{"action":"hangup"}"#);
    // What is over is hung up; what something else says is not.
    let already = json!({ "type": 400, "title": "Bad Request", "detail": "call already completed" }).to_string();
    for over in [problem(404, "not-found"), Answer::status(400, already)] {
        let server = Responder::start([over]).await;
        assert_eq!(rest(&server).hang_up(UUID).await, Ok(()));
    }
    let server = Responder::start([Answer::status(404, "<html>")]).await;
    let foreign = RestError::Refused { status: 404, reason: Reason::NotVonage, retry_after: None };
    assert_eq!(rest(&server).hang_up(UUID).await, Err(foreign));
    let server = Responder::start([problem(401, "unauthorized")]).await;
    let refused = rest(&server).hang_up(UUID).await.unwrap_err();
    assert_eq!(refused.to_string(), "HTTP status 401: the application's id and private key are refused");
    assert_eq!(server.seen().len(), 1);
    for bad in ["", "../x", "63f61863-4a51-4f6b-86e1-46edebcf935g", &"a".repeat(37)] {
        assert_eq!(rest(&server).hang_up(bad).await, Err(RestError::BadUuid), "{bad}");
    }
}

#[tokio::test]
async fn what_would_be_done_twice_is_only_repeated_when_it_was_not_done() {
    let ncco = Ncco::empty().talk("bye", Some("en-GB"));
    let server = Responder::start([problem(429, "rate-limit"), Answer::status(204, "")]).await;
    assert_eq!(rest(&server).transfer(UUID, &ncco).await, Ok(()));
    let body: Value = serde_json::from_str(&server.seen()[1].body).unwrap();
    let destination = json!({ "type": "ncco", "ncco": [{ "action": "talk", "text": "bye", "language": "en-GB" }] });
    assert_eq!(body, json!({ "action": "transfer", "destination": destination }));

    let server = Responder::start([Answer::Drop, Answer::status(204, "")]).await;
    assert_eq!(rest(&server).transfer(UUID, &ncco).await, Err(RestError::Lost));
    assert_eq!(server.seen().len(), 1);
    let server = Responder::start([Answer::status(500, ""), Answer::status(200, "")]).await;
    assert!(rest(&server).send_keys(UUID, "12#").await.is_err());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_other_commands_have_their_own_paths() {
    let answers = (0..8).map(|_| Answer::status(200, r#"{"message":"Talk started"}"#));
    let server = Responder::start(answers).await;
    let rest = rest(&server);
    assert_eq!(rest.mute(UUID, true).await, Ok(()));
    assert_eq!(rest.mute(UUID, false).await, Ok(()));
    assert_eq!(rest.earmuff(UUID, true).await, Ok(()));
    assert_eq!(rest.earmuff(UUID, false).await, Ok(()));
    assert_eq!(rest.send_keys(UUID, "1p2#").await, Ok(()));
    assert_eq!(rest.talk(UUID, "hello", None).await, Ok(()));
    assert_eq!(rest.stop_talking(UUID).await, Ok(()));
    assert_eq!(rest.transfer_to_url(UUID, "https://h.example/n").await, Ok(()));
    let seen: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| {
            format!("{} {} {}", seen.method, seen.path.trim_start_matches(&format!("/v1/calls/{UUID}")), seen.body)
        })
        .collect();
    let transfer = r#"PUT  {"action":"transfer","destination":{"type":"ncco","url":["https://h.example/n"]}}"#;
    assert_eq!(
        seen,
        [
            r#"PUT  {"action":"mute"}"#,
            r#"PUT  {"action":"unmute"}"#,
            r#"PUT  {"action":"earmuff"}"#,
            r#"PUT  {"action":"unearmuff"}"#,
            r#"PUT /dtmf {"digits":"1p2#"}"#,
            r#"PUT /talk {"text":"hello"}"#,
            "DELETE /talk ",
            transfer,
        ]
    );
}

fn record(status: &str) -> Value {
    json!({
        "_links": {}, "uuid": UUID, "conversation_uuid": CONVERSATION, "status": status, "direction": "outbound",
        "to": { "type": "phone", "number": "14155550100" }, "from": { "type": "phone", "number": "14155550101" },
        "duration": "10", "rate": "0.1", "price": "0.2", "start_time": "2026-01-01T00:00:00.000Z", "network": null,
    })
}

#[tokio::test]
async fn a_call_is_read_as_it_is() {
    let answers =
        ["started", "answered", "timeout", "teleported"].map(|it| Answer::status(200, record(it).to_string()));
    let server = Responder::start(answers).await;
    let rest = rest(&server);
    for status in [Some(CarrierStatus::Initiated), Some(CarrierStatus::Answered), Some(CarrierStatus::NoAnswer), None] {
        let call = rest.fetch(UUID).await.unwrap().unwrap();
        assert_eq!(call.status, status);
        assert_eq!((call.to.as_deref(), call.from.as_deref()), (Some("14155550100"), Some("14155550101")));
        assert_eq!((call.duration, call.price.as_deref()), (Some(Duration::from_secs(10)), Some("0.2")));
        assert_eq!(call.started_ms, Some(1_767_225_600_000));
        assert!(!format!("{call:?}").contains("4155"));
    }
    let server = Responder::start([problem(404, "not-found"), Answer::status(200, "{}")]).await;
    assert_eq!(rest_with(&server.url(), RSA_PRIVATE).fetch(UUID).await, Ok(None));
    assert_eq!(rest_with(&server.url(), RSA_PRIVATE).fetch(UUID).await, Err(RestError::Unreadable));
}

#[tokio::test]
async fn a_list_is_read_to_its_end() {
    let page = |calls: usize| {
        let calls: Vec<Value> = (0..calls).map(|_| record("completed")).collect();
        Answer::status(200, json!({ "count": 103, "_embedded": { "calls": calls } }).to_string())
    };
    let server = Responder::start([page(100), page(3)]).await;
    let since = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let wanted = ListCalls { since: Some(since), conversation_uuid: Some(CONVERSATION), ..ListCalls::default() };
    assert_eq!(rest(&server).list(&wanted).await.unwrap().len(), 103);
    let seen = server.seen();
    assert_eq!(
        seen[1].path,
        format!(
            "/v1/calls?page_size=100&record_index=100&order=asc&date_start=2026-01-01T00%3A00%3A00Z&conversation_uuid={CONVERSATION}"
        )
    );
}

#[tokio::test]
async fn a_call_is_asked_about_in_its_region() {
    let (main, region) =
        (Responder::start([Answer::status(204, "")]).await, Responder::start([Answer::status(204, "")]).await);
    let rest = rest(&main);
    assert_eq!(rest.clone().in_region(Some(&region.url())).hang_up(UUID).await, Ok(()));
    assert_eq!((main.seen().len(), region.seen().len()), (0, 1));
    // A region that is none is not believed.
    assert_eq!(rest.in_region(Some("http://evil.example")).hang_up(UUID).await, Ok(()));
    assert_eq!(main.seen().len(), 1);
}

#[tokio::test]
async fn every_wait_has_a_limit() {
    let limits = RestLimits { attempt: Duration::from_millis(200), attempts: 2, ..RestLimits::default() };
    let server = Responder::start([Answer::Hang, Answer::Hang]).await;
    let begun = SystemClock.now();
    assert_eq!(rest(&server).with_limits(limits).hang_up(UUID).await, Err(RestError::Timeout));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(server.seen().len(), 2);
    assert!(!format!("{:?}", rest(&server)).contains("PRIVATE KEY"));
}
