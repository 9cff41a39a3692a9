//! The account, its applications and its calls answer those who may ask, in Vonage's words.

use std::time::Duration;

use crate::rest_common::{ask, client, loopback, now, rs256};
use serde_json::{Value, json};
use trunkline_sim::{
    fault::{Fault, Script},
    keys::{OTHER_RSA_PRIVATE, RSA_PRIVATE},
    phone::{Answer, Callee, PhoneConfig},
    vonage::{Application, Number, VonageConfig, VonageSim},
};

const APPLICATION: &str = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
const NUMBER: &str = "14155550101";

fn config() -> VonageConfig {
    VonageConfig::new("a1b2c3d4", "a-secret", Application::new(APPLICATION), NUMBER)
}

/// A vendor that nobody answers at.
async fn start(config: VonageConfig) -> VonageSim {
    config.callees.set_others(Callee::fails(Answer::None), PhoneConfig::default());
    VonageSim::start(loopback(), config, None).await.unwrap()
}

fn claims() -> Value {
    json!({"application_id": APPLICATION, "iat": now(), "jti": "7", "exp": now() + 900})
}

fn request(sim: &VonageSim, method: &str, path: &str) -> reqwest::RequestBuilder {
    client().request(method.parse().unwrap(), sim.server().http_url() + path)
}

async fn account(sim: &VonageSim, path: &str) -> (u16, Value) {
    ask(request(sim, "GET", path).basic_auth("a1b2c3d4", Some("a-secret"))).await
}

