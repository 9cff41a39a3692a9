//! The longest duration is the whole call's, in however many processes it was.

use trunkline_media::event::{EndReason, TurnSource};

use super::a_call_that_comes_back_is_taken_up::after;
use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_back_has_no_more_time_than_before() {
    let mut world = World::builder()
        .turn(|turn| {
            turn.max_duration = ms(110_000);
            turn.idle.after = ms(60_000);
        })
        .resumed(after(&[]))
        .start();
    assert_eq!(world.until_ended().await.reason, Some(EndReason::MaxDuration));
    let now = world.now().as_millis();
    assert!((110_000..111_000).contains(&now), "{now}");
}

#[tokio::test(start_paused = true)]
async fn time_that_was_up_before_it_came_back_is_up() {
    let mut world = World::builder()
        .turn(|turn| {
            turn.max_duration = ms(94_000);
            turn.goodbye = Some("Goodbye.".into());
        })
        .resumed(after(&[]))
        .start();
    assert_eq!(world.until_ended().await.reason, Some(EndReason::MaxDuration));
    let sources: Vec<_> = world.transcript().into_iter().map(|turn| turn.2).collect();
    assert_eq!(sources, [TurnSource::Goodbye]);
    assert!(world.now().as_millis() < 98_000, "{}", world.now());
}
