//! Tokens are given to those who may have them; records are checked, kept and found as Salesforce does it.

use std::time::Duration;

use crate::rest_common::{ask, client, loopback, now, rs256};
use serde_json::{Value, json};
use trunkline_sim::{
    fault::{Fault, Script},
    keys::{OTHER_RSA_PRIVATE, RSA_PRIVATE, RSA_PUBLIC},
    salesforce::{App, CustomField, SalesforceConfig, SalesforceSim},
};

const USER: &str = "agent@example.com";
const DATA: &str = "/services/data/v66.0";

fn app() -> App {
    App {
        client_id: "3MVG9test".into(),
        client_secret: "a-secret".into(),
        certificate: Some(RSA_PUBLIC.into()),
        run_as: Some(USER.into()),
        approved: vec![USER.into()],
        refresh_token: Some("5Aep-first".into()),
    }
}

async fn start(config: SalesforceConfig) -> SalesforceSim {
    SalesforceSim::start(loopback(), config, None).await.unwrap()
}

fn config() -> SalesforceConfig {
    SalesforceConfig::new(app())
}

async fn token_for(sim: &SalesforceSim, form: &[(&str, &str)]) -> (u16, Value) {
    ask(client().post(sim.login_url() + "/services/oauth2/token").form(form)).await
}

const CREDENTIALS: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "3MVG9test"), ("client_secret", "a-secret")];

/// A client with a session.
struct Org<'a> {
    sim: &'a SalesforceSim,
    token: String,
}

