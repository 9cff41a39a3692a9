//! A chat completion request, read as strictly as OpenAI reads it.

use serde_json::{Map, Value};

use super::error::ApiError;
use crate::model::{Prompt, ToolChoice, ToolResult};

/// What of a request matters for its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChatRequest {
    pub(super) model: String,
    /// What is asked of the model.
    pub(super) prompt: Prompt,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) include_obfuscation: bool,
    /// What the answer has to be.
    pub(super) format: Format,
    /// The most tokens the answer may have.
    pub(super) max_tokens: Option<u64>,
    /// A rough count of what was sent: four characters a token.
    pub(super) prompt_tokens: usize,
}

/// What an answer has to be. The model's answers are scripted, so this is checked and nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Schema,
}

impl ChatRequest {
    /// Reads a request's body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let body: Value = serde_json::from_slice(body).map_err(|error| {
            ApiError::invalid(format!("We could not parse the JSON body of your request. ({error})"), "")
        })?;
        let fields = body.as_object().ok_or_else(|| ApiError::invalid("The body must be a JSON object.", ""))?;
        if let Some(unknown) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(ApiError::invalid(format!("Unrecognized request argument supplied: {unknown}"), unknown));
        }
        let model = fields.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| ApiError::invalid("you must provide a model parameter", "model"))?;
        let messages = fields.get("messages").and_then(Value::as_array).filter(|messages| !messages.is_empty());
        let messages =
            messages.ok_or_else(|| ApiError::invalid("Missing required parameter: 'messages'.", "messages"))?;
        // The model has to answer the last of the results.
        let result = check_messages(messages)?.pop();
        let tools = tools(fields)?;
        let tool_choice = tool_choice(fields, &tools)?;
        let stream = flag(fields, "stream")?.unwrap_or(false);
        let options = match present(fields, "stream_options") {
            Some(_) if !stream => {
                let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
                return Err(ApiError::invalid(message, "stream_options"));
            }
            Some(options) => options.as_object().ok_or_else(|| wrong_type("stream_options", "an object"))?.clone(),
            None => Map::new(),
        };
        let parallel_tool_calls = flag(fields, "parallel_tool_calls")?;
        if parallel_tool_calls.is_some() && tools.is_empty() {
            let message = "'parallel_tool_calls' is only allowed when 'tools' are specified.";
            return Err(ApiError::invalid(message, "parallel_tool_calls"));
        }
        Ok(Self {
            model: model.into(),
            prompt: Prompt {
                user: messages.iter().rfind(|message| role(message) == "user").map(text_of).unwrap_or_default(),
                tools,
                tool_choice,
                parallel: parallel_tool_calls.unwrap_or(true),
                result,
            },
            stream,
            include_usage: flag(&options, "include_usage")?.unwrap_or(false),
            include_obfuscation: flag(&options, "include_obfuscation")?.unwrap_or(true),
            format: format(fields, messages)?,
            max_tokens: most_tokens(fields)?,
            prompt_tokens: messages.iter().map(|message| message.to_string().len()).sum::<usize>() / 4,
        })
    }
}

/// The body's fields OpenAI documents; any other is refused.
const KNOWN: [&str; 36] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
];

/// Checks the messages and that every tool call has its result. Returns the results the messages end with.
fn check_messages(messages: &[Value]) -> Result<Vec<ToolResult>, ApiError> {
    let mut results = Vec::new();
    let mut open: Vec<(String, String)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let place = format!("messages.[{index}]");
        if role(message) == "tool" {
            let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or_default();
            let Some(call) = open.iter().position(|(open, _)| open == id) else {
                let message = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                return Err(ApiError::invalid(message, place + ".role"));
            };
            check_content(message, &place)?;
            results.push(ToolResult { name: open.remove(call).1, content: text_of(message) });
            continue;
        }
        unanswered(&open, &place)?;
        results.clear();
        match role(message) {
            "assistant" => {
                open = calls_of(message, &place)?;
                if open.is_empty() || message.get("content").is_some_and(|content| !content.is_null()) {
                    check_content(message, &place)?;
                }
            }
            "system" | "developer" | "user" => check_content(message, &place)?,
            other => {
                let supported = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'";
                let message = format!("Invalid value: '{other}'. Supported values are: {supported}.");
                return Err(ApiError::invalid(message, place + ".role").with_code("invalid_value"));
            }
        }
    }
    unanswered(&open, &format!("messages.[{}]", messages.len()))?;
    Ok(results)
}

fn unanswered(open: &[(String, String)], place: &str) -> Result<(), ApiError> {
    if open.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = open.iter().map(|(id, _)| id.as_str()).collect();
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following \
         tool_call_ids did not have response messages: {}",
        ids.join(", ")
    );
    Err(ApiError::invalid(message, format!("{place}.role")))
}

