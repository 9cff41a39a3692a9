//! What an agent can look up, and what is made of its conversations afterwards.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::check::Checker;

/// Documents that the agent answers from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Knowledge {
    /// The tenant's documents. Up to 100.
    #[schema(max_items = 100)]
    pub document_ids: Vec<Uuid>,
    /// How many passages a question is answered from: 1 to 20. Default: 4.
    #[schema(minimum = 1, maximum = 20)]
    pub top_k: u32,
}

/// What is made of a conversation when it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct AnalysisConfig {
    /// Whether anything is. Default: true.
    pub enabled: bool,
    /// Outcomes to choose from. Up to 50. Default: resolved, unresolved, callback_scheduled, transferred, voicemail, no_interest, other.
    #[schema(max_items = 50)]
    pub outcomes: Vec<String>,
    /// Tags to choose from. Up to 100. Default: any.
    #[schema(max_items = 100)]
    pub tags: Vec<String>,
    /// JSON Schema of what to extract: of type `object`, up to 16 KiB and 16 levels, with no `$ref` but to itself (`#/…`). Default: nothing
    /// is extracted.
    #[schema(value_type = Option<Object>, example = json!({ "type": "object", "properties": { "guests": { "type": "integer" } } }))]
    pub extraction_schema: Option<Map<String, Value>>,
    /// The model that does it, by the agent's own provider. Default: the agent's.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    pub model: Option<String>,
}

impl Knowledge {
    pub(super) fn check(&self, check: &mut Checker) {
        check.count("document_ids", self.document_ids.len(), 0..=100);
        check.range("top_k", self.top_k, 1..=20);
    }
}

impl AnalysisConfig {
    pub(super) fn check(&self, check: &mut Checker) {
        check.texts("outcomes", &self.outcomes, 50, 1..=100);
        check.texts("tags", &self.tags, 100, 1..=100);
        if let Some(model) = &self.model {
            check.model("model", model);
        }
        if let Some(schema) = &self.extraction_schema {
            check.inside("extraction_schema", |check| check_schema(check, schema));
        }
    }
}

/// The largest extraction schema, in bytes of JSON: it is sent to the model with each conversation.
const LARGEST_SCHEMA: usize = 16 * 1024;
/// How deep it may be.
const DEEPEST_SCHEMA: usize = 16;
/// What a schema can call the type of a value.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];
/// Keywords whose value is a schema; a list of schemas; schemas by name.
const SCHEMA: [&str; 11] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const SCHEMAS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED_SCHEMAS: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// What can be said of a JSON Schema by its form. Whatever is wrong beyond that shows in the first analysis, which says so.
fn check_schema(check: &mut Checker, schema: &Map<String, Value>) {
    let size = serde_json::to_vec(schema).map_or(usize::MAX, |json| json.len());
    check.require("", size <= LARGEST_SCHEMA, format!("must have at most {LARGEST_SCHEMA} bytes as JSON"));
    check.require("type", schema.get("type") == Some(&Value::from("object")), "must be \"object\"");
    if size <= LARGEST_SCHEMA {
        check_object(check, schema, DEEPEST_SCHEMA);
    }
}

fn check_subschema(check: &mut Checker, key: &str, schema: &Value, depth: usize) {
    match schema {
        Value::Object(schema) => match depth.checked_sub(1) {
            Some(depth) => check.inside(key, |check| check_object(check, schema, depth)),
            None => check.require(key, false, format!("must not be more than {DEEPEST_SCHEMA} levels deep")),
        },
        Value::Bool(_) => {}
        _ => check.require(key, false, "must be a schema: an object or a boolean"),
    }
}

fn check_object(check: &mut Checker, schema: &Map<String, Value>, depth: usize) {
    for (key, value) in schema {
        match key.as_str() {
            "$ref" | "$dynamicRef" => {
                let is_local = value.as_str().is_some_and(|text| text.starts_with('#'));
                check.require(key, is_local, "must refer to the schema itself: #/…");
            }
            // With a base of its own, `#` would be somewhere else.
            "$id" | "$vocabulary" => check.require(key, false, "is not supported"),
            "type" => {
                let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
                let ok = is_type(value)
                    || value.as_array().is_some_and(|types| !types.is_empty() && types.iter().all(is_type));
                check.require(key, ok, format!("must be one or several of {}", TYPES.join(", ")));
            }
            "required" => {
                let ok = value.as_array().is_some_and(|names| names.iter().all(Value::is_string));
                check.require(key, ok, "must be a list of names");
            }
            "enum" => check.require(key, value.as_array().is_some_and(|it| !it.is_empty()), "must be a list of values"),
            "description" | "title" | "pattern" | "format" => {
                check.require(key, value.is_string(), "must be a text");
            }
            // Before draft 2020-12 a list of schemas stood here too.
            "items" if value.is_array() => check_list(check, key, value, depth),
            name if SCHEMA.contains(&name) => check_subschema(check, key, value, depth),
            name if SCHEMAS.contains(&name) => check_list(check, key, value, depth),
            name if NAMED_SCHEMAS.contains(&name) => match value.as_object() {
                Some(named) => check.inside(key, |check| {
                    for (name, schema) in named {
                        check_subschema(check, name, schema, depth);
                    }
                }),
                None => check.require(key, false, "must be an object of schemas"),
            },
            _ => {}
        }
    }
}

fn check_list(check: &mut Checker, key: &str, value: &Value, depth: usize) {
    match value.as_array() {
        Some(schemas) if !schemas.is_empty() => {
            for (n, schema) in schemas.iter().enumerate() {
                check_subschema(check, &format!("{key}[{n}]"), schema, depth);
            }
        }
        _ => check.require(key, false, "must be a list of schemas"),
    }
}

impl Default for Knowledge {
    fn default() -> Self {
        Self { document_ids: Vec::new(), top_k: 4 }
    }
}

impl Default for AnalysisConfig {
    fn default() -> Self {
        Self { enabled: true, outcomes: Vec::new(), tags: Vec::new(), extraction_schema: None, model: None }
    }
}
