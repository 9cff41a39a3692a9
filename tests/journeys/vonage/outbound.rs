//! Calls that an agent places by way of Vonage: somebody answers and is spoken to, nobody does, or the carrier will not.

use serde_json::{Value, json};
use trunkline_sim::{
    phone::{Answer, Callee},
    vonage::{CreateFault, EventDelivery},
};

use super::{
    MSISDN,
    line::{report, to},
};
use crate::{
    hearing::{heard, words},
    outbound::{CALLEE, phone, talker},
    world::{ANSWER, GREETING, Scene, ms},
};

const STATUSES: [&str; 4] = ["started", "ringing", "answered", "completed"];

#[tokio::test(flavor = "multi_thread")]
async fn somebody_answers_and_is_spoken_to() {
    let scene = Scene::default()
        .agent("/ai_config/instructions", "You call {{customer_name}}.".into())
        .vonage_callee(Callee::default().after(ms(700)), talker());
    let world = scene.start().await;
    let mut body = to(CALLEE);
    body["context"] = json!({ "customer_name": "Ann" });
    let (id, uuid) = world.dialled(&body).await;
    let ongoing = world.placed_at_vonage().await;
    assert_eq!(uuid.as_deref(), Some(ongoing.uuid()));
    // While it rings, no vendor's socket waits.
    assert_eq!((world.deepgram.connections(), world.elevenlabs.connections()), (0, 0));
    let report = report(ongoing).await;
    assert_eq!(report.errors, [""; 0]);
    assert_eq!((report.from.as_str(), format!("+{}", report.to)), (MSISDN, CALLEE.to_owned()));
    assert_eq!(words(&heard(&report.streams[0])), words(&format!("{GREETING} {ANSWER}")));
    let over = world.over(&id).await;
    assert_eq!((&over["status"], &over["end_reason"]), (&"completed".into(), &"caller_hangup".into()));
    assert_eq!(over["customer_phone"], CALLEE);
    let asked = world.openai.requests().entries();
    let instructions = asked[0].messages()[0]["content"].as_str().unwrap().to_owned();
    assert!(instructions.contains("You call Ann."), "{instructions}");
    assert_eq!((world.creates_at_vonage(), world.vonage.calls().len()), (1, 1));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_answers_says_why() {
    let world = Scene::default().start().await;
    let callees = [
        (Answer::Busy, "busy"),
        (Answer::Rejects, "rejected"),
        (Answer::None, "no_answer"),
        (Answer::Unreachable, "invalid_number"),
        (Answer::Fails, "carrier_failed"),
    ];
    let mut placed = Vec::new();
    for (n, (answer, reason)) in callees.into_iter().enumerate() {
        let number = format!("+1415555020{n}");
        world.vonage_callees.set(&number, Callee::fails(answer), phone([]));
        let mut body = to(&number);
        body["ring_timeout_s"] = 5.into();
        let (id, _) = world.dialled(&body).await;
        placed.push((id, reason));
    }
    for (id, reason) in placed {
        let over = world.over(&id).await;
        assert_eq!((&over["status"], &over["end_reason"]), (&"failed".into(), &reason.into()));
        assert_eq!((&over["duration_seconds"], &over["transcript"]), (&0.into(), &json!([])));
    }
    assert_eq!((world.deepgram.connections(), world.watch.calls()), (0, 0));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_carrier_refuses_is_the_request_s_fault_or_the_carrier_s() {
    let world = Scene::default().vonage_callee(Callee::fails(Answer::Invalid), phone([])).start().await;
    let (status, _, body) = world.dial(&to(CALLEE), None).await;
    let field = body["details"]["fields"][0]["field"].clone();
    assert_eq!((status, field), (422, "phone_number".into()), "{body:#}");
    let listed = world.api.get("/v1/conversations").await.unwrap();
    let over = world.over(listed["conversations"][0]["id"].as_str().unwrap()).await;
    assert_eq!((&over["status"], &over["end_reason"]), (&"failed".into(), &"invalid_number".into()));
    world.vonage_faults.push(Some(CreateFault::Refuse { status: 401, code: 0 }));
    let (status, _, body) = world.dial(&to("+14155550112"), None).await;
    assert_eq!((status, &body["error_code"]), (502, &"EXTERNAL_API_ERROR".into()), "{body:#}");
    assert_eq!((&body["details"]["vendor"], &body["details"]["status"]), (&"vonage".into(), &401.into()));
    world.settled().await;
}

/// Nobody is dialled twice, whatever becomes of the answer to the request that places a call.
#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_dialled_and_did_not_say_so_is_not_asked_again() {
    let tried = async |fault, lose: &[&str]| {
        let mut scene = Scene::default().vonage_callee(Callee::default().after(ms(17_000)), talker());
        scene.vonage.creates.push(Some(fault));
        scene.vonage.events.lose = lose.iter().map(|status| (*status).to_owned()).collect();
        let world = scene.start().await;
        let (status, _, body) = world.dial(&to(CALLEE), None).await;
        let ongoing = world.placed_at_vonage().await;
        assert_eq!((status, body["data"]["call_sid"].as_str()), (202, Some(ongoing.uuid())), "{fault:?} {body:#}");
        assert_eq!((world.creates_at_vonage(), world.vonage.calls().len()), (1, 1), "{fault:?}");
        // It is the call that its callee hears.
        let report = report(ongoing).await;
        assert_eq!(words(&heard(&report.streams[0])), words(&format!("{GREETING} {ANSWER}")));
        let over = world.over(body["data"]["conversation_id"].as_str().unwrap()).await;
        assert_eq!((&over["status"], &over["end_reason"]), (&"completed".into(), &"caller_hangup".into()));
        world.settled().await;
    };
    // What it tells of the call settles it, or else a look among its calls.
    tokio::join!(
        tried(CreateFault::Hang { dials: true }, &[]),
        tried(CreateFault::Hang { dials: true }, &STATUSES),
        tried(CreateFault::Error { status: 500, dials: true }, &STATUSES),
        tried(CreateFault::Cut { dials: true }, &[]),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_has_certainly_not_dialled_is_asked_once_more() {
    let tried = async |fault| {
        let scene = Scene::default().vonage_callee(Callee::fails(Answer::Busy), phone([]));
        scene.vonage.creates.push(Some(fault));
        let world = scene.start().await;
        let (id, uuid) = world.dialled(&to(CALLEE)).await;
        assert!(uuid.is_some());
        assert_eq!((world.creates_at_vonage(), world.vonage.calls().len()), (2, 1), "{fault:?}");
        assert_eq!(world.over(&id).await["end_reason"], "busy");
        world.settled().await;
    };
    // And not for ever.
    let given_up = async {
        let scene = Scene::default().vonage_callee(Callee::fails(Answer::Busy), phone([]));
        for _ in 0..2 {
            scene.vonage.creates.push(Some(CreateFault::Error { status: 500, dials: false }));
        }
        let world = scene.start().await;
        let (status, _, body) = world.dial(&to(CALLEE), None).await;
        assert_eq!((status, &body["error_code"]), (502, &"EXTERNAL_API_ERROR".into()), "{body:#}");
        assert_eq!(body["details"], json!({ "vendor": "vonage", "status": 500, "code": null }));
        assert_eq!((world.creates_at_vonage(), world.vonage.calls().len()), (2, 0));
        let listed = world.api.get("/v1/conversations").await.unwrap();
        let over: Value = world.over(listed["conversations"][0]["id"].as_str().unwrap()).await;
        assert_eq!((&over["status"], &over["end_reason"]), (&"failed".into(), &"carrier_failed".into()));
        world.settled().await;
    };
    tokio::join!(
        tried(CreateFault::Hang { dials: false }),
        tried(CreateFault::Error { status: 503, dials: false }),
        given_up
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_late_twice_and_out_of_order_changes_nothing() {
    let mut scene = Scene::default().vonage_callee(Callee::default().after(ms(200)), talker());
    scene.vonage.events = EventDelivery { delay: ms(300), duplicate: true, reorder: true, ..EventDelivery::default() };
    let world = scene.start().await;
    let (id, uuid) = world.dialled(&to(CALLEE)).await;
    let told = report(world.placed_at_vonage().await).await;
    assert_eq!(words(&heard(&told.streams[0])), words(&format!("{GREETING} {ANSWER}")));
    let over = world.over(&id).await;
    assert_eq!((&over["status"], &over["end_reason"]), (&"completed".into(), &"caller_hangup".into()));
    let uuid = uuid.unwrap();
    let events = told.events_of(&uuid);
    for status in STATUSES {
        assert_eq!(events.iter().filter(|event| **event == status).count(), 2, "{events:?}");
    }
    assert_ne!(events[0], "started", "out of order");
    assert!(told.webhooks.iter().all(|it| it.answer.as_ref().is_ok_and(|answer| answer.status < 300)));
    world.settled().await;
}
