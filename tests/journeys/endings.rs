//! Every way in which a call ends, on each carrier, in and out: what is stored of it in the end. The test prints the table:
//! `cargo test --workspace --test journeys endings -- --nocapture`.

use std::{fmt::Write, time::Instant};

use futures_util::{
    StreamExt,
    future::{LocalBoxFuture, join_all},
    stream,
};
use serde_json::json;
use trunkline_sim::{
    fault::Fault,
    openai::Rule,
    phone::{Answer, Answerer, Callee, Greeting, PhoneConfig, Step},
    twilio::{CallbackDelivery, CreateFault, StatusEvent},
};

use crate::{
    carriers::{Carrier, Ongoing},
    control::{DESK, tell},
    hearing::words,
    outbound::phone,
    world::{ANSWER, GREETING, LIMIT, Scene, World, clip, ms, samples, transcript},
};

const FAREWELL: &str = "Goodbye, and take good care.";
const MESSAGE: &str = "This is the workshop. Please call us back tomorrow.";
const CONNECTING: &str = "One moment, please, I am connecting you.";

/// What somebody says, who then listens to the answer.
const QUESTION: &str = "cards_001";
/// What somebody says whom the agent then tells goodbye.
const THANKS: &str = "goforward";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Way {
    const BOTH: [Self; 2] = [Self::In, Self::Out];

    const fn name(self) -> &'static str {
        match self {
            Self::In => "inbound",
            Self::Out => "outbound",
        }
    }
}

/// What a call is to be in the end.
struct Expected {
    status: &'static str,
    reason: &'static str,
    /// What the agent's model makes of it; `None`: nobody has said anything that it could make something of.
    outcome: Option<&'static str>,
    /// What was said, in order; `None`: as far as it was heard before the call was cut off.
    said: Option<Vec<String>>,
    recorded: bool,
    /// Events that there must be, and how often.
    events: Vec<(&'static str, usize)>,
}

/// A call that has ended.
struct Ended {
    carrier: Carrier,
    way: Way,
    ending: &'static str,
    id: String,
    expected: Expected,
}

/// A row of the table.
struct Row {
    cells: Vec<String>,
    /// What is not as it should be.
    wrong: Vec<String>,
}

/// An agent whose calls are recorded, and analysed by what is found in their transcripts.
fn scene() -> Scene {
    let analysis = |outcome: &str| {
        let tags: [&str; 0] = [];
        json!({ "summary": "A call.", "sentiment": "neutral", "outcome": outcome, "tags": tags, "satisfaction_score": null })
            .to_string()
    };
    Scene { jobs: true, ..Scene::default() }
        .agent("/call_config/recording/enabled", json!(true))
        .agent("/call_config/transfer_targets", json!([{ "name": "Front desk", "number": DESK, "mode": "cold" }]))
        .rules([
            // What is asked of the analyst holds the transcript, and what is asked in a call holds what the caller said.
            Rule::reply("Please call us back", &analysis("voicemail")),
            Rule::reply("I am connecting you", &analysis("transferred")),
            Rule::reply("\"conversation\"", &analysis("resolved")),
            Rule::call("forward", "end_call", json!({ "farewell": FAREWELL })),
        ])
}

fn quiet() -> Step {
    Step::WaitForAgentToFinish { quiet: ms(900) }
}

fn stays() -> Step {
    Step::WaitForEnd { timeout: LIMIT }
}

/// Somebody who says something, hears the answer, and does this then.
fn talks(then: impl IntoIterator<Item = Step>) -> Vec<Step> {
    [quiet(), Step::Say(clip(QUESTION)), quiet()].into_iter().chain(then).collect()
}

/// What is said where nothing else is: the greeting, and an answer.
fn talked(more: &[&str]) -> Option<Vec<String>> {
    let said = [GREETING.to_owned(), transcript(QUESTION), ANSWER.to_owned()];
    Some(said.into_iter().chain(more.iter().map(|text| (*text).to_owned())).collect())
}

impl Expected {
    /// A call in which the two have spoken with each other.
    fn spoken(reason: &'static str) -> Self {
        Self {
            status: "completed",
            reason,
            outcome: Some("resolved"),
            said: talked(&[]),
            recorded: true,
            events: vec![("answered", 1), ("stream_attached", 1), ("ended", 1)],
        }
    }

