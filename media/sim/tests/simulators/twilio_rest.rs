//! The REST API over real sockets.

use std::time::Duration;

use crate::twilio_world::{ACCOUNT, LIMIT, NUMBER, Peer, TOKEN, World, loopback, soon, vendor};
use axum::http::StatusCode;
use serde_json::Value;
use trunkline_sim::{
    fault::{Fault, Script},
    phone::{Answer, Callee, Directory},
    twilio::{
        CallStatus, InboundCall, TwilioConfig, TwilioSim,
        phone::{PhoneConfig, Step, StreamEnd},
    },
};

struct Api {
    client: reqwest::Client,
    base: String,
    token: &'static str,
}

impl Api {
    fn new(sim: &TwilioSim) -> Self {
        let base = format!("{}/2010-04-01/Accounts/{ACCOUNT}", sim.http_url());
        Self { client: reqwest::Client::builder().no_proxy().build().unwrap(), base, token: TOKEN }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        self.send(self.client.post(format!("{}{path}", self.base)).form(form)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = soon(request.basic_auth(ACCOUNT, Some(self.token)).send()).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

async fn start(config: TwilioConfig) -> (TwilioSim, Api) {
    let sim = TwilioSim::start(loopback(), config, None).await.unwrap();
    let api = Api::new(&sim);
    (sim, api)
}

fn patient() -> PhoneConfig {
    PhoneConfig { steps: vec![Step::WaitForEnd { timeout: LIMIT }], ..PhoneConfig::default() }
}

/// A call in its stream.
async fn talking(world: &mut World, sim: &TwilioSim, after: &str) -> (trunkline_sim::twilio::OngoingCall, Peer) {
    let call = InboundCall {
        from: "+14155550100".into(),
        to: NUMBER.into(),
        voice_url: world.http_url("/voice"),
        phone: patient(),
        ..InboundCall::default()
    };
    let ongoing = sim.ring(call).unwrap();
    let url = world.ws_url("/media/1");
    world.webhook().await.twiml(&format!(r#"<Connect><Stream url="{url}"/></Connect>{after}"#));
    let mut peer = world.socket().await;
    peer.begin().await;
    (ongoing, peer)
}

#[tokio::test]
async fn completed_hangs_up_and_comes_too_late_afterwards() {
    let mut world = World::start().await;
    let (sim, api) = start(vendor()).await;
    let (ongoing, mut peer) = talking(&mut world, &sim, "<Redirect>/never</Redirect>").await;
    let path = format!("/Calls/{}.json", ongoing.sid());
    let (status, call) = api.get(&path).await;
    assert_eq!((status, &call["status"], &call["direction"]), (200, &"in-progress".into(), &"inbound".into()));
    assert_eq!(api.post(&path, &[("Status", "completed")]).await.0, 200);
    assert_eq!(peer.rest().await.pop().unwrap()["event"], "stop");
    let report = soon(ongoing.report()).await.unwrap();
    assert_eq!((report.status, &report.streams[0].ended), (CallStatus::Completed, &StreamEnd::Completed));
    assert!(world.try_webhook().is_none());
    let fields: Vec<_> = report.requests.iter().map(|request| (request.status, request.field("Status"))).collect();
    assert_eq!(fields, [(200, None), (200, Some("completed"))]);
    let (status, error) = api.post(&path, &[("Status", "completed")]).await;
    assert_eq!((status, &error["code"], &error["status"]), (400, &21220.into(), &400.into()));
    let (status, call) = api.get(&path).await;
    assert_eq!((status, &call["status"]), (200, &"completed".into()));
    assert!(call["duration"].is_string() && call["end_time"].is_string());
}

#[tokio::test]
async fn a_new_document_replaces_the_running_one() {
    let mut world = World::start().await;
    let (sim, api) = start(vendor()).await;
    let (ongoing, mut peer) = talking(&mut world, &sim, "<Redirect>/never</Redirect>").await;
    let path = format!("/Calls/{}.json", ongoing.sid());
    let say = "<Response><Say>Please hold</Say></Response>";
    assert_eq!(api.post(&path, &[("Twiml", say)]).await.0, 200);
    assert_eq!(peer.rest().await.pop().unwrap()["event"], "stop");
    let report = soon(ongoing.report()).await.unwrap();
    assert_eq!(report.said, ["Please hold"]);
    assert_eq!(report.streams[0].ended, StreamEnd::Redirected);
    assert!(world.try_webhook().is_none());

    let (ongoing, mut peer) = talking(&mut world, &sim, "").await;
    let path = format!("/Calls/{}.json", ongoing.sid());
    assert_eq!(api.post(&path, &[("Status", "canceled")]).await.0, 200);
    let long = "x".repeat(4_001);
    assert_eq!(api.post(&path, &[("Twiml", &long)]).await.1["code"], 32018);
    assert_eq!(api.post(&path, &[("Url", &world.http_url("/next"))]).await.0, 200);
    assert_eq!(peer.rest().await.pop().unwrap()["event"], "stop");
    let next = world.webhook().await;
    assert_eq!((next.uri.path(), next.field("CallStatus")), ("/next", "in-progress".into()));
    next.twiml("<Hangup/>");
    assert_eq!(soon(ongoing.report()).await.unwrap().documents.len(), 2);
}

#[tokio::test]
async fn wrong_credentials_paths_and_sids() {
    let (sim, api) = start(vendor()).await;
    assert_eq!(api.get(".json").await.1["sid"], ACCOUNT);
    for (path, code) in [("/Calls/CA0.json", 20404), ("/Nothing.json", 20404)] {
        let (status, error) = api.get(path).await;
        assert_eq!((status, &error["code"]), (404, &code.into()));
    }
    let wrong = Api { token: "wrong", ..Api::new(&sim) };
    let (status, error) = wrong.get(".json").await;
    assert_eq!((status, &error["code"], &error["message"]), (401, &20003.into(), &"Authenticate".into()));
    assert_eq!(sim.requests().last().unwrap().status, 401);
    let bare = api.client.get(format!("{}.json", api.base)).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    let (_sim, api) = start(TwilioConfig { test_credentials: true, ..vendor() }).await;
    assert_eq!(api.get(".json").await.1["code"], 20008);
}

#[tokio::test]
async fn numbers_match_in_part_and_take_a_webhook() {
    let (sim, api) = start(vendor()).await;
    let (_, page) = api.get("/IncomingPhoneNumbers.json?PhoneNumber=%2B15005550006").await;
    let number = &page["incoming_phone_numbers"][0];
    assert_eq!(number["phone_number"], NUMBER);
    let (_, page) = api.get("/IncomingPhoneNumbers.json?PhoneNumber=500555").await;
    assert_eq!(page["incoming_phone_numbers"].as_array().unwrap().len(), 1);
    let (_, none) = api.get("/IncomingPhoneNumbers.json?PhoneNumber=%2B19").await;
    assert_eq!(none["incoming_phone_numbers"].as_array().unwrap().len(), 0);
    let path = format!("/IncomingPhoneNumbers/{}.json", number["sid"].as_str().unwrap());
    let (status, changed) = api.post(&path, &[("VoiceUrl", "https://h/voice")]).await;
    assert_eq!((status, &changed["voice_url"]), (200, &"https://h/voice".into()));
    assert_eq!(sim.numbers(ACCOUNT)[0].voice_url, "https://h/voice");
}

#[tokio::test]
async fn a_placed_call_is_answered_and_fetches_its_document() {
    let mut world = World::start().await;
    let callees = Directory::all(Callee::default(), patient());
    let (sim, api) = start(TwilioConfig { callees, ..vendor() }).await;
    let (url, status) = (world.http_url("/outbound"), world.http_url("/status"));
    let form = [
        ("To", "+14155550100"),
        ("From", NUMBER),
        ("Url", url.as_str()),
        ("StatusCallback", &status),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "completed"),
    ];
    let (code, call) = api.post("/Calls.json", &form).await;
    assert_eq!((code, &call["status"], &call["direction"]), (201, &"queued".into(), &"outbound-api".into()));
    let ongoing = soon(sim.next_placed()).await;
    assert_eq!(call["sid"], ongoing.sid());
    let mut seen = Vec::new();
    for _ in 0..2 {
        let webhook = world.webhook().await;
        seen.push((webhook.uri.path().to_owned(), webhook.field("CallStatus")));
        if webhook.uri.path() == "/outbound" {
            webhook.twiml("<Hangup/>");
        } else {
            webhook.answer(StatusCode::OK);
        }
    }
    seen.sort();
    assert_eq!(seen, [("/outbound".into(), "in-progress".into()), ("/status".into(), "initiated".into())]);
    let completed = world.webhook().await;
    assert_eq!((completed.field("CallStatus"), completed.field("SequenceNumber")), ("completed".into(), "1".into()));
    completed.answer(StatusCode::OK);
    assert_eq!(soon(ongoing.report()).await.unwrap().status, CallStatus::Completed);

    for (form, code) in [
        ([("To", "+14155550100"), ("From", "+19"), ("Url", "http://h")], 21210),
        ([("To", "no number"), ("From", NUMBER), ("Url", "http://h")], 21211),
        ([("To", "+14155550100"), ("From", NUMBER), ("Timeout", "5")], 21205),
    ] {
        let (status, error) = api.post("/Calls.json", &form).await;
        assert_eq!((status, &error["code"]), (400, &code.into()));
    }
}

#[tokio::test]
async fn a_placed_call_may_be_busy_and_may_be_cancelled() {
    let form = [("To", "+14155550100"), ("From", NUMBER), ("Twiml", "<Response/>")];
    let callees = Directory::all(Callee::fails(Answer::Busy), patient());
    let (sim, api) = start(TwilioConfig { callees, ..vendor() }).await;
    assert_eq!(api.post("/Calls.json", &form).await.0, 201);
    let report = soon(soon(sim.next_placed()).await.report()).await.unwrap();
    assert_eq!((report.status, report.answered), (CallStatus::Busy, None));

    let callees = Directory::all(Callee::default().after(LIMIT), patient());
    let (sim, api) = start(TwilioConfig { callees, ..vendor() }).await;
    api.post("/Calls.json", &form).await;
    let ongoing = soon(sim.next_placed()).await;
    let path = format!("/Calls/{}.json", ongoing.sid());
    assert_eq!(api.post(&path, &[("Status", "canceled")]).await.0, 200);
    assert_eq!(soon(ongoing.report()).await.unwrap().status, CallStatus::Canceled);
}

#[tokio::test]
async fn faults_strike_one_request_each() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let script = Script::new([
        refuse(429, Some(2)),
        refuse(429, None),
        refuse(500, None),
        Some(Fault::GarbageAfter(Duration::ZERO)),
        Some(Fault::DropAfter(Duration::ZERO)),
        Some(Fault::ErrorAfter(Duration::ZERO, "21220".into())),
        Some(Fault::Hang),
        None,
    ]);
    let (sim, api) = start(TwilioConfig { script: script.clone(), ..vendor() }).await;
    let get = || api.client.get(format!("{}.json", api.base)).basic_auth(ACCOUNT, Some(TOKEN));
    let limited = get().send().await.unwrap();
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"2".parse().unwrap()));
    assert_eq!(limited.json::<Value>().await.unwrap()["code"], 20429);
    let limited = get().send().await.unwrap();
    assert!(limited.status() == 429 && !limited.headers().contains_key("retry-after"));
    assert_eq!(api.get(".json").await.1["code"], 20500);
    assert!(get().send().await.unwrap().json::<Value>().await.is_err());
    let cut = match get().send().await {
        Ok(response) => response.bytes().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(cut.is_err());
    assert_eq!(api.get(".json").await.1["code"], 21220);
    assert!(get().timeout(Duration::from_millis(200)).send().await.unwrap_err().is_timeout());
    assert_eq!(api.get(".json").await.0, 200);
    assert_eq!(script.remaining(), 0);
    let statuses: Vec<_> = sim.requests().iter().map(|request| request.status).collect();
    assert_eq!((statuses.len(), statuses[6]), (8, 0));
}
