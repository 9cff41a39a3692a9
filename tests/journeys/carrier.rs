//! How calls end and streams are lost, as the carrier sees it.

use std::time::Duration;

use serde_json::json;
use trunkline_media::event::{EndReason, Speaker};
use trunkline_sim::{
    fault::{Fault, Script},
    openai::Rule,
    twilio::{
        CallReport, CallStatus,
        phone::{Step, StreamEnd},
        twiml::Verb,
    },
    voice::normalise,
};

use crate::{
    hearing::{assert_heard, follow, heard, heard_between, last_sound, whole_words, words},
    world::{GREETING, Scene, World, clip, id_of, ms},
};

const FAREWELL: &str = "Thank you for calling the workshop, goodbye and take good care.";

fn last_document_hangs_up(report: &CallReport) -> bool {
    report.documents.last().unwrap().parsed.as_ref().unwrap().verbs == [Verb::Hangup]
}

/// A call in which the caller says goodbye and the agent hangs up.
async fn goodbye(world: &World) -> CallReport {
    world
        .call([
            Step::WaitForAgentToSpeak,
            Step::WaitForAgentToFinish { quiet: ms(600) },
            Step::Say(clip("cards_001")),
            Step::WaitForEnd { timeout: ms(30_000) },
        ])
        .await
}