    /// One that nobody was spoken to in.
    fn silent(reason: &'static str) -> Self {
        Self { status: "failed", reason, outcome: None, said: Some(Vec::new()), recorded: false, events: Vec::new() }
    }
}

/// A number of nobody else's: what becomes of one call is no other's.
fn number(carrier: Carrier, n: u32) -> String {
    format!("+1415555{}{n:03}", if carrier == Carrier::Twilio { 1 } else { 2 })
}

impl World {
    /// A call whose other end does this.
    async fn begin(&self, carrier: Carrier, way: Way, n: u32, steps: Vec<Step>) -> (String, Ongoing) {
        match way {
            Way::In => {
                let ongoing = self.ring_at(carrier, steps);
                (self.conversation_of(carrier, ongoing.name()).await, ongoing)
            }
            Way::Out => self.reach(carrier, n, Callee::default().after(ms(200)), phone(steps)).await,
        }
    }

    /// A call to somebody.
    async fn reach(&self, carrier: Carrier, n: u32, callee: Callee, phone: PhoneConfig) -> (String, Ongoing) {
        let number = number(carrier, n);
        self.has_number(&number, &callee, &phone);
        self.call_at(carrier, &number).await
    }

    /// Waits until the agent's answer has been heard.
    async fn answered(&self, id: &str) {
        let answered = |told: &crate::watch::Told| told.replies().iter().any(|it| it.heard == ANSWER).then_some(());
        self.watch.until(id, "the answer is heard", answered).await;
    }

