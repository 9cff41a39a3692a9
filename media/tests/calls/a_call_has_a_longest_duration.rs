//! Nobody stays on the line for ever: at the longest duration the agent says goodbye, to the end, and hangs up.

use trunkline_media::event::{EndReason, TurnSource};

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn a_call_has_a_longest_duration() {
    let story = "word ".repeat(100);
    let mut world = World::builder()
        .turn(|turn| {
            turn.max_duration = ms(10_000);
            turn.goodbye = Some("Our time is over, goodbye.".into());
        })
        .says(story.trim())
        .start();
    world.caller_says("Speak for long.").await;
    let summary = world.until_ended().await;
    assert_eq!(summary.reason, Some(EndReason::MaxDuration));
    let replies = world.replies();
    assert!(replies[0].interrupted && replies[0].heard == world.words_in(&story, world.samples_heard(1)));
    assert_eq!((replies[1].heard.as_str(), replies[1].interrupted), ("Our time is over, goodbye.", false));
    assert_eq!(world.samples_heard(2), 400 * 26);
    assert_eq!(world.transcript().last().unwrap().2, TurnSource::Goodbye);
    let now = world.now();
    assert!(now.as_millis() > 11_300 && now.as_millis() < 13_000, "{now}");
    world.assert_no_stale_frame();
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_under_way_is_not_begun_again() {
    let mut world = World::builder()
        .turn(|turn| {
            turn.max_duration = ms(6_000);
            turn.idle.after = ms(5_000);
            turn.idle.hang_up_after = 0;
            turn.goodbye = Some("Nobody seems to be there, so I hang up now, goodbye.".into());
        })
        .start();
    let summary = world.until_ended().await;
    assert_eq!(summary.reason, Some(EndReason::Idle));
    assert_eq!(world.replies().len(), 1);
    assert!(!world.replies()[0].interrupted);
}
