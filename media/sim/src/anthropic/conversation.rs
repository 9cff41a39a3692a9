//! The messages of a request: who may say what, and that every tool call has its result.

use serde_json::Value;

use super::{
    error::ApiError,
    request::{Version, required, wrong_type},
};
use crate::model::ToolResult;

/// A tool call that waits for its result: its id and the tool's name.
type Open = (String, String);

/// Checks the messages. Returns the last text the user said, and the last tool result if the messages end with one.
pub(super) fn check(messages: &[Value], version: Version) -> Result<(String, Option<ToolResult>), ApiError> {
    let mut open: Vec<Open> = Vec::new();
    let (mut user, mut result) = (String::new(), None);
    for (index, message) in messages.iter().enumerate() {
        let place = format!("messages.{index}");
        let content = message.get("content").ok_or_else(|| required(&format!("{place}.content")))?;
        match role(message, &place)? {
            Role::User => {
                let results = check_user(content, &place, &open, version)?;
                open.clear();
                let said = text_of(content);
                if !said.is_empty() {
                    user = said;
                }
                result = results.into_iter().next_back();
            }
            Role::Assistant if index == 0 => {
                return Err(ApiError::invalid("messages: first message must use the \"user\" role"));
            }
            Role::Assistant => {
                unanswered(&open, &place)?;
                open = check_assistant(content, &place, version)?;
                result = None;
            }
        }
    }
    match messages.last().map(|message| message["role"] == "assistant") {
        None => Err(ApiError::invalid("messages: at least one message is required")),
        Some(true) if open.is_empty() => {
            let message =
                "This model does not support assistant message prefill. The conversation must end with a user message.";
            Err(ApiError::invalid(message))
        }
        Some(_) => {
            unanswered(&open, &format!("messages.{}", messages.len()))?;
            Ok((user, result))
        }
    }
}

enum Role {
    User,
    Assistant,
}

fn role(message: &Value, place: &str) -> Result<Role, ApiError> {
    match message.get("role").and_then(Value::as_str) {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system") => Err(ApiError::invalid(
            "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input \
             message role.",
        )),
        Some(other) => Err(ApiError::invalid(format!(
            "messages: Unexpected role \"{other}\". Allowed roles are \"user\" or \"assistant\""
        ))),
        None => Err(required(&format!("{place}.role"))),
    }
}

/// Checks what the user says, which begins with the results of all `open` tool calls. Returns the results.
fn check_user(content: &Value, place: &str, open: &[Open], version: Version) -> Result<Vec<ToolResult>, ApiError> {
    let mut open = open.to_vec();
    let (mut results, mut others) = (Vec::new(), false);
    for (index, block) in blocks(content, place)?.iter().enumerate() {
        let place = format!("{place}.content.{index}");
        match kind(block, &place)? {
            "text" => {
                check_text(block, &place)?;
                let cites = block.get("citations").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
                if cites && version >= Version::October2026 {
                    return Err(ApiError::invalid(format!("{place}.text.citations: Extra inputs are not permitted")));
                }
                others = true;
            }
            "image" | "document" | "search_result" => others = true,
            "tool_result" if others => {
                return Err(ApiError::invalid(format!("{place}: `tool_result` blocks must come before other content")));
            }
            "tool_result" => {
                let id = block.get("tool_use_id").and_then(Value::as_str);
                let id = id.ok_or_else(|| required(&format!("{place}.tool_result.tool_use_id")))?;
                let Some(call) = open.iter().position(|(open, _)| open == id) else {
                    return Err(ApiError::invalid(format!(
                        "{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a \
                         corresponding `tool_use` block in the previous message."
                    )));
                };
                let content = block.get("content").map(text_of).unwrap_or_default();
                results.push(ToolResult { name: open.remove(call).1, content });
            }
            other => return Err(unexpected(other, &place)),
        }
    }
    unanswered(&open, place)?;
    Ok(results)
}

/// Checks what the assistant said. Returns its tool calls.
fn check_assistant(content: &Value, place: &str, version: Version) -> Result<Vec<Open>, ApiError> {
    let mut calls: Vec<Open> = Vec::new();
    for (index, block) in blocks(content, place)?.iter().enumerate() {
        let place = format!("{place}.content.{index}");
        match kind(block, &place)? {
            "text" => check_text(block, &place)?,
            "thinking" | "redacted_thinking" => {}
            "document" if version < Version::October2026 => {}
            "tool_use" => {
                let field = |name: &str| {
                    let value = block.get(name).and_then(Value::as_str);
                    value.map(str::to_owned).ok_or_else(|| required(&format!("{place}.tool_use.{name}")))
                };
                if !block.get("input").is_some_and(Value::is_object) {
                    return Err(wrong_type(&format!("{place}.tool_use.input"), "dictionary"));
                }
                let call = (field("id")?, field("name")?);
                if calls.iter().any(|known| known.0 == call.0) {
                    return Err(ApiError::invalid("messages: `tool_use` ids must be unique"));
                }
                calls.push(call);
            }
            other => return Err(unexpected(other, &place)),
        }
    }
    Ok(calls)
}

/// Checks a block of text, which may not be empty.
pub(super) fn check_text(block: &Value, place: &str) -> Result<(), ApiError> {
    match block.get("text").and_then(Value::as_str) {
        None => Err(required(&format!("{place}.text.text"))),
        Some("") => Err(ApiError::invalid("messages: text content blocks must be non-empty")),
        Some(_) => Ok(()),
    }
}

fn unanswered(open: &[Open], place: &str) -> Result<(), ApiError> {
    if open.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = open.iter().map(|(id, _)| id.as_str()).collect();
    Err(ApiError::invalid(format!(
        "{place}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a \
         corresponding `tool_result` block in the next message.",
        ids.join(", ")
    )))
}

/// A message's blocks; a string is one of text, and stands for itself.
fn blocks<'a>(content: &'a Value, place: &str) -> Result<&'a [Value], ApiError> {
    match content {
        Value::String(text) if text.is_empty() => {
            Err(ApiError::invalid(format!("{place}: all messages must have non-empty content")))
        }
        Value::String(_) => Ok(&[]),
        Value::Array(blocks) if blocks.is_empty() => {
            Err(ApiError::invalid(format!("{place}: all messages must have non-empty content")))
        }
        Value::Array(blocks) => Ok(blocks),
        _ => Err(wrong_type(&format!("{place}.content"), "string or list")),
    }
}

fn kind<'a>(block: &'a Value, place: &str) -> Result<&'a str, ApiError> {
    block.get("type").and_then(Value::as_str).ok_or_else(|| required(&format!("{place}.type")))
}

fn unexpected(kind: &str, place: &str) -> ApiError {
    ApiError::invalid(format!("{place}: Input tag '{kind}' does not match any of the expected tags"))
}

/// The text of a content: itself, or its blocks of text.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect(),
        _ => String::new(),
    }
}
