//! A call is placed once, and whoever asked knows whether it may have been, whatever becomes of the answer.

use std::time::Duration;

use crate::responder::{Answer, Responder};
use trunkline_base::{Clock, E164, Secret, SystemClock};
use trunkline_media::{
    net::{Http, Net},
    telephony::twilio::rest::{CallStatus, Detection, NewCall, Refusal, RestError, RestLimits, TwilioAuth, TwilioRest},
};
use trunkline_sim::{
    phone::{Answer as Outcome, Callee, Directory},
    twilio::{Account, CreateFault, Creates, TwilioConfig, TwilioSim, phone::PhoneConfig},
};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "a-very-secret-token";
const NUMBER: &str = "+15005550006";
const CALLEE: &str = "+14155550100";

fn rest(base_url: &str) -> TwilioRest {
    let net = Net::new(&[]).unwrap();
    let http = Http::new(&net, Duration::from_secs(2)).unwrap().direct().clone();
    let auth = TwilioAuth { user: ACCOUNT.into(), password: Secret::new(TOKEN) };
    let limits =
        RestLimits { create: Duration::from_millis(400), backoff: Duration::from_millis(10), ..RestLimits::default() };
    TwilioRest::new(http, base_url, ACCOUNT, auth).with_limits(limits)
}

fn number(text: &str) -> E164 {
    text.parse().unwrap()
}

fn call() -> NewCall {
    NewCall {
        to: number(CALLEE),
        from: number(NUMBER),
        url: "http://127.0.0.1:9/voice?a=1&b=2".into(),
        status_callback: "http://127.0.0.1:9/status".into(),
        ring: Duration::from_secs(30),
        time_limit: Duration::from_secs(1800),
        detection: None,
    }
}

async fn vendor(creates: impl IntoIterator<Item = CreateFault>) -> TwilioSim {
    let account = Account { sid: ACCOUNT.into(), auth_token: TOKEN.into(), numbers: vec![NUMBER.into()] };
    let config = TwilioConfig {
        creates: Creates::new(creates.into_iter().map(Some)),
        callees: Directory::all(Callee::default().after(Duration::from_secs(60)), PhoneConfig::default()),
        ..TwilioConfig::new(account)
    };
    TwilioSim::start(([127, 0, 0, 1], 0).into(), config, None).await.unwrap()
}

#[tokio::test]
async fn a_call_is_placed_and_found_among_those_to_its_number() {
    let sim = vendor([]).await;
    let rest = rest(&sim.http_url());
    let placed = rest.place(&call()).await.unwrap();
    assert_eq!(placed.status, CallStatus::Queued);
    let age = SystemClock.wall().duration_since(placed.created.unwrap()).unwrap();
    assert!(age < Duration::from_secs(20), "{age:?}");
    let listed = rest.placed(&number(NUMBER), &number(CALLEE)).await.unwrap();
    assert_eq!(listed.iter().map(|call| &call.sid).collect::<Vec<_>>(), [&placed.sid]);
    assert_eq!(rest.placed(&number(NUMBER), &number("+14155550199")).await, Ok(Vec::new()));
    assert_eq!(rest.hang_up(&placed.sid).await, Ok(()));
}

#[tokio::test]
async fn all_events_are_asked_for_and_detection_only_where_it_is_wanted() {
    let created = || Answer::status(201, r#"{"sid":"CA1","status":"queued"}"#);
    let server = Responder::start([created(), created()]).await;
    let rest = rest(&server.url());
    assert_eq!(rest.place(&call()).await.unwrap().created, None);
    let detection = Detection { waits_for_end: true, callback: "https://h/amd?x=1".into() };
    rest.place(&NewCall { detection: Some(detection), ..call() }).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].path, format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json"));
    let plain = "To=%2B14155550100&From=%2B15005550006&Url=http%3A%2F%2F127.0.0.1%3A9%2Fvoice%3Fa%3D1%26b%3D2&\
        StatusCallback=http%3A%2F%2F127.0.0.1%3A9%2Fstatus&Timeout=30&TimeLimit=1800&StatusCallbackEvent=initiated&\
        StatusCallbackEvent=ringing&StatusCallbackEvent=answered&StatusCallbackEvent=completed";
    assert_eq!(seen[0].body, plain);
    let detected = "&MachineDetection=DetectMessageEnd&AsyncAmd=true&\
        AsyncAmdStatusCallback=https%3A%2F%2Fh%2Famd%3Fx%3D1&MachineDetectionTimeout=30";
    assert_eq!(seen[1].body, format!("{plain}{detected}"));
}