fn farewell() -> Scene {
    Scene::default().greeting("Hello.").rules([Rule::call("ten of clubs", "end_call", json!({ "farewell": FAREWELL }))])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_goodbye_is_heard_to_its_end_whether_the_carrier_can_be_told_or_not() {
    tokio::join!(
        the_goodbye_is_heard_to_its_end_then_the_carrier_is_told_and_then_the_socket_closes(),
        a_carrier_that_cannot_be_told_is_told_by_its_next_document(),
    );
}

/// Queued audio that was sent is not audio that was heard: a goodbye ends when its last mark comes back.
async fn the_goodbye_is_heard_to_its_end_then_the_carrier_is_told_and_then_the_socket_closes() {
    let world = farewell().start().await;
    let report = goodbye(&world).await;
    let stream = &report.streams[0];
    assert_heard(stream, &["Hello.", FAREWELL]);
    let [hang_up] = report.requests.as_slice() else { panic!("{:?}", report.requests) };
    assert_eq!((hang_up.field("Status"), hang_up.status), (Some("completed"), 200));
    let told_at = hang_up.at.saturating_duration_since(stream.started.unwrap());
    assert!(told_at >= last_sound(stream), "told at {told_at:?}, heard until {:?}", last_sound(stream));
    let mark = stream.marks.last().unwrap();
    assert!(mark.returned_at.is_some_and(|at| at <= told_at) && !mark.cleared, "{mark:?}");
    // The carrier ended the stream because it was told to, not because the socket had gone.
    assert_eq!((&stream.ended, report.status), (&StreamEnd::Completed, CallStatus::Completed));
    let told = world.watch.ended(&id_of(&report)).await;
    assert_eq!(told.ended(), [EndReason::AgentHangup]);
    assert_eq!(told.said(Speaker::Agent), ["Hello.", FAREWELL]);
    world.settled().await;
}

/// Closing a socket does not end a call. Where the carrier cannot be told, its next document says so.
async fn a_carrier_that_cannot_be_told_is_told_by_its_next_document() {
    let mut scene = farewell();
    // The first request is not the call's: it asks whether the account owns the number.
    let refuse = vec![Some(Fault::Refuse { status: 500, retry_after: None }); 20];
    scene.twilio.script = Script::new(std::iter::once(None).chain(refuse));
    let world = scene.start().await;
    let report = goodbye(&world).await;
    assert_heard(&report.streams[0], &["Hello.", FAREWELL]);
    assert!(!report.requests.is_empty() && report.requests.iter().all(|request| request.status == 500));
    assert!(matches!(report.streams[0].ended, StreamEnd::ClosedByServer { code: Some(1000), .. }));
    assert_eq!((report.streams.len(), report.documents.len(), report.status), (1, 2, CallStatus::Completed));
    assert!(last_document_hangs_up(&report));
    assert_eq!(world.watch.ended(&id_of(&report)).await.ended(), [EndReason::AgentHangup]);
    world.settled().await;
}

/// A media socket may break at any time; the caller is still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_comes_back_to_the_same_conversation_which_says_what_was_not_heard() {
    let world = Scene::default().start().await;
    let finish = Step::WaitForAgentToFinish { quiet: ms(700) };
    let steps = [Step::WaitForAgentToSpeak, Step::Silence(ms(1130)), Step::Drop, finish.clone()];
    let steps = steps.into_iter().chain([Step::Say(clip("cards_001")), finish, Step::HangUp]);
    let report = world.call(steps).await;
    let [first, second] = report.streams.as_slice() else { panic!("{:?}", report.documents) };
    assert_eq!((&first.ended, &second.ended), (&StreamEnd::Dropped, &StreamEnd::HungUp));
    assert_eq!(first.url, second.url);
    let said = format!("{GREETING} {}", crate::world::ANSWER);
    let (before, after) = (heard(first), heard(second));
    let (reached, _) = follow(&before, GREETING);
    let rest: String = normalise(&said).chars().skip(reached).collect();
    // A character may be split by the loss, and a few that were on their way may be heard twice.
    let (left, came) = (words(&rest), words(&after));
    assert!(came.ends_with(&left[1..]) && came.len() <= left.len() + 2, "{before:?} then {after:?}");
    let told = world.watch.ended(&id_of(&report)).await;
    assert_eq!(world.watch.summary(&id_of(&report)).await.reattached, 1);
    assert_eq!(told.ended(), [EndReason::CallerHangup]);
    assert_eq!(told.said(Speaker::Agent), [GREETING, crate::world::ANSWER]);
    assert_eq!(world.watch.calls(), 1);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_lost_for_the_fourth_time_ends_the_call() {
    let world = Scene::default().greeting(&GREETING.repeat(4)).start().await;
    let mut steps = vec![Step::WaitForAgentToSpeak];
    for _ in 0..5 {
        steps.extend([Step::Silence(ms(400)), Step::Drop]);
    }
    let report = world.call(steps).await;
    assert_eq!((report.streams.len(), report.status), (4, CallStatus::Completed));
    // The document that hangs up and the request that does the same are on their way at once: either may be the first.
    let told_off = report.requests.iter().any(|request| request.field("Status") == Some("completed"));
    assert!(last_document_hangs_up(&report) || told_off);
    let told = world.watch.ended(&id_of(&report)).await;
    assert_eq!(told.ended(), [EndReason::MediaLost]);
    // It did not wait for a stream that cannot come.
    let (at, end) = (report.documents.last().unwrap().at, told.events.last().unwrap().0);
    assert!(end.saturating_duration_since(at) < Duration::from_secs(10));
    world.settled().await;
}

/// What was sent to a voice was not said, and what was sent to a carrier was not heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_in_mid_reply_leaves_what_was_heard() {
    let world = Scene::default().start().await;
    let wait = |after| world.call([Step::WaitForAgentToSpeak, Step::Silence(ms(after)), Step::HangUp]);
    let (early, late) = tokio::join!(wait(700), wait(2100));
    for report in [early, late] {
        let stream = &report.streams[0];
        let told = world.watch.ended(&id_of(&report)).await;
        assert_eq!(told.ended(), [EndReason::CallerHangup]);
        let [reply] = told.replies().try_into().unwrap();
        assert!(reply.interrupted && reply.generated == GREETING);
        assert_eq!(told.said(Speaker::Agent), std::slice::from_ref(&reply.heard));
        let (reached, strays) = follow(&heard_between(stream, Duration::ZERO, stream.duration), GREETING);
        assert!(strays <= 1, "{:?}", heard(stream));
        let (engine, phone) = (words(&reply.heard).len(), whole_words(GREETING, reached));
        assert!(
            engine.abs_diff(phone) <= 1 && phone > 0,
            "the engine says {:?}, {phone} words were heard",
            reply.heard
        );
        assert_eq!(report.requests.len(), 0, "the carrier knows");
    }
    world.settled().await;
}
