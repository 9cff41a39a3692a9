use serde_json::{Value, json};
use trunkline_base::Personal;

use super::*;

/// Every key that there is, none at its default where it has one.
fn full() -> Value {
    json!({
        "name": "Ada", "description": "Books tables", "is_active": false, "mode": "speech_to_speech",
        "integrations": ["0198d9a5-0000-7000-8000-000000000001"],
        "voice_config": {
            "provider": "elevenlabs", "voice_id": "21m00Tcm4TlvDq8ikWAM", "language": "pt-BR", "model": "eleven_multilingual_v2",
            "settings": {"stability": 0.4, "similarity_boost": 0.8, "style": 0.1, "use_speaker_boost": true, "speed": 1.1},
            "pronunciations": [{"text": "Trunkline", "say": "trunk line"}],
            "fallbacks": [{"provider": "elevenlabs", "voice_id": "other", "model": "eleven_turbo_v2_5"}],
            "background": "office"
        },
        "ai_config": {
            "provider": "claude", "model": "claude-haiku-4-5", "instructions": "Help {{customer_name}}.", "temperature": 0.3,
            "max_output_tokens": 400, "reasoning_effort": "low", "first_token_timeout_ms": 3000, "context_tokens": 20000,
            "fallbacks": [{"provider": "openai", "model": "gpt-4", "first_token_timeout_ms": 1500}],
            "variables": {"customer_name": "there"}
        },
        "speech_config": {
            "provider": "deepgram", "model": "flux-general-multi", "language": "pt", "keyterms": ["Trunkline"],
            "fallbacks": [{"provider": "deepgram", "model": "nova-3", "language": "multi"}]
        },
        "turn_config": {
            "min_endpoint_ms": 300, "max_endpoint_ms": 2500, "eager": false,
            "interruptions": {
                "enabled": false, "min_speech_ms": 250, "min_words": 2, "false_after_ms": 1500, "backchannels": ["aham"]
            },
            "profiles": {
                "speaking": {
                    "min_endpoint_ms": 400, "max_endpoint_ms": 2600, "eager": true,
                    "interruptions": {"enabled": true, "min_speech_ms": 700, "min_words": 3, "false_after_ms": 1000}
                }
            }
        },
        "call_config": {
            "greeting": {"text": "Hello {{customer_name}}!", "interruptible": false},
            "idle": {"after_s": 8, "prompts": ["Hello?", "Still there?"], "hang_up_after": 3},
            "goodbye": "Bye!", "max_duration_s": 600,
            "voicemail": {"action": "leave_message", "message": "Please call back."},
            "recording": {"enabled": true, "consent_text": "This call is recorded."},
            "dtmf": {"collect_ms": 1500, "terminator": "*"},
            "transfer_targets": [{"name": "Front desk", "number": "+14155550100", "mode": "warm"}]
        },
        "tools": [{
            "kind": "http", "name": "find_table", "description": "Finds a table.",
            "parameters": {"type": "object", "properties": {"people": {"type": "integer", "default": null}}},
            "config": {"url": "https://example.com/tables", "body": null}, "timeout_ms": 2500, "side_effects": false,
            "cancel_on_interruption": true, "filler": "Let me look."
        }],
        "knowledge": {"document_ids": ["0198d9a5-0000-7000-8000-000000000002"], "top_k": 6},
        "analysis_config": {
            "enabled": false, "outcomes": ["booked"], "tags": ["vip"],
            "extraction_schema": {"type": "object", "default": null}, "model": "gpt-4"
        },
        "metadata": {"team": "front", "nothing": null}
    })
}

/// Only what is required.
fn least() -> Value {
    json!({
        "name": "Ada", "voice_config": {"voice_id": "v"},
        "ai_config": {"provider": "openai", "model": "gpt-4", "instructions": "Be kind."}
    })
}

/// [`full`] with the value at a JSON pointer replaced.
fn full_with(pointer: &str, value: Value) -> Value {
    let mut document = full();
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in the full document")) = value;
    document
}

