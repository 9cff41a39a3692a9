//! Deadlines are absolute: a loop that is held up again and again by less than the lead sends what it missed, and the caller hears no gap
//! and no delay that adds up. What the carrier holds stays within the lead.

use crate::world::{World, ms, value_of};

#[tokio::test(start_paused = true)]
async fn pacing_does_not_drift_when_the_loop_stalls() {
    let story = "word ".repeat(120);
    let mut world = World::builder().room(1).says(story.trim()).start();
    world.caller_says("Speak for half a minute.").await;
    world.until_speaking(1).await;
    let since = world.now();
    for _ in 0..30 {
        // The write of a frame blocks the whole loop for a while.
        world.phone().stop_reading(true);
        world.run_for(ms(90)).await;
        world.phone().stop_reading(false);
        world.run_for(ms(410)).await;
    }
    world.until_replies_ended(1).await;

    let samples = 400 * story.trim().len() as u64;
    assert_eq!(world.samples_heard(1), samples);
    let runs = world.phone().state().playback.runs.iter().filter(|run| run.value == value_of(1)).count();
    assert_eq!(runs, 1, "without a gap");
    let most = world.phone().state().playback.most_buffered;
    assert!(most <= 8 * 160, "the lead, and what was on its way: {most}");
    let late = world.now().saturating_since(since + ms(samples / 8));
    assert!(late < ms(200), "{late:?}");
    world.phones[0].hang_up();
    let summary = world.until_ended().await;
    assert_eq!(summary.underruns, 0);
    assert!(summary.max_lateness >= ms(20), "{:?}", summary.max_lateness);
}
