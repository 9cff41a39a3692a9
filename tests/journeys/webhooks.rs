//! Who may post a webhook, and what repeats and stragglers do: nothing.

use trunkline_media::event::EndReason;
use trunkline_sim::twilio::signature::{HEADER, sign_form, sign_url};

use crate::{
    raw::{RawCall, form},
    world::{ACCOUNT, GREETING, Scene, TOKEN},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_not_the_carriers_is_refused() {
    let world = Scene::default().start().await;
    let neighbour = world.neighbour();
    let url = format!("{}/webhooks/twilio?kind=voice", world.url);
    let fields = form("CA0001", &[("CallStatus", "ringing")]);
    let signed = sign_form(TOKEN, &url, &fields);
    assert_eq!(world.post(&url, "", &fields).await.0, 403);
    assert_eq!(world.post(&url, "bm90IGEgc2lnbmF0dXJl", &fields).await.0, 403);
    assert_eq!(world.post(&url, &sign_form("another token", &url, &fields), &fields).await.0, 403);
    // Signed for something else: other fields, another address.
    assert_eq!(world.post(&url, &signed, &form("CA0002", &[("CallStatus", "ringing")])).await.0, 403);
    assert_eq!(world.post(&format!("{url}&more=1"), &signed, &fields).await.0, 403);
    // Well signed, by somebody else's account.
    let foreign: Vec<_> = fields
        .iter()
        .cloned()
        .map(|(name, value)| {
            let value = if value == ACCOUNT { "AC00000000000000000000000000000002".into() } else { value };
            (name, value)
        })
        .collect();
    assert_eq!(world.webhook("kind=voice", &foreign).await.0, 403);
    let nobody: Vec<_> = fields.iter().filter(|(name, _)| name != "AccountSid").cloned().collect();
    assert_eq!(world.webhook("kind=voice", &nobody).await.0, 403);
    for kind in ["resume", "status", "stream"] {
        let url =
            format!("{}/webhooks/twilio?kind={kind}&conversation=0190a8b0-0000-7000-8000-000000000000", world.url);
        assert_eq!(world.post(&url, "", &fields).await.0, 403, "{kind}");
    }
    // No call came of any of it, but for the neighbour's.
    neighbour.missed_nothing(&world).await;
    assert_eq!(world.watch.calls(), 1);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_the_wrong_shape_is_refused() {
    let world = Scene::default().start().await;
    let url = format!("{}/webhooks/twilio?kind=voice", world.url);
    let get = world.http.get(&url).header(HEADER, sign_url(TOKEN, &url)).send().await.unwrap();
    assert_eq!(get.status(), 405);
    let json = world.http.post(&url).header(HEADER, sign_url(TOKEN, &url)).json(&form("CA0001", &[]));
    assert_eq!(json.send().await.unwrap().status(), 415);
    let large = form("CA0001", &[("Large", &"x".repeat(64 * 1024))]);
    assert_eq!(world.webhook("kind=voice", &large).await.0, 413);
    assert_eq!(world.webhook("kind=voice", &form("", &[])).await.0, 422);
    assert_eq!(world.webhook("kind=applause", &form("CA0001", &[])).await.0, 422);
    assert_eq!(world.webhook("kind=resume", &form("CA0001", &[])).await.0, 422);
    assert_eq!(world.webhook("kind=stream&conversation=none", &form("CA0001", &[])).await.0, 422);
    assert_eq!(world.watch.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_may_come_twice_late_and_for_calls_that_nobody_knows() {
    let world = Scene::default().start().await;
    let neighbour = world.neighbour();
    let call = RawCall::ring(&world, "CA0001").await;
    let mut socket = call.stream().await;
    let conversation = format!("kind=status&conversation={}", call.id);
    let unknown = "kind=status&conversation=0190a8b0-0000-7000-8000-000000000000";
    let status = |sid: &str, status: &str| form(sid, &[("CallStatus", status)]);
    for _ in 0..2 {
        for earlier in ["in-progress", "ringing", "initiated", "a word of tomorrow"] {
            assert_eq!(world.webhook(&conversation, &status(&call.sid, earlier)).await.0, 204);
        }
        assert_eq!(world.webhook(unknown, &status(&call.sid, "completed")).await.0, 204);
        assert_eq!(world.webhook(unknown, &status("CA0009", "failed")).await.0, 204);
        assert_eq!(world.webhook("kind=status", &status("CA0009", "completed")).await.0, 204);
        // The end of another call, such as one that this was connected to.
        assert_eq!(world.webhook(&conversation, &status("CA0009", "completed")).await.0, 204);
        let stream = form(&call.sid, &[("StreamEvent", "stream-error"), ("StreamError", "31921")]);
        assert_eq!(world.webhook(&conversation.replace("status", "stream"), &stream).await.0, 204);
    }
    // An account speaks for itself alone: well signed by the call's, in another's name.
    let foreign = form(&call.sid, &[("CallStatus", "completed"), ("AccountSid", "AC00000000000000000000000000000002")]);
    let foreign: Vec<_> = foreign.into_iter().filter(|(_, value)| value != ACCOUNT).collect();
    for kind in ["status", "stream", "recording", "resume"] {
        assert_eq!(world.webhook(&conversation.replace("status", kind), &foreign).await.0, 403, "{kind}");
    }
    socket.hear(GREETING).await;
    assert_eq!(world.watch.told(&call.id).ended(), []);
    for _ in 0..2 {
        assert_eq!(world.webhook(&conversation, &status(&call.sid, "completed")).await.0, 204);
    }
    let told = world.watch.ended(&call.id).await;
    assert_eq!(told.ended(), [EndReason::CallerHangup]);
    for late in ["completed", "in-progress", "busy"] {
        assert_eq!(world.webhook(&conversation, &status(&call.sid, late)).await.0, 204);
    }
    // A call that is over gets no other stream.
    let resume = format!("kind=resume&conversation={}", call.id);
    let (status, document) = world.webhook(&resume, &form(&call.sid, &[("CallStatus", "in-progress")])).await;
    assert_eq!(status, 200);
    assert!(document.contains("<Hangup"), "{document}");
    neighbour.missed_nothing(&world).await;
    assert_eq!(world.watch.calls(), 2);
    world.settled().await;
}

/// A number's own status callback is set at the carrier and names no conversation.
#[tokio::test(flavor = "multi_thread")]
async fn a_voice_webhook_that_comes_twice_is_one_call_and_a_status_without_a_conversation_finds_it() {
    let world = Scene::default().start().await;
    let fields = form("CA0001", &[("CallStatus", "ringing")]);
    let (first, second) = tokio::join!(world.webhook("kind=voice", &fields), world.webhook("kind=voice", &fields));
    let read = |(_, document): (u16, String)| RawCall::from_document("CA0001", &document).unwrap();
    let (first, second) = (read(first), read(second));
    assert_eq!(first.id, second.id);
    // The last answer's token is the one that holds.
    let call = RawCall::ring(&world, "CA0001").await;
    assert_eq!((&call.id, world.watch.calls()), (&first.id, 1));
    let mut socket = call.stream().await;
    socket.hear(GREETING).await;
    assert_eq!(world.webhook("kind=status", &form("CA0001", &[("CallStatus", "completed")])).await.0, 204);
    assert_eq!(world.watch.ended(&call.id).await.ended(), [EndReason::CallerHangup]);
    world.settled().await;
}
