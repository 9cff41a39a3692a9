//! A process that dies in the middle of calls: they come back to the next one, or are closed by it.

use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline::cli::api::Api;
use trunkline_sim::{
    openai::Rule,
    twilio::{CallStatus, phone::Step},
};

use crate::{
    hearing::{heard, words},
    process::{Process, To},
    world::{GREETING, LIMIT, Scene, clip, id_of, ms, open_shop, report, ring, transcript},
};

/// What the agent answers: for so long that it is still speaking when the process dies.
const LONG: &str =
    "That is ten meters straight ahead of you, past the two doors on your left, and then it is right before you.";
/// What the agent answers after it came back.
const REMEMBERS: &str = "As I said before, ten meters.";

/// Waits until a stored conversation is as it should be.
async fn until(api: &Api, id: &str, limit: Duration, mut is: impl FnMut(&Value) -> bool) -> Value {
    let path = format!("/v1/conversations/{id}");
    let begun = Instant::now();
    loop {
        let conversation = api.get(&path).await.unwrap_or_default();
        if is(&conversation) {
            return conversation;
        }
        assert!(begun.elapsed() < limit, "{conversation:#}");
        tokio::time::sleep(ms(50)).await;
    }
}

async fn newest(api: &Api) -> String {
    let begun = Instant::now();
    loop {
        let list = api.get("/v1/conversations").await.unwrap();
        if let Some(id) = list["conversations"][0]["id"].as_str() {
            return id.to_owned();
        }
        assert!(begun.elapsed() < LIMIT, "the call is listed");
        tokio::time::sleep(ms(50)).await;
    }
}

fn texts(conversation: &Value) -> Vec<(&str, &str)> {
    let entries = conversation["transcript"].as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().map(|entry| (entry["speaker"].as_str().unwrap(), entry["text"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_comes_back_after_kill_9_and_its_agent_knows_what_was_said() {
    let scene = Scene::default().rules([Rule::reply("ten of clubs", REMEMBERS), Rule::reply("go forward", LONG)]);
    let agent = scene.agent.clone();
    let sims = scene.simulate().await;
    let mut process = Process::start(&sims, "kill-9").await;
    let api = process.api();
    open_shop(&api, &agent).await;
    let finish = || Step::WaitForAgentToFinish { quiet: ms(1500) };
    let call = ring(
        &sims.twilio,
        &process.url(),
        [
            Step::WaitForAgentToSpeak,
            finish(),
            Step::Say(clip("goforward")),
            // The process dies before this is answered to the end, and another takes the call.
            Step::WaitForAgentToSpeak,
            finish(),
            Step::Say(clip("cards_001")),
            Step::WaitForAgentToSpeak,
            finish(),
            Step::HangUp,
        ],
    );
    let id = newest(&api).await;
    let before = until(&api, &id, LIMIT, |stored| texts(stored).len() == 2).await;
    assert_eq!(before["status"], "active");
    process.kill(To::Hold).await;
    process.run().await;

    let report = report(call).await;
    let after = until(&api, &id, LIMIT, |stored| !stored["end_time"].is_null()).await;
    assert_eq!(
        (report.streams.len(), report.status),
        (2, CallStatus::Completed),
        "{:?} {:?} {:?}",
        report.errors,
        report.streams[0].ended,
        report.streams[0].events
    );
    assert_eq!(id_of(&report), id);
    assert_eq!((&after["status"], &after["end_reason"]), (&"completed".into(), &"caller_hangup".into()));
    let texts = texts(&after);
    let [greeting, question, back, answer, again, remembers] = texts.as_slice() else { panic!("{texts:#?}") };
    // Nothing that was stored is lost, what follows stands behind it, and the caller need not ask again.
    assert_eq!([*greeting, *answer, *remembers], [("agent", GREETING), ("agent", LONG), ("agent", REMEMBERS)]);
    assert_eq!(words(question.1), words(&transcript("goforward")));
    assert_eq!(words(again.1), words(&transcript("cards_001")));
    assert_eq!(back.0, "agent");
    let started: Vec<i64> =
        after["transcript"].as_array().unwrap().iter().map(|entry| entry["started_ms"].as_i64().unwrap()).collect();
    assert!(started.is_sorted(), "{started:?}");
    assert_eq!(&after["transcript"].as_array().unwrap()[..2], before["transcript"].as_array().unwrap());
    // The caller heard the same.
    let squeezed = |text: &str| words(text).concat();
    assert_eq!(squeezed(&heard(&report.streams[1])), squeezed(&format!("{} {LONG} {REMEMBERS}", back.1)));
    // The model was told what was said before the crash.
    let asked = sims.openai.requests().entries();
    let messages = asked.last().unwrap().messages();
    let contents: Vec<&str> = messages.iter().filter_map(|message| message["content"].as_str()).collect();
    for said in [GREETING, LONG, question.1, again.1] {
        assert!(contents.iter().any(|content| words(content) == words(said)), "{said:?} is not in {contents:#?}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_come_back_after_kill_9_is_closed_within_a_minute() {
    let scene = Scene::default();
    let agent = scene.agent.clone();
    let sims = scene.simulate().await;
    let mut process = Process::start(&sims, "abandoned").await;
    let api = process.api();
    open_shop(&api, &agent).await;
    let call = ring(&sims.twilio, &process.url(), [Step::WaitForAgentToFinish { quiet: ms(700) }, Step::HangUp]);
    let id = newest(&api).await;
    until(&api, &id, LIMIT, |stored| stored["status"] == "active").await;
    process.kill(To::Refuse).await;
    // The carrier gives up before anybody is there again.
    report(call).await;
    process.run().await;
    let closed = until(&api, &id, Duration::from_secs(60), |stored| !stored["end_time"].is_null()).await;
    assert_eq!((&closed["status"], &closed["end_reason"]), (&"failed".into(), &"media_lost".into()));
    process.stop().await;
}
