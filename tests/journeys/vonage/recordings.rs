//! What Vonage has recorded: heard through us, and erased there.

use reqwest::Method;
use serde_json::{Value, json};
use trunkline_sim::phone::Step;

use super::{
    APPLICATION,
    line::{id_of, report},
    raw::{Token, post, post_with},
};
use crate::world::Scene;

const FILE: &str = "bbbbbbbb-aaaa-cccc-dddd-0123456789ab";

#[tokio::test(flavor = "multi_thread")]
async fn what_only_vonage_has_recorded_is_heard_through_us_and_erased_there() {
    let world = Scene::default().start().await;
    let report = report(world.ring_vonage([Step::WaitForAgentToSpeak, Step::HangUp])).await;
    let id = id_of(&report);
    let url = world.vonage.put_recording(APPLICATION, FILE, &b"RIFF of the carrier's"[..]);
    // A recording is told of a conversation, and not of a leg.
    let conversation = report.webhooks.iter().find_map(|hook| hook.field("conversation_uuid")).unwrap();
    let told = json!({
        "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:02Z", "recording_url": url, "size": 21,
        "recording_uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "conversation_uuid": conversation,
        "timestamp": "2026-01-01T00:00:02Z",
    });
    let address = |value: &str| {
        let mut other = told.clone();
        other["recording_url"] = json!(value);
        other
    };
    let shown = async || world.api.get(&format!("/v1/conversations/{id}")).await.unwrap()["recording_url"].clone();
    let forged = Token { secret: "another secret", ..Token::of(Some(told.to_string().as_bytes())) }.header();
    assert_eq!(post_with(&world, "", &told, Some(&forged)).await.0, 403);
    for wrong in ["https://example.com/x", "nonsense"] {
        let query = format!("?kind=event&conversation={id}");
        assert_eq!(post(&world, &query, &address(wrong)).await.0, 422, "{wrong}");
    }
    assert_eq!(shown().await, Value::Null);
    for query in ["", "", "?kind=event", &format!("?kind=event&conversation={id}")] {
        assert_eq!(post(&world, query, &told).await.0, 200, "{query}");
    }
    assert_eq!(shown().await, format!("/v1/conversations/{id}/recording"));
    let heard = world.recording(Method::GET, &id, &[]).await;
    assert_eq!((heard.status().as_u16(), heard.headers()["content-type"].to_str().unwrap()), (200, "audio/wav"));
    assert_eq!(heard.bytes().await.unwrap().as_ref(), &b"RIFF of the carrier's"[..]);

    world.watch.summary(&id).await;
    world.server.stored().await;
    world.api.delete(&format!("/v1/conversations/{id}")).await.unwrap();
    world.server.stored().await;
    assert_eq!(world.vonage.recording(APPLICATION, FILE), None);
    // Told of it late, what is erased is not kept after all.
    world.vonage.put_recording(APPLICATION, FILE, &b"again"[..]);
    assert_eq!(post(&world, &format!("?kind=event&conversation={id}"), &told).await.0, 200);
    assert_eq!(world.vonage.recording(APPLICATION, FILE), None);
    world.settled().await;
}

/// A token goes to the vendor's hosts and nowhere else, whatever a webhook names.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_the_vendor_s_is_not_asked() {
    let world = Scene::default().start().await;
    let report = report(world.ring_vonage([Step::WaitForAgentToSpeak, Step::HangUp])).await;
    let id = id_of(&report);
    let elsewhere = json!({
        "recording_url": format!("http://198.51.100.7:9/v1/files/{FILE}"),
        "conversation_uuid": "CON-1", "timestamp": "2026-01-01T00:00:02Z",
    });
    world.vonage.put_recording(APPLICATION, FILE, &b"RIFF"[..]);
    assert_eq!(post(&world, &format!("?kind=event&conversation={id}"), &elsewhere).await.0, 200);
    // The configured address is asked instead.
    let heard = world.recording(Method::GET, &id, &[]).await;
    assert_eq!((heard.status().as_u16(), heard.bytes().await.unwrap().as_ref()), (200, &b"RIFF"[..]));
    world.settled().await;
}
