//! What is said in a call of Vonage's, and how it ends.

use serde_json::json;
use trunkline_media::event::{CallEventKind, EndReason, Speaker};
use trunkline_sim::openai::Rule;

use super::raw::{Announced, event, post, socket_event, squeezed};
use crate::{
    hearing::words,
    world::{ANSWER, GREETING, Scene, World, samples, transcript},
};

const UUID: &str = "0190a8b0-0000-4000-8000-000000000001";
const FAREWELL: &str = "Thank you for calling the workshop, goodbye and take good care.";

/// What was asked of the carrier about calls.
fn asked(world: &World) -> Vec<String> {
    let exchanges = world.vonage.requests().entries();
    exchanges
        .iter()
        .filter(|exchange| exchange.path.contains("/v1/calls/"))
        .map(|exchange| format!("{} {}", exchange.method, exchange.path))
        .collect()
}

/// The agent ends the call: it is heard to the end, the carrier is told to end the caller's leg, and then the socket closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_answered_and_the_goodbye_is_heard_to_its_end() {
    let farewell = Rule::call("ten of clubs", "end_call", json!({ "farewell": FAREWELL }));
    let world = Scene::default().greeting("Hello.").rules([farewell]).start().await;
    let call = Announced::ring(&world, UUID).await;
    let mut socket = call.stream().await;
    socket.hear("Hello.").await;
    socket.say(&samples("cards_001"));
    socket.hear(&format!("Hello. {FAREWELL}")).await;
    assert_eq!(socket.close_code().await, Some(1000));
    assert!(asked(&world).contains(&format!("PUT /v1/calls/{UUID}")), "{:?}", asked(&world));
    // What the carrier makes of a socket that we have closed: nothing comes next.
    let told = post(&world, &call.event_query, &socket_event(&call, "disconnected")).await;
    assert_eq!(told, (200, "[]".to_owned()));
    assert_eq!(post(&world, "", &event(UUID, "completed")).await.0, 200);
    let told = world.watch.ended(&call.id).await;
    assert_eq!(told.ended(), [EndReason::AgentHangup]);
    assert_eq!(told.said(Speaker::Agent), ["Hello.", FAREWELL]);
    assert_eq!(words(&told.said(Speaker::Caller).concat()), words(&transcript("cards_001")));
    let stored = world.until_over(&call.id).await;
    assert_eq!((&stored["status"], &stored["end_reason"]), (&json!("completed"), &json!("agent_hangup")));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_in_between_is_heard_and_what_is_queued_is_cleared() {
    let long = format!("{GREETING} {GREETING} {GREETING}");
    let world = Scene::default().greeting(&long).start().await;
    let call = Announced::ring(&world, UUID).await;
    let mut socket = call.stream().await;
    socket.listen(|socket| socket.samples.len() > 40_000).await;
    socket.say(&samples("cards_001"));
    socket.listen(|socket| socket.clears > 0).await;
    let until = socket.samples.len();
    let answered = squeezed(ANSWER);
    socket.listen(|socket| squeezed(&socket.heard_from(until)).ends_with(&answered)).await;
    assert_eq!(post(&world, "", &event(UUID, "completed")).await.0, 200);
    let told = world.watch.ended(&call.id).await;
    assert_eq!(told.ended(), [EndReason::CallerHangup]);
    let replies = told.replies();
    assert!(replies[0].interrupted && long.starts_with(replies[0].heard.as_str()), "{:?}", replies[0]);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_a_turn() {
    let world = Scene::default().greeting("Hello.").start().await;
    let call = Announced::ring(&world, UUID).await;
    let mut socket = call.stream().await;
    socket.hear("Hello.").await;
    for digit in ['4', '2', '#'] {
        socket.press(digit).await;
    }
    socket.hear(&format!("Hello. {ANSWER}")).await;
    assert_eq!(post(&world, "", &event(UUID, "completed")).await.0, 200);
    let told = world.watch.ended(&call.id).await;
    let keys = told.kinds().filter(|kind| matches!(kind, CallEventKind::Dtmf { .. })).count();
    assert_eq!(keys, 3);
    assert!(told.said(Speaker::Caller).concat().contains("42"), "{:?}", told.said(Speaker::Caller));
    world.settled().await;
}

/// What was not heard because its socket was lost is said on the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_comes_back_to_the_same_conversation() {
    let world = Scene::default().start().await;
    let call = Announced::ring(&world, UUID).await;
    let mut socket = call.stream().await;
    socket.listen(|socket| socket.samples.len() > 16_000).await;
    drop(socket);
    let (code, document) = post(&world, &call.event_query, &socket_event(&call, "disconnected")).await;
    assert_eq!(code, 200);
    let next = Announced::of(UUID, &document).expect("another socket");
    assert_eq!(next.id, call.id);
    assert_ne!(next.headers["token"], call.headers["token"]);
    let mut socket = next.stream().await;
    let end = words(GREETING).split_off(words(GREETING).len() - 3).concat();
    socket.listen(|socket| squeezed(&socket.heard()).ends_with(&end)).await;
    assert_eq!(post(&world, "", &event(UUID, "completed")).await.0, 200);
    let told = world.watch.ended(&call.id).await;
    assert_eq!((told.ended(), told.said(Speaker::Agent)), (vec![EndReason::CallerHangup], vec![GREETING.to_owned()]));
    assert_eq!(world.watch.summary(&call.id).await.reattached, 1);
    world.settled().await;
}
