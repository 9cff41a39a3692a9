//! Who, or what, answers a call that an agent has placed, on either carrier: people are spoken to, machines get their message or are hung
//! up on, as it is configured.
//!
//! A telephone that asks who calls is a person to either carrier: no word of theirs tells of it, so that nothing here does.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use trunkline_sim::phone::{Answerer, Callee, Greeting, PhoneConfig, Step};

use crate::{
    carriers::{Carrier, Line},
    hearing::{heard, words},
    outbound::{phone, talker},
    raw::form,
    world::{ANSWER, GREETING, Scene, World, samples},
};

/// What is left on machines.
const MESSAGE: &str = "This is the workshop. Please call us back tomorrow.";

fn scene(action: &str) -> Scene {
    let voicemail = json!({ "action": action, "message": MESSAGE });
    Scene::default().agent("/call_config/voicemail", voicemail)
}

/// A telephone at whose other end nobody hangs up.
fn patient() -> PhoneConfig {
    phone([Step::WaitForEnd { timeout: crate::world::LIMIT }])
}

/// A call that was placed.
struct Placed {
    carrier: Carrier,
    id: String,
    /// What the carrier calls it.
    name: String,
    line: JoinHandle<Line>,
}

/// How a call came out.
struct Outcome {
    carrier: Carrier,
    stored: Value,
    /// The verdicts that were stored, in order.
    answered_by: Vec<String>,
    line: Line,
}

impl World {
    /// The same is called by way of each carrier, and heard to the end.
    async fn call_both(&self, answerer: Answerer, phone: PhoneConfig) -> Vec<Outcome> {
        let placed = self.place_both(answerer, phone).await;
        let mut outcomes = Vec::new();
        for placed in placed {
            outcomes.push(self.outcome(placed).await);
        }
        outcomes
    }

    async fn place_both(&self, answerer: Answerer, phone: PhoneConfig) -> Vec<Placed> {
        let number = "+14155550177";
        self.has_number(number, &Callee::answers(answerer), &phone);
        let mut placed = Vec::new();
        for carrier in Carrier::BOTH {
            let (id, ongoing) = self.call_at(carrier, number).await;
            placed.push(Placed { carrier, id, name: ongoing.name().to_owned(), line: ongoing.reporting() });
        }
        placed
    }

    async fn outcome(&self, placed: Placed) -> Outcome {
        let Placed { carrier, id, line, .. } = placed;
        let line = line.await.unwrap();
        self.until_over(&id).await;
        self.server.stored().await;
        let verdict =
            |(kind, data): (String, Value)| (kind == "answered_by").then(|| data["by"].as_str().unwrap().to_owned());
        let answered_by = self.timeline(&id).await.into_iter().filter_map(verdict).collect();
        Outcome { carrier, stored: self.api.get(&format!("/v1/conversations/{id}")).await.unwrap(), answered_by, line }
    }
}

impl Outcome {
    fn ended(&self, status: &str, reason: &str) {
        let stored = (&self.stored["status"], &self.stored["end_reason"]);
        assert_eq!(stored, (&json!(status), &json!(reason)), "{:?} {:#}", self.carrier, self.stored);
    }

    fn verdicts(&self, twilio: &[&str], vonage: &[&str]) {
        let expected = if self.carrier == Carrier::Twilio { twilio } else { vonage };
        assert_eq!(self.answered_by, expected, "{:?}", self.carrier);
    }

    /// Whether the message was left: the telephone heard it whole and last, and it is stored as what it is.
    fn has_message(&self) -> bool {
        let heard = words(&heard(&self.line.streams[0])).concat();
        let stored = self.stored["transcript"].as_array().unwrap().iter().any(|entry| entry["text"] == MESSAGE);
        let (left, stored) = (heard.ends_with(&words(MESSAGE).concat()), stored);
        assert_eq!(left, stored, "{:?} heard {heard:?} of {:#}", self.carrier, self.stored);
        left
    }
}

fn machine() -> Answerer {
    Answerer::Machine(Greeting::Beep(samples("cards_005").into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_gets_its_message_after_the_beep() {
    let world = scene("leave_message").start().await;
    for outcome in world.call_both(machine(), patient()).await {
        outcome.ended("completed", "voicemail");
        outcome.verdicts(&["machine_ready"], &["machine", "machine_ready"]);
        assert!(outcome.has_message(), "{:?}", outcome.carrier);
        assert_eq!(outcome.line.errors, [""; 0]);
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_hung_up_on_without_a_word_if_that_is_configured() {
    let world = scene("hang_up").start().await;
    for outcome in world.call_both(machine(), patient()).await {
        outcome.ended("completed", "voicemail");
        outcome.verdicts(&["machine"], &["machine"]);
        assert!(!outcome.has_message(), "{:?}", outcome.carrier);
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_spoken_to_if_that_is_configured_and_nobody_asks_what_it_is() {
    let world = scene("continue").start().await;
    for outcome in world.call_both(machine(), talker()).await {
        outcome.ended("completed", "caller_hangup");
        outcome.verdicts(&[], &[]);
        assert!(!outcome.has_message(), "{:?}", outcome.carrier);
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fax_is_hung_up_on() {
    let world = scene("hang_up").start().await;
    for outcome in world.call_both(Answerer::Fax, patient()).await {
        outcome.ended("completed", "voicemail");
        // To Vonage a fax is a machine like any other.
        outcome.verdicts(&["fax"], &["machine"]);
        assert!(!outcome.has_message(), "{:?}", outcome.carrier);
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_spoken_to_and_so_is_a_telephone_that_asks_who_calls() {
    let world = scene("leave_message").start().await;
    let screening = Answerer::Screening(samples("goforward").into());
    for (answerer, whole) in [(Answerer::Human, true), (screening, false)] {
        for outcome in world.call_both(answerer, talker()).await {
            outcome.ended("completed", "caller_hangup");
            outcome.verdicts(&["human"], &["human"]);
            let heard = words(&heard(&outcome.line.streams[0])).concat();
            if whole {
                assert_eq!(heard, words(&format!("{GREETING} {ANSWER}")).concat(), "{:?}", outcome.carrier);
            }
            assert!(heard.ends_with(&words(ANSWER).concat()), "{:?} {heard:?}", outcome.carrier);
            assert!(!outcome.has_message());
        }
    }
    world.settled().await;
}

/// Nothing can be made of whoever answers: one carrier says so, the other says nothing, and either way they are spoken to.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_told_is_spoken_to() {
    let world = scene("leave_message").start().await;
    let placed = world.place_both(Answerer::Unknown, talker()).await;
    // The carrier gives up after half a minute, which need not be waited for.
    let told = form(&placed[0].name, &[("AnsweredBy", "unknown"), ("MachineDetectionDuration", "30000")]);
    let query = format!("kind=amd&conversation={}", placed[0].id);
    for _ in 0..2 {
        assert_eq!(world.webhook(&query, &told).await.0, 204);
    }
    for placed in placed {
        let outcome = world.outcome(placed).await;
        outcome.ended("completed", "caller_hangup");
        outcome.verdicts(&["unknown"], &[]);
        let heard = words(&heard(&outcome.line.streams[0])).concat();
        assert_eq!(heard, words(&format!("{GREETING} {ANSWER}")).concat(), "{:?}", outcome.carrier);
    }
    world.settled().await;
}
