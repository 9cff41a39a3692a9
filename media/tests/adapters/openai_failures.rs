//! A model that fails is asked again, is followed by the next one, or ends the answer: which of them depends on why and when.

use std::time::Duration;

use crate::responder::{Answer, Piece, Responder, chat::*};
use serde_json::json;
use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_media::{
    llm::{LlmEvent, LlmLimits, openai::OpenAiModel},
    net::BaseUrl,
};

#[tokio::test]
async fn a_model_that_hangs_is_followed_by_the_next_within_its_time() {
    let first = Responder::start([Answer::Hang]).await;
    let second = Responder::start([answer("Here.")]).await;
    let mut slow = model(&first);
    slow.first_token = Some(Duration::from_millis(300));
    let begun = SystemClock.now();
    let mut stream = start(&llm(vec![slow, model(&second)], limits()));
    assert_eq!(next(&mut stream).await, Some(fault("first_token", "limit first_token reached")));
    assert_eq!(next(&mut stream).await, Some(said("Here.")));
    assert!((Duration::from_millis(300)..Duration::from_secs(4)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(heard(stream).await, [USED, LlmEvent::Done]);
}

#[tokio::test]
async fn a_model_that_streams_nothing_or_only_thoughts_has_no_first_token() {
    for pieces in [vec![Piece::Hang], vec![delta(json!({"role": "assistant", "reasoning": "hm"})), Piece::Hang]] {
        let server = Responder::start([Answer::Stream(pieces)]).await;
        let limits = LlmLimits { first_token: Duration::from_millis(200), ..limits() };
        let events = heard(start(&llm(vec![model(&server)], limits))).await;
        assert_eq!(events, [failed("limit first_token reached")]);
    }
}

#[tokio::test]
async fn a_passing_failure_is_tried_once_more_at_once() {
    for passing in [
        refused(500, "server_error"),
        refused(503, "server_is_overloaded"),
        refused(429, "rate_limit_exceeded"),
        Answer::Drop,
        Answer::Stream(vec![Piece::Cut]),
        Answer::Stream(vec![data(&json!({"error": {"message": KEY, "code": "server_error"}}))]),
    ] {
        let server = Responder::start([passing, answer("Here.")]).await;
        let events = heard(start(&llm(vec![model(&server)], limits()))).await;
        assert_eq!(events, [said("Here."), USED, LlmEvent::Done]);
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn after_two_failures_the_next_model_is_asked() {
    let first = Responder::start([refused(500, "server_error"), refused(500, "server_error")]).await;
    let second = Responder::start([answer("Here.")]).await;
    let events = heard(start(&llm(vec![model(&first), model(&second)], limits()))).await;
    let fault = fault("first_token", "HTTP status 500, code server_error");
    assert_eq!(events, [fault, said("Here."), USED, LlmEvent::Done]);
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for (status, code) in [(401, "invalid_api_key"), (429, "insufficient_quota"), (404, "model_not_found")] {
        let first = Responder::start([refused(status, code)]).await;
        let second = Responder::start([refused(status, code)]).await;
        let events = heard(start(&llm(vec![model(&first), model(&second)], limits()))).await;
        let cause = format!("HTTP status {status}, code {code}");
        assert_eq!(events, [fault("first_token", &cause), failed(&cause)]);
        assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_vendor_that_asks_for_a_pause_gets_it_if_there_is_time() {
    let busy = |seconds: &str| refused(429, "rate_limit_exceeded").header("Retry-After", seconds);
    let server = Responder::start([busy("1"), answer("Here.")]).await;
    let begun = SystemClock.now();
    let events = heard(start(&llm(vec![model(&server)], limits()))).await;
    assert_eq!(events, [said("Here."), USED, LlmEvent::Done]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());

    // There is no time for it.
    let server = Responder::start([busy("30")]).await;
    let events = heard(start(&llm(vec![model(&server)], limits()))).await;
    assert_eq!(events, [failed("HTTP status 429, code rate_limit_exceeded")]);

    // There is, but another model is quicker.
    let server = Responder::start([busy("2")]).await;
    let second = Responder::start([answer("Here.")]).await;
    let events = heard(start(&llm(vec![model(&server), model(&second)], limits()))).await;
    assert_eq!(events[1], said("Here."));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_fault_of_connecting() {
    let nobody = OpenAiModel::new(BaseUrl::operator("http://127.0.0.1:9/v1"), Secret::new(KEY), "m");
    let second = Responder::start([answer("Here.")]).await;
    let events = heard(start(&llm(vec![nobody, model(&second)], limits()))).await;
    assert_eq!(events[..2], [fault("connect", "no connection"), said("Here.")]);
}

#[tokio::test]
async fn once_something_was_said_a_failure_is_final() {
    for (ending, cause) in [
        (Piece::Cut, "connection lost"),
        (data(&json!({"error": {"message": KEY, "code": "server_error"}})), "error in the stream, code server_error"),
        (Piece::Wait(Duration::ZERO), "the stream ended before the answer"),
        (Piece::Hang, "limit idle reached"),
    ] {
        let first = Responder::start([Answer::Stream(vec![text("The answer "), text("is "), ending])]).await;
        let second = Responder::start([answer("something else.")]).await;
        let limits = LlmLimits { idle: Duration::from_secs(1), ..limits() };
        let events = heard(start(&llm(vec![model(&first), model(&second)], limits))).await;
        assert_eq!(events, [said("The answer is "), failed(cause)]);
        assert_eq!(second.seen().len(), 0);
    }
}
