//! A tool that was started may have done something: cutting the agent's words does not cut it, and the next request has its answer. While it
//! runs, what the model said before it is heard.

use serde_json::json;
use trunkline_media::{
    event::{CallEventKind, ToolOutcome},
    llm::Message,
    testing::{FakeReply, FakeTools},
};

use crate::world::{World, ms};

fn booking(after: u64) -> FakeTools {
    FakeTools::default().with("book_table", ms(after), ToolOutcome::Result(json!({ "booked": true })))
}

fn books() -> FakeReply {
    FakeReply::text("Let me see about that.").then_call("call-1", "book_table", json!({ "people": 2 }))
}

/// The messages of a request, in short.
fn told(world: &World, request: usize) -> Vec<String> {
    world.llm.requests()[request]
        .messages
        .iter()
        .map(|message| match message {
            Message::System { .. } => "system".to_owned(),
            Message::Caller { text } => format!("caller: {}", text.expose()),
            Message::Agent { text, tool_calls } => format!("agent: {} +{}", text.expose(), tool_calls.len()),
            Message::Tool { call, content } => format!("{call}: {}", content.expose()),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_tools_answer_is_spoken_about() {
    let mut world = World::builder().tools(booking(3_000)).answer(books()).says("It is booked.").start();
    world.caller_says("Book a table for two.").await;
    world.until_speaking(1).await;
    // Words before the tool are not kept until it has answered.
    assert_eq!(world.tools.log(), ["started book_table"]);
    world.until_replies_ended(1).await;
    assert_eq!(world.replies()[0].heard, "Let me see about that. It is booked.");
    let told = told(&world, 1);
    assert_eq!(
        told[1..],
        ["caller: Book a table for two.", "agent: Let me see about that.  +1", "call-1: {\"booked\":true}"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_tool_finishes_and_its_answer_is_known() {
    let mut world = World::builder()
        .tools(booking(4_000))
        .answer(books())
        .says("For three, then.")
        .says("You have a table.")
        .start();
    world.caller_says("Book a table for two.").await;
    world.until_speaking(1).await;
    world.run_for(ms(300)).await;
    world.caller_says_slowly("No, for three people.").await;
    world.until_replies_ended(2).await;
    assert!(world.replies()[0].interrupted);
    let running = told(&world, 1);
    assert!(running.contains(&"call-1: {\"status\":\"still running\"}".to_owned()), "{running:?}");
    world.until("the tool is over", |kind| matches!(kind, CallEventKind::ToolFinished { .. })).await;
    assert_eq!(world.tools.log(), ["started book_table", "finished book_table"]);
    world.caller_says("Do I have a table now?").await;
    world.until_replies_ended(3).await;
    let done = told(&world, 2);
    assert!(done.contains(&"call-1: {\"booked\":true}".to_owned()), "{done:?}");
    assert_eq!(world.llm.requests().len(), 3);
    world.assert_one_generation_at_a_time();
}
