//! What a caller types is a turn of its own: it is collected until its end, cuts the agent, and is answered.

use serde_json::json;
use trunkline_media::event::{CallEventKind, Speaker, TurnSource};

use crate::world::{World, ms};

async fn press(world: &mut World, keys: &str) {
    for key in keys.chars() {
        world.phone().send("dtmf", json!({ "track": "inbound_track", "digit": key.to_string() }));
        world.run_for(ms(300)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_a_turn() {
    let mut world = World::builder()
        .greeting("Please type in your customer number, and end with the hash key, it is on your letter.")
        .says("Thank you.")
        .says("Goodbye.")
        .start();
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    press(&mut world, "4711#").await;
    world.until_replies_ended(2).await;
    let reply = &world.replies()[0];
    assert!(reply.interrupted && reply.heard.starts_with("Please type in"), "{reply:?}");
    assert_eq!(world.clears(), 1);
    // Without the terminator they end by themselves.
    press(&mut world, "2").await;
    world.until_replies_ended(3).await;
    let keys: Vec<_> = world.transcript().into_iter().filter(|turn| turn.0 == Speaker::Caller).collect();
    assert_eq!(
        keys,
        [
            (Speaker::Caller, "[pressed 4711#]".into(), TurnSource::Dtmf),
            (Speaker::Caller, "[pressed 2]".into(), TurnSource::Dtmf)
        ]
    );
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::Dtmf { .. })), 6);
    world.assert_no_stale_frame();
}
