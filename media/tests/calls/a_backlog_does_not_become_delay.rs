//! When a carrier takes nothing for a second, what it should have got in that second must not follow in one heap: everything after it would
//! be heard late for the rest of the call.

use crate::world::{World, ms, value_of};

#[tokio::test(start_paused = true)]
async fn a_backlog_does_not_become_delay() {
    let story = "word ".repeat(60);
    let mut world = World::builder().room(1).says(story.trim()).says("Yes.").start();
    world.caller_says("Speak for a while.").await;
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.phone().stop_reading(true);
    world.run_for(ms(1_500)).await;
    world.phone().stop_reading(false);
    world.until_replies_ended(1).await;
    assert_eq!(world.samples_heard(1), 400 * story.trim().len() as u64, "nothing was dropped");
    assert!(world.phone().state().playback.most_buffered <= 8 * 180);
    let runs = world.phone().state().playback.runs.iter().filter(|run| run.value == value_of(1)).count();
    assert_eq!(runs, 2, "one gap, where the stall was");

    // The next answer is heard as soon as it is sent.
    world.caller_says("Are you well?").await;
    world.until_speaking(2).await;
    let sent_at = world.now();
    world.run_until("it is heard", |world| world.samples_heard(2) > 0).await;
    assert!(world.now().saturating_since(sent_at) <= ms(10));
    world.phones[0].hang_up();
    assert_eq!(world.until_ended().await.underruns, 1);
}
