//! A message request, read as strictly as Anthropic reads it.

use serde_json::{Map, Value};

use super::{conversation, error::ApiError, models::ModelEntry};
use crate::model::{Prompt, ToolChoice};

/// The version of the API that a request is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// `2023-06-01`.
    June2023,
    /// `2026-10-21`, which has no sampling parameters any more.
    October2026,
}

/// What of a request matters for its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MessageRequest {
    pub(super) model: String,
    /// What is asked of the model.
    pub(super) prompt: Prompt,
    pub(super) stream: bool,
    /// The most tokens the answer may have.
    pub(super) max_tokens: u64,
    /// Texts that end the answer where they would be said.
    pub(super) stop_sequences: Vec<String>,
    /// Whether the model may think first.
    pub(super) thinks: bool,
    /// A rough count of what was sent: four characters a token.
    pub(super) input_tokens: usize,
}

/// The body's fields that Anthropic documents; any other is refused.
const KNOWN: [&str; 20] = [
    "cache_control",
    "container",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];
/// What an older version or model is asked to be more or less random with.
const SAMPLING: [&str; 3] = ["temperature", "top_k", "top_p"];
/// How many places of a request may be marked for caching.
const BREAKPOINTS: usize = 4;

impl Version {
    pub(super) fn parse(header: Option<&str>) -> Result<Self, ApiError> {
        match header {
            None => Err(ApiError::invalid("anthropic-version: header is required")),
            Some("2023-06-01") => Ok(Self::June2023),
            Some("2026-10-21") => Ok(Self::October2026),
            Some(other) => Err(ApiError::invalid(format!("anthropic-version: \"{other}\" is not a valid version"))),
        }
    }
}

impl MessageRequest {
    /// Reads a request's body. `model` finds a model by its name.
    pub(super) fn parse<'a>(
        body: &[u8],
        version: Version,
        model: impl FnOnce(&str) -> Option<&'a ModelEntry>,
    ) -> Result<Self, ApiError> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::invalid(format!("The request body is not valid JSON: {error}")))?;
        let fields = body.as_object().ok_or_else(|| ApiError::invalid("Input should be a valid dictionary"))?;
        if let Some(unknown) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(extra(unknown));
        }
        let name = text(fields, "model")?.ok_or_else(|| required("model"))?;
        let entry = model(name);
        check_sampling(fields, version, entry)?;
        let max_tokens = fields.get("max_tokens").ok_or_else(|| required("max_tokens"))?;
        let max_tokens = (max_tokens.as_u64().filter(|most| *most > 0))
            .ok_or_else(|| ApiError::invalid("max_tokens: Input should be an integer greater than or equal to 1"))?;
        let messages = fields.get("messages").ok_or_else(|| required("messages"))?;
        let messages = messages.as_array().ok_or_else(|| wrong_type("messages", "list"))?;
        let system = check_system(fields)?;
        let (user, result) = conversation::check(messages, version)?;
        let tools = tools(fields)?;
        let (tool_choice, parallel) = tool_choice(fields, &tools)?;
        let stop_sequences = strings(fields, "stop_sequences")?;
        let breakpoints = count_breakpoints(&body);
        if breakpoints > BREAKPOINTS {
            let message =
                format!("A maximum of {BREAKPOINTS} blocks with cache_control may be provided. Found {breakpoints}.");
            return Err(ApiError::invalid(message));
        }
        let offered = fields.get("tools").map_or(0, |tools| tools.to_string().len());
        Ok(Self {
            model: entry.map_or(name, |entry| &entry.id).to_owned(),
            prompt: Prompt { user, tools, tool_choice, parallel, result },
            stream: flag(fields, "stream")?.unwrap_or(false),
            max_tokens,
            stop_sequences,
            thinks: thinks(fields)?,
            input_tokens: (system + offered + messages.iter().map(|it| it.to_string().len()).sum::<usize>()) / 4,
        })
    }
}

fn check_sampling(fields: &Map<String, Value>, version: Version, model: Option<&ModelEntry>) -> Result<(), ApiError> {
    let Some(name) = SAMPLING.into_iter().find(|name| fields.contains_key(*name)) else { return Ok(()) };
    if version >= Version::October2026 {
        return Err(extra(name));
    }
    if model.is_some_and(|model| !model.sampling) {
        return Err(ApiError::invalid(format!("`{name}` is not supported by this model.")));
    }
    let sensible =
        |name: &str| fields.get(name).is_none_or(|value| value.as_f64().is_some_and(|it| (0.0..=1.0).contains(&it)));
    match ["temperature", "top_p"].into_iter().find(|name| !sensible(name)) {
        Some(name) => Err(ApiError::invalid(format!("{name}: Input should be between 0 and 1"))),
        None => Ok(()),
    }
}

