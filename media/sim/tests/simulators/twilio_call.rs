//! Calls from the first ring to the last callback, against a server that answers webhooks and media over real sockets.

use std::time::Duration;

use crate::twilio_world::{ACCOUNT, LIMIT, LOUD, NUMBER, TOKEN, World, loopback, soon, vendor};
use axum::http::{StatusCode, header};
use trunkline_sim::twilio::{
    CallReport, CallStatus, CallbackDelivery, InboundCall, OngoingCall, StatusCallback, TwilioConfig, TwilioSim,
    net::{ConnectTo, Network},
    phone::{PhoneConfig, Speech, Step, StreamEnd},
    signature,
    webhook::{WebhookError, WebhookKind},
};

async fn start(config: TwilioConfig) -> TwilioSim {
    TwilioSim::start(loopback(), config, None).await.unwrap()
}

fn call(voice_url: String, steps: impl IntoIterator<Item = Step>) -> InboundCall {
    InboundCall {
        from: "+14155550100".into(),
        to: NUMBER.into(),
        voice_url,
        phone: PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() },
        ..InboundCall::default()
    }
}

async fn report(call: OngoingCall) -> CallReport {
    soon(call.report()).await.unwrap()
}

fn connect(world: &World) -> String {
    let url = world.ws_url("/media/1");
    format!(r#"<Connect><Stream url="{url}"><Parameter name="token" value="t"/></Stream></Connect>"#)
}

fn wait_for_end() -> Step {
    Step::WaitForEnd { timeout: LIMIT }
}

#[tokio::test]
async fn a_call_rings_talks_and_is_hung_up_by_the_caller() {
    let mut world = World::start().await;
    let sim = start(vendor()).await;
    let voice_url = world.http_url("/webhooks/twilio?kind=voice");
    let steps = [Step::WaitForAgentToFinish { quiet: Duration::from_millis(100) }, Step::HangUp];
    let mut inbound = call(voice_url.clone(), steps);
    inbound.status_callback = Some(StatusCallback::all(world.http_url("/status")));
    inbound.fields = vec![("CallerName".into(), "Zoë & co".into())];
    let ongoing = sim.ring(inbound).unwrap();

    let ringing = world.webhook().await;
    let voice = world.webhook().await;
    let (ringing, voice) = if ringing.uri.path() == "/status" { (ringing, voice) } else { (voice, ringing) };
    assert_eq!((ringing.field("CallStatus"), ringing.field("SequenceNumber")), ("ringing".into(), "0".into()));
    ringing.answer(StatusCode::NO_CONTENT);
    assert!(voice.is_signed(TOKEN, &voice_url));
    for (name, value) in [
        ("AccountSid", ACCOUNT),
        ("CallSid", ongoing.sid()),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", "+14155550100"),
        ("To", NUMBER),
        ("CallerName", "Zoë & co"),
        ("FromCity", ""),
    ] {
        assert_eq!(voice.field(name), value, "{name}");
    }
    voice.twiml(&connect(&world));

    let mut peer = world.socket().await;
    assert_eq!(peer.headers["x-twilio-signature"], signature::sign_url(TOKEN, &world.ws_url("/media/1")));
    let started = peer.begin().await;
    assert_eq!(started["start"]["callSid"], ongoing.sid());
    assert_eq!(started["start"]["customParameters"]["token"], "t");
    let answered = world.webhook().await;
    assert_eq!((answered.field("CallStatus"), answered.field("SequenceNumber")), ("in-progress".into(), "1".into()));
    answered.answer(StatusCode::NO_CONTENT);
    assert_eq!(ongoing.status(), CallStatus::InProgress);
    peer.media(&[LOUD; 1600]).await;
    assert_eq!(peer.rest().await.pop().unwrap()["event"], "stop");

    let completed = world.webhook().await;
    assert!(completed.is_signed(TOKEN, &world.http_url("/status")));
    for (name, value) in [
        ("CallStatus", "completed"),
        ("SequenceNumber", "2"),
        ("Duration", "1"),
        ("CallbackSource", "call-progress-events"),
    ] {
        assert_eq!(completed.field(name), value, "{name}");
    }
    let seconds: u64 = completed.field("CallDuration").parse().unwrap();
    assert!(seconds <= 20 && completed.field("Timestamp").ends_with(" +0000"));
    completed.answer(StatusCode::NO_CONTENT);

    let report = report(ongoing).await;
    assert_eq!(report.status, CallStatus::Completed);
    assert_eq!(report.streams.len(), 1);
    assert_eq!(report.streams[0].ended, StreamEnd::HungUp);
    assert_eq!(report.streams[0].playback.played, 1600);
    assert_eq!((report.webhooks.len(), report.documents.len(), report.errors.len()), (4, 1, 0));
    assert!(report.webhooks.iter().all(|webhook| webhook.answer.is_ok() && webhook.attempts == 1));
}

#[tokio::test]
async fn when_the_server_closes_the_socket_the_next_verb_runs() {
    let mut world = World::start().await;
    let sim = start(vendor()).await;
    let ongoing = sim.ring(call(world.http_url("/voice"), [wait_for_end()])).unwrap();
    let redirect = r#"<Redirect>/resume?kind=resume&amp;n=1</Redirect>"#;
    world.webhook().await.twiml(&(connect(&world) + redirect));
    let mut first = world.socket().await;
    first.begin().await;
    first.close(1011, "going away").await;
    drop(first);
    let resume = world.webhook().await;
    assert_eq!(resume.uri, "/resume?kind=resume&n=1");
    assert!(resume.is_signed(TOKEN, &world.http_url("/resume?kind=resume&n=1")));
    assert_eq!(resume.field("CallStatus"), "in-progress");
    resume.twiml(&connect(&world));
    let mut second = world.socket().await;
    second.begin().await;
    second.close(1000, "").await;
    let report = report(ongoing).await;
    assert_eq!(report.status, CallStatus::Completed);
    let ends: Vec<_> = report.streams.iter().map(|stream| stream.ended.clone()).collect();
    let closed = |code, reason: &str| StreamEnd::ClosedByServer { code: Some(code), reason: reason.into() };
    assert_eq!(ends, [closed(1011, "going away"), closed(1000, "")]);
    assert_ne!(report.streams[0].sids.stream, report.streams[1].sids.stream);
    let kinds: Vec<_> = report.webhooks.iter().map(|webhook| webhook.kind).collect();
    assert_eq!(kinds, [WebhookKind::Voice, WebhookKind::Redirect]);
}

#[tokio::test]
async fn a_dropped_stream_resumes_and_the_script_goes_on() {
    let mut world = World::start().await;
    let sim = start(vendor()).await;
    let steps = [Step::WaitForAgentToSpeak, Step::Drop, Step::Say(Speech::from_mulaw(vec![LOUD; 1600])), Step::HangUp];
    let ongoing = sim.ring(call(world.http_url("/voice"), steps)).unwrap();
    world.webhook().await.twiml(&(connect(&world) + "<Redirect>/resume</Redirect>"));
    let mut first = world.socket().await;
    first.begin().await;
    first.media(&[LOUD; 1600]).await;
    assert!(first.rest().await.iter().all(|message| message["event"] != "stop"));
    world.webhook().await.twiml(&connect(&world));
    let mut second = world.socket().await;
    second.begin().await;
    second.until_loud().await;
    assert_eq!(second.rest().await.pop().unwrap()["event"], "stop");
    let report = report(ongoing).await;
    assert_eq!(report.streams[0].ended, StreamEnd::Dropped);
    assert_eq!(report.streams[1].ended, StreamEnd::HungUp);
}

#[tokio::test]
async fn a_caller_who_drops_and_hangs_up_is_gone_before_the_next_verb() {
    let mut world = World::start().await;
    let sim = start(vendor()).await;
    let ongoing = sim
        .ring(call(world.http_url("/voice"), [Step::Silence(Duration::from_millis(40)), Step::Drop, Step::HangUp]))
        .unwrap();
    world.webhook().await.twiml(&(connect(&world) + "<Redirect>/resume</Redirect>"));
    let mut peer = world.socket().await;
    peer.begin().await;
    peer.rest().await;
    let report = report(ongoing).await;
    assert_eq!((report.status, report.webhooks.len()), (CallStatus::Completed, 1));
}

#[tokio::test]
async fn rejections_hang_ups_and_verbs_that_speak() {
    let mut world = World::start().await;
    let sim = start(vendor()).await;
    for (verbs, status, answered, said) in [
        ("<Reject reason=\"busy\"/>", CallStatus::Busy, false, vec![]),
        ("<Reject/>", CallStatus::NoAnswer, false, vec![]),
        ("", CallStatus::Completed, true, vec![]),
        ("<Pause length=\"0\"/><Say>Bye</Say><Hangup/><Say>never</Say>", CallStatus::Completed, true, vec!["Bye"]),
        ("<Enqueue/><Say>A</Say>", CallStatus::Completed, true, vec!["A"]),
    ] {
        let ongoing = sim.ring(call(world.http_url("/voice"), [])).unwrap();
        world.webhook().await.twiml(verbs);
        let report = report(ongoing).await;
        assert_eq!((report.status, report.answered.is_some()), (status, answered), "{verbs}");
        assert_eq!(report.said, said);
        assert_eq!(report.has_error(12200), verbs.contains("Enqueue"));
    }
}

#[tokio::test]
async fn a_stream_that_is_refused_leads_to_the_next_verb() {
    let mut world = World::start().await;
    let sim = start(vendor()).await;
    let ongoing = sim.ring(call(world.http_url("/voice"), [])).unwrap();
    let url = world.ws_url("/refused");
    let status = world.http_url("/stream");
    world.webhook().await.twiml(&format!(
        r#"<Connect><Stream url="{url}" statusCallback="{status}" name="agent"/></Connect><Say>x</Say>"#
    ));
    let told = world.webhook().await;
    assert_eq!((told.field("StreamEvent"), told.field("StreamName")), ("stream-error".into(), "agent".into()));
    assert!(told.is_signed(TOKEN, &status));
    told.answer(StatusCode::OK);
    let report = report(ongoing).await;
    assert!(report.streams[0].has_warning(31920));
    assert_eq!(report.said, ["x"]);
}

#[tokio::test]
async fn a_bad_document_leads_to_the_fallback_or_the_end() {
    let mut world = World::start().await;
    let sim = start(vendor()).await;
    let document = |body: &'static str| ([(header::CONTENT_TYPE, "text/xml")], body);
    let mut inbound = call(world.http_url("/voice"), []);
    inbound.fallback_url = Some(world.http_url("/fallback"));
    let ongoing = sim.ring(inbound).unwrap();
    world.webhook().await.answer(document("<Response><Say>"));
    let fallback = world.webhook().await;
    assert_eq!((fallback.uri.path(), fallback.field("ErrorCode")), ("/fallback", "12100".into()));
    fallback.twiml("<Hangup/>");
    assert_eq!(report(ongoing).await.documents.len(), 2);

    for (answer, code) in [(StatusCode::BAD_GATEWAY, 11200), (StatusCode::OK, 12300)] {
        let ongoing = sim.ring(call(world.http_url("/voice"), [])).unwrap();
        world.webhook().await.answer((answer, "no document"));
        let report = report(ongoing).await;
        assert!(report.has_error(code), "{:?}", report.errors);
        assert_eq!(report.documents.len(), 0);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_twice_and_a_slow_one_not_waited_for() {
    let mut world = World::start().await;
    let sim = start(TwilioConfig { webhook_limit: Duration::from_secs(1), ..vendor() }).await;
    let closed = {
        let listener = std::net::TcpListener::bind(loopback()).unwrap();
        listener.local_addr().unwrap()
    };
    let away = report(sim.ring(call(format!("http://{closed}/voice"), [])).unwrap()).await;
    assert_eq!(away.webhooks[0].attempts, 2);
    assert!(matches!(away.webhooks[0].answer, Err(WebhookError::Connect(_))));
    let ongoing = sim.ring(call(world.http_url("/voice"), [])).unwrap();
    let unanswered = world.webhook().await;
    let slow = report(ongoing).await;
    assert_eq!((slow.webhooks[0].attempts, &slow.webhooks[0].answer), (1, &Err(WebhookError::Timeout)));
    assert!(slow.has_error(11205));
    drop(unanswered);
}

#[tokio::test]
async fn callbacks_arrive_twice_and_out_of_order() {
    let mut world = World::start().await;
    let delivery = CallbackDelivery {
        duplicate: true,
        reorder: true,
        delay: Duration::from_millis(10),
        ..CallbackDelivery::default()
    };
    let sim = start(TwilioConfig { callbacks: delivery, ..vendor() }).await;
    let mut inbound = call(world.http_url("/voice"), []);
    inbound.status_callback = Some(StatusCallback::all(world.http_url("/status")));
    let ongoing = sim.ring(inbound).unwrap();
    world.webhook().await.twiml("<Hangup/>");
    let mut order = Vec::new();
    for _ in 0..6 {
        let told = world.webhook().await;
        order.push((told.field("SequenceNumber"), told.field("CallStatus")));
        told.answer(StatusCode::OK);
    }
    let order: Vec<_> = order.iter().map(|(number, status)| (number.as_str(), status.as_str())).collect();
    let (answered, ringing, completed) = (("1", "in-progress"), ("0", "ringing"), ("2", "completed"));
    assert_eq!(order, [answered, answered, ringing, ringing, completed, completed]);
    assert_eq!(report(ongoing).await.status, CallStatus::Completed);
    assert!(world.try_webhook().is_none());
}

#[tokio::test]
async fn public_addresses_lead_to_the_listener_and_impostors_sign_with_their_own_key() {
    let mut world = World::start().await;
    let listener = world.server.addr().to_string();
    let connect_to = vec![ConnectTo { authority: "voice.example.com".into(), listener, tls: false }];
    let sim = start(TwilioConfig { network: Network { connect_to, ..Network::default() }, ..vendor() }).await;
    let url = "https://voice.example.com/webhooks/twilio";
    let ongoing = sim.ring(call(url.into(), [Step::HangUp])).unwrap();
    let voice = world.webhook().await;
    assert_eq!(voice.headers["host"], "voice.example.com");
    assert!(voice.is_signed(TOKEN, url));
    voice.twiml(r#"<Connect><Stream url="wss://voice.example.com/media/1"/></Connect>"#);
    report(ongoing).await;

    let mut inbound = call(url.into(), []);
    inbound.impostor = Some(("AC9".into(), "other".into()));
    let ongoing = sim.ring(inbound).unwrap();
    let voice = world.webhook().await;
    assert!(voice.is_signed("other", url) && voice.field("AccountSid") == "AC9");
    voice.answer(StatusCode::FORBIDDEN);
    assert!(report(ongoing).await.has_error(11200));
    let stranger = InboundCall { to: "+19".into(), ..InboundCall::default() };
    assert!(sim.ring(stranger).is_err());
}

#[tokio::test]
async fn a_call_ends_at_its_time_limit_and_when_the_person_hangs_up() {
    let mut world = World::start().await;
    let sim = start(TwilioConfig { time_limit: Duration::from_millis(300), ..vendor() }).await;
    let ongoing = sim.ring(call(world.http_url("/voice"), [wait_for_end()])).unwrap();
    world.webhook().await.twiml(&connect(&world));
    let mut peer = world.socket().await;
    peer.begin().await;
    assert_eq!(peer.rest().await.pop().unwrap()["event"], "stop");
    assert_eq!(report(ongoing).await.streams[0].ended, StreamEnd::TimeLimit);

    let sim = start(vendor()).await;
    let ongoing = sim.ring(call(world.http_url("/voice"), [wait_for_end()])).unwrap();
    world.webhook().await.twiml(&connect(&world));
    let mut peer = world.socket().await;
    peer.begin().await;
    ongoing.hang_up();
    assert_eq!(peer.rest().await.pop().unwrap()["event"], "stop");
    assert_eq!(report(ongoing).await.status, CallStatus::Completed);
}
