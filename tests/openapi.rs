//! The description of the API that is committed is the one that the code gives.

use serde_json::Value;

#[test]
fn the_committed_description_is_current() {
    let committed: Value = serde_json::from_str(include_str!("../control/openapi.json")).unwrap();
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
            for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
                let body = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(body, "#/components/schemas/ErrorBody", "{method} {path} {status}");
            }
        }
    }
}
