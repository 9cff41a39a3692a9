//! Calls that an agent places: somebody answers and is spoken to, nobody does, or the carrier will not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline_sim::{
    phone::{Answer, Callee},
    twilio::{
        CallReport, CallbackDelivery, CreateFault, OngoingCall,
        phone::{PhoneConfig, Step},
    },
};

use crate::{
    hearing::{heard, words},
    world::{ANSWER, GREETING, LIMIT, NUMBER, Scene, World, clip, ms, report},
};

/// Who is called.
pub(crate) const CALLEE: &str = "+14155550111";

/// A telephone that does this once it is answered.
pub(crate) fn phone(steps: impl IntoIterator<Item = Step>) -> PhoneConfig {
    PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() }
}

/// Somebody who listens to the greeting, says something, listens to the answer, and hangs up.
pub(crate) fn talker() -> PhoneConfig {
    let quiet = || Step::WaitForAgentToFinish { quiet: ms(700) };
    phone([quiet(), Step::Say(clip("cards_001")), quiet(), Step::HangUp])
}

impl Scene {
    /// Whom its calls reach.
    pub(crate) fn callee(self, callee: Callee, phone: PhoneConfig) -> Self {
        self.twilio.callees.set_others(callee, phone);
        self
    }
}

impl World {
    /// The agent's id.
    pub(crate) async fn agent(&self) -> String {
        let agents = self.api.get("/v1/voice-agents").await.unwrap();
        agents["voice_agents"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Has the agent call somebody: whatever that is answered.
    pub(crate) async fn dial(&self, body: &Value, key: Option<&str>) -> (u16, Option<u64>, Value) {
        let path = format!("/v1/voice-agents/{}/calls", self.agent().await);
        self.api.post_with_key(&path, body, key).await.unwrap()
    }

    /// Has the agent call somebody, who is being called then: the conversation's id, and the carrier's of the call.
    pub(crate) async fn dialled(&self, body: &Value) -> (String, Option<String>) {
        let (status, _, body) = self.dial(body, None).await;
        assert_eq!(status, 202, "{body:#}");
        let text = |name: &str| body["data"][name].as_str().map(str::to_owned);
        (text("conversation_id").unwrap(), text("call_sid"))
    }

    /// The next call that the carrier places.
    pub(crate) async fn placed(&self) -> OngoingCall {
        tokio::time::timeout(LIMIT, self.twilio.next_placed()).await.expect("a call is placed")
    }

    /// A conversation once it is over.
    pub(crate) async fn over(&self, id: &str) -> Value {
        let path = format!("/v1/conversations/{id}");
        let begun = Instant::now();
        loop {
            let conversation = self.api.get(&path).await.unwrap();
            if !conversation["end_time"].is_null() {
                return conversation;
            }
            assert!(begun.elapsed() < LIMIT, "{conversation:#}");
            tokio::time::sleep(ms(50)).await;
        }
    }

    /// How many calls the carrier was asked to place.
    pub(crate) fn creates(&self) -> usize {
        let requests = self.twilio.requests();
        requests.iter().filter(|request| request.method == "POST" && request.path.ends_with("/Calls.json")).count()
    }

    /// How many calls the carrier has placed.
    pub(crate) async fn dials(&self) -> usize {
        let url = format!("{}/2010-04-01/Accounts/{}/Calls.json", self.twilio.http_url(), crate::world::ACCOUNT);
        let request = self.http.get(url).basic_auth(crate::world::ACCOUNT, Some(crate::world::TOKEN));
        let page: Value = request.send().await.unwrap().json().await.unwrap();
        page["calls"].as_array().unwrap().len()
    }
}

pub(crate) fn to(number: &str) -> Value {
    json!({ "phone_number": number })
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_answers_and_is_spoken_to() {
    let scene = Scene::default()
        .agent("/ai_config/instructions", "You call {{customer_name}} about {{custom_data.plan}}.".into())
        .callee(Callee::default().after(ms(700)), talker());
    let world = scene.start().await;
    let body = json!({
        "phone_number": CALLEE,
        "from_number": NUMBER,
        "campaign_id": "0190a8b0-0000-7000-8000-000000000000",
        "context": { "customer_name": "Ann", "custom_data": { "plan": "the pro plan" } },
    });
    let (id, sid) = world.dialled(&body).await;
    let ongoing = world.placed().await;
    assert_eq!(sid.as_deref(), Some(ongoing.sid()));
    // While it rings, no vendor's socket waits.
    assert_eq!((world.deepgram.connections(), world.elevenlabs.connections()), (0, 0));
    let ringing = world.api.get(&format!("/v1/conversations/{id}")).await.unwrap();
    assert_eq!((&ringing["direction"], &ringing["status"]), (&"outbound".into(), &"ringing".into()));
    let report = report(ongoing).await;
    assert_eq!(report.errors, []);
    assert_eq!((report.from.as_str(), report.to.as_str()), (NUMBER, CALLEE));
    assert_eq!(words(&heard(&report.streams[0])), words(&format!("{GREETING} {ANSWER}")));
    let over = world.over(&id).await;
    assert_eq!((&over["status"], &over["end_reason"]), (&"completed".into(), &"caller_hangup".into()));
    assert_eq!((&over["customer_phone"], &over["our_number"]), (&CALLEE.into(), &NUMBER.into()));
    assert_eq!(over["context"]["custom_data"], json!({ "plan": "the pro plan" }));
    assert_eq!(over["metadata"]["campaign_id"], "0190a8b0-0000-7000-8000-000000000000");
    let asked = world.openai.requests().entries();
    let messages = asked[0].messages();
    let instructions = messages[0]["content"].as_str().unwrap();
    assert!(instructions.contains("You call Ann about the pro plan."), "{instructions}");
    assert_eq!((world.creates(), world.dials().await), (1, 1));
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
        world.callees.set(&number, Callee::fails(answer), phone([]));
        let (id, _) = world.dialled(&json!({ "phone_number": number, "ring_timeout_s": 5 })).await;
        placed.push((id, reason));
    }
    for (id, reason) in placed {
        let over = world.over(&id).await;
        assert_eq!((&over["status"], &over["end_reason"]), (&"failed".into(), &reason.into()));
        assert_eq!((&over["duration_seconds"], &over["transcript"]), (&0.into(), &json!([])));
    }
    // Nobody has been spoken to, and each has given its place back.
    assert_eq!((world.deepgram.connections(), world.watch.calls()), (0, 0));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_carrier_refuses_is_the_request_s_fault() {
    let world = Scene::default().callee(Callee::fails(Answer::Invalid), phone([])).start().await;
    let field = |body: &Value| body["details"]["fields"][0]["field"].clone();
    let (status, _, body) = world.dial(&to(CALLEE), None).await;
    assert_eq!((status, field(&body)), (422, "phone_number".into()), "{body:#}");
    let listed = world.api.get("/v1/conversations").await.unwrap();
    let closed = &listed["conversations"][0];
    assert_eq!((&closed["status"], &closed["direction"]), (&"failed".into(), &"outbound".into()));
    let over = world.over(closed["id"].as_str().unwrap()).await;
    assert_eq!(over["end_reason"], "invalid_number");
    for (number, from, wrong) in [
        ("415-555-0111", json!(null), "phone_number"),
        (NUMBER, json!(null), "phone_number"),
        (CALLEE, json!("+15005550001"), "from_number"),
    ] {
        let (status, _, body) = world.dial(&json!({ "phone_number": number, "from_number": from }), None).await;
        assert_eq!((status, field(&body)), (422, wrong.into()), "{body:#}");
    }
    let refuse = |status, code| Some(CreateFault::Refuse { status, code });
    for (fault, status, code) in [(refuse(400, 21_215), 422, None), (refuse(401, 20_003), 502, Some("20003"))] {
        world.faults.push(fault);
        let (answered, _, body) = world.dial(&to(CALLEE), None).await;
        assert_eq!((answered, body["details"]["code"].as_str()), (status, code), "{body:#}");
    }
    let (status, _, _) = world
        .api
        .post_with_key("/v1/voice-agents/0190a8b0-0000-7000-8000-000000000000/calls", &to(CALLEE), None)
        .await
        .unwrap();
    assert_eq!(status, 404);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_s_calls_are_placed_one_after_the_other_and_too_many_are_sent_away() {
    let world = Scene::default().callee(Callee::fails(Answer::Busy), phone([])).start().await;
    let credentials = world.api.get("/v1/integrations/credentials").await.unwrap();
    let mut credentials = credentials["credentials"].as_array().unwrap().iter();
    let credential = credentials.find(|it| it["credential_name"] == "carrier").unwrap();
    let install = json!({
        "integration_id": credential["integration_id"],
        "credential_id": credential["id"],
        "config": { "calls_per_second": 0.25 },
    });
    world.api.post("/v1/integrations/install", &install).await.unwrap();
    let begun = Instant::now();
    let numbers = ["+14155550201", "+14155550202", "+14155550203"].map(to);
    let dial = |n: usize| world.dial(&numbers[n], None);
    let (first, second) = tokio::join!(dial(0), dial(1));
    assert_eq!((first.0, second.0), (202, 202));
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    let at: Vec<_> =
        world.twilio.requests().into_iter().filter(|it| it.path.ends_with("/Calls.json")).map(|it| it.at).collect();
    assert!(at[1] - at[0] >= ms(3900), "{:?}", at[1] - at[0]);

    // The next turn is in 4 s, the one after that in 8, and then it is too late.
    let numbers = ["+14155550204", "+14155550205", "+14155550206", "+14155550207"].map(to);
    let answers = futures_util::future::join_all(numbers.iter().map(|number| world.dial(number, None))).await;
    let limited: Vec<_> = answers.iter().filter(|(status, ..)| *status == 429).collect();
    assert!((1..=2).contains(&limited.len()), "{answers:#?}");
    assert!(
        limited.iter().all(|(_, wait, body)| wait.is_some() && body["error_code"] == "RATE_LIMITED"),
        "{limited:#?}"
    );
    // Nothing is left of those.
    let listed = world.api.get("/v1/conversations").await.unwrap();
    assert_eq!(listed["pagination"]["total"], 6 - limited.len());
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_no_more_calls_at_once_than_it_allows_itself() {
    let world = Scene::default().callee(Callee::default().after(LIMIT), phone([])).start().await;
    world.api.patch("/v1/tenant", &json!({ "settings": { "max_concurrent_calls": 1 } })).await.unwrap();
    let (id, sid) = world.dialled(&to(CALLEE)).await;
    let (status, wait, body) = world.dial(&to("+14155550112"), None).await;
    assert_eq!((status, wait.is_some(), &body["error_code"]), (429, true, &"RATE_LIMITED".into()));
    // Nor does anybody come through.
    let report = world.call([Step::HangUp]).await;
    assert_eq!(report.streams.len(), 0);
    // Until that is written, it has a place too.
    let refused = world.api.get("/v1/conversations?direction=inbound").await.unwrap();
    world.over(refused["conversations"][0]["id"].as_str().unwrap()).await;
    let url = format!(
        "{}/2010-04-01/Accounts/{}/Calls/{}.json",
        world.twilio.http_url(),
        crate::world::ACCOUNT,
        sid.unwrap()
    );
    let cancel = world.http.post(url).basic_auth(crate::world::ACCOUNT, Some(crate::world::TOKEN));
    cancel.form(&[("Status", "canceled")]).send().await.unwrap();
    assert_eq!(world.over(&id).await["end_reason"], "canceled");
    world.dialled(&to("+14155550112")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_late_twice_and_out_of_order_changes_nothing() {
    let mut scene = Scene::default().callee(Callee::default().after(ms(200)), talker());
    scene.twilio.callbacks =
        CallbackDelivery { delay: ms(300), duplicate: true, reorder: true, ..CallbackDelivery::default() };
    let world = scene.start().await;
    let (id, _) = world.dialled(&to(CALLEE)).await;
    let told: CallReport = report(world.placed().await).await;
    assert_eq!(words(&heard(&told.streams[0])), words(&format!("{GREETING} {ANSWER}")));
    let over = world.over(&id).await;
    assert_eq!((&over["status"], &over["end_reason"]), (&"completed".into(), &"caller_hangup".into()));
    let statuses = told.webhooks.iter().filter(|it| it.field("SequenceNumber").is_some()).count();
    assert_eq!(statuses, 8);
    assert!(told.webhooks.iter().all(|it| it.answer.as_ref().is_ok_and(|answer| answer.status < 300)));
    world.settled().await;
}
