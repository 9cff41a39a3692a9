//! The description of a configuration, made as lenient as its reader: a key that need not be there may also be `null`.

use utoipa::openapi::{
    OpenApi, Ref, RefOr, Schema,
    schema::{AdditionalProperties, ArrayItems, Object, OneOf, OneOfBuilder, SchemaType, Type},
};

/// The types of which a configuration consists.
const PARTS: [&str; 24] = [
    "AgentConfig",
    "AiConfig",
    "AiFallback",
    "AnalysisConfig",
    "CallConfig",
    "Dtmf",
    "Greeting",
    "Idle",
    "InterruptionProfile",
    "Interruptions",
    "Knowledge",
    "Pronunciation",
    "Recording",
    "SpeechConfig",
    "SpeechFallback",
    "Tool",
    "TransferTarget",
    "TurnConfig",
    "TurnProfile",
    "TurnProfiles",
    "VoiceConfig",
    "VoiceFallback",
    "VoiceSettings",
    "Voicemail",
];

/// Lists of texts: in which type, under which key, and how long each text may be, in characters.
const TEXTS: [(&str, &str, usize); 5] = [
    ("AnalysisConfig", "outcomes", 100),
    ("AnalysisConfig", "tags", 100),
    ("Idle", "prompts", 1000),
    ("Interruptions", "backchannels", 50),
    ("SpeechConfig", "keyterms", 100),
];

/// Says what the types cannot say of themselves.
pub(super) fn complete(api: &mut OpenApi) {
    let Some(components) = &mut api.components else { return };
    for (name, key, longest) in TEXTS {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(name)
            && let Some(RefOr::T(Schema::Array(list))) = object.properties.get_mut(key)
            && let ArrayItems::RefOrSchema(item) = &mut list.items
            && let RefOr::T(Schema::Object(text)) = item.as_mut()
        {
            (text.min_length, text.max_length) = (Some(1), Some(longest));
        }
    }
    if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut("AiConfig")
        && let Some(RefOr::T(Schema::Object(variables))) = object.properties.get_mut("variables")
    {
        let text = || Object::builder().schema_type(Type::String);
        let name = text().pattern(Some("^[A-Za-z_][A-Za-z0-9_.]{0,63}$")).build();
        let mut value = text().max_length(Some(2000)).build();
        add_null(&mut value.schema_type);
        let value = Schema::Object(value);
        variables.property_names = Some(Box::new(name.into()));
        variables.additional_properties = Some(Box::new(AdditionalProperties::RefOr(value.into())));
        variables.max_properties = Some(100);
    }
    null_is_the_default(api);
}

/// Lets `null` stand for the default in every part of a configuration.
fn null_is_the_default(api: &mut OpenApi) {
    let Some(components) = &mut api.components else { return };
    for name in PARTS {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(name) {
            nullable(object);
        }
    }
}

/// Lets `null` stand for every property that is not required.
pub(super) fn nullable(object: &mut Object) {
    for (name, property) in &mut object.properties {
        if object.required.contains(name) {
            continue;
        }
        match property {
            RefOr::T(Schema::Object(property)) => {
                add_null(&mut property.schema_type);
                if let Some(values) = &mut property.enum_values
                    && !values.contains(&serde_json::Value::Null)
                {
                    values.push(serde_json::Value::Null);
                }
            }
            RefOr::T(Schema::Array(property)) => add_null(&mut property.schema_type),
            RefOr::T(Schema::OneOf(either)) => {
                if !either.items.iter().any(is_null) {
                    either.items.insert(0, null());
                }
            }
            RefOr::T(Schema::AllOf(all)) => {
                if let [RefOr::Ref(one)] = all.items.as_slice() {
                    let mut either = or_null(one.clone());
                    either.default = all.default.take();
                    either.description = all.description.take();
                    *property = Schema::OneOf(either).into();
                }
            }
            RefOr::Ref(one) => *property = Schema::OneOf(or_null(one.clone())).into(),
            RefOr::T(_) => {}
        }
    }
}

fn or_null(one: Ref) -> OneOf {
    OneOfBuilder::new().item(null()).item(one).build()
}

