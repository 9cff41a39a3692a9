//! What the simulated model answers: rules read from data, matched against what was really asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::prompt::{Prompt, ToolChoice};

/// The rules, tried in order, and what is answered when none fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Tried in order; the first that fits is used.
    pub rules: Vec<Rule>,
    /// The answer when no rule fits; its conditions are not looked at.
    pub default: Rule,
}

/// One answer and when it is given.
///
/// A rule with `tool_calls` fits only while the request offers those tools. Replies and arguments may hold `{user}` (the last user
/// message), `{tool}` (the last tool result) and `{tool.a.0.b}` (a part of it, read as JSON).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Text the last user message must contain, in any case.
    pub when: Option<String>,
    /// The tool whose result the request ends with. Without it, the rule fits only where no tool result is to be answered.
    pub after_tool: Option<String>,
    /// What is said. May be empty when tools are called.
    pub reply: String,
    /// The tools that are called, after the reply.
    pub tool_calls: Vec<ScriptedToolCall>,
    /// Time to the first token in ms, instead of the simulator's.
    pub ttft_ms: Option<u64>,
    /// Time between tokens in ms, instead of the simulator's.
    pub token_interval_ms: Option<u64>,
}

/// A tool call the simulated model makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedToolCall {
    /// The function's name.
    pub name: String,
    /// Its arguments: a JSON object.
    #[serde(default)]
    pub arguments: Value,
}

/// An answer with its texts filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) reply: String,
    pub(crate) tool_calls: Vec<ScriptedToolCall>,
    pub(crate) ttft: Option<Duration>,
    pub(crate) token_interval: Option<Duration>,
}

impl Default for Rules {
    /// A model that repeats what it hears.
    fn default() -> Self {
        Self { rules: Vec::new(), default: Rule { reply: "You said: {user}".into(), ..Rule::default() } }
    }
}

impl Rule {
    /// Says `reply` when the last user message contains `when`.
    pub fn reply(when: &str, reply: &str) -> Self {
        Self { when: Some(when.into()), reply: reply.into(), ..Self::default() }
    }

    /// Calls a tool when the last user message contains `when`.
    pub fn call(when: &str, name: &str, arguments: Value) -> Self {
        let tool_calls = vec![ScriptedToolCall { name: name.into(), arguments }];
        Self { when: Some(when.into()), tool_calls, ..Self::default() }
    }

    /// Says `reply` when the request ends with a result of the tool `name`.
    pub fn after(name: &str, reply: &str) -> Self {
        Self { after_tool: Some(name.into()), reply: reply.into(), ..Self::default() }
    }

    fn fits(&self, prompt: &Prompt) -> bool {
        let tool = prompt.result.as_ref().map(|result| result.name.as_str());
        let said = self.when.as_ref().is_none_or(|when| prompt.user.to_lowercase().contains(&when.to_lowercase()));
        said && self.after_tool.as_deref() == tool && self.may_call(prompt)
    }

    /// Whether the request lets this rule call its tools, or lets it call none.
    fn may_call(&self, prompt: &Prompt) -> bool {
        let offered = self.tool_calls.iter().all(|call| prompt.tools.contains(&call.name));
        let chosen = match &prompt.tool_choice {
            ToolChoice::Auto => true,
            ToolChoice::None => self.tool_calls.is_empty(),
            ToolChoice::Required => !self.tool_calls.is_empty(),
            ToolChoice::Named(name) => self.tool_calls.iter().any(|call| call.name == *name),
        };
        offered && chosen
    }
}

impl Rules {
    /// The answer to a request.
    pub(crate) fn answer(&self, prompt: &Prompt) -> Answer {
        let rule = self.rules.iter().find(|rule| rule.fits(prompt)).unwrap_or(&self.default);
        let calls = if prompt.tool_choice == ToolChoice::None { &[] } else { rule.tool_calls.as_slice() };
        let offered = calls.iter().filter(|call| prompt.tools.contains(&call.name));
        let most = if prompt.parallel { usize::MAX } else { 1 };
        Answer {
            reply: fill(&rule.reply, prompt),
            tool_calls: offered.take(most).map(|call| call.filled(prompt)).collect(),
            ttft: rule.ttft_ms.map(Duration::from_millis),
            token_interval: rule.token_interval_ms.map(Duration::from_millis),
        }
    }
}

impl ScriptedToolCall {
    fn filled(&self, prompt: &Prompt) -> Self {
        Self { name: self.name.clone(), arguments: fill_value(&self.arguments, prompt) }
    }
}

fn fill_value(value: &Value, prompt: &Prompt) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, prompt)),
        Value::Array(items) => items.iter().map(|item| fill_value(item, prompt)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), fill_value(field, prompt))).collect(),
        other => other.clone(),
    }
}

/// Puts what the request says in the places of a text. What is no such place stays as it is.
fn fill(text: &str, prompt: &Prompt) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}').and_then(|(place, after)| Some((value_of(place, prompt)?, after))) {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn value_of(place: &str, prompt: &Prompt) -> Option<String> {
    if place == "user" {
        return Some(prompt.user.clone());
    }
    let path = place.strip_prefix("tool")?;
    let result = prompt.result.as_ref().map_or("", |result| result.content.as_str());
    if path.is_empty() {
        return Some(result.into());
    }
    let pointer = path.strip_prefix('.')?.split('.').fold(String::new(), |pointer, part| pointer + "/" + part);
    let parsed: Value = serde_json::from_str(result).unwrap_or_default();
    Some(match parsed.pointer(&pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::prompt::ToolResult, *};

    fn said(text: &str) -> Prompt {
        Prompt { user: text.into(), tools: vec!["book".into()], ..Prompt::default() }
    }

    fn rules() -> Rules {
        serde_json::from_value(json!({
            "rules": [
                {"when": "BOOK", "tool_calls": [{"name": "book", "arguments": {"note": "{user}"}}], "ttft_ms": 30},
                {"when": "book", "reply": "I can't book."},
                {"after_tool": "book", "reply": "Booked for {tool.slots.0.at}{tool.none}; {braces} stay."},
            ],
            "default": {"reply": "Pardon?"}
        }))
        .unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_answers() {
        let answer = rules().answer(&said("Please book it"));
        assert_eq!(answer.tool_calls[0].arguments, json!({"note": "Please book it"}));
        assert_eq!(answer.ttft, Some(Duration::from_millis(30)));
        assert_eq!(rules().answer(&said("hello")).reply, "Pardon?");
    }

    #[test]
    fn a_tool_that_is_not_offered_is_not_called() {
        let prompt = Prompt { tools: Vec::new(), ..said("book") };
        assert_eq!(rules().answer(&prompt).reply, "I can't book.");
        let prompt = Prompt { tool_choice: ToolChoice::None, ..said("book") };
        assert_eq!(rules().answer(&prompt).reply, "I can't book.");
    }

    #[test]
    fn a_tool_result_is_answered_by_the_rule_for_it() {
        let result = ToolResult { name: "book".into(), content: r#"{"slots":[{"at":"noon"}]}"#.into() };
        let prompt = Prompt { result: Some(result), ..said("book") };
        assert_eq!(rules().answer(&prompt).reply, "Booked for noon; {braces} stay.");
    }
}