/// The ids and function names of an assistant message's tool calls.
fn calls_of(message: &Value, place: &str) -> Result<Vec<(String, String)>, ApiError> {
    let Some(calls) = message.get("tool_calls").filter(|calls| !calls.is_null()) else { return Ok(Vec::new()) };
    let place = format!("{place}.tool_calls");
    let calls =
        calls.as_array().filter(|calls| !calls.is_empty()).ok_or_else(|| wrong_type(&place, "a non-empty array"))?;
    let mut found = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let text = |pointer: &str, name: &str| {
            let value = call.pointer(pointer).and_then(Value::as_str);
            value.ok_or_else(|| wrong_type(&format!("{place}[{index}].{name}"), "a string"))
        };
        let id = text("/id", "id")?;
        if text("/type", "type")? != "function" {
            return Err(wrong_type(&format!("{place}[{index}].type"), "'function'"));
        }
        text("/function/arguments", "function.arguments")?;
        found.push((id.to_owned(), text("/function/name", "function.name")?.to_owned()));
    }
    Ok(found)
}

fn check_content(message: &Value, place: &str) -> Result<(), ApiError> {
    match message.get("content") {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) if parts.iter().all(|part| part.get("type").is_some_and(Value::is_string)) => Ok(()),
        _ => Err(wrong_type(&format!("{place}.content"), "a string or an array of content parts")),
    }
}

fn tools(fields: &Map<String, Value>) -> Result<Vec<String>, ApiError> {
    let Some(tools) = present(fields, "tools") else { return Ok(Vec::new()) };
    let tools = tools.as_array().ok_or_else(|| wrong_type("tools", "an array of objects"))?;
    if tools.is_empty() {
        return Err(ApiError::invalid(
            "Invalid 'tools': empty array. Expected an array with minimum length 1.",
            "tools",
        ));
    }
    tools.iter().enumerate().map(|(index, tool)| tool_name(tool, index)).collect()
}

fn tool_name(tool: &Value, index: usize) -> Result<String, ApiError> {
    if tool.get("type").and_then(Value::as_str) != Some("function") {
        return Err(wrong_type(&format!("tools[{index}].type"), "'function'"));
    }
    let allowed = |name: &&str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let name = tool.pointer("/function/name").and_then(Value::as_str).filter(allowed);
    let name = name
        .ok_or_else(|| wrong_type(&format!("tools[{index}].function.name"), "a string matching '^[a-zA-Z0-9_-]+$'"))?;
    match tool.pointer("/function/parameters") {
        Some(schema) if !schema.is_null() && schema.get("type").and_then(Value::as_str) != Some("object") => {
            let message =
                format!("Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.");
            let param = format!("tools[{index}].function.parameters");
            Err(ApiError::invalid(message, param).with_code("invalid_function_parameters"))
        }
        _ => Ok(name.into()),
    }
}

fn tool_choice(fields: &Map<String, Value>, tools: &[String]) -> Result<ToolChoice, ApiError> {
    let Some(choice) = present(fields, "tool_choice") else { return Ok(ToolChoice::Auto) };
    if tools.is_empty() {
        return Err(ApiError::invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice"));
    }
    match choice.as_str() {
        Some("auto") => Ok(ToolChoice::Auto),
        Some("none") => Ok(ToolChoice::None),
        Some("required") => Ok(ToolChoice::Required),
        Some(_) => Err(wrong_type("tool_choice", "'none', 'auto' or 'required'")),
        None => match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) if tools.iter().any(|tool| tool == name) => Ok(ToolChoice::Named(name.into())),
            _ => Err(ApiError::invalid("Tool choice names no function of 'tools'.", "tool_choice")),
        },
    }
}

fn format(fields: &Map<String, Value>, messages: &[Value]) -> Result<Format, ApiError> {
    let Some(format) = present(fields, "response_format") else { return Ok(Format::Text) };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => {
            if !messages.iter().any(|message| text_of(message).to_lowercase().contains("json")) {
                let message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";
                return Err(ApiError::invalid(message, "messages"));
            }
            Ok(Format::Json)
        }
        Some("json_schema") => {
            let named = format.pointer("/json_schema/name").and_then(Value::as_str).is_some_and(|name| {
                (1..=64).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            });
            if !named {
                return Err(wrong_type("response_format.json_schema.name", "a string matching '^[a-zA-Z0-9_-]+$'"));
            }
            if format.pointer("/json_schema/schema/type").and_then(Value::as_str) != Some("object") {
                let message =
                    "Invalid schema for response_format 'answer': schema must be a JSON Schema of 'type: \"object\"'.";
                return Err(ApiError::invalid(message, "response_format"));
            }
            Ok(Format::Schema)
        }
        _ => Err(wrong_type("response_format.type", "'text', 'json_object' or 'json_schema'")),
    }
}

fn most_tokens(fields: &Map<String, Value>) -> Result<Option<u64>, ApiError> {
    let Some(name) = ["max_completion_tokens", "max_tokens"].into_iter().find(|name| present(fields, name).is_some())
    else {
        return Ok(None);
    };
    let most = fields.get(name).and_then(Value::as_u64).filter(|most| *most > 0);
    most.map(Some).ok_or_else(|| wrong_type(name, "a positive integer"))
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<Option<bool>, ApiError> {
    present(fields, name).map(|value| value.as_bool().ok_or_else(|| wrong_type(name, "a boolean"))).transpose()
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn wrong_type(param: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("Invalid type for '{param}': expected {expected}."), param).with_code("invalid_type")
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

/// A message's text: its content, or the text parts of it.
fn text_of(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        _ => String::new(),
    }
}
