//! What a carrier should not have sent: counted and ignored, up to a limit, and nobody else notices.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use trunkline_media::event::EndReason;

use crate::{
    hearing::SYMBOL_BYTES,
    raw::{RawCall, RawSocket},
    world::{GREETING, Scene, World},
};

/// One of each kind.
fn nonsense(socket: &mut RawSocket) -> Vec<Message> {
    let frame = STANDARD.encode([0xff; 160]);
    let whole = socket.media(None, &frame).to_string();
    let payload = |socket: &mut RawSocket, payload: &str| Message::text(socket.media(None, payload).to_string());
    vec![
        Message::text(&whole[..whole.len() / 2]),
        Message::text(""),
        Message::text("[]"),
        Message::text("{\"event\":\"media\"}"),
        Message::text(json!({ "event": "applause", "streamSid": "MZ1" }).to_string()),
        Message::text(socket.media(Some("MZ00000000000000000000000000000bad"), &frame).to_string()),
        payload(socket, ""),
        // Not base64, cut base64, and base64 of another alphabet.
        payload(socket, "%%%%"),
        payload(socket, "/////"),
        payload(socket, "__8="),
        Message::binary(vec![0xff; 160]),
        Message::text("\u{0}".repeat(1000)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_a_media_socket_is_borne_up_to_a_limit_and_nobody_else_notices() {
    let world = Scene::default().start().await;
    let neighbour = world.neighbour();
    tokio::join!(
        bad_frames_are_counted_and_ignored_and_the_caller_hears_every_byte(&world),
        too_much_text_or_too_many_bad_messages_close_the_socket_with_1008_and_the_call_waits_for_another(&world),
    );
    neighbour.missed_nothing(&world).await;
    world.settled().await;
}

async fn bad_frames_are_counted_and_ignored_and_the_caller_hears_every_byte(world: &World) {
    let call = RawCall::ring(world, "CA0001").await;
    let mut socket = call.stream().await;
    let mut sent = 0;
    for _ in 0..5 {
        for message in nonsense(&mut socket) {
            socket.send_raw(message).await;
            sent += 1;
        }
        let so_far = socket.audio.len();
        socket.listen(|socket| socket.audio.len() >= so_far + 1600).await;
    }
    // A payload of an odd number of bytes is audio like any other: a byte is a sample.
    let odd = socket.media(None, &STANDARD.encode([0xff; 161]));
    socket.send(odd).await;
    socket.hear(GREETING).await;
    socket.stop(&call.sid).await;
    let summary = world.watch.summary(&call.id).await;
    assert_eq!((summary.reason, summary.bad_messages), (Some(EndReason::CallerHangup), sent));
}

async fn too_much_text_or_too_many_bad_messages_close_the_socket_with_1008_and_the_call_waits_for_another(
    world: &World,
) {
    let calls = [RawCall::ring(world, "CA0002").await, RawCall::ring(world, "CA0003").await];

    let mut large = calls[0].stream().await;
    large.listen(|socket| !socket.audio.is_empty()).await;
    large.send_raw(Message::text("x".repeat(64 * 1024 + 1))).await;
    assert_eq!(large.close_code().await, Some(1008));

    let mut many = calls[1].stream().await;
    many.listen(|socket| !socket.audio.is_empty()).await;
    for _ in 0..99 {
        many.send_raw(Message::text("{")).await;
    }
    let so_far = many.audio.len();
    many.listen(|socket| socket.audio.len() > so_far + 1600).await;
    assert_eq!(many.closed, None, "99 are borne");
    many.send_raw(Message::text("{")).await;
    assert_eq!(many.close_code().await, Some(1008));

    for (call, first) in calls.iter().zip([large, many]) {
        let mut again = call.stream().await;
        // What was not heard is said again; what was sent ahead is said on.
        again.listen(|socket| first.audio.len() + socket.audio.len() >= GREETING.len() * SYMBOL_BYTES).await;
        again.stop(&call.sid).await;
        let summary = world.watch.summary(&call.id).await;
        assert_eq!((summary.reason, summary.reattached), (Some(EndReason::CallerHangup), 1));
    }
}
