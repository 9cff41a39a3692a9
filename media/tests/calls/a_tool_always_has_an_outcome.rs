//! A reply waits for the tools that it has started. One that breaks down, one that never answers, and a model that only ever calls more of them
//! must not make it wait for ever.

use std::time::Duration;

use serde_json::json;
use trunkline_media::{
    call::BoxFuture,
    event::{CallEventKind, ToolOutcome},
    llm::ToolCall,
    testing::{FakeReply, FakeTools},
    tools::ToolRunner,
};

use crate::world::{World, ms};

/// A tool that panics.
#[derive(Debug)]
struct Broken;

impl ToolRunner for Broken {
    fn run(&self, _: ToolCall) -> BoxFuture<'static, ToolOutcome> {
        Box::pin(async { panic!("a bug in a tool") })
    }
}

fn looks_up() -> FakeReply {
    FakeReply::text("").then_call("call-1", "look_up", json!({}))
}

fn failures(world: &World) -> Vec<String> {
    let failed = |kind: &CallEventKind| match kind {
        CallEventKind::ToolFinished { outcome, .. } => match outcome.expose() {
            ToolOutcome::Error(words) => Some(words.clone()),
            ToolOutcome::Result(_) => None,
        },
        _ => None,
    };
    world.log().iter().filter_map(|event| failed(&event.kind)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_breaks_down_has_failed() {
    let mut world = World::builder().tool_runner(Broken).answer(looks_up()).says("I could not find it.").start();
    world.caller_says("Look it up, please.").await;
    world.until_replies_ended(1).await;
    assert_eq!(world.replies()[0].heard, "I could not find it.");
    assert_eq!(failures(&world), ["the tool broke down"]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_does_not_answer_has_failed() {
    let tools = FakeTools::default().with("look_up", Duration::from_secs(3_600), ToolOutcome::Result(json!(1)));
    let mut world = World::builder().tools(tools).answer(looks_up()).says("I could not find it.").start();
    world.caller_says("Look it up, please.").await;
    world.until_replies_ended(1).await;
    assert!(world.now().as_millis() < 9_000, "five seconds are its limit: {}", world.now());
    assert_eq!(failures(&world), ["the tool did not answer in time"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_only_calls_tools_is_stopped() {
    let tools = FakeTools::default().with("look_up", ms(10), ToolOutcome::Result(json!(1)));
    let mut world = World::builder().tools(tools);
    for _ in 0..50 {
        world = world.answer(looks_up());
    }
    let mut world = world.start();
    world.caller_says("Look it up, please.").await;
    world.until_replies_ended(1).await;
    assert_eq!(world.llm.requests().len(), 8);
    assert!(world.replies()[0].heard.starts_with("Sorry"), "{:?}", world.replies());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_at_once_are_not_made() {
    let tools = FakeTools::default().with("look_up", ms(10), ToolOutcome::Result(json!(1)));
    let mut reply = FakeReply::text("");
    for n in 0..100 {
        reply = reply.then_call(&format!("call-{n}"), "look_up", json!({}));
    }
    let mut world = World::builder().tools(tools).answer(reply).says("Found it.").start();
    world.caller_says("Look it up, please.").await;
    world.until_replies_ended(1).await;
    assert_eq!(world.tools.log().iter().filter(|line| *line == "started look_up").count(), 16);
    assert_eq!(failures(&world).len(), 84, "and the model is told");
    assert_eq!(world.replies()[0].heard, "Found it.");
}
