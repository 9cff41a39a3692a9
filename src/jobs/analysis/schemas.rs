//! Agents' own schemas of what to extract, compiled once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

/// The largest, in bytes of JSON: as agents are refused with.
const LARGEST: usize = 16 * 1024;
/// How many are kept.
const KEPT: usize = 256;
/// How large a pattern may be when it is compiled, in bytes.
const LARGEST_PATTERN: usize = 1024 * 1024;

/// A schema that can be validated by.
pub(super) struct Schema {
    /// As the model is told.
    pub(super) json: String,
    pub(super) value: Value,
    pub(super) validator: Validator,
}

/// Schemas by their JSON.
#[derive(Default)]
pub(super) struct Schemas(Mutex<HashMap<String, Arc<Schema>>>);

impl Schemas {
    /// A schema, or why it is none. It is a tenant's: nothing is fetched for it, and its patterns take linear time.
    pub(super) fn compiled(&self, schema: &Map<String, Value>) -> Result<Arc<Schema>, String> {
        let value = Value::Object(schema.clone());
        let json = value.to_string();
        if json.len() > LARGEST {
            return Err(format!("the agent's extraction_schema has more than {LARGEST} bytes"));
        }
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&json) {
            return Ok(known.clone());
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex().size_limit(LARGEST_PATTERN))
            .build(&value)
            .map_err(|error| format!("the agent's extraction_schema is no JSON Schema: {error}"))?;
        let compiled = Arc::new(Schema { json: json.clone(), value, validator });
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(json, compiled.clone());
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compiled(schema: Value) -> Result<Arc<Schema>, String> {
        let Value::Object(schema) = schema else { panic!("{schema}") };
        Schemas::default().compiled(&schema)
    }

    #[test]
    fn what_a_schema_says_holds_and_nothing_is_fetched_for_it() {
        let schema = compiled(json!({
            "type": "object", "required": ["guests"],
            "properties": { "guests": { "$ref": "#/$defs/few" }, "code": { "type": "string", "pattern": "^(a+)+$" } },
            "$defs": { "few": { "type": "integer", "maximum": 8 } }
        }))
        .unwrap();
        assert!(schema.validator.is_valid(&json!({ "guests": 8, "code": "aaa" })));
        assert!(!schema.validator.is_valid(&json!({ "guests": 9 })));
        // A pattern that would never end if it were tried in every way.
        assert!(!schema.validator.is_valid(&json!({ "guests": 1, "code": format!("{}b", "a".repeat(50_000)) })));
        for wrong in [
            json!({ "type": "object", "properties": { "a": { "$ref": "https://example.com/schema.json" } } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "file:///etc/passwd" } } }),
            json!({ "type": "object", "properties": { "a": { "pattern": "(" } } }),
            json!({ "type": "object", "required": 5 }),
            json!({ "type": "object", "description": "x".repeat(LARGEST) }),
        ] {
            let error = compiled(wrong.clone()).err().unwrap_or_else(|| panic!("{wrong} is a schema"));
            assert!(error.starts_with("the agent's extraction_schema"), "{error}");
        }
    }
}
