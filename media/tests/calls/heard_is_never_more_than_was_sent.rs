//! A voice that says nothing about its characters, a carrier that loses every mark, an interruption in the first moments: what was heard is
//! clamped to what there was, and cutting at nothing is no fault.

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn heard_is_never_more_than_was_sent() {
    let mut world =
        World::builder().tts(|tts| tts.aligned = false).says("Yes, I can do that for you.").says("Good.").start();
    world.phone().state().lose_marks = true;
    world.caller_says("Can you help?").await;
    world.until_speaking(1).await;
    // The word comes before a single sample was played.
    let now = world.now();
    world.stt.says_interim("actually", now, now + ms(10)).await;
    world.until_replies_ended(1).await;
    let reply = world.replies()[0].clone();
    assert_eq!(reply.heard, "");
    assert!(reply.audio.as_millis() <= 20, "{reply:?}");
    assert!(reply.interrupted);

    world.stt.says_final("actually, never mind", now, now + ms(600)).await;
    world.until_replies_ended(2).await;
    let reply = world.replies()[1].clone();
    assert_eq!(
        (reply.heard.as_str(), reply.interrupted),
        ("Good.", false),
        "no mark came, and it was over all the same"
    );
    assert_eq!(reply.audio, ms(5 * 50));
}
