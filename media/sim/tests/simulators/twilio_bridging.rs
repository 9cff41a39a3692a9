//! Calls that are joined with others: by a number that is dialled, in a room, and by a key.

use std::time::Duration;

use crate::twilio_world::{NUMBER, TOKEN, World, loopback, soon, vendor};
use axum::http::StatusCode;
use trunkline_sim::{
    phone::{Answer, Answerer, Callee, Directory},
    twilio::{
        CallReport, CallStatus, InboundCall, OngoingCall, TwilioConfig, TwilioSim,
        phone::{PhoneConfig, Step},
    },
};

const DESK: &str = "+14155550123";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn phone(steps: impl IntoIterator<Item = Step>) -> PhoneConfig {
    PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() }
}

struct Joined {
    world: World,
    sim: TwilioSim,
}

impl Joined {
    async fn new(callee: Callee, steps: impl IntoIterator<Item = Step>) -> Self {
        let callees = Directory::default();
        callees.set(DESK, callee, phone(steps));
        let sim = TwilioSim::start(loopback(), TwilioConfig { callees, ..vendor() }, None).await.unwrap();
        Self { world: World::start().await, sim }
    }

    fn ring(&self, steps: impl IntoIterator<Item = Step>) -> OngoingCall {
        let call = InboundCall {
            from: "+14155550100".into(),
            to: NUMBER.into(),
            voice_url: self.world.http_url("/voice"),
            phone: phone(steps),
            ..InboundCall::default()
        };
        self.sim.ring(call).unwrap()
    }

    fn dial(&self) -> String {
        format!(
            "<Dial action='/after' timeout='1'><Number statusCallback='{}' statusCallbackEvent='initiated ringing answered \
             completed'>{DESK}</Number></Dial>",
            self.world.http_url("/leg")
        )
    }
}

async fn report(call: OngoingCall) -> CallReport {
    soon(call.report()).await.unwrap()
}

fn listens() -> [Step; 1] {
    [Step::WaitForEnd { timeout: ms(10_000) }]
}

#[tokio::test]
async fn a_number_is_dialled_and_the_action_told_when_it_is_over() {
    let mut joined = Joined::new(Callee::answers(Answerer::Human), [Step::Silence(ms(300)), Step::HangUp]).await;
    let call = joined.ring(listens());
    let dial = joined.dial();
    joined.world.webhook().await.twiml(&dial);
    let mut told = Vec::new();
    while told.len() < 4 {
        let webhook = joined.world.webhook().await;
        if webhook.uri.path() == "/after" {
            assert!(webhook.is_signed(TOKEN, &joined.world.http_url("/after")));
            assert_eq!(
                (webhook.field("DialCallStatus"), webhook.field("CallSid")),
                ("completed".into(), call.sid().into())
            );
            assert_eq!(webhook.field("CallStatus"), "in-progress");
            webhook.twiml("<Hangup/>");
            continue;
        }
        assert_eq!(
            (webhook.field("ParentCallSid"), webhook.field("Direction")),
            (call.sid().into(), "outbound-dial".into())
        );
        told.push(webhook.field("CallStatus"));
        webhook.answer(StatusCode::NO_CONTENT);
    }
    assert_eq!(told, ["initiated", "ringing", "in-progress", "completed"]);
    let report = report(call).await;
    let [dialled] = report.dials.as_slice() else { panic!("{:?}", report.dials) };
    assert_eq!((dialled.to.as_str(), dialled.status), (DESK, Some(CallStatus::Completed)));
    assert!(dialled.joined.is_some());
}

#[tokio::test]
async fn one_who_is_not_reached_is_told_too() {
    for (answer, word) in [(Answer::Busy, "busy"), (Answer::None, "no-answer"), (Answer::Fails, "failed")] {
        let mut joined = Joined::new(Callee::fails(answer), []).await;
        let call = joined.ring(listens());
        joined.world.webhook().await.twiml("<Dial action='/after' timeout='1'><Number>+14155550123</Number></Dial>");
        let after = joined.world.webhook().await;
        assert_eq!(after.field("DialCallStatus"), word);
        after.twiml("<Say>Nobody there.</Say>");
        assert_eq!(report(call).await.said, ["Nobody there."]);
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_while_it_rings_ends_it() {
    let mut joined = Joined::new(Callee::answers(Answerer::Human).after(ms(900)), []).await;
    let call = joined.ring(listens());
    let dial = joined.dial();
    joined.world.webhook().await.twiml(&dial);
    let mut told = Vec::new();
    while told.last().is_none_or(|word| word != "canceled") {
        let webhook = joined.world.webhook().await;
        told.push(webhook.field("CallStatus"));
        webhook.answer(StatusCode::NO_CONTENT);
        if told.len() == 2 {
            call.hang_up();
        }
    }
    assert_eq!(told, ["initiated", "ringing", "canceled"]);
    assert_eq!(report(call).await.dials[0].status, None);
}

#[tokio::test]
async fn a_room_joins_two_and_ends_with_the_first_who_leaves() {
    let mut joined = Joined::new(Callee::default(), []).await;
    let first = joined.ring([Step::Silence(ms(500)), Step::HangUp]);
    joined.world.webhook().await.twiml("<Dial><Conference>room</Conference></Dial>");
    let second = joined.ring(listens());
    joined.world.webhook().await.twiml("<Dial action='/after'><Conference>room</Conference></Dial>");
    let after = joined.world.webhook().await;
    assert_eq!((after.field("CallSid"), after.field("DialCallStatus")), (second.sid().into(), "completed".into()));
    after.twiml("<Hangup/>");
    let (first, second) = tokio::join!(report(first), report(second));
    assert!(first.dials[0].joined.is_some() && second.dials[0].joined.is_some());
}

#[tokio::test]
async fn a_key_is_waited_for() {
    let mut joined = Joined::new(Callee::default(), []).await;
    let presses =
        joined.ring([Step::Silence(ms(100)), Step::Dtmf("7".into()), Step::WaitForEnd { timeout: ms(10_000) }]);
    let gather = "<Gather action='/key' numDigits='1' timeout='1'><Say>Hi</Say></Gather><Say>Nothing.</Say>";
    joined.world.webhook().await.twiml(gather);
    let key = joined.world.webhook().await;
    assert_eq!((key.uri.path(), key.field("Digits")), ("/key", "7".into()));
    key.twiml("<Hangup/>");
    assert_eq!(report(presses).await.said, ["Hi"]);
    let does_not = joined.ring(listens());
    joined.world.webhook().await.twiml(gather);
    assert_eq!(report(does_not).await.said, ["Hi", "Nothing."]);
}
