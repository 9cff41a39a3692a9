//! Two nodes on one database: a call belongs to the one that its carrier's last request reached.

use std::time::Duration;

use trunkline_media::event::EndReason;
use trunkline_sim::twilio::{RestRecord, signature::sign_form};

use crate::{
    raw::{RawCall, form},
    world::{GREETING, Scene, TOKEN},
};

const CUT_OFF: &str = "Sorry, we were cut off for a moment.";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_moves_to_the_node_that_the_carrier_asks_and_the_one_that_lost_it_lets_it_be() {
    let world = Scene::default().start().await;
    let other = world.another_node().await;
    let call = RawCall::ring(&world, "CA0001").await;
    let mut socket = call.stream().await;
    socket.hear(GREETING).await;
    world.server.stored().await;
    drop(socket);

    // The carrier asks what comes next, twice at once, and reaches the other node.
    let url = format!("{}/webhooks/twilio?kind=resume&conversation={}", other.public_url(), call.id);
    let fields = form(&call.sid, &[("CallStatus", "in-progress")]);
    let signature = sign_form(TOKEN, &url, &fields);
    let ask = || world.post(&url, &signature, &fields);
    let (one, two) = tokio::join!(ask(), ask());
    for (status, document) in [&one, &two] {
        assert_eq!(*status, 200);
        let moved = RawCall::from_document(&call.sid, document).unwrap_or_else(|| panic!("no stream: {document}"));
        assert_eq!(moved.id, call.id);
        assert!(moved.url.contains(&other.addr().to_string()), "{}", moved.url);
    }
    // The last answer's token is the one that holds.
    let (_, document) = ask().await;
    let moved = RawCall::from_document(&call.sid, &document).unwrap();
    let mut socket = moved.stream().await;
    socket.hear(CUT_OFF).await;

    // The first node waits for its caller in vain. It neither hangs up on them nor closes their conversation.
    assert_eq!(world.watch.ended(&call.id).await.ended(), [EndReason::MediaLost]);
    world.server.stored().await;
    let path = format!("/v1/conversations/{}", call.id);
    assert_eq!(world.api.get(&path).await.unwrap()["status"], "active");
    // It may have asked how the call is.
    let told = |request: &RestRecord| request.method != "GET" && request.path.contains(&call.sid);
    assert!(!world.twilio.requests().iter().any(told));

    socket.stop(&call.sid).await;
    other.stop(Duration::from_secs(10)).await;
    let stored = world.api.get(&path).await.unwrap();
    assert_eq!((&stored["status"], &stored["end_reason"]), (&"completed".into(), &"caller_hangup".into()));
    let said: Vec<_> = stored["transcript"].as_array().unwrap().iter().map(|entry| entry["text"].as_str()).collect();
    // Behind them stands what the agent asks of a caller who says nothing for as long as the first node waits.
    assert_eq!(said[..2], [Some(GREETING), Some(CUT_OFF)]);
    world.settled().await;
}