fn null() -> RefOr<Schema> {
    Schema::Object(Object::with_type(Type::Null)).into()
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

fn add_null(kind: &mut SchemaType) {
    match kind {
        SchemaType::Type(one) if *one != Type::Null => *kind = SchemaType::from_iter([one.clone(), Type::Null]),
        SchemaType::Array(many) if !many.contains(&Type::Null) => many.push(Type::Null),
        SchemaType::Type(_) | SchemaType::Array(_) | SchemaType::AnyValue => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::agents::config::AgentConfig;

    /// A document with a value at a JSON pointer.
    fn with(pointer: &str, value: Value) -> Value {
        let mut document = json!({
            "name": "Ada", "voice_config": { "voice_id": "v" },
            "ai_config": { "provider": "openai", "model": "gpt-4", "instructions": "Be kind." }
        });
        let mut place = &mut document;
        for key in pointer.split('/').skip(1) {
            place = &mut place[key];
        }
        *place = value;
        document
    }

    fn described() -> Value {
        serde_json::to_value(super::super::router().into_openapi()).unwrap()["components"]["schemas"].clone()
    }

    #[test]
    fn lists_of_texts_are_limited_as_described() {
        for (name, key, pointer) in [
            ("AnalysisConfig", "outcomes", "/analysis_config/outcomes"),
            ("AnalysisConfig", "tags", "/analysis_config/tags"),
            ("Idle", "prompts", "/call_config/idle/prompts"),
            ("Interruptions", "backchannels", "/turn_config/interruptions/backchannels"),
            ("SpeechConfig", "keyterms", "/speech_config/keyterms"),
        ] {
            let list = &described()[name]["properties"][key];
            let longest = usize::try_from(list["items"]["maxLength"].as_u64().unwrap()).unwrap();
            let most = usize::try_from(list["maxItems"].as_u64().unwrap()).unwrap();
            let reads = |value: Value| AgentConfig::from_value(with(pointer, value)).is_ok();
            assert!(reads(json!(vec!["é".repeat(longest); most])), "{pointer}");
            assert!(!reads(json!(["é".repeat(longest + 1)])), "{pointer}");
            assert!(!reads(json!([""])), "{pointer}");
            assert!(!reads(json!(vec!["x"; most + 1])), "{pointer}");
        }
    }

    #[test]
    fn variables_are_named_as_described() {
        let variables = &described()["AiConfig"]["properties"]["variables"];
        assert_eq!(variables["propertyNames"]["pattern"], "^[A-Za-z_][A-Za-z0-9_.]{0,63}$");
        assert_eq!(
            (&variables["maxProperties"], &variables["additionalProperties"]["maxLength"]),
            (&json!(100), &json!(2000))
        );
        let reads = |name: &str, value: String| {
            AgentConfig::from_value(with("/ai_config/variables", json!({ (name): value }))).is_ok()
        };
        assert!(reads(&format!("_{}", "a.9".repeat(21)), "é".repeat(2000)));
        assert!(!reads("a", "é".repeat(2001)));
        for name in ["", "1a", ".a", "a b", "é", &"a".repeat(65)] {
            assert!(!reads(name, String::new()), "{name}");
        }
    }

    /// Whatever a part is described to take at the ends of a range, it takes; and nothing beyond.
    #[test]
    fn numbers_are_limited_as_described() {
        let parts = [
            ("AiConfig", "/ai_config"),
            ("AnalysisConfig", "/analysis_config"),
            ("Dtmf", "/call_config/dtmf"),
            ("Idle", "/call_config/idle"),
            ("CallConfig", "/call_config"),
            ("Interruptions", "/turn_config/interruptions"),
            ("Knowledge", "/knowledge"),
            ("VoiceSettings", "/voice_config/settings"),
        ];
        let schemas = described();
        let mut checked = 0;
        for (name, pointer) in parts {
            for (key, schema) in schemas[name]["properties"].as_object().unwrap() {
                let (Some(least), Some(most)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64()) else {
                    continue;
                };
                let whole = schema["type"] == json!(["integer", "null"]);
                let number = |value: f64| if whole { json!(value as i64) } else { json!(value) };
                let step = if whole { 1.0 } else { 0.01 };
                let reads = |value| AgentConfig::from_value(with(&format!("{pointer}/{key}"), value)).is_ok();
                assert!(reads(number(least)) && reads(number(most)) && reads(Value::Null), "{pointer}/{key}");
                assert!(!reads(number(most + step)) && !reads(number(least - step)), "{pointer}/{key}");
                checked += 1;
            }
        }
        assert!(checked >= 16, "{checked}");
    }
}