async fn voice(sim: &VonageSim, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = request(sim, method, path).bearer_auth(rs256(RSA_PRIVATE, &claims()));
    ask(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

fn call() -> Value {
    json!({"to": [{"type": "phone", "number": "14155550100"}], "from": {"type": "phone", "number": NUMBER},
        "ncco": [{"action": "talk", "text": "hi"}], "event_url": ["http://127.0.0.1:9/event"]})
}

#[tokio::test]
async fn the_account_needs_its_key_and_secret() {
    let sim = start(config()).await;
    assert_eq!(account(&sim, "/account/get-balance").await, (200, json!({"value": 10.28, "autoReload": false})));
    let (_, application) = account(&sim, &format!("/v2/applications/{APPLICATION}")).await;
    assert_eq!(
        (&application["id"], &application["capabilities"]["voice"]["signed_callbacks"]),
        (&APPLICATION.into(), &true.into())
    );
    assert_eq!(account(&sim, "/v2/applications").await.1["total_items"], 1);
    let (status, problem) = account(&sim, "/v2/applications/other").await;
    assert_eq!((status, &problem["type"]), (404, &"https://developer.vonage.com/api-errors#not-found".into()));
    for (path, wrong) in [
        ("/account/numbers", json!({"error-code": "401", "error-code-label": "authentication failed"})),
        ("/account/get-balance", json!({"error-code": "401", "error-code-label": "authentication failed"})),
    ] {
        assert_eq!(ask(request(&sim, "GET", path).basic_auth("a1b2c3d4", Some("wrong"))).await, (401, wrong));
    }
    let response = request(&sim, "GET", "/v2/applications").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (401, &"application/problem+json".parse().unwrap())
    );
}

#[tokio::test]
async fn numbers_are_found_by_a_part_of_them() {
    let numbers = ["14155550101", "14155550102", "447700900123"];
    let number = |msisdn: &&str| Number { msisdn: (*msisdn).into(), country: "US".into(), app_id: None };
    let sim = start(VonageConfig { numbers: numbers.iter().map(number).collect(), ..config() }).await;
    let found = async |query: &str| {
        let (status, body) = account(&sim, &format!("/account/numbers?{query}")).await;
        assert_eq!(status, 200);
        let found = body["numbers"].as_array().map_or(&[][..], Vec::as_slice);
        (body["count"].as_u64(), found.iter().map(|it| it["msisdn"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        found("pattern=1415555&search_pattern=0").await,
        (Some(2), vec!["14155550101".into(), "14155550102".into()])
    );
    assert_eq!(found("pattern=0123&search_pattern=2").await, (Some(1), vec!["447700900123".into()]));
    assert_eq!(found("pattern=55501&search_pattern=1&size=1&index=2").await, (Some(2), vec!["14155550102".into()]));
    // Where there are none, there is no list either.
    assert_eq!(account(&sim, "/account/numbers?pattern=999&search_pattern=0").await, (200, json!({})));
}

#[tokio::test]
async fn an_applications_token_is_checked() {
    let sim = start(config()).await;
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let list = async |token: String| ask(request(&sim, "GET", "/v1/calls?page_size=1").bearer_auth(token)).await;
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    for healthy in [claims(), endless] {
        let (status, body) = list(rs256(RSA_PRIVATE, &healthy)).await;
        assert_eq!((status, &body["count"], &body["_embedded"]), (200, &0.into(), &json!({"calls": []})));
    }
    for token in [
        "nonsense".into(),
        rs256(OTHER_RSA_PRIVATE, &claims()),
        rs256(RSA_PRIVATE, &with("application_id", "other".into())),
        rs256(RSA_PRIVATE, &with("exp", (now() - 120).into())),
        rs256(RSA_PRIVATE, &with("exp", (now() + 90_000).into())),
        rs256(RSA_PRIVATE, &with("iat", (now() + 600).into())),
        rs256(RSA_PRIVATE, &with("jti", "".into())),
        rs256(RSA_PRIVATE, &with("jti", Value::Null)),
    ] {
        let (status, problem) = list(token).await;
        assert_eq!((status, &problem["title"]), (401, &"Unauthorized".into()));
    }
}

#[tokio::test]
async fn a_call_is_kept_and_can_be_hung_up_once() {
    let sim = start(config()).await;
    let (status, placed) = voice(&sim, "POST", "/v1/calls", Some(call())).await;
    assert_eq!((status, &placed["status"], &placed["direction"]), (201, &"started".into(), &"outbound".into()));
    assert!(placed["conversation_uuid"].as_str().unwrap().starts_with("CON-"));
    let path = format!("/v1/calls/{}", placed["uuid"].as_str().unwrap());
    let (_, read) = voice(&sim, "GET", &path, None).await;
    assert_eq!(read["to"]["number"], "14155550100");
    assert!(["started", "ringing"].contains(&read["status"].as_str().unwrap()), "{read}");
    let transfer =
        json!({"action": "transfer", "destination": {"type": "ncco", "ncco": [{"action": "talk", "text": "x"}]}});
    for command in [transfer.clone(), json!({"action": "mute"}), json!({"action": "hangup"})] {
        assert_eq!(voice(&sim, "PUT", &path, Some(command)).await, (204, Value::Null));
    }
    assert_eq!(voice(&sim, "PUT", &path, Some(json!({"action": "hangup"}))).await.0, 404);
    let ended = sim.next_placed().await.report().await.unwrap();
    assert_eq!(ended.status.word(), "cancelled");
    assert_eq!(voice(&sim, "GET", &path, None).await.1["status"], "cancelled");
    let kept = &sim.calls()[0];
    assert_eq!((&kept.commands[0], &kept.request), (&transfer, &call()));
    assert_eq!(voice(&sim, "GET", "/v1/calls/other", None).await.0, 404);
    let (_, all) = voice(&sim, "GET", "/v1/calls?status=cancelled", None).await;
    assert_eq!((&all["count"], &all["_embedded"]["calls"][0]["uuid"]), (&1.into(), &placed["uuid"]));
}

#[tokio::test]
async fn senseless_calls_are_refused_in_either_form() {
    let sim = start(config()).await;
    let observed = start(VonageConfig { observed_errors: true, ..config() }).await;
    let with = |name: &str, value: Value| {
        let mut body = call();
        body[name] = value;
        body
    };
    for (body, field) in [
        (with("to", json!([])), "to"),
        (with("to", json!([{"type": "phone", "number": "+14155550100"}])), "to"),
        (with("to", json!([{"type": "websocket", "uri": "https://example.com"}])), "to"),
        (with("from", Value::Null), "from"),
        (with("random_from_number", json!(true)), "from"),
        (with("ncco", Value::Null), "ncco"),
        (with("answer_url", json!(["https://example.com"])), "ncco"),
        (with("event_url", json!("https://example.com")), "event_url"),
        (with("ringing_timer", json!(121)), "ringing_timer"),
        (with("machine_detection", json!("maybe")), "machine_detection"),
    ] {
        let (status, problem) = voice(&sim, "POST", "/v1/calls", Some(body.clone())).await;
        assert_eq!((status, &problem["title"]), (400, &"Bad Request".into()));
        assert!(problem["detail"].as_str().unwrap().starts_with(field), "{body} gives {problem}");
        let (_, other) = voice(&observed, "POST", "/v1/calls", Some(body)).await;
        assert_eq!((&other["type"], &other["invalid_parameters"][0]["name"]), (&400.into(), &field.into()));
    }
    assert!(sim.calls().is_empty());
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused() {
    let sim = start(VonageConfig { calls_per_second: 2, ..config() }).await;
    let calls = [0; 8].map(|_| voice(&sim, "POST", "/v1/calls", Some(call())));
    let statuses: Vec<u16> =
        futures_util::future::join_all(calls).await.into_iter().map(|(status, _)| status).collect();
    assert!(statuses.contains(&429) && statuses.contains(&201), "{statuses:?}");
}

#[tokio::test]
async fn scripted_faults_speak_the_vendors_words() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let poor = Some(Fault::ErrorAfter(Duration::ZERO, "low-balance".into()));
    let script = Script::new([
        refuse(403, None),
        refuse(429, Some(2)),
        poor,
        refuse(500, None),
        Some(Fault::GarbageAfter(Duration::ZERO)),
    ]);
    let sim = start(VonageConfig { script, ..config() }).await;
    for (status, anchor) in [(403, "forbidden"), (429, "rate-limit"), (403, "low-balance"), (500, "internal-error")] {
        let response =
            request(&sim, "GET", "/account/get-balance").basic_auth("a1b2c3d4", Some("a-secret")).send().await.unwrap();
        assert_eq!(response.headers().contains_key("retry-after"), status == 429);
        assert_eq!(response.status().as_u16(), status);
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["type"], format!("https://developer.vonage.com/api-errors#{anchor}"));
        assert_eq!(problem.get("detail").is_some(), status != 500);
    }
    assert_eq!(account(&sim, "/account/get-balance").await, (200, Value::Null));
    assert_eq!(account(&sim, "/account/get-balance").await.0, 200);
    let statuses: Vec<u16> = sim.requests().entries().iter().map(|it| it.status).collect();
    assert_eq!(statuses, [403, 429, 403, 500, 200, 200]);
}