fn errors(document: Value) -> Vec<String> {
    let errors = AgentConfig::from_value(document).expect_err("the document is wrong");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn every_key_is_read_and_written_back() {
    let config = AgentConfig::from_json(&full().to_string()).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), full());
    assert_eq!(config.mode, Mode::SpeechToSpeech);
    assert_eq!(config.ai_config.reasoning_effort, Some(ReasoningEffort::Low));
    assert_eq!(config.call_config.transfer_targets[0].number, Personal::new("+14155550100".to_owned()));
    assert!(!format!("{config:?}").contains("4155550100"));
}

#[test]
fn what_is_absent_takes_its_documented_default() {
    let config = AgentConfig::from_value(least()).unwrap();
    assert_eq!(
        serde_json::to_value(&config).unwrap(),
        json!({
            "name": "Ada", "description": null, "is_active": true, "mode": "pipeline", "integrations": [],
            "voice_config": {
                "provider": "elevenlabs", "voice_id": "v", "language": "en-US", "model": "eleven_flash_v2_5",
                "settings": {"stability": null, "similarity_boost": null, "style": null, "use_speaker_boost": null, "speed": null},
                "pronunciations": [], "fallbacks": [], "background": null
            },
            "ai_config": {
                "provider": "openai", "model": "gpt-4", "instructions": "Be kind.", "temperature": null,
                "max_output_tokens": null, "reasoning_effort": null, "first_token_timeout_ms": 4000, "context_tokens": null,
                "fallbacks": [], "variables": {}
            },
            "speech_config": {"provider": "deepgram", "model": "nova-3", "language": null, "keyterms": [], "fallbacks": []},
            "turn_config": {
                "min_endpoint_ms": 500, "max_endpoint_ms": 3000, "eager": true,
                "interruptions": {
                    "enabled": true, "min_speech_ms": 500, "min_words": 0, "false_after_ms": 2000, "backchannels": []
                },
                "profiles": {}
            },
            "call_config": {
                "greeting": {"text": null, "interruptible": true},
                "idle": {"after_s": 10, "prompts": ["Are you still there?"], "hang_up_after": 2},
                "goodbye": null, "max_duration_s": 1800, "voicemail": {"action": "hang_up", "message": null},
                "recording": {"enabled": null, "consent_text": null}, "dtmf": {"collect_ms": 2000, "terminator": "#"},
                "transfer_targets": []
            },
            "tools": [], "knowledge": {"document_ids": [], "top_k": 4},
            "analysis_config": {"enabled": true, "outcomes": [], "tags": [], "extraction_schema": null, "model": null},
            "metadata": {}
        })
    );
    let fallback: AiFallback = serde_json::from_value(json!({"provider": "claude", "model": "m"})).unwrap();
    assert_eq!(fallback.first_token_timeout_ms, 2000);
}

#[test]
fn null_is_the_default_at_any_depth() {
    let mut document = least();
    for key in [
        "description",
        "is_active",
        "mode",
        "integrations",
        "speech_config",
        "turn_config",
        "call_config",
        "tools",
        "knowledge",
        "analysis_config",
        "metadata",
    ] {
        document[key] = Value::Null;
    }
    document["turn_config"] = json!({"min_endpoint_ms": null, "interruptions": {"enabled": null}, "profiles": null});
    assert_eq!(AgentConfig::from_value(document).unwrap(), AgentConfig::from_value(least()).unwrap());
}

#[test]
fn an_unknown_key_is_named_wherever_it_is() {
    let sections = [
        "",
        "/voice_config",
        "/voice_config/settings",
        "/voice_config/pronunciations/0",
        "/voice_config/fallbacks/0",
        "/ai_config",
        "/ai_config/fallbacks/0",
        "/speech_config",
        "/speech_config/fallbacks/0",
        "/turn_config",
        "/turn_config/interruptions",
        "/turn_config/profiles/speaking",
        "/turn_config/profiles/speaking/interruptions",
        "/call_config",
        "/call_config/greeting",
        "/call_config/idle",
        "/call_config/voicemail",
        "/call_config/recording",
        "/call_config/dtmf",
        "/call_config/transfer_targets/0",
        "/tools/0",
        "/knowledge",
        "/analysis_config",
    ];
    for section in sections {
        let mut document = full();
        document.pointer_mut(section).unwrap()["colour"] = json!("red");
        let found = errors(document);
        let path = section.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
        let path = if path.is_empty() { "colour".to_owned() } else { format!("{path}.colour") };
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("{path}: unknown field `colour`, expected ")), "{}", found[0]);
    }
}