#[tokio::test]
async fn what_may_have_been_placed_is_not_placed_again() {
    let error = |status| RestError::Refused { status, code: Some(20_500) };
    for (fault, expected, dialled) in [
        (CreateFault::Hang { dials: true }, RestError::Timeout, 1),
        (CreateFault::Hang { dials: false }, RestError::Timeout, 0),
        (CreateFault::Cut { dials: true }, RestError::Lost, 1),
        (CreateFault::Error { status: 500, dials: true }, error(500), 1),
        (CreateFault::Error { status: 503, dials: false }, error(503), 0),
    ] {
        let sim = vendor([fault]).await;
        let rest = rest(&sim.http_url());
        let refused = rest.place(&call()).await.unwrap_err();
        assert_eq!(refused, expected, "{fault:?}");
        assert!(refused.may_have_happened(), "{fault:?}");
        let listed = rest.placed(&number(NUMBER), &number(CALLEE)).await.unwrap();
        assert_eq!(listed.len(), dialled, "{fault:?}");
    }
    // Nor is what was answered and cannot be read.
    let server = Responder::start([Answer::status(201, r#"{"sid":"CA/../x","status":"queued"}"#)]).await;
    let refused = rest(&server.url()).place(&call()).await.unwrap_err();
    assert!(refused == RestError::Unreadable && refused.may_have_happened());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_was_certainly_not_placed_is_tried_again() {
    let busy = || Answer::status(429, r#"{"code":20429,"status":429}"#);
    let created = Answer::status(201, r#"{"sid":"CA1","status":"queued","date_created":"no date"}"#);
    let server = Responder::start([busy().header("Retry-After", "1"), busy(), created]).await;
    let begun = SystemClock.now();
    assert_eq!(rest(&server.url()).place(&call()).await.unwrap().sid, "CA1");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.seen().len(), 3);
    let refused = rest("http://127.0.0.1:9").place(&call()).await.unwrap_err();
    assert!(refused == RestError::Connect && !refused.may_have_happened());
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let refuse = |code| CreateFault::Refuse { status: 400, code };
    let sim = vendor([refuse(21_215), refuse(21_219), refuse(99_999)]).await;
    let rest = rest(&sim.http_url());
    let placed = async |call: NewCall| rest.place(&call).await.unwrap_err();
    for expected in [Some(Refusal::Geography), Some(Refusal::Trial), None] {
        let error = placed(call()).await;
        assert_eq!((error.refusal(), error.may_have_happened()), (expected, false));
    }
    let error = placed(NewCall { from: number("+14155550155"), ..call() }).await;
    assert_eq!(error.refusal(), Some(Refusal::CallerId));
    assert_eq!(sim.requests().len(), 4);
    let account = Account { sid: ACCOUNT.into(), auth_token: TOKEN.into(), numbers: vec![NUMBER.into()] };
    let callees = Directory::all(Callee::fails(Outcome::Invalid), PhoneConfig::default());
    let config = TwilioConfig { callees, ..TwilioConfig::new(account) };
    let sim = TwilioSim::start(([127, 0, 0, 1], 0).into(), config, None).await.unwrap();
    let error = self::rest(&sim.http_url()).place(&call()).await.unwrap_err();
    assert!(error.refusal().is_some_and(Refusal::is_of_number));
}

#[tokio::test]
async fn a_call_that_is_on_is_given_another_document() {
    let sim = vendor([]).await;
    let rest = rest(&sim.http_url());
    let sid = rest.place(&call()).await.unwrap().sid;
    assert_eq!(rest.redirect(&sid, "<Response><Hangup/></Response>").await, Ok(true));
    let ongoing = sim.next_placed().await;
    ongoing.report().await.unwrap();
    assert_eq!(rest.redirect(&sid, "<Response/>").await, Ok(false));
    assert_eq!(rest.redirect("CA0", "<Response/>").await, Ok(false));
}
