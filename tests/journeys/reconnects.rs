//! Vendors' sockets that break in the middle: nothing is lost and nothing is said twice.

use std::time::Duration;

use trunkline_media::event::{EndReason, Speaker};
use trunkline_sim::{
    fault::{Fault, Script},
    openai::Rule,
    twilio::phone::Step,
};

use crate::{
    hearing::{assert_heard, heard, words},
    world::{ANSWER, GREETING, Scene, clip, id_of, ms, transcript},
};

/// A recogniser's socket that dies must not swallow the words that were on their way.
#[tokio::test(flavor = "multi_thread")]
async fn deepgram_is_dropped_in_mid_utterance_and_no_word_is_lost() {
    let mut scene = Scene::default().agent("/call_config/greeting", serde_json::json!({}));
    // In the middle of the words, and once more in the middle of the replay.
    let drop = |audio| Some(Fault::DropAfter(audio));
    scene.deepgram.script = Script::new([drop(ms(2300)), drop(ms(900))]);
    let world = scene.start().await;
    let finish = Step::WaitForAgentToFinish { quiet: ms(700) };
    let report = world.call([Step::Silence(ms(600)), Step::Say(clip("cards_005")), finish, Step::HangUp]).await;
    let told = world.watch.ended(&id_of(&report)).await;
    assert_eq!(words(&told.said(Speaker::Caller).join(" ")), words(&transcript("cards_005")));
    // Each outage is told when it begins and again when it is mended; the second loss is an outage of its own only if the new
    // connection had said something before.
    let faults = told.faults("stt");
    assert!(faults == [false, true] || faults == [false, true, false, true], "{faults:?}");
    assert_eq!((world.deepgram.script().remaining(), world.deepgram.unrecognised()), (0, 0));
    assert_heard(&report.streams[0], &[ANSWER]);
    world.settled().await;
}

/// A voice's retry has to say the rest: not nothing, and not all of it again.
#[tokio::test(flavor = "multi_thread")]
async fn elevenlabs_is_dropped_in_mid_reply_and_the_rest_is_spoken_once() {
    let mut scene = Scene::default();
    scene.elevenlabs.script = Script::new([Some(Fault::DropAfter(ms(1200)))]);
    let world = scene.start().await;
    let finish = Step::WaitForAgentToFinish { quiet: ms(600) };
    let steps = [Step::WaitForAgentToSpeak, finish.clone(), Step::Say(clip("goforward")), finish, Step::HangUp];
    let report = world.call(steps).await;
    let told = world.watch.ended(&id_of(&report)).await;
    assert_heard(&report.streams[0], &[GREETING, ANSWER]);
    assert_eq!(told.faults("tts"), [false, true]);
    let replies: Vec<_> = told.replies().into_iter().map(|reply| (reply.heard, reply.interrupted)).collect();
    assert_eq!(replies, [(GREETING.to_owned(), false), (ANSWER.to_owned(), false)]);
    world.settled().await;
}

/// A model that falls silent in the middle of a sentence costs that sentence, not the call.
#[tokio::test(flavor = "multi_thread")]
async fn openai_stalls_and_the_call_recovers() {
    let long = "The first part comes at once, and then there is a second part that is never told, however long you wait for it.";
    let mut scene = Scene::default().greeting("Hello.").rules([Rule::reply("ten of clubs", long)]);
    scene.openai.token_interval = ms(10);
    scene.openai.script = Script::new([Some(Fault::StallAfter(ms(100)))]);
    let world = scene.start().await;
    let finish = || Step::WaitForAgentToFinish { quiet: ms(700) };
    let steps = [
        Step::WaitForAgentToSpeak,
        finish(),
        Step::Say(clip("cards_001")),
        // The model is given up after five seconds.
        Step::WaitForAgentToSpeak,
        Step::Silence(Duration::from_secs(6)),
        Step::Say(clip("goforward")),
        finish(),
        Step::HangUp,
    ];
    let report = world.call(steps).await;
    let told = world.watch.ended(&id_of(&report)).await;
    assert_eq!(told.ended(), [EndReason::CallerHangup]);
    assert!(told.faults("llm").contains(&false), "{:?}", told.faults("llm"));
    let heard = words(&heard(&report.streams[0]));
    let (begin, end) = (words("Hello. The first part comes at once,"), words(ANSWER));
    assert!(heard.starts_with(&begin) && heard.ends_with(&end), "{heard:?}");
    world.settled().await;
}