#[test]
fn errors_of_shape_have_paths() {
    let mut document = least();
    document["voice_config"].as_object_mut().unwrap().remove("voice_id");
    assert_eq!(errors(document), ["voice_config: missing field `voice_id`"]);
    assert_eq!(errors(full_with("/name", Value::Null)), ["missing field `name`"]);
    assert_eq!(
        errors(full_with("/tools/0/timeout_ms", json!("soon"))),
        ["tools[0].timeout_ms: invalid type: string \"soon\", expected u32"]
    );
    assert_eq!(
        errors(full_with("/voice_config/provider", json!("acme"))),
        ["voice_config.provider: unknown variant `acme`, expected `elevenlabs`"]
    );
    assert!(errors(full_with("/integrations/0", json!("crm")))[0].starts_with("integrations[0]: "));
    let broken = AgentConfig::from_json("{\"name\": ").unwrap_err().to_string();
    assert!(broken.starts_with("EOF while parsing a value at line 1"), "{broken}");
}

#[test]
fn every_range_is_checked_at_both_ends() {
    let numbers: &[(&str, [Value; 2], [Value; 2], &str)] = &[
        ("/voice_config/settings/stability", [json!(0), json!(1)], [json!(-0.01), json!(1.01)], "0 and 1"),
        ("/voice_config/settings/similarity_boost", [json!(0), json!(1)], [json!(-0.01), json!(1.01)], "0 and 1"),
        ("/voice_config/settings/style", [json!(0), json!(1)], [json!(-0.01), json!(1.01)], "0 and 1"),
        ("/voice_config/settings/speed", [json!(0.7), json!(1.2)], [json!(0.69), json!(1.21)], "0.7 and 1.2"),
        ("/ai_config/temperature", [json!(0), json!(1)], [json!(-0.1), json!(1.1)], "0 and 1"),
        ("/ai_config/max_output_tokens", [json!(16), json!(32000)], [json!(15), json!(32001)], "16 and 32000"),
        ("/ai_config/first_token_timeout_ms", [json!(200), json!(60000)], [json!(199), json!(60001)], "200 and 60000"),
        (
            "/ai_config/context_tokens",
            [json!(1000), json!(2_000_000)],
            [json!(999), json!(2_000_001)],
            "1000 and 2000000",
        ),
        (
            "/ai_config/fallbacks/0/first_token_timeout_ms",
            [json!(200), json!(60000)],
            [json!(199), json!(60001)],
            "200 and 60000",
        ),
        ("/turn_config/interruptions/min_speech_ms", [json!(0), json!(5000)], [json!(5001), json!(9999)], "0 and 5000"),
        ("/turn_config/interruptions/min_words", [json!(0), json!(20)], [json!(21), json!(99)], "0 and 20"),
        (
            "/turn_config/interruptions/false_after_ms",
            [json!(0), json!(10000)],
            [json!(10001), json!(10002)],
            "0 and 10000",
        ),
        (
            "/turn_config/profiles/speaking/interruptions/min_words",
            [json!(0), json!(20)],
            [json!(21), json!(99)],
            "0 and 20",
        ),
        ("/call_config/idle/after_s", [json!(2), json!(600)], [json!(1), json!(601)], "2 and 600"),
        ("/call_config/idle/hang_up_after", [json!(0), json!(10)], [json!(11), json!(12)], "0 and 10"),
        ("/call_config/max_duration_s", [json!(10), json!(14400)], [json!(9), json!(14401)], "10 and 14400"),
        ("/call_config/dtmf/collect_ms", [json!(200), json!(10000)], [json!(199), json!(10001)], "200 and 10000"),
        ("/tools/0/timeout_ms", [json!(100), json!(120_000)], [json!(99), json!(120_001)], "100 and 120000"),
        ("/knowledge/top_k", [json!(1), json!(20)], [json!(0), json!(21)], "1 and 20"),
    ];
    for (pointer, good, bad, bounds) in numbers {
        let path = pointer.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
        for value in good {
            AgentConfig::from_value(full_with(pointer, value.clone())).unwrap_or_else(|e| panic!("{value}: {e}"));
        }
        for value in bad {
            assert!(
                errors(full_with(pointer, value.clone())).contains(&format!("{path}: must be between {bounds}")),
                "{path} = {value}"
            );
        }
    }
}

