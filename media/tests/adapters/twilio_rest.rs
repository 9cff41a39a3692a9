//! A call is hung up once and for all, whatever Twilio's REST API answers on the way.

use std::time::Duration;

use crate::responder::{Answer, Responder};
use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_media::{
    net::{Http, Net},
    telephony::twilio::rest::{CallStatus, RestError, RestLimits, TwilioAuth, TwilioRest},
};

const CALL: &str = "CA00000000000000000000000000000001";
const TOKEN: &str = "a-very-secret-token";

fn rest(base_url: &str) -> TwilioRest {
    let net = Net::new(&[]).expect("the usual authorities");
    let http = Http::new(&net, Duration::from_secs(2)).expect("a client").direct().clone();
    let auth = TwilioAuth { user: "AC1".into(), password: Secret::new(TOKEN) };
    let limits = RestLimits { backoff: Duration::from_millis(10), ..RestLimits::default() };
    TwilioRest::new(http, base_url, "AC1", auth).with_limits(limits)
}

fn problem(status: u16, code: u32) -> Answer {
    Answer::status(status, format!(r#"{{"code":{code},"message":"{TOKEN}","more_info":"…","status":{status}}}"#))
}

fn call(status: &str) -> Answer {
    Answer::status(200, format!(r#"{{"sid":"{CALL}","status":"{status}","duration":null}}"#))
}

#[tokio::test]
async fn hanging_up_is_a_form_with_basic_auth() {
    let server = Responder::start([call("completed")]).await;
    assert_eq!(rest(&server.url()).hang_up(CALL).await, Ok(()));
    let seen = &server.seen()[0];
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.path, format!("/2010-04-01/Accounts/AC1/Calls/{CALL}.json"));
    assert_eq!(seen.body, "Status=completed");
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(seen.headers["authorization"], "Basic QUMxOmEtdmVyeS1zZWNyZXQtdG9rZW4=");
}

#[tokio::test]
async fn a_call_that_is_over_is_hung_up() {
    for over in [problem(400, 21_220), problem(404, 20_404)] {
        let server = Responder::start([over]).await;
        assert_eq!(rest(&server.url()).hang_up(CALL).await, Ok(()));
    }
    // A 404 that is not Twilio's says nothing about the call.
    let server = Responder::start([Answer::status(404, "<html>")]).await;
    assert_eq!(rest(&server.url()).hang_up(CALL).await, Err(RestError::Refused { status: 404, code: None }));
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let server =
        Responder::start([problem(429, 20_429), Answer::status(503, "busy"), Answer::Drop, call("completed")]).await;
    assert_eq!(rest(&server.url()).hang_up(CALL).await, Ok(()));
    assert_eq!(server.seen().len(), 4);
    // But not for ever.
    let server = Responder::start((0..4).map(|_| problem(500, 20_500))).await;
    let refused = RestError::Refused { status: 500, code: Some(20_500) };
    assert_eq!(rest(&server.url()).hang_up(CALL).await, Err(refused));
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    let server = Responder::start([problem(401, 20_003)]).await;
    let refused = RestError::Refused { status: 401, code: Some(20_003) };
    assert_eq!(rest(&server.url()).hang_up(CALL).await, Err(refused));
    assert_eq!(refused.to_string(), "HTTP status 401, Twilio's code 20003");
}

#[tokio::test]
async fn twilio_s_own_pause_is_kept_up_to_a_limit() {
    let server = Responder::start([problem(429, 20_429).header("Retry-After", "1"), call("completed")]).await;
    let begun = SystemClock.now();
    assert_eq!(rest(&server.url()).hang_up(CALL).await, Ok(()));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());

    let server = Responder::start([problem(429, 20_429).header("Retry-After", "3600"), call("completed")]).await;
    let limits = RestLimits { max_pause: Duration::from_millis(50), ..RestLimits::default() };
    assert_eq!(rest(&server.url()).with_limits(limits).hang_up(CALL).await, Ok(()));
}

#[tokio::test]
async fn every_wait_has_a_limit() {
    let limits = RestLimits { attempt: Duration::from_millis(200), attempts: 2, ..RestLimits::default() };
    let server = Responder::start([Answer::Hang, Answer::Hang]).await;
    assert_eq!(rest(&server.url()).with_limits(limits).hang_up(CALL).await, Err(RestError::Timeout));
    assert_eq!(server.seen().len(), 2);
    // What Twilio said last is told, though it is the time that ran out.
    let limits = RestLimits { total: Duration::from_millis(500), ..RestLimits::default() };
    let server = Responder::start([problem(429, 20_429).header("Retry-After", "60")]).await;
    let refused = RestError::Refused { status: 429, code: Some(20_429) };
    assert_eq!(rest(&server.url()).with_limits(limits).hang_up(CALL).await, Err(refused));
    let nobody = RestLimits { attempts: 1, ..RestLimits::default() };
    assert_eq!(rest("http://127.0.0.1:9").with_limits(nobody).hang_up(CALL).await, Err(RestError::Connect));
}

#[tokio::test]
async fn a_call_s_status_is_read() {
    let words = ["queued", "in-progress", "no-answer", "completed", "teleported"];
    let server = Responder::start(words.map(call)).await;
    let rest = rest(&server.url());
    for (status, over) in [
        (CallStatus::Queued, false),
        (CallStatus::InProgress, false),
        (CallStatus::NoAnswer, true),
        (CallStatus::Completed, true),
        (CallStatus::Unknown, false),
    ] {
        assert_eq!(rest.call_status(CALL).await, Ok(Some(status)));
        assert_eq!(status.is_over(), over, "{status:?}");
    }
    let server = Responder::start([problem(404, 20_404), Answer::status(200, "<html>")]).await;
    let rest = TwilioRest::new(
        Http::new(&Net::new(&[]).unwrap(), Duration::from_secs(2)).unwrap().direct().clone(),
        &format!("{}/", server.url()),
        "AC1",
        TwilioAuth { user: "SK1".into(), password: Secret::new(TOKEN) },
    );
    assert_eq!(rest.call_status(CALL).await, Ok(None));
    assert_eq!(rest.call_status(CALL).await, Err(RestError::Unreadable));
    for bad in ["", "CA1/../..", "CA1.json?x=1", &"C".repeat(65)] {
        assert_eq!(rest.call_status(bad).await, Err(RestError::BadSid), "{bad}");
    }
    assert!(!format!("{rest:?}").contains(TOKEN));
}
