//! Vendors that refuse our keys: the caller is not left in silence, and the carrier is told.

use trunkline_media::event::{EndReason, TurnSource};
use trunkline_sim::twilio::{
    CallStatus,
    phone::{Step, StreamEnd},
};

use crate::{
    hearing::{heard, words},
    world::{KEY, Scene, clip, id_of, ms},
};

const WRONG: &str = "wrong-key";

/// A call with these keys, in which the caller says something now and then.
async fn call(keys: [&'static str; 3]) -> (String, Vec<TurnSource>) {
    let scene = Scene { keys, ..Scene::default() }.greeting("Hello.");
    let world = scene.start().await;
    let mut steps = vec![Step::Silence(ms(1500))];
    for _ in 0..4 {
        steps.extend([Step::Say(clip("cards_001")), Step::Silence(ms(3300))]);
    }
    steps.push(Step::WaitForEnd { timeout: ms(20_000) });
    let report = world.call(steps).await;
    let told = world.watch.ended(&id_of(&report)).await;
    assert_eq!(told.ended(), [EndReason::VendorFailed], "{keys:?}");
    // The carrier was told; it ended the call.
    assert_eq!(report.streams.last().unwrap().ended, StreamEnd::Completed, "{keys:?}");
    assert_eq!((report.status, report.streams.len()), (CallStatus::Completed, 1));
    let told_off: Vec<_> = report.requests.iter().filter_map(|request| request.field("Status")).collect();
    assert_eq!(told_off, ["completed"], "{keys:?}");
    world.settled().await;
    (heard(&report.streams[0]), told.sources())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_end_the_call_in_good_order() {
    let (all, deaf, mindless, mute) =
        tokio::join!(call([WRONG; 3]), call([WRONG, KEY, KEY]), call([KEY, WRONG, KEY]), call([KEY, KEY, WRONG]),);
    // An agent that can speak says that something is wrong.
    assert!(words(&deaf.0).ends_with(&words("Could you say it again?")), "{deaf:?}");
    assert_eq!(deaf.1.last(), Some(&TurnSource::Apology));
    assert!(words(&mindless.0).starts_with(&words("Hello.")), "{mindless:?}");
    assert!(words(&mindless.0).ends_with(&words("Could you say it again?")), "{mindless:?}");
    assert_eq!((all.0.trim(), mute.0.trim()), ("", ""));
}