#[test]
fn endpoints_are_in_range_and_in_order() {
    let with = |min: u32, max: u32| {
        let mut document = least();
        document["turn_config"] = json!({"min_endpoint_ms": min, "max_endpoint_ms": max});
        document
    };
    for (min, max) in [(0, 0), (5000, 5000), (5000, 15000)] {
        AgentConfig::from_value(with(min, max)).unwrap();
    }
    assert_eq!(
        errors(with(5001, 15001)),
        [
            "turn_config.min_endpoint_ms: must be between 0 and 5000",
            "turn_config.max_endpoint_ms: must be between 0 and 15000"
        ]
    );
    assert_eq!(errors(with(600, 599)), ["turn_config.max_endpoint_ms: must not be less than min_endpoint_ms"]);
    // A profile is checked together with what it leaves alone.
    assert_eq!(
        errors(full_with("/turn_config/profiles", json!({"tool_running": {"min_endpoint_ms": 2501}}))),
        ["turn_config.profiles.tool_running.max_endpoint_ms: must not be less than min_endpoint_ms"]
    );
    assert!(errors(full_with("/turn_config/profiles", json!({"asleep": {}})))[0].contains("unknown field `asleep`"));
}

#[test]
fn every_text_and_list_is_bounded() {
    let long = |n: usize| json!("é".repeat(n));
    let many = |n: usize, item: Value| Value::Array(vec![item; n]);
    let uuid = "0198d9a5-0000-7000-8000-000000000001";
    let cases: &[(&str, Value, Value)] = &[
        ("/name", long(100), long(101)),
        ("/name", json!("x"), json!("")),
        ("/description", long(1000), long(1001)),
        ("/integrations", many(50, json!(uuid)), many(51, json!(uuid))),
        ("/voice_config/voice_id", json!("a".repeat(100)), json!("a".repeat(101))),
        ("/voice_config/voice_id", json!("a-B_1"), json!("../v1/user")),
        ("/voice_config/language", json!("zh-Hant-TW"), json!("en_US")),
        ("/voice_config/model", json!("m".repeat(200)), json!("two words")),
        (
            "/voice_config/pronunciations",
            many(200, json!({"text": "a", "say": "b"})),
            many(201, json!({"text": "a", "say": "b"})),
        ),
        ("/voice_config/pronunciations/0/text", long(100), long(101)),
        ("/voice_config/pronunciations/0/say", long(200), json!("")),
        ("/voice_config/fallbacks", many(5, json!({"voice_id": "v"})), many(6, json!({"voice_id": "v"}))),
        ("/voice_config/fallbacks/0/voice_id", json!("v"), json!("")),
        ("/voice_config/background", json!("office"), json!("")),
        ("/ai_config/model", json!("org/model:free"), json!("")),
        ("/ai_config/instructions", long(32_000), long(32_001)),
        ("/ai_config/fallbacks/0/model", json!("m"), json!("")),
        ("/ai_config/variables", json!({"a.b_1": "x"}), json!({"1a": "x"})),
        ("/ai_config/variables/customer_name", long(2000), long(2001)),
        ("/speech_config/model", json!("nova-9"), json!("")),
        ("/speech_config/language", json!("multi"), json!("e")),
        ("/speech_config/keyterms", many(100, json!("k")), many(101, json!("k"))),
        ("/speech_config/keyterms/0", long(100), json!("")),
        ("/speech_config/fallbacks/0/language", json!("en"), json!("!")),
        ("/turn_config/interruptions/backchannels", many(100, json!("k")), many(101, json!("k"))),
        ("/call_config/greeting/text", long(1000), json!("")),
        ("/call_config/idle/prompts", json!([]), many(11, json!("k"))),
        ("/call_config/goodbye", long(1000), long(1001)),
        ("/call_config/voicemail/message", long(1000), Value::Null),
        ("/call_config/recording/consent_text", long(1000), long(1001)),
        ("/call_config/transfer_targets/0/name", long(100), json!("")),
        ("/call_config/transfer_targets/0/number", json!("+442071838750"), json!("+042071838750")),
        ("/call_config/transfer_targets/0/number", json!("+123456789012345"), json!("+1234567890123456")),
        ("/tools/0/name", json!("a-b_C9"), json!("two words")),
        ("/tools/0/description", long(1024), long(1025)),
        ("/tools/0/parameters/type", json!("object"), json!("array")),
        ("/tools/0/filler", long(500), json!("")),
        ("/knowledge/document_ids", many(100, json!(uuid)), many(101, json!(uuid))),
        ("/analysis_config/outcomes", many(50, json!("k")), many(51, json!("k"))),
        ("/analysis_config/tags/0", long(100), json!("")),
        ("/analysis_config/model", json!("gpt-4"), json!("")),
    ];
    for (pointer, good, bad) in cases {
        AgentConfig::from_value(full_with(pointer, good.clone())).unwrap_or_else(|e| panic!("{pointer}: {e}"));
        let found = errors(full_with(pointer, bad.clone()));
        let path = pointer.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
        assert!(found.len() == 1 && found[0].starts_with(&path), "{pointer}: {found:?}");
    }
}

