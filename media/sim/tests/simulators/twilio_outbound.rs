//! Calls placed by REST: who picks up, what is told of it, and requests whose answers go wrong.

use std::time::{Duration, Instant};

use crate::twilio_world::{ACCOUNT, LIMIT, NUMBER, TOKEN, World, loopback, soon, vendor};
use axum::http::StatusCode;
use serde_json::Value;
use trunkline_sim::{
    phone::{Answer, Answerer, Callee, Directory, Greeting, Speech},
    twilio::{
        CallStatus, CallbackDelivery, CreateFault, Creates, StatusEvent, TwilioConfig, TwilioSim,
        phone::{PhoneConfig, Step},
    },
};

const CALLEE: &str = "+14155550100";

struct Placing {
    world: World,
    sim: TwilioSim,
    http: reqwest::Client,
}

impl Placing {
    async fn new(config: TwilioConfig) -> Self {
        let sim = TwilioSim::start(loopback(), config, None).await.unwrap();
        Self { world: World::start().await, sim, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/2010-04-01/Accounts/{ACCOUNT}{path}", self.sim.http_url())
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(self.url(path)).basic_auth(ACCOUNT, Some(TOKEN));
        soon(request.send()).await.unwrap().json().await.unwrap()
    }

    fn create(&self, further: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let (voice, status) = (self.world.http_url("/voice"), self.world.http_url("/status"));
        let mut form = vec![("To", CALLEE), ("From", NUMBER), ("Url", &voice), ("StatusCallback", &status)];
        form.extend(["initiated", "ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event)));
        form.extend(further);
        self.http.post(self.url("/Calls.json")).basic_auth(ACCOUNT, Some(TOKEN)).form(&form)
    }

    async fn place(&self, further: &[(&str, &str)]) -> (u16, Value) {
        let response = soon(self.create(further).send()).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The statuses that are told until one is the last, in the order in which they come, with their numbers.
    async fn told(&mut self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        loop {
            let webhook = self.world.webhook().await;
            if webhook.uri.path() == "/voice" {
                webhook.twiml("<Hangup/>");
                continue;
            }
            assert!(webhook.is_signed(TOKEN, &self.world.http_url("/status")));
            told.push((webhook.field("CallStatus"), webhook.field("SequenceNumber")));
            let is_last =
                ["completed", "busy", "no-answer", "failed", "canceled"].contains(&told.last().unwrap().0.as_str());
            webhook.answer(StatusCode::NO_CONTENT);
            if is_last {
                return told;
            }
        }
    }
}

fn all(callee: Callee) -> TwilioConfig {
    TwilioConfig { callees: Directory::all(callee, phone()), ..vendor() }
}

fn phone() -> PhoneConfig {
    PhoneConfig { steps: vec![Step::WaitForEnd { timeout: LIMIT }], ..PhoneConfig::default() }
}

fn numbered(statuses: &[&str]) -> Vec<(String, String)> {
    statuses.iter().enumerate().map(|(number, status)| ((*status).to_owned(), number.to_string())).collect()
}

#[tokio::test]
async fn what_a_call_comes_to_is_told_in_order() {
    for (callee, statuses) in [
        (Callee::default(), &["initiated", "ringing", "in-progress", "completed"][..]),
        (Callee::fails(Answer::Busy), &["initiated", "busy"]),
        (Callee::fails(Answer::Rejects), &["initiated", "ringing", "busy"]),
        (Callee::fails(Answer::None), &["initiated", "ringing", "no-answer"]),
        (Callee::fails(Answer::Unreachable), &["initiated", "failed"]),
        (Callee::fails(Answer::Fails), &["initiated", "failed"]),
    ] {
        let mut placing = Placing::new(all(callee.clone())).await;
        assert_eq!(placing.place(&[("Timeout", "1")]).await.0, 201);
        assert_eq!(placing.told().await, numbered(statuses), "{callee:?}");
    }
}

#[tokio::test]
async fn a_number_may_be_refused_before_it_is_dialled() {
    let config = all(Callee::fails(Answer::Invalid));
    config.creates.push(Some(CreateFault::Refuse { status: 400, code: 21215 }));
    let placing = Placing::new(config).await;
    for code in [21215, 21217] {
        let (status, error) = placing.place(&[]).await;
        assert_eq!((status, &error["code"]), (400, &code.into()));
    }
    assert_eq!(placing.get("/Calls.json").await["calls"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn one_call_a_second_is_dialled_and_the_others_are_queued() {
    let config = TwilioConfig { calls_per_second: Some(2.0), ..all(Callee::fails(Answer::Busy)) };
    let mut placing = Placing::new(config).await;
    let begun = Instant::now();
    for expected in ["0", "4", "9"] {
        let (status, call) = placing.place(&[]).await;
        assert_eq!((status, &call["status"]), (201, &"queued".into()));
        assert!(call["queue_time"].as_str().unwrap().starts_with(expected), "{call}");
    }
    for _ in 0..3 {
        placing.told().await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn callbacks_are_lost_late_doubled_and_out_of_order() {
    let delivery = CallbackDelivery {
        delay: Duration::from_millis(10),
        duplicate: true,
        reorder: true,
        lost: &[StatusEvent::Ringing, StatusEvent::Answered],
    };
    let mut placing = Placing::new(TwilioConfig { callbacks: delivery, ..all(Callee::default()) }).await;
    placing.place(&[]).await;
    let mut told = placing.told().await;
    let duplicate = placing.world.webhook().await;
    told.push((duplicate.field("CallStatus"), duplicate.field("SequenceNumber")));
    assert_eq!(told.iter().map(|(_, number)| number.as_str()).collect::<Vec<_>>(), ["3", "3"]);
}

#[tokio::test]
async fn an_answer_and_what_is_done_are_two_things() {
    let faults = [
        CreateFault::Hang { dials: true },
        CreateFault::Hang { dials: false },
        CreateFault::Cut { dials: true },
        CreateFault::Error { status: 500, dials: true },
        CreateFault::Error { status: 503, dials: false },
    ];
    let config = TwilioConfig { creates: Creates::new(faults.map(Some)), ..all(Callee::fails(Answer::Busy)) };
    let placing = Placing::new(config).await;
    let mut dialled = 0;
    for fault in faults {
        let answer = placing.create(&[]).timeout(Duration::from_millis(300)).send().await;
        match fault {
            CreateFault::Hang { .. } => assert!(answer.unwrap_err().is_timeout()),
            CreateFault::Cut { .. } => assert!(answer.is_err() || answer.unwrap().bytes().await.is_err()),
            CreateFault::Error { status, .. } | CreateFault::Refuse { status, .. } => {
                assert_eq!(answer.unwrap().status().as_u16(), status);
            }
        }
        dialled += usize::from(matches!(
            fault,
            CreateFault::Hang { dials: true }
                | CreateFault::Cut { dials: true }
                | CreateFault::Error { dials: true, .. }
        ));
        let listed = placing.get(&format!("/Calls.json?To=%2B{}", &CALLEE[1..])).await;
        assert_eq!(listed["calls"].as_array().unwrap().len(), dialled, "{fault:?}");
    }
    assert_eq!(placing.place(&[]).await.0, 201);
}

#[tokio::test]
async fn a_list_is_filtered_paged_and_may_lag() {
    let placing = Placing::new(TwilioConfig { list_lag: Duration::from_secs(1), ..all(Callee::default()) }).await;
    let mut sids = Vec::new();
    for _ in 0..3 {
        sids.push(placing.place(&[]).await.1["sid"].clone());
    }
    let listed = async |query: &str| placing.get(&format!("/Calls.json?{query}")).await;
    assert_eq!(listed("").await["calls"], Value::Array(Vec::new()));
    let all = soon(async {
        loop {
            let page = listed("PageSize=2").await;
            if page["next_page_uri"].is_string() {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!((&all["calls"][0]["sid"], &all["calls"][1]["sid"]), (&sids[2], &sids[1]));
    let next = all["next_page_uri"].as_str().unwrap().split_once("Calls.json").unwrap().1;
    assert_eq!(placing.get(&format!("/Calls.json{next}")).await["calls"][0]["sid"], sids[0]);
    for (query, n) in [
        ("To=%2B14155550100&From=%2B15005550006", 3),
        ("To=%2B14155550199", 0),
        ("From=%2B14155550100", 0),
        ("Status=in-progress", 3),
        ("StartTime%3E=2020-01-01", 3),
        ("StartTime>=2020-01-01T00:00:00Z", 3),
        ("StartTime%3C=2020-01-01", 0),
    ] {
        assert_eq!(listed(query).await["calls"].as_array().unwrap().len(), n, "{query}");
    }
}

#[tokio::test]
async fn a_machine_is_found_out_while_the_call_goes_on() {
    let greeting: Speech = vec![4_000; 4_000].into();
    let machine = Callee::answers(Answerer::Machine(Greeting::Beep(greeting)));
    for (mode, word, at_least) in [("Enable", "machine_start", 500), ("DetectMessageEnd", "machine_end_beep", 900)] {
        let mut placing = Placing::new(all(machine.clone())).await;
        let amd = placing.world.http_url("/amd");
        let further = [("MachineDetection", mode), ("AsyncAmd", "true"), ("AsyncAmdStatusCallback", amd.as_str())];
        let (_, call) = placing.place(&further).await;
        let ongoing = soon(placing.sim.next_placed()).await;
        let told = loop {
            let webhook = placing.world.webhook().await;
            match webhook.uri.path() {
                "/amd" => break webhook,
                "/voice" => {
                    assert_eq!(webhook.field("CallStatus"), "in-progress");
                    webhook.twiml(r#"<Pause length="10"/>"#);
                }
                _ => webhook.answer(StatusCode::NO_CONTENT),
            }
        };
        assert!(told.is_signed(TOKEN, &amd));
        assert_eq!((told.field("CallSid").as_str(), told.field("AnsweredBy").as_str()), (ongoing.sid(), word));
        assert!(told.field("MachineDetectionDuration").parse::<u64>().unwrap() >= at_least);
        assert_eq!(ongoing.status(), CallStatus::InProgress);
        told.answer(StatusCode::NO_CONTENT);
        let path = format!("/Calls/{}.json", call["sid"].as_str().unwrap());
        assert_eq!(placing.get(&path).await["answered_by"], word);
    }
}

#[tokio::test]
async fn detection_that_blocks_comes_with_the_first_webhook() {
    let mut placing = Placing::new(all(Callee::default())).await;
    placing.place(&[("MachineDetection", "Enable")]).await;
    loop {
        let webhook = placing.world.webhook().await;
        if webhook.uri.path() == "/voice" {
            assert_eq!(webhook.field("AnsweredBy"), "human");
            break webhook.twiml("<Hangup/>");
        }
        webhook.answer(StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_recording_is_told_and_can_be_had() {
    let mut placing = Placing::new(all(Callee::default())).await;
    let recording = placing.world.http_url("/recording");
    let further = [
        ("Record", "true"),
        ("RecordingChannels", "dual"),
        ("RecordingStatusCallback", recording.as_str()),
        ("RecordingStatusCallbackEvent", "in-progress completed"),
    ];
    placing.place(&further).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let webhook = placing.world.webhook().await;
        match webhook.uri.path() {
            "/voice" => webhook.twiml("<Hangup/>"),
            "/recording" => {
                assert_eq!(
                    (webhook.field("RecordingSource"), webhook.field("RecordingChannels")),
                    ("OutboundAPI".into(), "2".into())
                );
                told.push((webhook.field("RecordingStatus"), webhook.field("RecordingUrl")));
                webhook.answer(StatusCode::NO_CONTENT);
            }
            _ => webhook.answer(StatusCode::NO_CONTENT),
        }
    }
    assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("in-progress", "completed"));
    let request = placing.http.get(format!("{}.wav", told[1].1));
    assert_eq!(request.try_clone().unwrap().send().await.unwrap().status().as_u16(), 401);
    let wav = request.basic_auth(ACCOUNT, Some(TOKEN)).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(&wav[..4], b"RIFF");
}
