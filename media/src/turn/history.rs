//! The conversation as the model sees it: what the caller said, and of what the agent said only what was heard.

use trunkline_base::Personal;

use crate::{
    event::ToolOutcome,
    llm::{Message, ToolCall},
};

/// What a tool that has not answered yet is said to have answered: every call needs an answer before the next request.
const STILL_RUNNING: &str = r#"{"status":"still running"}"#;

/// A tool call with its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CalledTool {
    pub(super) call: ToolCall,
    pub(super) outcome: Option<ToolOutcome>,
    /// Whether its reply is over without waiting for the answer.
    pub(super) detached: bool,
}

/// What one generation of a reply contributed: text, then tools.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Segment {
    pub(super) text: String,
    pub(super) tools: Vec<CalledTool>,
}

#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Caller(String),
    Agent(Segment),
}

/// The conversation so far.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    entries: Vec<Entry>,
}

impl History {
    /// The caller said this. What was said in several goes without an answer between them is one message.
    pub(super) fn push_caller(&mut self, text: &str) {
        if let Some(Entry::Caller(last)) = self.entries.last_mut() {
            last.push(' ');
            last.push_str(text);
        } else {
            self.entries.push(Entry::Caller(text.to_owned()));
        }
    }

    /// The agent said this, of which the caller heard no more than `heard` (a prefix of the segments' text, in `char`s; `None`: all).
    pub(super) fn push_agent(&mut self, segments: Vec<Segment>, heard: Option<usize>) {
        let mut left = heard.unwrap_or(usize::MAX);
        for mut segment in segments {
            let length = segment.text.chars().count();
            if length > left {
                segment.text = segment.text.chars().take(left).collect();
            }
            left = left.saturating_sub(length);
            segment.text.truncate(segment.text.trim_end().len());
            if !segment.text.trim().is_empty() || !segment.tools.is_empty() {
                self.entries.push(Entry::Agent(segment));
            }
        }
    }

    /// A tool answered after its reply was over. Says whether its call is known and was still open.
    pub(super) fn finish_tool(&mut self, id: &str, outcome: &ToolOutcome) -> Option<String> {
        self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Agent(segment) => finish_tool(&mut segment.tools, id, outcome),
            Entry::Caller(_) => None,
        })
    }

    /// The messages of a request: the conversation, then what the reply under way has said and called so far.
    pub(super) fn messages(&self, instructions: &str, under_way: &[Segment], caller: Option<&str>) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.entries.len() + under_way.len() + 2);
        if !instructions.is_empty() {
            messages.push(Message::System { text: Personal::new(instructions.to_owned()) });
        }
        for entry in &self.entries {
            match entry {
                Entry::Caller(text) => messages.push(Message::Caller { text: Personal::new(text.clone()) }),
                Entry::Agent(segment) => push_segment(&mut messages, segment),
            }
        }
        if let Some(text) = caller {
            if let Some(Message::Caller { text: last }) = messages.last_mut() {
                *last = Personal::new(format!("{} {text}", last.expose()));
            } else {
                messages.push(Message::Caller { text: Personal::new(text.to_owned()) });
            }
        }
        for segment in under_way {
            push_segment(&mut messages, segment);
        }
        messages
    }
}

/// Notes a tool's answer; gives the tool's name if the call is there and was open.
pub(super) fn finish_tool(tools: &mut [CalledTool], id: &str, outcome: &ToolOutcome) -> Option<String> {
    let tool = tools.iter_mut().find(|tool| tool.call.id == id && tool.outcome.is_none())?;
    tool.outcome = Some(outcome.clone());
    Some(tool.call.name.clone())
}

fn push_segment(messages: &mut Vec<Message>, segment: &Segment) {
    if segment.text.trim().is_empty() && segment.tools.is_empty() {
        return;
    }
    messages.push(Message::Agent {
        text: Personal::new(segment.text.clone()),
        tool_calls: segment.tools.iter().map(|tool| tool.call.clone()).collect(),
    });
    for tool in &segment.tools {
        let content = match &tool.outcome {
            None => STILL_RUNNING.to_owned(),
            Some(ToolOutcome::Result(value)) => value.to_string(),
            Some(ToolOutcome::Error(cause)) => serde_json::json!({ "error": cause }).to_string(),
        };
        messages.push(Message::Tool { call: tool.call.id.clone(), content: Personal::new(content) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(text: &str) -> Vec<Segment> {
        vec![Segment { text: text.into(), tools: Vec::new() }]
    }

    fn texts(history: &History) -> Vec<String> {
        history
            .messages("", &[], None)
            .iter()
            .map(|message| match message {
                Message::Caller { text } => format!("caller: {}", text.expose()),
                Message::Agent { text, .. } => format!("agent: {}", text.expose()),
                Message::Tool { content, .. } => format!("tool: {}", content.expose()),
                Message::System { .. } => "system".into(),
            })
            .collect()
    }

    #[test]
    fn only_what_was_heard_is_remembered() {
        let mut history = History::default();
        history.push_caller("Tell me.");
        history.push_agent(say("One two three four."), Some(7));
        history.push_caller("Stop.");
        assert_eq!(texts(&history), ["caller: Tell me.", "agent: One two", "caller: Stop."]);
    }

    #[test]
    fn a_reply_of_which_nothing_was_heard_leaves_one_message_of_the_caller() {
        let mut history = History::default();
        history.push_caller("I want");
        history.push_agent(say("Sure, what is it?"), Some(0));
        history.push_caller("a table.");
        assert_eq!(texts(&history), ["caller: I want a table."]);
    }

    #[test]
    fn a_tool_that_has_not_answered_is_said_to_be_running() {
        let mut history = History::default();
        let call = ToolCall { id: "t1".into(), name: "find".into(), arguments: Personal::new(serde_json::json!({})) };
        history.push_agent(
            vec![Segment {
                text: "Let me see.".into(),
                tools: vec![CalledTool { call, outcome: None, detached: false }],
            }],
            Some(3),
        );
        assert_eq!(texts(&history), ["agent: Let", "tool: {\"status\":\"still running\"}"]);
        assert_eq!(history.finish_tool("t1", &ToolOutcome::Result(serde_json::json!(1))).as_deref(), Some("find"));
        assert_eq!(history.finish_tool("t1", &ToolOutcome::Result(serde_json::json!(2))), None, "it answers once");
        assert_eq!(texts(&history), ["agent: Let", "tool: 1"]);
    }
}
