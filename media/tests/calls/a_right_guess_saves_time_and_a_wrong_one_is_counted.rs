//! Thinking may begin on a guess that the caller is done. Right: the answer is heard sooner, and paid for once. Wrong: it is thrown away, its
//! cost is counted, and there is never more than one at a time.

use trunkline_media::event::CallEventKind;

use crate::world::{STT_DELAY, World, ms};

async fn answered(eager: bool) -> (World, std::time::Duration) {
    let mut world = World::builder().turn(|turn| turn.eager = eager).says("At eight o'clock.").start();
    world.run_for(ms(1_000)).await;
    let (start, length) = (world.now(), ms(1_000));
    world.voice(length);
    world.run_for(length + ms(100)).await;
    world.stt.says_final("When do you open?", start, start + length).await;
    world.hint(Some(start + length)).await;
    world.until_speaking(1).await;
    let waited = world.now().saturating_since(start + length);
    world.until_replies_ended(1).await;
    (world, waited)
}

#[tokio::test(start_paused = true)]
async fn a_right_guess_saves_time() {
    let (world, eager) = answered(true).await;
    let (other, patient) = answered(false).await;
    assert!(eager + ms(100) < patient, "{eager:?}, {patient:?}");
    assert_eq!(world.llm.requests().len(), 1, "it is paid for once");
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::Usage { wasted: true, .. })), 0);
    let speculative =
        |world: &World| world.count(|kind| matches!(kind, CallEventKind::Latency(latency) if latency.speculative));
    assert_eq!((speculative(&world), speculative(&other)), (1, 0));
    assert_eq!(world.replies()[0].heard, "At eight o'clock.");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_guess_is_thrown_away_and_counted() {
    let mut world =
        World::builder().says("You said only one thing.").says("Two things.").says("All three are noted.").start();
    world.run_for(ms(1_000)).await;
    for words in ["I want bread", "and butter,", "and milk."] {
        let start = world.now();
        world.voice(ms(600));
        world.run_for(ms(600) + STT_DELAY).await;
        world.stt.says_final(words, start, start + ms(600)).await;
        world.hint(Some(start + ms(600))).await;
        // Time enough to think, not to be sure.
        world.run_for(ms(300)).await;
    }
    world.until_replies_ended(1).await;
    assert_eq!(world.replies()[0].heard, "All three are noted.");
    assert_eq!(world.llm.requests().len(), 3);
    let wasted: Vec<u64> = world
        .log()
        .iter()
        .filter_map(|event| match event.kind {
            CallEventKind::Usage { wasted: true, quantity, .. } => Some(quantity),
            _ => None,
        })
        .collect();
    assert_eq!(wasted, [5, 2], "the words that were thrown away");
    assert_eq!(world.transcript()[0].1, "I want bread and butter, and milk.");
    world.assert_one_generation_at_a_time();
}
