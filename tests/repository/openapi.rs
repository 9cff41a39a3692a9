//! The description of the API that is committed is the one that the code gives.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

#[test]
fn the_committed_description_is_current() {
    let committed: Value = serde_json::from_str(include_str!("../../control/openapi.json")).unwrap();
    let current = serde_json::to_value(trunkline::openapi::document()).unwrap();
    assert!(committed == current, "control/openapi.json is stale: run `make openapi` and commit it");
}

/// Whoever reads it knows each answer: every operation has an id of its own, and what can go wrong, and errors have one body.
#[test]
fn every_operation_says_what_can_go_wrong() {
    let document = serde_json::to_value(trunkline::openapi::document()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no id"));
            assert!(ids.insert(id.to_owned()), "{id} is the id of two operations");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            if !path.starts_with("/v1/") {
                continue;
            }
            for status in ["401", "403"] {
                assert!(responses.contains_key(status), "{method} {path} does not say {status}");
            }
            // What has not changed has no body.
            let refusals = responses.iter().filter(|(status, _)| !status.starts_with('2') && *status != "304");
            for (status, response) in refusals {
                let body = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(body, "#/components/schemas/ErrorBody", "{method} {path} {status}");
            }
        }
    }
}

/// Whoever tries something out has something to begin with, and knows what each refusal looks like. That the examples are what their
/// schemas take is checked where a JSON Schema validator is: in tests/contract/examples.py.
#[test]
fn every_body_has_an_example() {
    let document = serde_json::to_value(trunkline::openapi::document()).unwrap();
    let has_example = |content: &Value| {
        !content["example"].is_null() || content["examples"].as_object().is_some_and(|examples| !examples.is_empty())
    };
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let mut bodies = vec![("request", &operation["requestBody"])];
            bodies.extend(operation["responses"].as_object().unwrap().iter().map(|(status, it)| (status.as_str(), it)));
            for (which, body) in bodies {
                let content = &body["content"]["application/json"];
                let described = !content["schema"].is_null() && content["schema"] != serde_json::json!({});
                assert!(!described || has_example(content), "{method} {path} has no example of its {which}");
                for (code, example) in content["examples"].as_object().into_iter().flatten() {
                    if which.starts_with(['4', '5']) {
                        assert_eq!(example["value"]["error_code"], *code, "{method} {path} {which}");
                    }
                }
            }
        }
    }
}

/// What is the same for all routes is said of all of them.
#[test]
fn every_operation_says_what_all_have_in_common() {
    let document = serde_json::to_value(trunkline::openapi::document()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{method} {path}");
            let responses = &operation["responses"];
            for (status, response) in responses.as_object().unwrap() {
                let id = &response["headers"]["X-Request-Id"]["$ref"];
                assert_eq!(id, "#/components/headers/X-Request-Id", "{method} {path} {status}");
            }
            if !operation["security"].is_array() {
                continue;
            }
            let ways = operation["security"].as_array().unwrap();
            let has = |way: &str| ways.contains(&serde_json::json!({ way: [] }));
            assert!(has("bearer") && has("api_key"), "{method} {path}: {ways:?}");
            for status in ["401", "403", "408", "500", "503"] {
                assert!(responses[status].is_object(), "{method} {path} does not say {status}");
            }
            assert!(responses["503"]["headers"]["Retry-After"].is_object(), "{method} {path}");
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let by_credential = parameters.iter().any(|parameter| parameter["name"] == "credential_id");
            let names_something = path.contains('{') || by_credential || operation["requestBody"].is_object();
            assert!(
                names_something || responses["404"].is_null(),
                "{method} {path} names nothing that may not be there"
            );
        }
    }
}

/// Of two schemas of one name, the description holds only one, and says nothing of it.
#[test]
fn no_two_schemas_have_one_name() {
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in super::tree::files().into_iter().filter(|file| file.extension().is_some_and(|it| it == "rs")) {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap_or_default();
        for name in schemas(&text) {
            if let Some(other) = names.insert(name.clone(), file.clone()) {
                panic!("{name} is a schema of {} and of {}: give one another name", file.display(), other.display());
            }
        }
    }
    assert!(names.len() > 100, "{}", names.len());
}

/// The names of a file's schemas: of what derives `ToSchema`, or as its attribute says. What is written where it is used has none.
fn schemas(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[derive(") && line.contains("ToSchema")) {
            continue;
        }
        let mut given = None;
        let mut item = None;
        for line in lines.by_ref() {
            if let Some(rest) = line.strip_prefix("#[schema(") {
                given = rest.strip_prefix("as = ").map(word).or(given);
                given = rest.starts_with("value_type").then(String::new).or(given);
            }
            item = line.split_once("struct ").or_else(|| line.split_once("enum ")).map(|(_, name)| name);
            if item.is_some() && !line.starts_with(['#', '/']) {
                break;
            }
        }
        names.extend(given.or(item.map(word)).filter(|name| !name.is_empty()));
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}
