//! Calls that are joined with others: by a number that is called, in a conversation, and by a key; and calls that are recorded.

use std::time::Duration;

use crate::vonage_world::{APPLICATION, CALLER, LIMIT, NUMBER, World, loud, soon, start, vendor, voice};
use serde_json::{Value, json};
use trunkline_sim::{
    phone::{Answer, Answerer, Callee, Directory, Greeting},
    vonage::{
        CallReport, ConversationRecord, InboundCall, OngoingCall, VonageConfig, VonageSim,
        phone::{PhoneConfig, Speech, Step},
    },
};

const DESK: &str = "14155550123";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn phone(steps: impl IntoIterator<Item = Step>) -> PhoneConfig {
    PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() }
}

fn listens() -> [Step; 1] {
    [Step::WaitForEnd { timeout: LIMIT }]
}

struct Joined {
    world: World,
    sim: VonageSim,
}

impl Joined {
    async fn new(callee: Callee, steps: impl IntoIterator<Item = Step>) -> Self {
        let world = World::start().await;
        let callees = Directory::default();
        callees.set(format!("+{DESK}"), callee, phone(steps));
        let sim = start(VonageConfig { callees, ..vendor(&world) }).await;
        Self { world, sim }
    }

    fn ring(&self, steps: impl IntoIterator<Item = Step>) -> OngoingCall {
        let call =
            InboundCall { from: CALLER.into(), to: NUMBER.into(), phone: phone(steps), ..InboundCall::default() };
        self.sim.ring(call).unwrap()
    }

    /// A `connect` to the desk.
    fn to_desk(&self) -> Value {
        json!({
            "action": "connect", "eventType": "synchronous", "eventUrl": [self.world.url("/dial")], "from": NUMBER,
            "timeout": 1, "endpoint": [{"type": "phone", "number": DESK}],
        })
    }

    /// A question that a key answers.
    fn question(&self) -> Value {
        json!([
            {"action": "talk", "text": "Somebody waits. Press a key to speak with them.", "bargeIn": true},
            {"action": "input", "type": ["dtmf"], "dtmf": {"maxDigits": 1, "timeOut": 1}, "eventUrl": [self.world.url("/key")]},
            {"action": "talk", "text": "Bye."},
        ])
    }
}

async fn report(call: OngoingCall) -> CallReport {
    soon(call.report()).await.unwrap()
}

#[tokio::test]
async fn one_who_is_called_speaks_with_the_caller_until_either_hangs_up() {
    let joined = Joined::new(Callee::answers(Answerer::Human), [Step::Silence(ms(300)), Step::HangUp]).await;
    joined.world.ncco("/answer", json!([joined.to_desk(), {"action": "talk", "text": "They are gone."}]));
    let ended = report(joined.ring(listens())).await;
    assert_eq!(ended.said, ["They are gone."]);
    assert_eq!(joined.world.statuses("/dial"), ["started", "ringing", "answered", "completed"]);
    let completed = joined.world.hook("/dial", "completed").await;
    assert_eq!((completed.text("disconnected_by"), completed.text("to")), ("user", DESK));

    let joined =
        Joined::new(Callee::answers(Answerer::Machine(Greeting::Beep(vec![9_000; 800].into()))), listens()).await;
    joined.world.ncco("/answer", json!([joined.to_desk()]));
    let ended = report(joined.ring([Step::Silence(ms(300)), Step::HangUp])).await;
    assert_eq!(joined.world.hook("/dial", "completed").await.text("disconnected_by"), "platform");
    assert_eq!(joined.world.hook("/event", "completed").await.text("disconnected_by"), "user");
    assert_eq!(ended.legs[1].to, DESK);
}

#[tokio::test]
async fn a_caller_who_hangs_up_while_it_rings_cancels_it() {
    let joined = Joined::new(Callee::answers(Answerer::Human).after(ms(900)), listens()).await;
    joined.world.ncco("/answer", json!([joined.to_desk()]));
    let call = joined.ring(listens());
    joined.world.hook("/dial", "ringing").await;
    call.hang_up();
    report(call).await;
    assert_eq!(joined.world.statuses("/dial"), ["started", "ringing", "cancelled"]);
}

