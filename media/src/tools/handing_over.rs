//! What the turn machine does itself when the model calls for it: hand the caller over, press keys.

use crate::llm::ToolSpec;

/// The tool that hands the caller to somebody of these names, after the agent's last words.
pub fn transfer(name: &str, targets: &[&str]) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: "Hands the caller over to somebody else, once they have heard your last words. Tell them to whom. If it does not \
                      come about, the caller is back with you and you are told why."
            .into(),
        parameters: serde_json::json!({
            "type": "object",
            "properties": { "target": { "type": "string", "enum": targets, "description": "Who is to take the call." } },
            "required": ["target"],
            "additionalProperties": false
        }),
    }
}

/// The tool that presses keys.
pub fn press_keys(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: "Presses keys of the telephone, as a menu asks for. w waits half a second.".into(),
        parameters: serde_json::json!({
            "type": "object",
            "properties": { "keys": { "type": "string", "pattern": "^[0-9*#A-Dw]{1,32}$", "description": "Such as 1 or ww42#." } },
            "required": ["keys"],
            "additionalProperties": false
        }),
    }
}