    /// How a call is stored in the end, and what of it is not as it is expected to be.
    async fn row(&self, ended: Ended) -> Row {
        let Ended { carrier, way, ending, id, expected } = ended;
        let path = format!("/v1/conversations/{id}");
        self.server.stored().await;
        let begun = Instant::now();
        let stored = loop {
            let stored = self.api.get(&path).await.unwrap();
            let analysed = expected.outcome.is_none() || !stored["analyzed_at"].is_null();
            if (!stored["end_time"].is_null() && analysed) || begun.elapsed() > LIMIT {
                break stored;
            }
            tokio::time::sleep(ms(50)).await;
        };
        self.server.stored().await;
        let text = |name: &str| stored[name].as_str().unwrap_or("-").to_owned();
        let mut wrong = Vec::new();
        let mut compare = |what: &str, found: String, wanted: String| {
            if found != wanted {
                wrong.push(format!("{} {} {ending}: {what} is {found}, not {wanted}", carrier.name(), way.name()));
            }
        };
        compare("status", text("status"), expected.status.to_owned());
        compare("end reason", text("end_reason"), expected.reason.to_owned());
        compare("outcome", text("outcome"), expected.outcome.unwrap_or("-").to_owned());
        compare("direction", text("direction"), way.name().to_owned());
        let entries = stored["transcript"].as_array().unwrap();
        let said: Vec<String> = entries.iter().map(|entry| words(entry["text"].as_str().unwrap()).join(" ")).collect();
        if let Some(expected) = &expected.said {
            let expected: Vec<String> = expected.iter().map(|text| words(text).join(" ")).collect();
            compare("transcript", format!("{said:?}"), format!("{expected:?}"));
        }
        if expected.reason == "voicemail" {
            compare(
                "last of the transcript",
                format!("{:?}", said.last()),
                format!("{:?}", Some(words(MESSAGE).join(" "))),
            );
        }
        let recording = self.recording(reqwest::Method::GET, &id, &[]).await;
        let status = if expected.recorded { 200 } else { 404 };
        compare("recording's status", recording.status().as_u16().to_string(), status.to_string());
        let seconds = match expected.recorded {
            true => format!("{:.1} s", (recording.bytes().await.unwrap().len() as f64 - 44.0) / 32_000.0),
            false => "-".to_owned(),
        };
        let timeline = self.timeline(&id).await;
        let count = |kind: &str| timeline.iter().filter(|(name, _)| name == kind).count();
        let mut events = timeline.len().to_string();
        for (kind, times) in &expected.events {
            compare(kind, count(kind).to_string(), times.to_string());
            write!(events, " {kind}:{}", count(kind)).unwrap();
        }
        if expected.events.is_empty() {
            compare("timeline", format!("{timeline:?}"), "[]".to_owned());
        }
        let talk = format!("{} / {seconds}", entries.len());
        let names = [carrier.name(), way.name(), ending].map(str::to_owned);
        let cells =
            names.into_iter().chain([text("status"), text("end_reason"), text("outcome"), talk, events]).collect();
        Row { cells, wrong }
    }
}

/// How many calls of one world go on at once.
const AT_ONCE: usize = 8;

type Case<'a> = LocalBoxFuture<'a, Ended>;

/// Calls that go as they should, and end in each way that people, agents and networks end them in.
fn ordinary(world: &World, carrier: Carrier, way: Way) -> Vec<Case<'_>> {
    let ended = move |ending, id, expected| Ended { carrier, way, ending, id, expected };
    let base = if way == Way::In { 0 } else { 100 };
    vec![
        Box::pin(async move {
            let (id, call) = world.begin(carrier, way, base, talks([Step::HangUp])).await;
            call.report().await;
            ended("caller hangs up", id, Expected::spoken("caller_hangup"))
        }),
        Box::pin(async move {
            let steps = vec![quiet(), Step::Say(clip(THANKS)), stays()];
            let (id, call) = world.begin(carrier, way, base + 1, steps).await;
            call.report().await;
            let said = [GREETING.to_owned(), transcript(THANKS), FAREWELL.to_owned()];
            let mut expected = Expected { said: Some(said.into()), ..Expected::spoken("agent_hangup") };
            expected.events.push(("tool_called", 1));
            ended("agent hangs up", id, expected)
        }),
        Box::pin(async move {
            let (id, call) = world.begin(carrier, way, base + 2, talks([stays()])).await;
            world.answered(&id).await;
            tell(&world.api, &id, "hangup", json!({})).await;
            call.report().await;
            ended("API hangs up", id, Expected::spoken("api_hangup"))
        }),
        Box::pin(async move {
            let (id, call) = world.begin(carrier, way, base + 3, talks([stays()])).await;
            world.answered(&id).await;
            tell(&world.api, &id, "transfer", json!({ "target": "Front desk" })).await;
            call.report().await;
            let said = talked(&[CONNECTING]);
            let mut expected = Expected { outcome: Some("transferred"), said, ..Expected::spoken("transferred") };
            expected.events.push(("transfer", 2));
            ended("transfer", id, expected)
        }),
        Box::pin(async move {
            let steps = talks([Step::Drop, Step::Silence(ms(600)), Step::HangUp]);
            let (id, call) = world.begin(carrier, way, base + 4, steps).await;
            call.report().await;
            let events = vec![("answered", 1), ("stream_attached", 2), ("ended", 1)];
            ended("socket cut, and back", id, Expected { events, ..Expected::spoken("caller_hangup") })
        }),
        Box::pin(async move {
            let cut = || [Step::Drop, Step::Silence(ms(400))];
            let steps = talks([cut(), cut(), cut(), [Step::Drop, stays()]].into_iter().flatten());
            let (id, call) = world.begin(carrier, way, base + 5, steps).await;
            call.report().await;
            let events = vec![("answered", 1), ("stream_attached", 4), ("ended", 1)];
            let expected = Expected { status: "failed", events, ..Expected::spoken("media_lost") };
            ended("socket cut, for good", id, expected)
        }),
    ]
}