impl<'a> Org<'a> {
    async fn open(sim: &'a SalesforceSim) -> Self {
        let (status, answer) = token_for(sim, &CREDENTIALS).await;
        assert_eq!(
            (status, &answer["token_type"], &answer["instance_url"]),
            (200, &"Bearer".into(), &sim.login_url().into())
        );
        assert!(answer.get("expires_in").is_none() && answer["issued_at"].as_str().unwrap().len() == 13);
        Self { sim, token: answer["access_token"].as_str().unwrap().to_owned() }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{DATA}/{path}", self.sim.login_url());
        client().request(method.parse().unwrap(), url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        ask(self.request("GET", path)).await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        ask(self.request(method, path).json(&body)).await
    }

    async fn create(&self, object: &str, fields: Value) -> String {
        let (status, made) = self.send("POST", &format!("sobjects/{object}"), fields).await;
        assert_eq!((status, &made["success"]), (201, &true.into()), "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    /// The status and the code of a refused request.
    async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, body) = self.send(method, path, body).await;
        (status, body[0]["errorCode"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn credentials_are_exchanged_for_a_token() {
    let sim = start(config()).await;
    Org::open(&sim).await;
    let url = sim.login_url() + "/services/oauth2/token";
    let basic =
        client().post(&url).basic_auth("3MVG9test", Some("a-secret")).form(&[("grant_type", "client_credentials")]);
    assert_eq!(ask(basic).await.0, 200);
    let login = client().post(&url).header("host", "login.salesforce.com").form(&CREDENTIALS);
    assert_eq!(
        ask(login).await,
        (400, json!({"error": "invalid_grant", "error_description": "request not supported on this domain"}))
    );
    for (form, error) in [
        ([CREDENTIALS[0], CREDENTIALS[1], ("client_secret", "wrong")], "invalid_client"),
        ([CREDENTIALS[0], ("client_id", "unknown"), CREDENTIALS[2]], "invalid_client_id"),
        ([("grant_type", "password"), CREDENTIALS[1], CREDENTIALS[2]], "unsupported_grant_type"),
    ] {
        let (status, answer) = token_for(&sim, &form).await;
        assert_eq!((status, &answer["error"]), (400, &error.into()));
    }
    assert_eq!(ask(client().post(&url).json(&json!({}))).await.1["error"], "invalid_request");
    let nobody = start(SalesforceConfig::new(App { run_as: None, ..app() })).await;
    assert_eq!(token_for(&nobody, &CREDENTIALS).await.1["error_description"], "no client credentials user enabled");
    // Neither keys nor assertions are kept.
    assert!(sim.requests().entries().iter().all(|it| it.body.is_null() && it.status > 0));
}

#[tokio::test]
async fn an_assertion_is_checked_in_every_respect() {
    let sim = start(config()).await;
    let claims = |name: &str, value: Value| {
        let mut claims =
            json!({"iss": "3MVG9test", "sub": USER, "aud": "https://login.salesforce.com", "exp": now() + 120});
        claims[name] = value;
        claims
    };
    let healthy = claims("sub", USER.into());
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let signed = |claims: &Value| rs256(RSA_PRIVATE, claims);
    let as_text = claims("exp", (now() + 120).to_string().into());
    for assertion in [signed(&healthy), signed(&as_text), signed(&claims("aud", sim.login_url().into()))] {
        let (status, answer) = token_for(&sim, &[("grant_type", grant), ("assertion", &assertion)]).await;
        assert_eq!(status, 200, "{answer}");
    }
    for (assertion, error, description) in [
        (rs256(OTHER_RSA_PRIVATE, &healthy), "invalid_assertion", "invalid assertion"),
        ("nonsense".into(), "invalid_assertion", "invalid assertion"),
        (signed(&claims("iss", "unknown".into())), "invalid_client_id", "client identifier invalid"),
        (signed(&claims("sub", "stranger@example.com".into())), "invalid_grant", "user hasn't approved this consumer"),
        (signed(&claims("aud", "https://example.com".into())), "invalid_grant", "audience is invalid"),
        (signed(&claims("exp", (now() - 60).into())), "invalid_assertion", "assertion is expired"),
        (signed(&claims("exp", (now() + 3_600).into())), "invalid_assertion", "exp is too far in the future"),
    ] {
        let answer = token_for(&sim, &[("grant_type", grant), ("assertion", &assertion)]).await;
        assert_eq!(answer, (400, json!({"error": error, "error_description": description})));
    }
}

#[tokio::test]
async fn a_refresh_token_dies_where_it_rotates() {
    let refresh = async |sim: &SalesforceSim, token: &str| {
        let form = [("grant_type", "refresh_token"), ("client_id", "3MVG9test"), ("refresh_token", token)];
        token_for(sim, &form).await
    };
    let sim = start(config()).await;
    for _ in 0..2 {
        let (status, answer) = refresh(&sim, "5Aep-first").await;
        assert!(status == 200 && answer.get("refresh_token").is_none());
    }
    let sim = start(SalesforceConfig { rotation: true, ..config() }).await;
    let next = refresh(&sim, "5Aep-first").await.1["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh(&sim, "5Aep-first").await.1["error"], "invalid_grant");
    assert_eq!(refresh(&sim, &next).await.0, 200);
}

#[tokio::test]
async fn versions_need_no_token_and_everything_else_does() {
    let sim = start(SalesforceConfig { bursts: true, ..config() }).await;
    let (_, versions) = ask(client().get(sim.login_url() + "/services/data/")).await;
    let latest = versions.as_array().unwrap().last().unwrap();
    assert_eq!(*latest, json!({"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}));
    let org = Org::open(&sim).await;
    let response = org.request("GET", "limits").send().await.unwrap();
    assert_eq!(response.headers()["sforce-limit-info"], "api-usage=1/15000; api-bursts=1/750");
    assert_eq!(
        response.json::<Value>().await.unwrap()["DailyApiRequests"],
        json!({"Max": 15_000, "Remaining": 14_999})
    );
    assert!(org.get("").await.1["sobjects"].is_string());
    let without = client().get(format!("{}{DATA}/limits", sim.login_url()));
    assert_eq!(ask(without).await.1[0]["errorCode"], "INVALID_AUTH_HEADER");
    let stranger = Org { sim: &sim, token: "00D!no".into() };
    let expired = json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]);
    assert_eq!(stranger.get("limits").await, (401, expired.clone()));
    let old = client().get(sim.login_url() + "/services/data/v1.0/limits").bearer_auth(&org.token);
    assert_eq!(ask(old).await.0, 404);
    sim.expire_sessions();
    assert_eq!(org.get("limits").await, (401, expired));
}

#[tokio::test]
async fn sessions_and_days_have_their_ends() {
    let sim = start(SalesforceConfig { session_requests: Some(2), daily_requests: 3, ..config() }).await;
    let org = Org::open(&sim).await;
    assert_eq!([org.get("limits").await.0, org.get("limits").await.0, org.get("limits").await.0], [200, 200, 401]);
    let org = Org::open(&sim).await;
    assert_eq!(org.get("limits").await.0, 200);
    let (status, body) = org.get("limits").await;
    assert_eq!((status, &body[0]["errorCode"]), (403, &"REQUEST_LIMIT_EXCEEDED".into()));
}

#[tokio::test]
async fn a_record_is_made_read_changed_and_deleted() {
    let sim = start(config()).await;
    let org = Org::open(&sim).await;
    let contact =
        org.create("Contact", json!({"FirstName": "Ann", "LastName": "Lee", "Phone": "(415) 555-0123"})).await;
    assert!(contact.len() == 18 && contact.starts_with("003"));
    let (_, read) = org.get(&format!("sobjects/Contact/{}?fields=Name,Phone", &contact[..15])).await;
    let url = format!("{DATA}/sobjects/Contact/{contact}");
    assert_eq!(
        read,
        json!({"attributes": {"type": "Contact", "url": url}, "Id": contact, "Name": "Ann Lee", "Phone": "(415) 555-0123"})
    );
    assert!(
        org.get(&format!("sobjects/Contact/{contact}")).await.1["CreatedDate"].as_str().unwrap().ends_with("+0000")
    );
    let task = json!({"Subject": "Call", "Status": "Completed", "TaskSubtype": "Call", "ActivityDate": "2026-11-22", "WhoId": contact,
        "CallType": "Inbound", "CallDurationInSeconds": 183, "Description": "They asked for a table."});
    let task = org.create("Task", task).await;
    let path = format!("sobjects/Task/{task}");
    assert_eq!(org.send("PATCH", &path, json!({"CallDisposition": "Resolved"})).await, (204, Value::Null));
    let kept = &sim.records("Task")[0];
    assert_eq!((&kept["CallDisposition"], &kept["IsClosed"]), (&"Resolved".into(), &true.into()));
    assert_eq!(ask(org.request("DELETE", &path)).await.0, 204);
    assert_eq!(org.get(&path).await.0, 404);
    let (_, described) = org.get("sobjects/Task/describe").await;
    let status = described["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Status").unwrap();
    assert_eq!((&status["type"], status["picklistValues"].as_array().unwrap().len()), (&"picklist".into(), 5));
}

#[tokio::test]
async fn what_a_record_may_not_be_is_refused() {
    let sim = start(config()).await;
    let org = Org::open(&sim).await;
    let lead = org.create("Lead", json!({"LastName": "Lee", "Company": "Acme"})).await;
    let account = org.create("Account", json!({"Name": "Acme"})).await;
    for (object, fields, code) in [
        ("Contact", json!({"FirstName": "Ann"}), "REQUIRED_FIELD_MISSING"),
        ("Lead", json!({"LastName": "Lee"}), "REQUIRED_FIELD_MISSING"),
        ("Contact", json!({"LastName": "Lee", "Shoes": 42}), "INVALID_FIELD"),
        ("Contact", json!({"LastName": "Lee", "CreatedDate": "2026-11-22"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ("Task", json!({"Status": "Done"}), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ("Task", json!({"CallDisposition": "x".repeat(256)}), "STRING_TOO_LONG"),
        ("Task", json!({"CallDurationInSeconds": "long"}), "JSON_PARSER_ERROR"),
        ("Task", json!({"ActivityDate": "22.11.2026"}), "JSON_PARSER_ERROR"),
        ("Task", json!({"WhoId": "003000000000000AAA"}), "INVALID_CROSS_REFERENCE_KEY"),
        ("Task", json!({"WhoId": lead, "WhatId": account}), "FIELD_INTEGRITY_EXCEPTION"),
    ] {
        assert_eq!(
            org.refused("POST", &format!("sobjects/{object}"), fields.clone()).await,
            (400, code.into()),
            "{fields}"
        );
    }
    let task = org.create("Task", json!({"WhoId": lead})).await;
    let later = org.refused("PATCH", &format!("sobjects/Task/{task}"), json!({"TaskSubtype": "Call"})).await;
    assert_eq!(later, (400, "INVALID_FIELD_FOR_INSERT_UPDATE".into()));
    assert_eq!(org.refused("POST", "sobjects/Spaceship", json!({})).await, (404, "NOT_FOUND".into()));
    assert_eq!(ask(org.request("POST", "sobjects/Task").body("{}")).await.0, 415);
    let malformed = org.request("POST", "sobjects/Task").header("content-type", "application/json").body("{");
    assert_eq!(ask(malformed).await.1[0]["errorCode"], "JSON_PARSER_ERROR");
}

#[tokio::test]
async fn an_external_id_makes_or_changes() {
    let own = CustomField { object: "Task".into(), name: "Call_Id__c".into(), external_id: true };
    let sim = start(SalesforceConfig { custom_fields: vec![own], ..config() }).await;
    let org = Org::open(&sim).await;
    let path = "sobjects/Task/Call_Id__c/call-7";
    let made = org.send("PATCH", path, json!({"Subject": "Call"})).await;
    let changed = org.send("PATCH", path, json!({"Status": "Completed"})).await;
    assert_eq!((made.0, changed.0, &made.1["id"]), (201, 200, &changed.1["id"]));
    assert_eq!(sim.records("Task").len(), 1);
    org.create("Task", json!({"Call_Id__c": "call-7"})).await;
    assert_eq!(org.send("PATCH", path, json!({})).await.0, 300);
    assert_eq!(org.refused("PATCH", "sobjects/Task/Subject/Call", json!({})).await, (404, "NOT_FOUND".into()));
}

#[tokio::test]
async fn a_caller_is_found_by_the_digits_of_the_number() {
    let ann = ("Contact".into(), json!({"FirstName": "Ann", "LastName": "Lee", "MobilePhone": "(415) 555-0123"}));
    let bob = ("Lead".into(), json!({"LastName": "Ray", "Company": "Acme", "Phone": "+1 415 555 0123"}));
    let sim = start(SalesforceConfig { records: vec![ann, bob], ..config() }).await;
    let org = Org::open(&sim).await;
    let get = "parameterizedSearch/?q=4155550123&in=PHONE&sobject=Contact&Contact.fields=Id,Name,MobilePhone&Contact.limit=5&sobject=Lead&Lead.fields=Name";
    let (status, found) = org.get(get).await;
    assert_eq!(status, 200, "{found}");
    let names: Vec<&Value> = found["searchRecords"].as_array().unwrap().iter().map(|it| &it["Name"]).collect();
    assert_eq!(names, ["Ann Lee", "Ray"]);
    assert_eq!(found["searchRecords"][0]["attributes"]["type"], "Contact");
    let body = |condition: &str| {
        json!({"q": "14155550123", "in": "PHONE", "fields": ["Name"], "overallLimit": 10,
            "sobjects": [{"name": "Lead", "fields": ["Name", "Company"], "where": condition, "limit": 5}]})
    };
    let (_, found) = org.send("POST", "parameterizedSearch", body("IsConverted = false")).await;
    assert_eq!(found["searchRecords"][0]["Company"], "Acme");
    let (_, none) = org.send("POST", "parameterizedSearch", body("IsConverted = true")).await;
    assert_eq!(none, json!({"searchRecords": []}));
    let (_, by_name) = org.get("parameterizedSearch?q=ann&in=NAME&sobject=Contact").await;
    assert_eq!(by_name["searchRecords"].as_array().unwrap().len(), 1);
    for (path, code) in [
        ("parameterizedSearch?q=a", "MALFORMED_SEARCH"),
        ("parameterizedSearch?q=ann&sobject=Spaceship", "INVALID_TYPE"),
        ("parameterizedSearch?q=ann&sobject=Contact&Contact.fields=Shoes", "INVALID_FIELD"),
    ] {
        assert_eq!(org.get(path).await.1[0]["errorCode"], code);
    }

    let late = start(SalesforceConfig { index_delay: Duration::from_secs(60), ..config() }).await;
    let org = Org::open(&late).await;
    org.create("Contact", json!({"LastName": "Lee", "Phone": "4155550123"})).await;
    assert_eq!(org.get(get).await.1, json!({"searchRecords": []}));
}

#[tokio::test]
async fn scripted_faults_speak_the_vendors_words() {
    let locked = Fault::ErrorAfter(Duration::ZERO, "UNABLE_TO_LOCK_ROW".into());
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let script =
        Script::new([Some(locked), refuse(503, Some(3)), refuse(401, None), Some(Fault::GarbageAfter(Duration::ZERO))]);
    let token_script = Script::new([None, refuse(429, None), refuse(500, None)]);
    let sim = start(SalesforceConfig { script, token_script, ..config() }).await;
    let org = Org::open(&sim).await;
    assert_eq!(org.refused("POST", "sobjects/Task", json!({})).await, (400, "UNABLE_TO_LOCK_ROW".into()));
    let response = org.request("GET", "limits").send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"3".parse().unwrap()));
    assert_eq!(org.get("limits").await.1[0]["errorCode"], "INVALID_SESSION_ID");
    assert_eq!(org.get("limits").await, (200, Value::Null));
    assert!(sim.records("Task").is_empty());
    assert_eq!(token_for(&sim, &CREDENTIALS).await.1["error"], "rate_limit_exceeded");
    assert_eq!(token_for(&sim, &CREDENTIALS).await.0, 500);

    let slow = start(SalesforceConfig { latency: Duration::from_secs(30), ..config() }).await;
    let url = slow.login_url() + "/services/data/";
    let waited = client().get(url).timeout(Duration::from_millis(300)).send().await;
    assert!(waited.unwrap_err().is_timeout());
    assert_eq!(slow.requests().entries()[0].status, 0);
}
