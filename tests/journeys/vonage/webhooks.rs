//! Who may post a webhook of Vonage's, what repeats, replays and stragglers do, and what a call's media socket is admitted by.

use serde_json::{Value, json};
use trunkline_media::event::EndReason;

use super::raw::{Announced, Socket, Token, event, get, post, post_with, ringing, socket_event};
use crate::world::{GREETING, Scene, World};

const UUID: &str = "0190a8b0-0000-4000-8000-000000000001";
const OTHER: &str = "0190a8b0-0000-4000-8000-000000000002";
const NOBODYS: &str = "0190a8b0-0000-7000-8000-000000000000";

async fn stored(world: &World, id: &str) -> Value {
    world.server.stored().await;
    world.api.get(&format!("/v1/conversations/{id}")).await.unwrap()
}

async fn conversations(world: &World) -> usize {
    world.server.stored().await;
    let list = world.api.get("/v1/conversations").await.unwrap();
    list["conversations"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_not_vonages_is_refused_and_leaves_nothing() {
    let world = Scene::default().start().await;
    let body = ringing(UUID);
    let text = body.to_string();
    let good = || Token::of(Some(text.as_bytes()));
    let refused = async |query: &str, body: &Value, token: Option<String>| {
        let (status, answer) = post_with(&world, query, body, token.as_deref()).await;
        assert_eq!(status, 403, "{query} {token:?} {answer}");
        assert!(answer.contains("WEBHOOK_SIGNATURE_INVALID"), "{answer}");
    };
    let tokens = [
        None,
        Some("Bearer nonsense".to_owned()),
        Some(good().header().replace("Bearer", "Basic")),
        Some(Token { secret: "another secret", ..good() }.header()),
        Some(Token { algorithm: "none", ..good() }.header()),
        Some(good().with("iss", "Somebody").header()),
        Some(good().with("api_key", "deadbeef").header()),
        Some(good().with("application_id", "aaaaaaaa-bbbb-4ccc-8ddd-ffffffffffff").header()),
        Some(good().with("iat", 1_767_225_600).header()),
        Some(good().with("jti", "").header()),
        // Signed for something else, or for nothing in particular.
        Some(Token::of(Some(b"{}")).header()),
        Some(Token::of(None).header()),
    ];
    for token in tokens {
        refused("", &body, token.clone()).await;
        refused(&format!("?kind=event&conversation={NOBODYS}"), &body, token.clone()).await;
        refused(&format!("?kind=stream&conversation={NOBODYS}"), &body, token.clone()).await;
        refused("?kind=applause", &body, token).await;
    }
    // A number of nobody's, asked for by nobody we know.
    let strange = json!({ "to": "15005550099", "from": "14155550100", "uuid": UUID });
    let by_strangers = Token::of(Some(strange.to_string().as_bytes())).with("application_id", NOBODYS);
    refused("", &strange, Some(by_strangers.header())).await;
    assert_eq!((conversations(&world).await, world.receipts().await, world.watch.calls()), (0, 0, 0));
    // By somebody we know: nobody answers.
    assert_eq!(post(&world, "", &strange).await, (200, "[]".to_owned()));
    assert_eq!(post(&world, "?kind=applause", &strange).await.0, 422);
    assert_eq!(post(&world, "?kind=stream", &strange).await.0, 422);
    assert_eq!(post(&world, "", &json!({ "to": 5 })).await.0, 422);
    assert_eq!((conversations(&world).await, world.receipts().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_with_a_media_socket_that_its_token_admits() {
    let world = Scene::default().start().await;
    let call = Announced::ring(&world, UUID).await;
    // The upgrade has to be the carrier's, and the first message the call's.
    for authorization in [None, Some(Token { secret: "another secret", ..Token::of(None) }.header())] {
        assert_eq!(Socket::open(&call.uri, authorization.as_deref()).await.err(), Some(403));
    }
    let nobodys = call.uri.replace(&call.id, NOBODYS);
    assert_eq!(Socket::open(&nobodys, Some(&Token::of(None).header())).await.err(), Some(404));
    let mut wrong = call.headers.clone();
    wrong["token"] = "wrong".into();
    let mut socket = Socket::open(&call.uri, Some(&Token::of(None).header())).await.unwrap();
    socket.connected(&wrong).await;
    assert_eq!(socket.close_code().await, Some(1008));
    let mut wrong = call.headers.clone();
    wrong["call_uuid"] = OTHER.into();
    let mut socket = Socket::open(&call.uri, Some(&Token::of(None).header())).await.unwrap();
    socket.connected(&wrong).await;
    assert_eq!(socket.close_code().await, Some(1008));

    let mut socket = call.stream().await;
    socket.hear(GREETING).await;
    assert_eq!(stored(&world, &call.id).await["status"], "active");
    for _ in 0..2 {
        assert_eq!(post(&world, "", &event(UUID, "completed")).await.0, 200);
    }
    assert_eq!(world.watch.ended(&call.id).await.ended(), [EndReason::CallerHangup]);
    let conversation = stored(&world, &call.id).await;
    assert_eq!(
        (&conversation["status"], &conversation["end_reason"], &conversation["customer_phone"]),
        (&json!("completed"), &json!("caller_hangup"), &json!("+14155550100"))
    );
    world.settled().await;
}

/// Whether what stands in our own address is a part of what is signed is not documented.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_announced_by_get_too() {
    let world = Scene::default().start().await;
    let ours: &[(&str, &str)] = &[("kind", "answer")];
    for (n, (ours, hashed)) in [(&[][..], true), (ours, true), (ours, false)].into_iter().enumerate() {
        let uuid = format!("0190a8b0-0000-4000-8000-00000000020{n}");
        let (status, document) = get(&world, ours, &uuid, hashed).await;
        assert_eq!(status, 200, "{document}");
        let call = Announced::of(&uuid, &document).expect("a socket");
        assert_eq!(post(&world, "", &event(&uuid, "completed")).await.0, 200);
        world.until_over(&call.id).await;
    }
    // Another parameter than those that were signed.
    let (status, _) = get(&world, &[("more", "1")], UUID, false).await;
    assert_eq!((status, conversations(&world).await), (403, 3));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_late_or_in_another_order_changes_nothing() {
    let world = Scene::default().start().await;
    let body = ringing(UUID);
    let answer = Token::of(Some(body.to_string().as_bytes())).header();
    let (status, document) = post_with(&world, "", &body, Some(&answer)).await;
    assert_eq!(status, 200);
    let first = Announced::of(UUID, &document).unwrap();
    // Its answer may have been lost: as long as no socket has come it is answered again, with the same call.
    let (status, document) = post_with(&world, "", &body, Some(&answer)).await;
    let call = Announced::of(UUID, &document).unwrap();
    assert_eq!((status, &call.id, conversations(&world).await), (200, &first.id, 1));
    let mut socket = call.stream().await;
    socket.hear(GREETING).await;
    // Now it is a replay.
    assert_eq!(post_with(&world, "", &body, Some(&answer)).await, (200, "[]".to_owned()));

    // A call never goes back, and another call's end is not this one's.
    for status in ["answered", "ringing", "started", "a word of tomorrow"] {
        assert_eq!(post(&world, "", &event(UUID, status)).await.0, 200);
        assert_eq!(post(&world, "", &event(OTHER, "completed")).await.0, 200);
    }
    assert_eq!(world.watch.told(&call.id).ended(), []);
    assert_eq!(stored(&world, &call.id).await["status"], "active");
    let ended = event(UUID, "completed");
    let token = Token::of(Some(ended.to_string().as_bytes())).header();
    for _ in 0..2 {
        assert_eq!(post_with(&world, "", &ended, Some(&token)).await.0, 200);
    }
    assert_eq!(world.watch.ended(&call.id).await.ended(), [EndReason::CallerHangup]);
    let before = stored(&world, &call.id).await;
    for status in ["answered", "busy", "failed", "completed"] {
        assert_eq!(post(&world, "", &event(UUID, status)).await.0, 200);
    }
    // A call that is over gets no other socket.
    for status in ["disconnected", "failed"] {
        let (code, document) = post(&world, &call.event_query, &socket_event(&call, status)).await;
        assert_eq!((code, document.as_str()), (200, "[]"));
    }
    assert_eq!(stored(&world, &call.id).await, before);
    assert_eq!((conversations(&world).await, world.watch.calls()), (1, 1));
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_heard_ends_as_the_carrier_says() {
    let world = Scene::default().start().await;
    for (n, status, detail, reason) in [
        (1, "busy", None, "busy"),
        (2, "timeout", None, "no_answer"),
        (3, "rejected", Some("declined"), "rejected"),
        (4, "rejected", Some("invalid_number"), "invalid_number"),
        (5, "cancelled", None, "canceled"),
        (6, "failed", Some("cannot_route"), "carrier_failed"),
        (7, "completed", None, "caller_hangup"),
    ] {
        let uuid = format!("0190a8b0-0000-4000-8000-00000000010{n}");
        let call = Announced::ring(&world, &uuid).await;
        let mut event = event(&uuid, status);
        event["detail"] = json!(detail);
        assert_eq!(post(&world, "", &event).await.0, 200);
        world.until_over(&call.id).await;
        let conversation = stored(&world, &call.id).await;
        assert_eq!((&conversation["status"], &conversation["end_reason"]), (&json!("failed"), &json!(reason)));
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_lost_is_given_another_three_times_and_one_that_cannot_be_opened_too() {
    let world = Scene::default().greeting(&GREETING.repeat(3)).start().await;
    let mut call = Announced::ring(&world, UUID).await;
    let mut lost = Vec::new();
    for status in ["failed", "disconnected", "disconnected"] {
        if status == "disconnected" {
            let mut socket = call.stream().await;
            socket.listen(|socket| socket.samples.len() > 8_000).await;
        }
        // What is told of the leg meanwhile asks for nothing.
        for harmless in ["started", "ringing", "answered"] {
            let told = post(&world, &call.event_query, &socket_event(&call, harmless)).await;
            assert_eq!(told, (200, String::new()));
        }
        let body = socket_event(&call, status);
        let token = Token::of(Some(body.to_string().as_bytes())).header();
        let (code, document) = post_with(&world, &call.event_query, &body, Some(&token)).await;
        assert_eq!(code, 200);
        let next = Announced::of(UUID, &document).unwrap_or_else(|| panic!("no socket after {status}"));
        assert_eq!(next.id, call.id);
        lost.push((body, token));
        call = next;
    }
    let mut socket = call.stream().await;
    socket.listen(|socket| socket.samples.len() > 8_000).await;
    // A replay counts for nothing, and gets nothing.
    for (body, token) in &lost {
        let replayed = post_with(&world, &call.event_query, body, Some(token)).await;
        assert_eq!(replayed, (200, "[]".to_owned()));
    }
    let heard = socket.samples.len();
    socket.listen(|socket| socket.samples.len() > heard + 8_000).await;
    drop(socket);
    assert_eq!(
        post(&world, &call.event_query, &socket_event(&call, "disconnected")).await,
        (200, "[]".to_owned()),
        "the fourth time"
    );
    assert_eq!(world.watch.ended(&call.id).await.ended(), [EndReason::MediaLost]);
    world.settled().await;
}