/// Checks the system prompt and tells its length.
fn check_system(fields: &Map<String, Value>) -> Result<usize, ApiError> {
    match fields.get("system") {
        None => Ok(0),
        Some(Value::String(text)) => Ok(text.len()),
        Some(Value::Array(blocks)) => {
            for (index, block) in blocks.iter().enumerate() {
                conversation::check_text(block, &format!("system.{index}"))?;
            }
            Ok(blocks.iter().map(|block| block.to_string().len()).sum())
        }
        Some(_) => Err(wrong_type("system", "string or list")),
    }
}

fn tools(fields: &Map<String, Value>) -> Result<Vec<String>, ApiError> {
    let Some(tools) = fields.get("tools") else { return Ok(Vec::new()) };
    let tools = tools.as_array().ok_or_else(|| wrong_type("tools", "list"))?;
    let mut names: Vec<String> = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let place = format!("tools.{index}");
        let allowed = |name: &&str| {
            (1..=128).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let name = tool.get("name").and_then(Value::as_str).ok_or_else(|| required(&format!("{place}.name")))?;
        let name = Some(name).filter(allowed).ok_or_else(|| {
            ApiError::invalid(format!("{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"))
        })?;
        let schema = tool.get("input_schema").ok_or_else(|| required(&format!("{place}.input_schema")))?;
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(ApiError::invalid(format!("{place}.input_schema.type: Input should be 'object'")));
        }
        if names.iter().any(|known| known == name) {
            return Err(ApiError::invalid("tools: Tool names must be unique."));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Which tools may be called, and whether several at once.
fn tool_choice(fields: &Map<String, Value>, tools: &[String]) -> Result<(ToolChoice, bool), ApiError> {
    let Some(choice) = fields.get("tool_choice") else { return Ok((ToolChoice::Auto, true)) };
    if tools.is_empty() {
        return Err(ApiError::invalid("tool_choice may only be specified while providing tools."));
    }
    let choice = choice.as_object().ok_or_else(|| wrong_type("tool_choice", "dictionary"))?;
    let parallel = !flag(choice, "disable_parallel_tool_use")?.unwrap_or(false);
    let chosen = match choice.get("type").and_then(Value::as_str) {
        Some("auto") => ToolChoice::Auto,
        Some("any") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") => {
            let name = text(choice, "name")?.ok_or_else(|| required("tool_choice.tool.name"))?;
            if !tools.iter().any(|tool| tool == name) {
                return Err(ApiError::invalid(format!("Tool '{name}' not found in provided tools")));
            }
            ToolChoice::Named(name.to_owned())
        }
        _ => {
            let message =
                "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'";
            return Err(ApiError::invalid(message));
        }
    };
    Ok((chosen, parallel))
}

/// Whether the model may think first: it may, unless that is disabled.
fn thinks(fields: &Map<String, Value>) -> Result<bool, ApiError> {
    let effort = fields.get("output_config").and_then(|config| config.get("effort")).and_then(Value::as_str);
    match fields.get("thinking").map(|thinking| thinking.get("type").and_then(Value::as_str)) {
        None | Some(Some("adaptive")) => Ok(true),
        Some(Some("enabled")) => {
            let budget = fields["thinking"].get("budget_tokens").and_then(Value::as_u64);
            if budget.is_some_and(|budget| budget >= 1_024) {
                Ok(true)
            } else {
                Err(ApiError::invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"))
            }
        }
        Some(Some("disabled")) if matches!(effort, Some("xhigh" | "max")) => {
            Err(ApiError::invalid("thinking: may not be disabled with this effort."))
        }
        Some(Some("disabled")) => Ok(false),
        Some(_) => {
            let message =
                "thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'";
            Err(ApiError::invalid(message))
        }
    }
}

/// How many places of a request are marked for caching, at any depth.
fn count_breakpoints(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            let here = usize::from(fields.get("cache_control").is_some_and(|control| !control.is_null()));
            // A tool's schema and its input are the customer's own, whatever their fields are called.
            let theirs = |name: &&String| *name == "input_schema" || *name == "input";
            here + fields.iter().filter(|(name, _)| !theirs(name)).map(|(_, it)| count_breakpoints(it)).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count_breakpoints).sum(),
        _ => 0,
    }
}

fn strings(fields: &Map<String, Value>, name: &str) -> Result<Vec<String>, ApiError> {
    let Some(list) = fields.get(name) else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or_else(|| wrong_type(name, "list"))?;
    let text = |(index, value): (usize, &Value)| {
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| ApiError::invalid(format!("{name}.{index}: each stop sequence must contain non-whitespace")))
    };
    list.iter().enumerate().map(text).collect()
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, ApiError> {
    fields.get(name).map(|value| value.as_str().ok_or_else(|| wrong_type(name, "string"))).transpose()
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<Option<bool>, ApiError> {
    fields.get(name).map(|value| value.as_bool().ok_or_else(|| wrong_type(name, "boolean"))).transpose()
}

pub(super) fn required(place: &str) -> ApiError {
    ApiError::invalid(format!("{place}: Field required"))
}

pub(super) fn extra(place: &str) -> ApiError {
    ApiError::invalid(format!("{place}: Extra inputs are not permitted"))
}

pub(super) fn wrong_type(place: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("{place}: Input should be a valid {expected}"))
}
