//! An example for every body and every refusal.
//!
//! Types carry examples of what is theirs; what is made of them (envelopes, pages, bodies) is put together here from its schema, so that
//! a route has examples without repeating any, and they cannot contradict its types. The other way, an example written at each route,
//! would be stale with the first field that is added.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{
    Content, OpenApi, RefOr, Response,
    example::{Example, ExampleBuilder},
    path::Operation,
};

use super::common::operations_mut;

/// When all that examples tell of happens.
const NOW: &str = "2026-11-28T09:30:00Z";
/// How deep a schema is followed, which a recursive one would be for ever.
const DEEPEST: usize = 40;

/// What is not there, by what stands before its id in a path or by the key that names it in a body.
const NOT_FOUND: [(&str, &str, &str, &str); 6] = [
    ("/v1/integrations/credentials/", "credential_id", "CREDENTIAL_NOT_FOUND", "Integration credential not found"),
    ("/v1/integrations/installed/", "", "INSTALLATION_NOT_FOUND", "Installed integration not found"),
    ("/v1/integrations/", "integration_id", "INTEGRATION_NOT_FOUND", "Integration not found"),
    ("/v1/voice-agents/", "agent_id", "AGENT_NOT_FOUND", "Voice agent not found"),
    ("/v1/phone-numbers/", "", "PHONE_NUMBER_NOT_FOUND", "Phone number not found"),
    ("/v1/conversations/", "conversation_id", "CONVERSATION_NOT_FOUND", "Conversation not found"),
];

/// Gives every JSON body that has none an example, and every refusal one for each `error_code` that it may have.
pub(super) fn complete(document: &mut OpenApi) {
    let schemas: BTreeMap<String, Value> = document
        .components
        .iter()
        .flat_map(|components| &components.schemas)
        .filter_map(|(name, schema)| Some((name.clone(), serde_json::to_value(schema).ok()?)))
        .collect();
    let schemas = Schemas(schemas);
    for (path, item) in &mut document.paths.paths {
        for (_, operation) in operations_mut(item) {
            complete_operation(path, operation, &schemas);
        }
    }
}

fn complete_operation(path: &str, operation: &mut Operation, schemas: &Schemas) {
    let mut named = Vec::new();
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for (kind, content) in &mut body.content {
            if let RefOr::T(content) = content
                && is_json(kind)
            {
                fill(content, schemas);
                named = content
                    .example
                    .as_ref()
                    .and_then(Value::as_object)
                    .map_or(named, |it| it.keys().cloned().collect());
            }
        }
    }
    let description = operation.description.clone().or_else(|| operation.summary.clone()).unwrap_or_default();
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        refuse(path, &named, &description, status, response);
        for (kind, content) in &mut response.content {
            if let RefOr::T(content) = content
                && is_json(kind)
            {
                fill(content, schemas);
            }
        }
    }
}

fn is_json(kind: &str) -> bool {
    kind.starts_with("application/json")
}

fn fill(content: &mut Content, schemas: &Schemas) {
    if content.example.is_some() || !content.examples.is_empty() {
        return;
    }
    if let Some(schema) = &content.schema
        && let Ok(schema) = serde_json::to_value(schema)
    {
        content.example = schemas.example(&schema, "", DEEPEST);
    }
}

/// The components, as JSON.
struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// What a schema says for itself, or what it is made of.
    fn example(&self, schema: &Value, key: &str, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        for word in ["example", "const", "default"] {
            if let Some(value) = schema.get(word) {
                return Some(value.clone());
            }
        }
        if let Some(value) = schema["examples"].get(0).or_else(|| schema["enum"].get(0)) {
            return Some(value.clone());
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/components/schemas/")) {
            return self.example(self.0.get(name)?, key, depth);
        }
        if let Some(all) = schema["allOf"].as_array() {
            let mut whole = Map::new();
            for part in all {
                if let Some(Value::Object(part)) = self.example(part, key, depth) {
                    whole.extend(part);
                }
            }
            return Some(whole.into());
        }
        if let Some(either) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let said = either.iter().find(|it| it["type"] != "null")?;
            return self.example(said, key, depth);
        }
        match kind(schema) {
            "object" => Some(self.object(schema, depth)),
            "array" => Some(self.example(&schema["items"], key, depth).map_or(json!([]), |item| json!([item]))),
            "string" => Some(text(schema, key).into()),
            "integer" => Some(schema.get("minimum").cloned().unwrap_or_else(|| 1.into())),
            "number" => Some(schema.get("minimum").cloned().unwrap_or_else(|| 0.5.into())),
            "boolean" => Some((key == "success").into()),
            _ => None,
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let example = self.example(property, key, depth);
            let required = schema["required"].as_array().is_some_and(|required| required.iter().any(|it| it == key));
            let example = example.unwrap_or_default();
            if required || !example.is_null() {
                object.insert(key.clone(), example);
            }
        }
        object.into()
    }
}

