//! The first model fails: the next one answers, and the caller hears a filler, not silence.

use serde_json::json;
use trunkline_media::event::EndReason;
use trunkline_sim::{
    fault::{Fault, Script},
    twilio::phone::Step,
};

use crate::{
    hearing::assert_heard,
    world::{ANSWER, Scene, World, clip, id_of, ms},
};

const FILLER: &str = "One moment, please.";

async fn world(first: Fault, attempts: usize) -> World {
    let fallbacks = json!([{ "provider": "openai", "model": "gpt-4.1-mini" }]);
    let mut scene = Scene::default()
        .greeting("Hello.")
        .agent("/ai_config/first_token_timeout_ms", 800.into())
        .agent("/ai_config/fallbacks", fallbacks);
    scene.openai.script = Script::new(vec![Some(first); attempts]);
    scene.start().await
}

async fn fails_over(world: &World) {
    let finish = || Step::WaitForAgentToFinish { quiet: ms(1000) };
    let ask = || Step::Say(clip("cards_001"));
    let steps = [Step::WaitForAgentToSpeak, finish(), ask(), finish(), ask(), finish(), Step::HangUp];
    let report = world.call(steps).await;
    let told = world.watch.ended(&id_of(&report)).await;
    assert_eq!(told.ended(), [EndReason::CallerHangup]);
    assert_eq!(told.faults("llm"), [true]);
    // The second question is the first model's again: it failed once, it is not dead.
    assert_heard(&report.streams[0], &["Hello.", FILLER, ANSWER, ANSWER]);
    let models: Vec<_> = world.openai.requests().entries().iter().map(|record| record.body["model"].clone()).collect();
    assert_eq!(models[models.len() - 2..], [json!("gpt-4.1-mini"), json!("gpt-4o-mini")]);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_answers_500_or_nothing_at_all_is_replaced_by_the_next() {
    let refused = async { fails_over(&world(Fault::Refuse { status: 500, retry_after: None }, 2).await).await };
    let silent = async { fails_over(&world(Fault::Hang, 1).await).await };
    tokio::join!(refused, silent);
}
