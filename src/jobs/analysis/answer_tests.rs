use trunkline_base::Personal;

use super::{super::Schemas, *};

fn said(text: &str) -> Completion {
    Completion { text: Personal::new(text.to_owned()), is_whole: true, ..Completion::default() }
}

fn wanted(config: Value) -> Wanted {
    let config: AnalysisConfig = serde_json::from_value(config).unwrap();
    let schema = config.extraction_schema.as_ref().map(|schema| Schemas::default().compiled(schema).unwrap());
    Wanted::new(&config, schema)
}

fn good() -> Value {
    json!({
        "summary": "A table was booked.", "sentiment": "positive", "outcome": "resolved", "tags": ["booking", "booking"],
        "satisfaction_score": 4.5
    })
}

fn keys(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.key).collect()
}

#[test]
fn an_answer_counts_as_it_was_asked_for_and_with_words_around_it() {
    let wanted = wanted(json!({}));
    for text in
        [good().to_string(), format!("```json\n{}\n```", good()), format!("Here it is: {:#} Anything else?", good())]
    {
        let read = wanted.read(&said(&text)).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        assert_eq!(read.outcome.as_deref(), Some("resolved"));
        assert_eq!((read.tags, read.satisfaction_score), (vec!["booking".to_owned()], Some(4.5)));
        assert_eq!(read.extraction, None);
    }
    let mut unsure = good();
    unsure["satisfaction_score"] = Value::Null;
    assert_eq!(wanted.read(&said(&unsure.to_string())).unwrap().satisfaction_score, None);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wanted = wanted(json!({ "outcomes": ["sold"], "tags": ["vip"] }));
    let text = json!({ "summary": "", "sentiment": "ecstatic", "outcome": "resolved", "tags": ["x"], "satisfaction_score": 6 });
    let problems = wanted.read(&said(&text.to_string())).unwrap_err();
    assert_eq!(keys(&problems), ["summary", "sentiment", "outcome", "tags", "satisfaction_score"]);
    for text in ["", "I can't do that.", "[1]", "{\"summary\": ", "}{"] {
        assert_eq!(keys(&wanted.read(&said(text)).unwrap_err()), ["json"], "{text}");
    }
    let cut = Completion { is_whole: false, ..said(&good().to_string()) };
    assert_eq!(keys(&wanted.read(&cut).unwrap_err()), ["json"]);
}

#[test]
fn what_is_extracted_is_what_the_agents_schema_says() {
    let schema = json!({
        "type": "object", "required": ["guests"], "additionalProperties": false,
        "properties": { "guests": { "type": "integer" }, "name": { "type": "string" } }
    });
    let wanted = wanted(json!({ "extraction_schema": schema }));
    let answer = |extraction: Value| {
        let mut answer = good();
        answer["extraction"] = extraction;
        wanted.read(&said(&answer.to_string()))
    };
    let read = answer(json!({ "guests": 2, "name": "A\0da" })).unwrap();
    assert_eq!(read.extraction, Some(json!({ "guests": 2, "name": "A\u{fffd}da" })));
    for wrong in [json!({}), json!({ "guests": "two" }), json!({ "guests": 2, "more": 1 }), Value::Null, json!([2])] {
        assert_eq!(keys(&answer(wrong.clone()).unwrap_err()), ["extraction"], "{wrong}");
    }
    let long = json!({ "guests": 2, "name": "x".repeat(LARGEST_EXTRACTION) });
    assert_eq!(keys(&answer(long).unwrap_err()), ["extraction"]);
}

#[test]
fn the_form_has_the_agents_schema_unless_that_refers_to_itself() {
    assert!(wanted(json!({})).form().unwrap()["properties"].get("extraction").is_none());
    let plain = wanted(json!({ "extraction_schema": { "type": "object" } })).form().unwrap();
    assert_eq!(plain["properties"]["extraction"], json!({ "type": "object" }));
    let referring = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/a" } }, "$defs": { "a": {} } });
    assert!(wanted(json!({ "extraction_schema": referring })).form().is_none());
}