/// The type of a schema; the first that is not null, if it has several.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|it| *it != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    }
}

fn text(schema: &Value, key: &str) -> String {
    match schema["format"].as_str() {
        Some("uuid") => id(key),
        Some("date-time") => NOW.to_owned(),
        Some("date") => NOW[..10].to_owned(),
        Some("uri") => "https://example.com".to_owned(),
        Some("email") => "ada@example.com".to_owned(),
        _ if key == "message" => "What was done, for people".to_owned(),
        _ => "text".to_owned(),
    }
}

/// An id of its own for each key, the same every time.
fn id(key: &str) -> String {
    let sum =
        key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("019acb5e-5b40-7{:03x}-8{:03x}-{:012x}", sum & 0xfff, (sum >> 12) & 0xfff, sum >> 16)
}

/// Examples of the refusals that go with a status.
fn refuse(path: &str, named: &[String], description: &str, status: &str, response: &mut Response) {
    let about = response.description.clone();
    let Some(RefOr::T(content)) = response.content.get_mut("application/json") else { return };
    if !content.examples.is_empty() || content.example.is_some() || !is_error(content) {
        return;
    }
    for (code, message, details) in refusals(path, named, description, status, &about) {
        let value = json!({
            "success": false, "message": message, "error_code": code, "details": details, "timestamp": NOW
        });
        let example: Example = ExampleBuilder::new().value(Some(value)).build();
        content.examples.insert(code, example.into());
    }
}

fn is_error(content: &Content) -> bool {
    let schema = content.schema.as_ref().and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default();
    schema["$ref"] == "#/components/schemas/ErrorBody"
}

fn refusals(
    path: &str,
    named: &[String],
    description: &str,
    status: &str,
    about: &str,
) -> Vec<(String, String, Value)> {
    let one = |code: &str, message: &str, details: Value| vec![(code.to_owned(), message.to_owned(), details)];
    let fields = |field: &str, message: &str| json!({ "fields": [{ "field": field, "message": message }] });
    match status {
        "400" => one("VALIDATION_ERROR", "The body is not JSON: expected value at line 1 column 1", Value::Null),
        "401" => one("AUTH_INVALID", "The token has expired", Value::Null),
        "403" if path.starts_with("/webhooks/") || path.starts_with("/v1/webhooks/twilio") => {
            one("WEBHOOK_SIGNATURE_INVALID", "The signature is missing or wrong", Value::Null)
        }
        "403" => one("TENANT_ACCESS_DENIED", "This needs the role admin or a higher one", Value::Null),
        "404" => not_found(path, named),
        "408" => one("REQUEST_TIMEOUT", "The request took too long", Value::Null),
        "409" => {
            let mut conflicts = one("CONFLICT", about, Value::Null);
            if format!("{about} {description}").contains("test") {
                let details = json!({ "vendor": "openai", "status": 401, "code": "invalid_api_key" });
                conflicts.extend(one("INTEGRATION_TEST_FAILED", "openai does not take the key", details));
            }
            conflicts
        }
        "413" => one("PAYLOAD_TOO_LARGE", "The body is too large", Value::Null),
        "415" => one("UNSUPPORTED_MEDIA_TYPE", "The body must be application/json", Value::Null),
        "416" => {
            one("VALIDATION_ERROR", "The range lies behind the recording's end: it has 5888044 bytes", Value::Null)
        }
        "422" => match named.first() {
            Some(key) => one("VALIDATION_ERROR", "Request validation failed", fields(key, "is required")),
            None => one("VALIDATION_ERROR", "Request validation failed", fields("limit", "must be between 1 and 100")),
        },
        "429" => one("RATE_LIMITED", "Too many requests: try again in 7 s", Value::Null),
        "502" => one("EXTERNAL_API_ERROR", "twilio failed", json!({ "vendor": "twilio", "status": 500, "code": null })),
        "503" => one("OVERLOADED", "The database is unavailable; try again", Value::Null),
        status if status.starts_with('5') => one(
            "SERVER_ERROR",
            "Internal server error",
            json!({ "request_id": "019acb5e-5b40-7000-8000-000000000001" }),
        ),
        _ => Vec::new(),
    }
}

/// What may not be there: what the path names, and what the body does.
fn not_found(path: &str, named: &[String]) -> Vec<(String, String, Value)> {
    let known =
        |(_, _, code, message): &(&str, &str, &str, &str)| ((*code).to_owned(), (*message).to_owned(), Value::Null);
    let of_path =
        NOT_FOUND.iter().find(|(prefix, ..)| path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('{')));
    let of_body = NOT_FOUND.iter().filter(|(_, key, ..)| named.iter().any(|name| name == key));
    let mut all: Vec<_> = of_path.into_iter().chain(of_body).map(known).collect();
    if all.is_empty() {
        all.push(("NOT_FOUND".to_owned(), "Resource not found".to_owned(), Value::Null));
    }
    all
}
