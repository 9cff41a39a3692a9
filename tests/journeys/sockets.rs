//! Who may open a media socket.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use trunkline_media::event::EndReason;
use trunkline_sim::twilio::signature::sign_url;

use crate::{
    hearing::SYMBOL_BYTES,
    raw::{RawCall, RawSocket},
    world::{GREETING, Scene, TOKEN, World, ms},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_must_begin_in_time_and_with_the_token_of_its_call_and_nobody_else_notices() {
    let world = Scene::default().start().await;
    let neighbour = world.neighbour();
    tokio::join!(a_token_admits_to_its_own_call_only(&world), a_socket_that_does_not_begin_is_closed_with_1008(&world));
    neighbour.missed_nothing(&world).await;
    world.settled().await;
}

async fn a_token_admits_to_its_own_call_only(world: &World) {
    let call = RawCall::ring(world, "CA0001").await;
    let other = RawCall::ring(world, "CA0002").await;
    let shown = [
        (call.sid.as_str(), Some("not a token")),
        (call.sid.as_str(), Some("")),
        (call.sid.as_str(), None),
        (call.sid.as_str(), Some(other.token.as_str())),
        // The right token, for another of the carrier's calls.
        (other.sid.as_str(), Some(call.token.as_str())),
    ];
    for (sid, token) in shown {
        let mut socket = call.open().await;
        socket.start(sid, token).await;
        assert_eq!(socket.close_code().await, Some(1008), "{sid} {token:?}");
        assert!(socket.audio.is_empty());
    }
    // None of it has hurt the call.
    for call in [call, other] {
        let mut socket = call.stream().await;
        socket.hear(GREETING).await;
        socket.stop(&call.sid).await;
        assert_eq!(world.watch.summary(&call.id).await.reason, Some(EndReason::CallerHangup));
    }
}

async fn a_socket_that_does_not_begin_is_closed_with_1008(world: &World) {
    let call = RawCall::ring(world, "CA0003").await;
    let (mut silent, mut babbling) = (call.open().await, call.open().await);
    let opened = Instant::now();
    for _ in 0..100 {
        babbling.send(json!({ "event": "media", "streamSid": "MZ1", "media": { "payload": "/w==" } })).await;
    }
    assert_eq!(babbling.close_code().await, Some(1008));
    let babbled = opened.elapsed();
    silent.send(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
    assert_eq!(silent.close_code().await, Some(1008));
    let waited = opened.elapsed();
    assert!(babbled < ms(4000) && (ms(4500)..ms(9000)).contains(&waited), "{babbled:?}, {waited:?}");

    let mut large = call.open().await;
    large.send_raw(Message::text("x".repeat(64 * 1024 + 1))).await;
    assert_eq!(large.close_code().await, Some(1008));

    let mut socket = call.stream().await;
    socket.hear(GREETING).await;
    socket.stop(&call.sid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_must_be_signed_and_for_a_call_that_is_alive() {
    let world = Scene::default().start().await;
    let call = RawCall::ring(&world, "CA0001").await;
    let upgrade = async |url: &str, signature: Option<&str>| RawSocket::open(url, signature).await.err();
    let right = sign_url(TOKEN, &call.url);
    assert_eq!(upgrade(&call.url, None).await, Some(403));
    assert_eq!(upgrade(&call.url, Some("")).await, Some(403));
    assert_eq!(upgrade(&call.url, Some("bm90IGEgc2lnbmF0dXJl")).await, Some(403));
    assert_eq!(upgrade(&call.url, Some(&sign_url("another token", &call.url))).await, Some(403));
    let elsewhere = call.url.replace(&call.id, "0190a8b0-0000-7000-8000-000000000000");
    assert_eq!(upgrade(&elsewhere, Some(&sign_url(TOKEN, &elsewhere))).await, Some(404));
    assert_eq!(upgrade(&elsewhere, Some(&right)).await, Some(404));
    let no_id = call.url.replace(&call.id, "..%2f..");
    assert_eq!(upgrade(&no_id, Some(&right)).await, Some(404));
    assert_eq!(upgrade(&call.url, Some(&right)).await, None);
    // A request that is no upgrade at all.
    let page = call.url.replacen("ws", "http", 1);
    let answer = world.http.get(&page).header("x-twilio-signature", &right).send().await.unwrap();
    assert!(answer.status().is_client_error(), "{}", answer.status());
    // It still rings, and is over as soon as the carrier says so.
    let done = crate::raw::form(&call.sid, &[("CallStatus", "no-answer")]);
    assert_eq!(world.webhook(&format!("kind=status&conversation={}", call.id), &done).await.0, 204);
    world.settled().await;
    world.server.stored().await;
    assert_eq!(upgrade(&call.url, Some(&right)).await, Some(404));
}

/// Its own runtime has one thread, whose clock can be set forward.
#[tokio::test]
async fn a_token_expires_and_the_stream_that_it_admitted_goes_on() {
    let scene = Scene::default()
        .agent("/call_config/idle", json!({ "after_s": 600 }))
        .greeting("Hello, I have all the time that there is.");
    let world = scene.start().await;
    let call = RawCall::ring(&world, "CA0001").await;
    let mut socket = call.stream().await;
    socket.hear("Hello, I have all the time that there is.").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(121)).await;
    tokio::time::resume();
    let mut late = call.open().await;
    late.start(&call.sid, Some(&call.token)).await;
    assert_eq!(late.close_code().await, Some(1008));
    let so_far = world.watch.told(&call.id).summary;
    assert_eq!(so_far, None, "the call goes on");
    socket.stop(&call.sid).await;
    assert_eq!(world.watch.summary(&call.id).await.reason, Some(EndReason::CallerHangup));
}

/// The vendor sometimes opens a second stream of the same call: two agents must not talk.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_of_the_same_call_takes_over_and_the_older_one_is_closed() {
    let world = Scene::default().start().await;
    let call = RawCall::ring(&world, "CA0001").await;
    let mut first = call.stream().await;
    first.listen(|socket| socket.audio.len() >= 12_000).await;
    let mut second = call.stream().await;
    assert_eq!(first.close_code().await, Some(1000));
    let heard = crate::hearing::read(&first.audio);
    second.listen(|socket| first.audio.len() + socket.audio.len() >= GREETING.len() * SYMBOL_BYTES).await;
    second
        .listen(|socket| {
            crate::hearing::words(&crate::hearing::read(&socket.audio)).last().is_some_and(|w| w == "today?")
        })
        .await;
    let rest = crate::hearing::read(&second.audio);
    let said = trunkline_sim::voice::normalise(GREETING);
    assert!(said.starts_with(heard.trim_end()), "{heard:?}");
    // What had been sent ahead and was not played is said again.
    let again = heard.chars().count() + rest.chars().count();
    assert!(said.ends_with(&rest) || said.ends_with(&rest[1..]), "{rest:?}");
    assert!(again + 1 >= said.chars().count() && again <= said.chars().count() + 12, "{heard:?} {rest:?}");
    second.stop(&call.sid).await;
    let summary = world.watch.summary(&call.id).await;
    assert_eq!((summary.reason, summary.reattached), (Some(EndReason::CallerHangup), 1));
    assert_eq!(world.watch.calls(), 1);
    world.settled().await;
}
