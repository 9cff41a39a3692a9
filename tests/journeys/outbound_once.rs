//! Nobody is dialled twice: not by a request that is sent again, not after a carrier that does not answer, and not after a crash.

use serde_json::json;
use trunkline_sim::{
    phone::{Answer, Callee, Directory},
    twilio::{CallbackDelivery, CreateFault, StatusEvent, TwilioConfig},
};

use crate::{
    hearing::{heard, words},
    outbound::{CALLEE, phone, talker, to},
    process::{Process, To},
    world::{ANSWER, GREETING, Scene, World, ms, open_shop, report},
};

const ALL: &[StatusEvent] =
    &[StatusEvent::Initiated, StatusEvent::Ringing, StatusEvent::Answered, StatusEvent::Completed];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_is_the_same_call() {
    let world = Scene::default().callee(Callee::default().after(ms(20_000)), phone([])).start().await;
    let (status, _, first) = world.dial(&to(CALLEE), Some("a key")).await;
    assert_eq!(status, 202, "{first:#}");
    let (status, _, again) = world.dial(&to(CALLEE), Some("a key")).await;
    assert_eq!((status, &again["data"]), (202, &first["data"]));
    assert_eq!(world.dial(&to("+14155550112"), Some("a key")).await.0, 409);
    assert_eq!((world.creates(), world.dials().await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_numbers_is_dialled_once_at_a_time() {
    let scene = Scene::default().callee(Callee::default().after(ms(20_000)), phone([]));
    scene.twilio.creates.push(Some(CreateFault::Hang { dials: false }));
    let world = scene.start().await;
    let body = to(CALLEE);
    let (first, second) = tokio::join!(world.dial(&body, None), async {
        while world.twilio.requests().iter().all(|request| !request.path.ends_with("/Calls.json")) {
            tokio::time::sleep(ms(20)).await;
        }
        world.dial(&body, None).await
    });
    assert_eq!((second.0, second.1.is_some()), (409, true), "{:#}", second.2);
    // The carrier had not dialled, which is certain only after looking: then it is asked once more.
    assert_eq!((first.0, first.2["data"]["call_sid"].is_string()), (202, true), "{:#}", first.2);
    assert_eq!((world.creates(), world.dials().await), (2, 1));
}

/// A carrier whose answer to being asked goes wrong like this, and which tells nothing of these events.
async fn asked(fault: CreateFault, lost: &'static [StatusEvent]) -> World {
    let mut scene = Scene::default().callee(Callee::default().after(ms(17_000)), talker());
    scene.twilio.creates.push(Some(fault));
    scene.twilio.callbacks = CallbackDelivery { lost, ..CallbackDelivery::default() };
    scene.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_dialled_and_did_not_say_so_is_not_asked_again() {
    let tried = async |fault, lost| {
        let world = asked(fault, lost).await;
        let (status, _, body) = world.dial(&to(CALLEE), None).await;
        let ongoing = world.placed().await;
        assert_eq!((status, body["data"]["call_sid"].as_str()), (202, Some(ongoing.sid())), "{fault:?} {body:#}");
        assert_eq!((world.creates(), world.dials().await), (1, 1), "{fault:?}");
        // It is the call that its callee hears.
        let report = report(ongoing).await;
        assert_eq!(words(&heard(&report.streams[0])), words(&format!("{GREETING} {ANSWER}")));
        world.settled().await;
    };
    // What it tells of the call settles it, or else a look among its calls.
    tokio::join!(
        tried(CreateFault::Hang { dials: true }, &[]),
        tried(CreateFault::Hang { dials: true }, ALL),
        tried(CreateFault::Error { status: 500, dials: true }, ALL),
        tried(CreateFault::Cut { dials: true }, &[]),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_has_certainly_not_dialled_is_asked_once_more() {
    let scene = Scene::default().callee(Callee::fails(Answer::Busy), phone([]));
    let error = CreateFault::Error { status: 503, dials: false };
    scene.twilio.creates.push(Some(error));
    let world = scene.start().await;
    let (id, sid) = world.dialled(&to(CALLEE)).await;
    assert!(sid.is_some());
    assert_eq!((world.creates(), world.dials().await), (2, 1));
    assert_eq!(world.over(&id).await["end_reason"], "busy");
    // And not for ever.
    world.faults.push(Some(error));
    world.faults.push(Some(error));
    let (status, _, body) = world.dial(&to("+14155550112"), None).await;
    assert_eq!((status, &body["error_code"]), (502, &"EXTERNAL_API_ERROR".into()), "{body:#}");
    assert_eq!(body["details"], json!({ "vendor": "twilio", "status": 503, "code": "20500" }));
    assert_eq!((world.creates(), world.dials().await), (4, 1));
    let listed = world.api.get("/v1/conversations").await.unwrap();
    let over = world.over(listed["conversations"][0]["id"].as_str().unwrap()).await;
    assert_eq!((&over["status"], &over["end_reason"]), (&"failed".into(), &"carrier_failed".into()));
    world.settled().await;
}

/// Somebody ends a call of which the carrier has not said yet whether it has it: it is ended as soon as that is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_before_the_carrier_answers_is_hung_up() {
    let told_at_the_end = &[StatusEvent::Initiated, StatusEvent::Ringing, StatusEvent::Answered];
    let world = asked(CreateFault::Hang { dials: true }, told_at_the_end).await;
    let body = to(CALLEE);
    let give_up = async {
        let ongoing = world.placed().await;
        let listed = world.api.get("/v1/conversations").await.unwrap();
        let id = listed["conversations"][0]["id"].as_str().unwrap().to_owned();
        let accepted = world.api.post(&format!("/v1/conversations/{id}/hangup"), &json!({})).await.unwrap();
        assert_eq!(accepted["status"], "accepted");
        (id, report(ongoing).await)
    };
    let (_, (id, report)) = tokio::join!(world.dial(&body, None), give_up);
    assert!(report.answered.is_none(), "nobody was spoken to");
    let over = world.over(&id).await;
    assert_eq!((&over["status"], &over["end_reason"]), (&"failed".into(), &"api_hangup".into()));
    assert_eq!((world.creates(), world.dials().await), (1, 1));
    world.settled().await;
}

/// A process on whose behalf somebody is called who answers only after it was killed.
async fn killed(name: &str, twilio: impl FnOnce(&mut TwilioConfig), wait_for_answer: bool) {
    let mut scene = Scene::default();
    scene.twilio.callees = Directory::all(Callee::default().after(ms(6_000)), talker());
    twilio(&mut scene.twilio);
    let agent = scene.agent.clone();
    let sims = scene.simulate().await;
    let mut process = Process::start(&sims, name).await;
    let api = process.api();
    open_shop(&api, &agent).await;
    let agents = api.get("/v1/voice-agents").await.unwrap();
    let path = format!("/v1/voice-agents/{}/calls", agents["voice_agents"][0]["id"].as_str().unwrap());
    let (body, key) = (to(CALLEE), Some("a key"));
    let asking = {
        let (api, path, body) = (api.clone(), path.clone(), body.clone());
        tokio::spawn(async move { api.post_with_key(&path, &body, Some("a key")).await })
    };
    let ongoing = sims.twilio.next_placed().await;
    if wait_for_answer {
        assert_eq!(asking.await.unwrap().unwrap().0, 202);
    } else {
        asking.abort();
    }
    process.kill(To::Hold).await;
    process.run().await;
    let sid = ongoing.sid().to_owned();
    let report = report(ongoing).await;
    assert_eq!(words(&heard(&report.streams[0])), words(&format!("{GREETING} {ANSWER}")));
    let listed = api.get("/v1/conversations").await.unwrap();
    assert_eq!(listed["pagination"]["total"], 1);
    // Whoever was not answered asks again, once the first request's key is free, and has the same call.
    let again = loop {
        let (status, _, body) = api.post_with_key(&path, &body, key).await.unwrap();
        if status != 409 {
            break body["data"].clone();
        }
        tokio::time::sleep(ms(500)).await;
    };
    assert_eq!((&again["conversation_id"], &again["call_sid"]), (&listed["conversations"][0]["id"], &json!(sid)));
    let creates =
        sims.twilio.requests().iter().filter(|it| it.method == "POST" && it.path.ends_with("/Calls.json")).count();
    assert_eq!(creates, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_while_its_process_is_killed_is_answered_by_the_next() {
    killed("outbound-ringing", |_| {}, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_before_the_carrier_answers_has_called_once() {
    killed("outbound-asking", |twilio| twilio.creates.push(Some(CreateFault::Hang { dials: true })), false).await;
}
