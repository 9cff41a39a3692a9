//! `{{variable}}` in what an agent is told and in what it says.
//!
//! The rule: a name of up to 64 letters, digits, `_` and `.`, beginning with a letter or `_`, between double braces, with or without
//! blanks inside them, is replaced by its value. A name without a value is replaced by nothing, for a template must never be read out
//! to a caller; [`unknown_variables`] tells which those are. Braces around anything else are text. Values are not rendered again, so
//! what a call's context brings cannot name other variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::AiConfig;

/// Values by name.
pub type Variables = BTreeMap<String, String>;

/// Puts values into a template.
pub fn render(template: &str, variables: &Variables) -> String {
    let mut out = String::with_capacity(template.len());
    for part in parts(template) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Variable(name) => out.extend(variables.get(name).map(String::as_str)),
        }
    }
    out
}

/// The names in a template that have no value, in order, each once.
pub fn unknown_variables<'t>(template: &'t str, variables: &Variables) -> Vec<&'t str> {
    let mut unknown = Vec::new();
    for part in parts(template) {
        if let Part::Variable(name) = part
            && !variables.contains_key(name)
            && !unknown.contains(&name)
        {
            unknown.push(name);
        }
    }
    unknown
}

impl AiConfig {
    /// The variables of one call: the agent's own, overridden by the call's context. A nested key is named with dots
    /// (`custom_data.plan`); a number or a boolean is its JSON; `null` leaves the agent's own; a list is no variable.
    pub fn variables_for(&self, context: &Value) -> Variables {
        let mut all = self.variables.clone();
        all.extend(variables(context));
        all
    }
}

/// What a call's context is to its variables, as [`AiConfig::variables_for`] has it.
pub fn variables(context: &Value) -> Variables {
    let mut variables = Variables::new();
    flatten("", context, &mut variables);
    variables
}

/// Whether a name can be written between braces.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

fn flatten(name: &str, value: &Value, into: &mut Variables) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, into);
            }
        }
        Value::String(text) => drop(into.insert(name.to_owned(), text.clone())),
        Value::Number(_) | Value::Bool(_) => drop(into.insert(name.to_owned(), value.to_string())),
        Value::Null | Value::Array(_) => {}
    }
}

enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// Cuts a template into text and variables.
fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = variable_at_start(rest) {
            rest = after;
            return Some(Part::Variable(name));
        }
        // A pair of braces that begins no variable is text, up to the next one that might.
        let end = rest.char_indices().skip(1).map(|(at, _)| at).find(|&at| rest[at..].starts_with("{{"));
        let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(Part::Text(text))
    })
}

fn variable_at_start(template: &str) -> Option<(&str, &str)> {
    let (inside, after) = template.strip_prefix("{{")?.split_once("}}")?;
    let name = inside.trim();
    is_variable_name(name).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn values_replace_names_with_and_without_blanks() {
        let v = variables(&[("name", "Zoë"), ("plan.tier", "gold")]);
        assert_eq!(render("Hi {{name}}, {{ plan.tier }}! {{name}}", &v), "Hi Zoë, gold! Zoë");
    }

    #[test]
    fn an_unknown_variable_is_never_read_out() {
        let v = variables(&[("known", "x")]);
        let template = "Hello {{nobody}}{{known}} {{nobody}} {{other}}";
        assert_eq!(render(template, &v), "Hello x  ");
        assert_eq!(unknown_variables(template, &v), ["nobody", "other"]);
    }

    #[test]
    fn other_braces_are_text() {
        let v = variables(&[("a", "1")]);
        for text in ["{a}", "{{}}", "{{ }}", "{{a", "a}}", r#"{"x":{"y":1}}"#, "{{two words}}", "{{1st}}", "é{{é}}"] {
            assert_eq!(render(text, &v), text);
        }
        assert_eq!(render("{{{a}}}", &v), "{1}");
        assert_eq!(render("{{ {{a}}", &v), "{{ 1");
    }

    #[test]
    fn a_value_is_not_rendered_again() {
        let v = variables(&[("a", "{{b}}"), ("b", "secret")]);
        assert_eq!(render("{{a}}", &v), "{{b}}");
    }

    #[test]
    fn the_calls_context_overrides_the_agents_own_values() {
        let ai: AiConfig = serde_json::from_value(json!({
            "provider": "openai", "model": "m", "instructions": "i",
            "variables": {"customer_name": "there", "city": "Oslo", "left": "alone"}
        }))
        .unwrap();
        let v = ai.variables_for(&json!({
            "customer_name": "John Doe", "city": null, "custom_data": {"age": 41, "vip": true, "tags": ["a"]}
        }));
        let expected = [
            ("city", "Oslo"),
            ("custom_data.age", "41"),
            ("custom_data.vip", "true"),
            ("customer_name", "John Doe"),
            ("left", "alone"),
        ];
        assert_eq!(v, variables(&expected));
    }
}
