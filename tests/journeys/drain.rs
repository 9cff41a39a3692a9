//! How many calls there may be, and that they leave nothing behind.

use std::time::{Duration, Instant};

use tokio::{runtime::Handle, task::JoinSet};
use trunkline_media::event::EndReason;
use trunkline_sim::twilio::{CallReport, CallStatus, phone::Step, twiml::Verb};

use crate::{
    hearing::assert_heard,
    world::{ANSWER, GREETING, Scene, World, clip, id_of, ms, report, ring},
};

fn rejected(report: &CallReport) -> bool {
    let document = report.documents[0].parsed.as_ref().unwrap();
    matches!(document.verbs.as_slice(), [Verb::Reject { .. }]) && report.streams.is_empty() && report.answered.is_none()
}

/// Waits until the agent has been heard in so many calls.
async fn up(world: &World, calls: usize) {
    let waiting = async {
        while world.elevenlabs.contexts() < calls {
            tokio::time::sleep(ms(5)).await;
        }
    };
    tokio::time::timeout(crate::world::LIMIT, waiting).await.expect("the calls are up");
}

/// The end of one call must not be the end of the others, and a deadline ends what is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_takes_no_call_lets_calls_end_and_ends_the_rest_at_the_deadline() {
    let world = Scene::default().start().await;
    let finish = || Step::WaitForAgentToFinish { quiet: ms(500) };
    let short = world.ring([Step::WaitForAgentToSpeak, Step::Silence(ms(1000)), Step::HangUp]);
    let whole = world.ring([finish(), Step::Say(clip("cards_001")), finish(), Step::HangUp]);
    let endless = world.ring([Step::WaitForEnd { timeout: ms(60_000) }]);
    let silent = world.ring([Step::WaitForEnd { timeout: ms(60_000) }]);
    up(&world, 4).await;
    let World { server, twilio, url, watch, http, deepgram, elevenlabs, openai, .. } = world;
    let begun = Instant::now();
    let deadline = ms(7500);
    let stopping = tokio::spawn(server.stop(deadline));
    // From now on it says so, and takes no call.
    let unhealthy = async { while http.get(format!("{url}/health/ready")).send().await.unwrap().status() != 503 {} };
    tokio::time::timeout(ms(3000), unhealthy).await.expect("it drains");
    let late = report(ring(&twilio, &url, [Step::WaitForAgentToSpeak])).await;
    assert!(rejected(&late), "{:?}", late.documents);

    let (short, whole) = (report(short).await, report(whole).await);
    assert_eq!(watch.ended(&id_of(&short)).await.ended(), [EndReason::CallerHangup]);
    assert_eq!(watch.ended(&id_of(&whole)).await.ended(), [EndReason::CallerHangup]);
    assert_heard(&whole.streams[0], &[GREETING, ANSWER]);
    for call in [report(endless).await, report(silent).await] {
        assert_eq!(watch.ended(&id_of(&call)).await.ended(), [EndReason::Drained]);
        assert!(call.ended.saturating_duration_since(begun) >= deadline, "not before the deadline");
        assert_eq!(call.requests.len(), 1, "the carrier is told");
    }
    tokio::time::timeout(ms(10_000), stopping).await.expect("it stops").unwrap();
    assert!(http.get(format!("{url}/health")).send().await.is_err(), "nobody listens any more");
    // The vendors learn of the last closes a moment after the server is done with them.
    let closed = async {
        while (deepgram.connections(), elevenlabs.connections(), openai.running()) != (0, 0, 0) {
            tokio::time::sleep(ms(5)).await;
        }
    };
    tokio::time::timeout(crate::world::LIMIT, closed).await.expect("no vendor's socket stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_server_stops_as_soon_as_its_last_call_has_ended() {
    let world = Scene::default().start().await;
    let call = world.ring([Step::WaitForAgentToSpeak, Step::Silence(ms(500)), Step::HangUp]);
    up(&world, 1).await;
    let begun = Instant::now();
    world.server.stop(Duration::from_secs(60)).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(report(call).await.status, CallStatus::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_above_the_most_are_rejected_and_a_place_that_is_free_is_given_again() {
    let world = Scene { max_calls: 2, ..Scene::default() }.start().await;
    let first = world.ring([Step::WaitForAgentToSpeak, Step::Silence(ms(1500)), Step::HangUp]);
    let second = world.neighbour();
    up(&world, 2).await;
    assert!(rejected(&world.call([Step::WaitForAgentToSpeak]).await));
    let first = report(first).await;
    world.watch.summary(&id_of(&first)).await;
    // The call is told to have ended a moment before its place is free.
    let free = async {
        while world.server.calls().registry().gauges().live > 1 {
            tokio::time::sleep(ms(5)).await;
        }
    };
    tokio::time::timeout(ms(5000), free).await.expect("its place is free");
    let third = world.call([Step::WaitForAgentToSpeak, Step::Silence(ms(300)), Step::HangUp]).await;
    assert!(!rejected(&third));
    second.missed_nothing(&world).await;
    world.settled().await;
}

/// Sockets are gone when the calls are, and more calls do not make more tasks.
#[tokio::test(flavor = "multi_thread")]
async fn calls_leave_nothing_behind() {
    const CALLS: usize = 12;
    let world = Scene::default().greeting("Hello, is there anybody?").start().await;
    let finish = || Step::WaitForAgentToFinish { quiet: ms(400) };
    let endings = [
        vec![finish(), Step::Say(clip("cards_001")), finish(), Step::HangUp],
        vec![Step::WaitForAgentToSpeak, Step::Silence(ms(300)), Step::HangUp],
        vec![Step::WaitForAgentToSpeak, Step::Silence(ms(300)), Step::Drop, Step::Silence(ms(300)), Step::HangUp],
        vec![Step::SayWhen { speaking_for: ms(300), speech: clip("cards_001") }, Step::Silence(ms(1000)), Step::HangUp],
    ];
    let mut tasks: Vec<usize> = Vec::new();
    for _ in 0..8 {
        let mut calls = JoinSet::new();
        for n in 0..CALLS {
            calls.spawn(report(world.ring(endings[n % endings.len()].clone())));
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
        world.settled().await;
        assert_eq!((world.elevenlabs.contexts(), world.openai.running()), (0, 0));
        let before = tasks.last().copied().unwrap_or(0);
        tasks.push(least_tasks().await);
        // HTTP connections are kept for later, up to as many as were ever needed at once: there comes a round that adds none. If every
        // call left a task, none would come.
        if tasks[tasks.len() - 1] <= before {
            return;
        }
    }
    panic!("tasks alive after each round: {tasks:?}");
}

/// Tasks that are alive; those that are winding down are not counted.
async fn least_tasks() -> usize {
    let mut least = usize::MAX;
    for _ in 0..40 {
        tokio::time::sleep(ms(10)).await;
        least = least.min(Handle::current().metrics().num_alive_tasks());
    }
    least
}