/// Calls that nobody is spoken to in, and one to a machine.
fn unanswered(world: &World, carrier: Carrier) -> Vec<Case<'_>> {
    let ended = move |ending, id, expected| Ended { carrier, way: Way::Out, ending, id, expected };
    let fails = [
        (200, "busy", Answer::Busy, "busy"),
        (201, "no answer", Answer::None, "no_answer"),
        (202, "declined", Answer::Rejects, "rejected"),
        (203, "no such number", Answer::Unreachable, "invalid_number"),
        (204, "carrier cannot route", Answer::Fails, "carrier_failed"),
    ];
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (n, ending, answer, reason) in fails {
        cases.push(Box::pin(async move {
            let (id, call) = world.reach(carrier, n, Callee::fails(answer), phone([])).await;
            call.report().await;
            ended(ending, id, Expected::silent(reason))
        }));
    }
    cases.push(Box::pin(async move {
        let rings = Callee::default().after(LIMIT);
        let (id, call) = world.reach(carrier, 205, rings, phone([])).await;
        tell(&world.api, &id, "hangup", json!({})).await;
        call.report().await;
        ended("API hangs up while it rings", id, Expected::silent("api_hangup"))
    }));
    cases.push(Box::pin(async move {
        let machine = Answerer::Machine(Greeting::Beep(samples("cards_005").into()));
        let (id, call) = world.reach(carrier, 206, Callee::answers(machine), phone([stays()])).await;
        call.report().await;
        // How much of the greeting was heard before it was found out depends on the carrier.
        let mut expected = Expected { outcome: Some("voicemail"), said: None, ..Expected::spoken("voicemail") };
        expected.events.push(("answered_by", if carrier == Carrier::Twilio { 1 } else { 2 }));
        ended("voicemail, with a message", id, expected)
    }));
    cases
}

/// The carrier does not tell how its calls end.
async fn untold() -> Vec<Row> {
    const LOST: &[StatusEvent] = &[StatusEvent::Completed];
    let mut scene = scene();
    scene.twilio.callbacks = CallbackDelivery { lost: LOST, ..CallbackDelivery::default() };
    scene.vonage.events.lose = vec!["completed".into()];
    let world = scene.start().await;
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (carrier, way) in pairs() {
        let world = &world;
        cases.push(Box::pin(async move {
            let n = if way == Way::In { 0 } else { 100 };
            let (id, call) = world.begin(carrier, way, n, talks([Step::HangUp])).await;
            call.report().await;
            Ended { carrier, way, ending: "webhook lost", id, expected: Expected::spoken("caller_hangup") }
        }));
    }
    rows(&world, cases).await
}

/// The carrier's server fails: when it is told to hang up, when it is asked for a call and has placed it, and when it has not.
async fn failing() -> Vec<Row> {
    let scene = scene();
    let scripts = [scene.twilio.script.clone(), scene.vonage.script.clone()];
    let world = scene.start().await;
    let one = async |carrier: Carrier| {
        let (script, faults) = match carrier {
            Carrier::Twilio => (&scripts[0], &world.faults),
            Carrier::Vonage => (&scripts[1], &world.vonage_faults),
        };
        let mut all = Vec::new();
        for way in Way::BOTH {
            let steps = vec![quiet(), Step::Say(clip(THANKS)), stays()];
            let (id, call) = world.begin(carrier, way, if way == Way::In { 0 } else { 100 }, steps).await;
            let greeted = |told: &crate::watch::Told| (!told.replies().is_empty()).then_some(());
            world.watch.until(&id, "the greeting is heard", greeted).await;
            // The next request to this carrier is the one that ends the call.
            script.push(Some(Fault::Refuse { status: 500, retry_after: None }));
            call.report().await;
            assert_eq!(script.remaining(), 0, "the carrier has failed");
            let said = [GREETING.to_owned(), transcript(THANKS), FAREWELL.to_owned()];
            let expected = Expected { said: Some(said.into()), ..Expected::spoken("agent_hangup") };
            all.push(Ended { carrier, way, ending: "carrier 500 to the hang-up", id, expected });
        }
        faults.push(Some(CreateFault::Error { status: 500, dials: true }));
        let (id, call) = world.begin(carrier, Way::Out, 101, talks([Step::HangUp])).await;
        call.report().await;
        let expected = Expected::spoken("caller_hangup");
        all.push(Ended { carrier, way: Way::Out, ending: "carrier 500, and it dials", id, expected });
        join_all(all.into_iter().map(|ended| world.row(ended))).await
    };
    let (twilio, vonage) = tokio::join!(one(Carrier::Twilio), one(Carrier::Vonage));
    world.settled().await;
    twilio.into_iter().chain(vonage).collect()
}

