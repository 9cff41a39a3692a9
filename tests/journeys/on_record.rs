//! What the API says of a call is what was heard.

use serde_json::{Value, json};
use trunkline_sim::twilio::phone::Step;

use crate::{
    hearing::words,
    world::{ANSWER, GREETING, NUMBER, Scene, World, clip, id_of, ms, transcript},
};

async fn stored(world: &World, id: &str) -> Value {
    world.watch.summary(id).await;
    world.server.stored().await;
    world.api.get(&format!("/v1/conversations/{id}")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_stored_as_it_was_heard() {
    let world = Scene::default().start().await;
    let finish = || Step::WaitForAgentToFinish { quiet: ms(600) };
    let whole = [finish(), Step::Say(clip("cards_001")), finish(), Step::HangUp];
    let cut = [Step::WaitForAgentToSpeak, Step::Silence(ms(1100)), Step::HangUp];
    let (whole, cut) = tokio::join!(world.call(whole), world.call(cut));

    let conversation = stored(&world, &id_of(&whole)).await;
    let expected = json!({
        "status": "completed", "end_reason": "caller_hangup", "direction": "inbound", "channel": "phone",
        "customer_phone": "+14155550100", "our_number": NUMBER, "agent_version": 1, "sentiment": null, "outcome": null,
        "tags": [], "summary": null, "satisfaction_score": null, "recording_url": null, "metadata": {},
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&conversation[key], value, "{key}");
    }
    let time = |value: &Value| value.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let (start, end) = (time(&conversation["start_time"]), time(&conversation["end_time"]));
    let seconds = conversation["duration_seconds"].as_i64().unwrap();
    assert!(seconds > 2 && (end - start).num_seconds() >= seconds, "{conversation:#}");
    let [greeting, question, answer] = conversation["transcript"].as_array().unwrap().as_slice() else {
        panic!("{conversation:#}")
    };
    assert_eq!((&greeting["speaker"], &greeting["text"]), (&json!("agent"), &json!(GREETING)));
    assert_eq!((&answer["text"], &answer["interrupted"]), (&json!(ANSWER), &json!(false)));
    assert!(answer.get("generated_text").is_none());
    assert_eq!(words(question["text"].as_str().unwrap()), words(&transcript("cards_001")));
    assert_eq!(question["speaker"], "customer");
    assert!(time(&greeting["timestamp"]) < time(&question["timestamp"]) && time(&answer["timestamp"]) < end);

    // Of what was cut, the text is what was heard.
    let conversation = stored(&world, &id_of(&cut)).await;
    let [greeting] = conversation["transcript"].as_array().unwrap().as_slice() else { panic!("{conversation:#}") };
    let heard = greeting["text"].as_str().unwrap();
    assert!(GREETING.starts_with(heard) && heard.len() < GREETING.len(), "{heard}");
    assert_eq!((&greeting["interrupted"], &greeting["generated_text"]), (&json!(true), &json!(GREETING)));

    // The list finds both, and one by its words.
    let found = async |query: &str| {
        let list = world.api.get(&format!("/v1/conversations?{query}")).await.unwrap();
        let ids = list["conversations"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>(), list["pagination"]["total"].as_i64().unwrap())
    };
    assert_eq!(found("status=completed").await.1, 2);
    assert_eq!(found("status=failed").await, (vec![], 0));
    assert_eq!(found("q=clubs").await, (vec![id_of(&whole)], 1));
    world.settled().await;
}

/// What could not be taken is a visible record.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_is_stored_as_one_that_failed() {
    let world = Scene { max_calls: 0, ..Scene::default() }.start().await;
    let report = world.call([Step::WaitForAgentToSpeak]).await;
    assert!(report.streams.is_empty());
    world.server.stored().await;
    let list = world.api.get("/v1/conversations").await.unwrap();
    let [conversation] = list["conversations"].as_array().unwrap().as_slice() else { panic!("{list:#}") };
    assert_eq!(
        (&conversation["status"], &conversation["end_reason"], &conversation["duration_seconds"]),
        (&json!("failed"), &json!("overloaded"), &json!(0))
    );
}
