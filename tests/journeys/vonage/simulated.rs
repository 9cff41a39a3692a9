//! Whole calls of Vonage's, as its simulator plays them.

use serde_json::{Value, json};
use trunkline_media::event::{EndReason, Speaker};
use trunkline_sim::{
    openai::Rule,
    phone::{Step, StreamEnd},
    vonage::{CallReport, EventDelivery, LegStatus},
};

use super::line::{id_of, report};
use crate::{
    hearing::{assert_heard, follow, heard, words},
    world::{ANSWER, GREETING, Scene, World, clip, ms},
};

const FAREWELL: &str = "Thank you for calling the workshop, goodbye and take good care.";

/// Somebody calls, and all of it is told at the end.
async fn call(world: &World, steps: impl IntoIterator<Item = Step>) -> CallReport {
    report(world.ring_vonage(steps)).await
}

fn finish() -> Step {
    Step::WaitForAgentToFinish { quiet: ms(700) }
}

async fn stored(world: &World, report: &CallReport) -> Value {
    let id = id_of(report);
    world.watch.ended(&id).await;
    world.until_over(&id).await
}

/// However its events come: in another order, twice, late.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_heard_and_stored_however_its_events_come() {
    let mut scene = Scene::default();
    scene.vonage.events = EventDelivery { duplicate: true, reorder: true, delay: ms(40), ..EventDelivery::default() };
    let world = scene.start().await;
    let report = call(&world, [finish(), Step::Say(clip("cards_001")), finish(), Step::HangUp]).await;
    assert_eq!((report.errors.as_slice(), report.streams.len(), report.status), (&[][..], 1, LegStatus::Completed));
    assert_heard(&report.streams[0], &[GREETING, ANSWER]);
    let stored = stored(&world, &report).await;
    assert_eq!((&stored["status"], &stored["end_reason"]), (&json!("completed"), &json!("caller_hangup")));
    assert_eq!(world.watch.calls(), 1);
    world.settled().await;
}

/// The carrier's word that the caller has hung up is lost, and the carrier is asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_not_told_is_asked_for() {
    let mut scene = Scene::default();
    scene.vonage.events.lose = vec!["completed".into()];
    let world = scene.start().await;
    let report = call(&world, [finish(), Step::HangUp]).await;
    let stored = stored(&world, &report).await;
    assert_eq!((&stored["status"], &stored["end_reason"]), (&json!("completed"), &json!("caller_hangup")));
    let asked = format!("/v1/calls/{}", report.uuid);
    assert!(world.vonage.requests().entries().iter().any(|it| it.method == "GET" && it.path == asked));
    world.settled().await;
}

/// A call lives in one region, and the one that the account is configured for may be another.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_hangs_up_in_the_call_s_own_region_once_it_was_heard() {
    let farewell = Rule::call("ten of clubs", "end_call", json!({ "farewell": FAREWELL }));
    let mut scene = Scene::default().greeting("Hello.").rules([farewell]);
    scene.vonage.other_region = true;
    let world = scene.start().await;
    let steps = [Step::WaitForAgentToSpeak, finish(), Step::Say(clip("cards_001"))];
    let report = call(&world, steps.into_iter().chain([Step::WaitForEnd { timeout: ms(30_000) }])).await;
    assert_heard(&report.streams[0], &["Hello.", FAREWELL]);
    assert_eq!((&report.streams[0].ended, report.status), (&StreamEnd::Completed, LegStatus::Completed));
    assert_eq!(report.legs[0].commands, [json!({ "action": "hangup" })]);
    let stored = stored(&world, &report).await;
    assert_eq!((&stored["status"], &stored["end_reason"]), (&json!("completed"), &json!("agent_hangup")));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_comes_back_and_says_what_was_not_heard() {
    let world = Scene::default().start().await;
    let steps = [Step::WaitForAgentToSpeak, Step::Silence(ms(1130)), Step::Drop, finish()];
    let steps = steps.into_iter().chain([Step::Say(clip("cards_001")), finish(), Step::HangUp]);
    let report = call(&world, steps).await;
    let [first, second] = report.streams.as_slice() else { panic!("{:?}", report.documents) };
    assert_eq!((&first.ended, &second.ended), (&StreamEnd::Dropped, &StreamEnd::HungUp));
    let (reached, _) = follow(&heard(first), GREETING);
    assert!(reached > 0 && words(&heard(second)).ends_with(&words(ANSWER)), "{:?}", heard(second));
    let stored = stored(&world, &report).await;
    assert_eq!((&stored["status"], &stored["end_reason"]), (&json!("completed"), &json!("caller_hangup")));
    let told = world.watch.told(&id_of(&report));
    assert_eq!(
        (told.ended(), told.said(Speaker::Agent)),
        (vec![EndReason::CallerHangup], vec![GREETING.to_owned(), ANSWER.to_owned()],)
    );
    world.settled().await;
}