#[test]
fn names_are_used_once() {
    let tool = |name: &str| json!({"kind": "end_call", "name": name});
    assert_eq!(
        errors(full_with("/tools", json!([tool("bye"), tool("other"), tool("bye")]))),
        ["tools[2].name: is used by an earlier entry"]
    );
    let target = json!({"name": "desk", "number": "+14155550100"});
    assert_eq!(
        errors(full_with("/call_config/transfer_targets", json!([target, target]))),
        ["call_config.transfer_targets[1].name: is used by an earlier entry"]
    );
}

#[test]
fn the_temperature_of_openai_goes_to_two() {
    let mut document = full_with("/ai_config/provider", json!("openai"));
    document["ai_config"]["temperature"] = json!(2);
    AgentConfig::from_value(document.clone()).unwrap();
    document["ai_config"]["temperature"] = json!(2.1);
    assert_eq!(errors(document), ["ai_config.temperature: must be between 0 and 2"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_without_quoting_it() {
    let mut document = full();
    document["name"] = json!("");
    document["voice_config"]["settings"]["speed"] = json!(3);
    document["call_config"]["transfer_targets"][0]["number"] = json!("0170-1234567");
    document["tools"][0]["timeout_ms"] = json!(1);
    let errors = AgentConfig::from_value(document).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "name: must have between 1 and 100 characters\n\
         voice_config.settings.speed: must be between 0.7 and 1.2\n\
         call_config.transfer_targets[0].number: must be a number in E.164, such as +14155550100\n\
         tools[0].timeout_ms: must be between 100 and 120000"
    );
}

#[test]
fn a_state_has_its_profile_over_the_rest() {
    let config = AgentConfig::from_value(full()).unwrap().turn_config;
    let speaking = config.in_state(TurnState::Speaking);
    assert_eq!((speaking.min_endpoint_ms, speaking.eager, speaking.interruptions.min_words), (400, true, 3));
    assert_eq!(speaking.interruptions.backchannels, ["aham"]);
    let listening = config.in_state(TurnState::Listening);
    assert_eq!((listening.min_endpoint_ms, listening.eager, listening.interruptions.min_words), (300, false, 2));
}

/// serde reads an object from a list, by position.
#[test]
fn a_list_is_no_object() {
    let mut document = json!({
        "name": "Ada", "voice_config": { "voice_id": "v", "settings": [0.5] },
        "ai_config": { "provider": "openai", "model": "gpt-4", "instructions": "Be kind." },
        "tools": [["end_call", "end_call", "Hang up."]], "metadata": { "kept": [1, [2]] }
    });
    let error = AgentConfig::from_value(document.clone()).unwrap_err().to_string();
    assert!(error.contains("voice_config.settings: must be an object"), "{error}");
    document["voice_config"]["settings"] = json!({});
    assert!(AgentConfig::from_value(document.clone()).is_err());
    document["tools"] = json!([]);
    assert_eq!(AgentConfig::from_value(document).unwrap().metadata["kept"], json!([1, [2]]));
}
