//! What is asked of the model, and what of its answer counts.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use trunkline_control::{agents::config::AnalysisConfig, conversations::analysis::Analysis};
use trunkline_media::llm::openai::complete::Completion;

use super::{Schema, storable};

/// Outcomes of an agent that names none.
const OUTCOMES: [&str; 7] =
    ["resolved", "unresolved", "callback_scheduled", "transferred", "voicemail", "no_interest", "other"];
const SENTIMENTS: [&str; 3] = ["positive", "neutral", "negative"];
/// The longest summary, in characters.
const LONGEST_SUMMARY: usize = 2_000;
/// The longest tag, in characters; and the most of them.
const LONGEST_TAG: usize = 100;
const MOST_TAGS: usize = 20;
/// The largest extraction, in bytes of JSON.
const LARGEST_EXTRACTION: usize = 64 * 1024;
/// How many faults of an extraction are told.
const TOLD: usize = 8;

/// What is asked of the model.
pub(super) struct Wanted {
    pub(super) outcomes: Vec<String>,
    /// Empty: any.
    pub(super) tags: Vec<String>,
    pub(super) schema: Option<Arc<Schema>>,
}

/// Something that is wrong with an answer. The message is for the model, and may quote it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Wanted {
    pub(super) fn new(config: &AnalysisConfig, schema: Option<Arc<Schema>>) -> Self {
        let outcomes =
            if config.outcomes.is_empty() { OUTCOMES.map(str::to_owned).to_vec() } else { config.outcomes.clone() };
        Self { outcomes, tags: config.tags.clone(), schema }
    }

    /// The answer's schema. `None` where the agent's own refers to itself: inside of another its references would lead elsewhere.
    pub(super) fn form(&self) -> Option<Value> {
        let tag = if self.tags.is_empty() { json!({ "type": "string" }) } else { json!({ "enum": self.tags }) };
        let mut properties = json!({
            "summary": { "type": "string" },
            "sentiment": { "enum": SENTIMENTS },
            "outcome": { "enum": self.outcomes },
            "tags": { "type": "array", "items": tag },
            "satisfaction_score": { "type": ["number", "null"], "minimum": 1, "maximum": 5 },
        });
        let mut required = vec!["summary", "sentiment", "outcome", "tags", "satisfaction_score"];
        if let Some(schema) = &self.schema {
            if schema.json.contains("\"$ref\"") || schema.json.contains("\"$dynamicRef\"") {
                return None;
            }
            properties["extraction"] = schema.value.clone();
            required.push("extraction");
        }
        Some(json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false
        }))
    }

    /// What an answer says, or all that is wrong with it.
    pub(super) fn read(&self, answer: &Completion) -> Result<Analysis, Vec<Problem>> {
        if !answer.is_whole {
            return Err(vec![problem("json", "it was cut off: be shorter")]);
        }
        let Some(mut object) = object_of(answer.text.expose()) else {
            return Err(vec![problem("json", "it is not one JSON object")]);
        };
        let mut problems = Vec::new();
        let mut check = |key, ok: bool, message: String| {
            if !ok {
                problems.push(Problem { key, message });
            }
        };
        let summary = text(object.remove("summary"));
        let fits = summary.as_ref().is_some_and(|it| (1..=LONGEST_SUMMARY).contains(&it.chars().count()));
        check("summary", fits, format!("must be a text of 1 to {LONGEST_SUMMARY} characters"));
        let sentiment = text(object.remove("sentiment"));
        let fits = sentiment.as_ref().is_some_and(|it| SENTIMENTS.contains(&it.as_str()));
        check("sentiment", fits, format!("must be one of {}", json!(SENTIMENTS)));
        let outcome = text(object.remove("outcome"));
        let fits = outcome.as_ref().is_some_and(|it| self.outcomes.contains(it));
        check("outcome", fits, format!("must be one of {}", json!(self.outcomes)));
        let tags = self.tags_of(object.remove("tags"));
        let which = if self.tags.is_empty() { "short texts".to_owned() } else { json!(self.tags).to_string() };
        check("tags", tags.is_some(), format!("must be a list of up to {MOST_TAGS} of {which}"));
        let score = match object.remove("satisfaction_score").unwrap_or_default() {
            Value::Null => Some(None),
            score => score.as_f64().filter(|score| (1.0..=5.0).contains(score)).map(Some),
        };
        check("satisfaction_score", score.is_some(), "must be a number from 1 to 5, or null".to_owned());
        let extraction = match &self.schema {
            None => None,
            Some(schema) => {
                let extraction = object.remove("extraction").unwrap_or_default();
                let faults = faults(schema, &extraction);
                check("extraction", faults.is_empty(), faults.join("; "));
                Some(storable(extraction))
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let clean = |text: String| text.replace('\0', "\u{fffd}");
        Ok(Analysis {
            sentiment,
            outcome,
            tags: tags.unwrap_or_default().into_iter().map(clean).collect(),
            summary: summary.map(clean),
            satisfaction_score: score.flatten().map(|score| score as f32),
            extraction,
        })
    }

    fn tags_of(&self, tags: Option<Value>) -> Option<Vec<String>> {
        let Some(Value::Array(tags)) = tags else { return None };
        let mut read: Vec<String> = Vec::new();
        for tag in tags {
            let tag = text(Some(tag)).filter(|tag| (1..=LONGEST_TAG).contains(&tag.chars().count()))?;
            if !self.tags.is_empty() && !self.tags.contains(&tag) {
                return None;
            }
            if !read.contains(&tag) {
                read.push(tag);
            }
        }
        (read.len() <= MOST_TAGS).then_some(read)
    }
}

fn problem(key: &'static str, message: &str) -> Problem {
    Problem { key, message: message.to_owned() }
}

fn text(value: Option<Value>) -> Option<String> {
    if let Some(Value::String(text)) = value { Some(text) } else { None }
}

/// The object that an answer is, or that stands between what a model says around it.
fn object_of(text: &str) -> Option<Map<String, Value>> {
    let inner = || {
        let (start, end) = (text.find('{')?, text.rfind('}')?);
        text.get(start..=end)
    };
    match serde_json::from_str(text).ok().or_else(|| serde_json::from_str(inner()?).ok())? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// What is wrong with an extraction; no more than a few things.
fn faults(schema: &Schema, extraction: &Value) -> Vec<String> {
    if extraction.to_string().len() > LARGEST_EXTRACTION {
        return vec!["is too large".to_owned()];
    }
    let errors = schema.validator.iter_errors(extraction);
    errors.take(TOLD).map(|error| format!("at {:?}: {error}", error.instance_path().to_string())).collect()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