#[tokio::test]
async fn one_who_is_not_reached_is_told_and_the_reply_is_obeyed() {
    for (answer, status) in [(Answer::Busy, "busy"), (Answer::None, "timeout"), (Answer::Rejects, "rejected")] {
        let joined = Joined::new(Callee::fails(answer), []).await;
        joined.world.ncco("/answer", json!([joined.to_desk(), {"action": "talk", "text": "never"}]));
        let back = json!([{"action": "talk", "text": "Back again."}]).to_string();
        joined.world.answers("/dial", [(200, back)]);
        // What is answered to an event that asks for nothing is not obeyed.
        let ended = report(joined.ring(listens())).await;
        assert_eq!(ended.said, ["Back again."], "{status}");
        joined.world.hook("/dial", status).await;
    }
}

#[tokio::test]
async fn a_key_is_waited_for_and_the_two_meet() {
    for late in [false, true] {
        let waits = if late { ms(3_200) } else { ms(200) };
        let presses = [Step::Silence(waits), Step::Dtmf("7".into()), Step::Silence(ms(600)), Step::HangUp];
        let joined = Joined::new(Callee::answers(Answerer::Human), presses).await;
        let room = json!([{"action": "conversation", "name": "room", "endOnExit": true}]);
        joined.world.ncco("/answer", room.clone());
        joined.world.answers("/key", [(200, room.to_string())]);
        let call = joined.ring(listens());
        joined.world.hook("/event", "answered").await;
        let placed = json!({
            "to": [{"type": "phone", "number": DESK}], "from": {"type": "phone", "number": NUMBER},
            "ncco": joined.question(), "event_url": [joined.world.url("/desk")],
        });
        let (status, _) = voice(&joined.sim.server().http_url(), "POST", "/v1/calls", Some(placed)).await;
        assert_eq!(status, 201);
        let desk = report(soon(joined.sim.next_placed()).await).await;
        let key = joined.world.hook("/key", "").await;
        assert_eq!(key.fields["dtmf"], json!({"digits": "7", "timed_out": false}), "{late}");
        key.claims();
        let met = [ConversationRecord { name: "room".into(), met: true }];
        assert_eq!((desk.said.len(), desk.conversations.as_slice()), (1, &met[..]));
        assert_eq!(report(call).await.conversations, met);
        assert_eq!(joined.world.statuses("/desk"), ["started", "ringing", "answered", "completed"]);
    }
}

#[tokio::test]
async fn without_a_key_the_document_goes_on() {
    let joined = Joined::new(Callee::default(), []).await;
    joined.world.ncco("/answer", joined.question());
    let ended = report(joined.ring(listens())).await;
    assert_eq!(ended.said.last().map(String::as_str), Some("Bye."));
    assert_eq!(joined.world.hook("/key", "").await.fields["dtmf"], json!({"digits": "", "timed_out": true}));
}

#[tokio::test]
async fn a_recording_is_told_of_when_the_call_is_over_and_is_the_application_s() {
    let mut joined = Joined::new(Callee::default(), []).await;
    let record = json!({"action": "record", "eventUrl": [joined.world.url("/recorded")]});
    joined.world.ncco("/answer", json!([record, joined.world.connect(16_000)]));
    let call = joined.ring([Step::Say(Speech::new(&[9_000; 4_000])), Step::HangUp]);
    let mut peer = joined.world.socket().await;
    peer.send(loud(16_000)).await;
    peer.rest().await;
    report(call).await;
    let told = joined.world.hook("/recorded", "").await;
    let url = told.text("recording_url");
    let (base, path) = url.split_at(url.find("/v1/").unwrap());
    let file = path.rsplit('/').next().unwrap();
    let wav = joined.sim.recording(APPLICATION, file).unwrap();
    assert_eq!(told.fields["size"], wav.len());
    let reader = hound::WavReader::new(wav.as_slice()).unwrap();
    assert!(reader.spec().channels == 2 && reader.duration() >= 4_000);
    assert_eq!(voice(base, "GET", path, None).await.0, 200);
    assert_eq!(voice(base, "DELETE", path, None).await.0, 204);
    assert_eq!(voice(base, "GET", path, None).await.0, 404);
}
