//! Calls that are placed by REST: whom they reach, what becomes of them, and what is found out about who answers.

use std::time::Duration;

use crate::vonage_world::{LIMIT, NUMBER, World, loud, soon, start, vendor, voice};
use serde_json::{Value, json};
use trunkline_sim::{
    phone::{Answer, Answerer, Callee, Directory, Greeting},
    vonage::{
        CallReport, CreateFault, Creates, LegStatus, VonageConfig, VonageSim,
        phone::{PhoneConfig, Step},
    },
};

const CALLEE: &str = "14155550100";

fn request(world: &World, more: &Value) -> Value {
    let mut request = json!({
        "to": [{"type": "phone", "number": CALLEE}], "from": {"type": "phone", "number": NUMBER},
        "answer_url": [world.url("/answer")], "answer_method": "POST", "event_url": [world.url("/event")],
        "ringing_timer": 1,
    });
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn reaching(world: &World, callee: Callee) -> VonageConfig {
    let phone = PhoneConfig { steps: vec![Step::WaitForEnd { timeout: LIMIT }], ..PhoneConfig::default() };
    VonageConfig { callees: Directory::all(callee, phone), ..vendor(world) }
}

async fn place(sim: &VonageSim, request: Value) -> (u16, Value) {
    voice(&sim.server().http_url(), "POST", "/v1/calls", Some(request)).await
}

async fn outcome(callee: Callee) -> (CallReport, World) {
    let world = World::start().await;
    world.ncco("/answer", json!([{"action": "talk", "text": "Hello."}]));
    let sim = start(reaching(&world, callee)).await;
    assert_eq!(place(&sim, request(&world, &json!({}))).await.0, 201);
    let report = soon(soon(sim.next_placed()).await.report()).await.unwrap();
    (report, world)
}

#[tokio::test]
async fn a_call_is_answered_and_asks_what_happens() {
    let (report, world) = outcome(Callee::answers(Answerer::Human).after(Duration::from_millis(100))).await;
    assert_eq!((report.status, report.said.as_slice()), (LegStatus::Completed, &["Hello.".to_owned()][..]));
    assert_eq!(world.statuses("/event"), ["started", "ringing", "answered", "completed"]);
    let asked = world.hook("/answer", "").await;
    assert_eq!((asked.text("to"), asked.text("from"), asked.text("uuid")), (CALLEE, NUMBER, report.uuid.as_str()));
    asked.claims();
    assert_eq!(world.hook("/event", "started").await.text("direction"), "outbound");
}

#[tokio::test]
async fn a_call_that_is_not_answered_says_how() {
    for (answer, status, detail, sip_code) in [
        (Answer::Busy, "busy", None, 486),
        (Answer::Rejects, "rejected", Some("declined"), 603),
        (Answer::Unreachable, "rejected", Some("invalid_number"), 404),
        (Answer::None, "timeout", None, 487),
        (Answer::Fails, "failed", Some("cannot_route"), 503),
    ] {
        let (report, world) = outcome(Callee::fails(answer.clone())).await;
        assert_eq!(report.status.word(), status, "{answer:?}");
        let told = world.hook("/event", status).await;
        assert_eq!(
            (told.fields["detail"].as_str(), &told.fields["sip_code"]),
            (detail, &json!(sip_code)),
            "{answer:?}"
        );
        assert!(world.statuses("/answer").is_empty());
    }
    let world = World::start().await;
    let sim = start(VonageConfig { observed_errors: true, ..reaching(&world, Callee::fails(Answer::Invalid)) }).await;
    let (status, body) = place(&sim, request(&world, &json!({}))).await;
    assert_eq!((status, &body["invalid_parameters"][0]["name"]), (400, &json!("to")));
}

#[tokio::test]
async fn a_call_that_rings_is_cancelled_by_rest() {
    let world = World::start().await;
    let sim = start(reaching(&world, Callee::fails(Answer::None))).await;
    let (_, placed) = place(&sim, request(&world, &json!({"ringing_timer": 60}))).await;
    let path = format!("/v1/calls/{}", placed["uuid"].as_str().unwrap());
    world.hook("/event", "ringing").await;
    let base = sim.server().http_url();
    assert_eq!(voice(&base, "PUT", &path, Some(json!({"action": "hangup"}))).await.0, 204);
    world.hook("/event", "cancelled").await;
    assert_eq!(voice(&base, "GET", &path, None).await.1["status"], "cancelled");
}

#[tokio::test]
async fn who_answers_is_found_out_while_the_document_runs() {
    let second = || vec![3_000_i16; 4_000].into();
    let beep =
        json!({"advanced_machine_detection": {"behavior": "continue", "mode": "detect_beep", "beep_timeout": 45}});
    let ends = json!({"machine_detection": "hangup"});
    for (answerer, more, found) in [
        (Answerer::Human, &beep, vec![("human", "")]),
        (Answerer::Machine(Greeting::Beep(second())), &beep, vec![("machine", ""), ("machine", "beep_start")]),
        (Answerer::Machine(Greeting::Beep(second())), &ends, vec![("machine", "")]),
    ] {
        let mut world = World::start().await;
        let sim = start(reaching(&world, Callee::answers(answerer))).await;
        let ncco = json!({"ncco": [world.connect(16_000)], "answer_url": null});
        let mut asked = request(&world, more);
        for (name, value) in ncco.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let (status, placed) = place(&sim, asked).await;
        assert_eq!(status, 201, "{placed}");
        let uuid = placed["uuid"].as_str().unwrap();
        let call = soon(sim.next_placed()).await;
        let mut peer = world.socket().await;
        peer.send(loud(16_000)).await;
        let verdicts = async || {
            world
                .hooks
                .wait_for(LIMIT, |hooks| {
                    let told: Vec<(String, String)> = hooks
                        .iter()
                        .filter(|hook| hook.text("call_uuid") == uuid && hook.fields.get("uuid").is_none())
                        .map(|hook| (hook.text("status").to_owned(), hook.text("sub_state").to_owned()))
                        .collect();
                    (told.len() == found.len()).then_some(told)
                })
                .await
                .unwrap()
        };
        let expected: Vec<(String, String)> = found.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(verdicts().await, expected);
        if more == &ends {
            peer.rest().await;
        } else {
            call.hang_up();
        }
        let report = soon(call.report()).await.unwrap();
        assert_eq!(report.status, LegStatus::Completed);
    }
}

#[tokio::test]
async fn a_request_may_place_a_call_and_not_say_so() {
    let world = World::start().await;
    let creates = Creates::new([
        Some(CreateFault::Error { status: 500, dials: true }),
        Some(CreateFault::Error { status: 503, dials: false }),
        None,
    ]);
    let sim = start(VonageConfig { creates, ..reaching(&world, Callee::fails(Answer::None)) }).await;
    let statuses = [
        place(&sim, request(&world, &json!({}))).await.0,
        place(&sim, request(&world, &json!({}))).await.0,
        place(&sim, request(&world, &json!({}))).await.0,
    ];
    assert_eq!(statuses, [500, 503, 201]);
    let base = sim.server().http_url();
    let (_, listed) = voice(&base, "GET", "/v1/calls?date_start=2024-01-01T00:00:00Z&order=asc", None).await;
    assert_eq!(listed["count"], 2);
    let (_, none) = voice(&base, "GET", "/v1/calls?date_end=2024-01-01T00:00:00Z", None).await;
    assert_eq!(none["count"], 0);
}

#[tokio::test]
async fn keys_and_words_are_given_by_rest() {
    let mut world = World::start().await;
    let sim = start(reaching(&world, Callee::default())).await;
    world.ncco("/answer", json!([world.connect(16_000)]));
    let (_, placed) = place(&sim, request(&world, &json!({}))).await;
    let (base, path) = (sim.server().http_url(), format!("/v1/calls/{}", placed["uuid"].as_str().unwrap()));
    let call = soon(sim.next_placed()).await;
    let _socket = world.socket().await;
    let put = async |what: &str, body: Value| voice(&base, "PUT", &format!("{path}/{what}"), Some(body)).await;
    assert_eq!(put("dtmf", json!({"digits": "12p#"})).await.1["message"], "DTMF sent");
    assert_eq!(put("dtmf", json!({"digits": "x"})).await.0, 400);
    assert_eq!(put("talk", json!({"text": "hi"})).await.1["message"], "Talk started");
    assert_eq!(voice(&base, "DELETE", &format!("{path}/talk"), None).await.1["message"], "Talk stopped");
    assert_eq!(voice(&base, "PUT", &path, Some(json!({"action": "earmuff"}))).await.0, 204);
    call.hang_up();
    let report = soon(call.report()).await.unwrap();
    assert_eq!(report.legs[0].keys, "12p#");
    assert_eq!(report.legs[0].commands.len(), 4);
}