async fn refused() -> Vec<Row> {
    let world = scene().start().await;
    let one = async |carrier: Carrier| {
        let faults = if carrier == Carrier::Twilio { &world.faults } else { &world.vonage_faults };
        for _ in 0..2 {
            faults.push(Some(CreateFault::Error { status: 500, dials: false }));
        }
        let number = number(carrier, 0);
        let (status, body) = world.dial_at(carrier, &number).await;
        assert_eq!((status, &body["error_code"]), (502, &json!("EXTERNAL_API_ERROR")), "{body:#}");
        let listed = world.api.get("/v1/conversations").await.unwrap();
        let mut listed = listed["conversations"].as_array().unwrap().iter();
        let id = listed.find(|it| it["customer_phone"] == number.as_str()).unwrap()["id"].as_str().unwrap().to_owned();
        let expected = Expected::silent("carrier_failed");
        world.row(Ended { carrier, way: Way::Out, ending: "carrier 500, and it does not dial", id, expected }).await
    };
    let (twilio, vonage) = tokio::join!(one(Carrier::Twilio), one(Carrier::Vonage));
    world.settled().await;
    vec![twilio, vonage]
}

fn pairs() -> impl Iterator<Item = (Carrier, Way)> {
    Carrier::BOTH.into_iter().flat_map(|carrier| Way::BOTH.into_iter().map(move |way| (carrier, way)))
}

/// Runs calls, and looks at each once it has ended.
async fn rows(world: &World, cases: Vec<Case<'_>>) -> Vec<Row> {
    let rows = stream::iter(cases).map(async |case| world.row(case.await).await).buffered(AT_ONCE).collect().await;
    world.settled().await;
    rows
}

async fn of_carrier(carrier: Carrier) -> Vec<Row> {
    let voicemail = json!({ "action": "leave_message", "message": MESSAGE });
    let mut scene = scene().agent("/call_config/voicemail", voicemail);
    // As many at once as a test wants to wait for.
    scene.vonage.calls_per_second = 100;
    let world = scene.start().await;
    world.allow_dials().await;
    world.has_number(DESK, &Callee::answers(Answerer::Human), &phone([Step::Silence(ms(500)), Step::HangUp]));
    let cases = Way::BOTH.into_iter().flat_map(|way| ordinary(&world, carrier, way)).chain(unanswered(&world, carrier));
    rows(&world, cases.collect()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_ends_as_it_should_and_here_is_the_table() {
    let all = tokio::join!(of_carrier(Carrier::Twilio), of_carrier(Carrier::Vonage), untold(), failing(), refused());
    let rows: Vec<Row> = [all.0, all.1, all.2, all.3, all.4].into_iter().flatten().collect();
    println!("{}", table(&rows));
    let wrong: Vec<&str> = rows.iter().flat_map(|row| &row.wrong).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows.len(), 2 * 19 + 4 + 6 + 2);
}

fn table(rows: &[Row]) -> String {
    let head =
        ["carrier", "direction", "ending", "status", "end reason", "outcome", "transcript / recording", "events"];
    let width = |n: usize| rows.iter().map(|row| row.cells[n].len()).chain([head[n].len()]).max().unwrap_or_default();
    let mut text = String::new();
    for cells in std::iter::once(head.map(str::to_owned).to_vec()).chain(rows.iter().map(|row| row.cells.clone())) {
        for (n, cell) in cells.iter().enumerate() {
            write!(text, "{cell:<0$}  ", width(n)).unwrap();
        }
        text.push('\n');
    }
    text
}
