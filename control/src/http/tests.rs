use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Answer, Api, User};

const CREDENTIALS: &str = "/v1/integrations/credentials";

async fn raw(api: &Api, user: &User, method: Method, path: &str, kind: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut builder = Request::builder().method(method).uri(path);
    builder = builder.header(header::AUTHORIZATION, format!("Bearer {}", user.token.expose()));
    if let Some(kind) = kind {
        builder = builder.header(header::CONTENT_TYPE, kind);
    }
    api.request(builder.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn every_error_has_the_one_body() {
    let api = Api::new().await;
    let ada = api.owner();
    let nowhere = api.get(&ada, "/v1/nowhere").await;
    let mut body = nowhere.body.clone();
    assert!(body.as_object_mut().unwrap().remove("timestamp").unwrap().is_string());
    assert_eq!(
        body,
        json!({
            "success": false, "message": "There is nothing at this path", "error_code": "NOT_FOUND", "details": null
        })
    );
    let wrong = api.send(&ada, Method::PUT, CREDENTIALS, json!({})).await;
    assert_eq!(wrong.error(), (405, "METHOD_NOT_ALLOWED"));
    let allow: BTreeSet<&str> = wrong.headers[header::ALLOW].to_str().unwrap().split(',').map(str::trim).collect();
    assert_eq!(allow, BTreeSet::from(["GET", "HEAD", "POST"]));

    let big = "x".repeat(1024 * 1024 + 1);
    let json = Some("application/json");
    let cases = [
        (None, "{}".to_owned(), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (Some("text/plain"), "{}".to_owned(), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (json, "{".to_owned(), (400, "VALIDATION_ERROR")),
        (json, String::new(), (400, "VALIDATION_ERROR")),
        (json, "\u{fffd}".to_owned(), (400, "VALIDATION_ERROR")),
        (json, big, (413, "PAYLOAD_TOO_LARGE")),
        (json, "[]".to_owned(), (422, "VALIDATION_ERROR")),
        (json, "[null, null]".to_owned(), (422, "VALIDATION_ERROR")),
        (Some("application/json; charset=utf-8"), "{}".to_owned(), (422, "VALIDATION_ERROR")),
    ];
    for (kind, body, expected) in cases {
        let answer = raw(&api, &ada, Method::POST, CREDENTIALS, kind, body).await;
        assert_eq!(answer.error(), expected);
        assert_eq!(answer.body["success"], false);
    }
    let answer = raw(&api, &ada, Method::POST, CREDENTIALS, json, vec![b'"', 0xff, b'"']).await;
    assert_eq!(answer.error(), (400, "VALIDATION_ERROR"));
}

#[tokio::test]
async fn a_path_id_that_is_no_uuid_is_not_there() {
    let api = Api::new().await;
    let ada = api.owner();
    let unknown = Uuid::now_v7().to_string();
    for base in [CREDENTIALS, "/v1/integrations", "/v1/voice-agents"] {
        let there = api.get(&ada, &format!("{base}/{unknown}")).await;
        assert_eq!(there.status, 404);
        for id in ["x", "%00", "%ff", "1", "00000000-0000-0000-0000-00000000000g"] {
            let answer = api.get(&ada, &format!("{base}/{id}")).await;
            assert_eq!(answer.error(), there.error(), "{base}/{id}");
            assert_eq!(answer.body["message"], there.body["message"]);
        }
    }
}

#[tokio::test]
async fn a_whole_number_is_an_integer_however_it_is_written() {
    let api = Api::new().await;
    let ada = api.owner();
    let body = |seconds: &str| {
        format!(
            r#"{{"name":"Ada","voice_config":{{"voice_id":"v"}},"call_config":{{"max_duration_s":{seconds}}},
                "ai_config":{{"provider":"openai","model":"m","instructions":"i","temperature":1}},"metadata":{{"n":1e300}}}}"#
        )
    };
    let json = Some("application/json");
    for seconds in ["900", "900.0", "9e2"] {
        let answer = raw(&api, &ada, Method::POST, "/v1/voice-agents", json, body(seconds)).await;
        assert_eq!(answer.data()["call_config"]["max_duration_s"], 900, "{seconds}");
        assert_eq!(answer.data()["metadata"]["n"], 1e300);
    }
    for seconds in ["900.5", "1e300", "-0.0"] {
        let answer = raw(&api, &ada, Method::POST, "/v1/voice-agents", json, body(seconds)).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{seconds}");
    }
}

#[tokio::test]
async fn a_parameter_with_nul_is_refused_before_the_database_sees_it() {
    let api = Api::new().await;
    let ada = api.owner();
    for parameter in ["q", "outcome"] {
        let answer = api.get(&ada, &format!("/v1/conversations?{parameter}=a%00b")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{parameter}");
        api.get(&ada, &format!("/v1/conversations?{parameter}=a%2500b")).await.data();
    }
}

#[tokio::test]
async fn every_answer_carries_the_requests_id() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = async |given: &str, path: &str| {
        let answer = api.send_with(&ada, Method::GET, path, &[("x-request-id", given)], Value::Null).await;
        answer.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    for path in [CREDENTIALS, "/v1/nowhere"] {
        for sane in ["abc", "a.b:c_d-1", &"x".repeat(128)] {
            assert_eq!(id(sane, path).await, sane);
        }
        for insane in ["", "a b", "a/b", "<script>", "é", &"x".repeat(129)] {
            assert!(Uuid::try_parse(&id(insane, path).await).is_ok(), "{insane}");
        }
    }
    assert!(Uuid::try_parse(api.get(&ada, CREDENTIALS).await.headers["x-request-id"].to_str().unwrap()).is_ok());
}

#[tokio::test]
async fn an_error_of_ours_says_where_to_look_and_nothing_else() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, CREDENTIALS).await.data();
    let owner = api.scratch.superuser().await;
    sqlx::query("alter table credentials rename to elsewhere").execute(owner.pool()).await.unwrap();
    let answer = api.send_with(&ada, Method::GET, CREDENTIALS, &[("x-request-id", "find-me")], Value::Null).await;
    assert_eq!(answer.error(), (500, "SERVER_ERROR"));
    assert_eq!(answer.body["message"], "Internal server error");
    assert_eq!(answer.body["details"], json!({ "request_id": "find-me" }));
    api.control.db.close().await;
    let answer = api.get(&ada, CREDENTIALS).await;
    assert_eq!(answer.error(), (503, "OVERLOADED"));
    assert_eq!(answer.headers[header::RETRY_AFTER], "2");
}

#[test]
fn the_description_names_every_operation_once_and_how_to_be_let_in() {
    let api = serde_json::to_value(crate::router().into_openapi()).unwrap();
    let mut names = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{method} {path}: the operationId {name} is another's too");
            let answers: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
            // What is outside is for everybody: health, or carriers that prove themselves in another way.
            if path.starts_with("/v1/") {
                let mut security = vec![json!({ "bearer": [] })];
                if path.ends_with("/live") {
                    security.push(json!({ "ticket": [] }));
                }
                assert_eq!(operation["security"], Value::from(security), "{method} {path}");
                for status in ["401", "403"] {
                    assert!(answers.iter().any(|answer| *answer == status), "{method} {path} does not say {status}");
                }
            }
            assert!(answers.iter().any(|answer| answer.starts_with('2')), "{method} {path} does not say what is good");
        }
    }
    let mut refs = Vec::new();
    collect_refs(&api, &mut refs);
    for name in refs {
        assert!(api.pointer(name.trim_start_matches('#')).is_some(), "{name} is not described");
    }
}

fn collect_refs(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            into.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_refs(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_refs(value, into)),
        _ => {}
    }
}
