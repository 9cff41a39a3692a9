use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use trunkline_base::{CallId, Personal, Secret};
use uuid::Uuid;

use super::{
    deliveries::{self, Attempt, Due, Fate},
    rotation,
};
use crate::{
    Control,
    auth::Role,
    conversations::{
        analysis::{self, Analysis},
        calls::{self, NewConversation},
        erase,
        journal::{self, CallRows, Ended},
    },
    http::now,
    jobs::{
        Job, Kind,
        queue::{self, Claim},
    },
    testing::{Api, User},
    vault::Vault,
    vendors::Provider,
};

const PATH: &str = "/v1/webhooks";
const ALL: [&str; 5] = ["call.started", "call.answered", "call.ended", "call.analyzed", "recording.ready"];

async fn tenant(api: &Api) -> User {
    let user = api.owner();
    api.get(&user, "/v1/tenant").await.data();
    user
}

fn body(events: &[&str]) -> Value {
    json!({ "url": "https://hooks.example.com/x?key=hush", "events": events, "description": "Tickets" })
}

async fn make(api: &Api, user: &User, events: &[&str]) -> Uuid {
    let made = api.post(user, PATH, body(events)).await;
    made.data()["id"].as_str().unwrap().parse().unwrap()
}

async fn run(api: &Api, statement: impl Into<String>) {
    let owner = api.scratch.superuser().await;
    sqlx::query(AssertSqlSafe::<String>(statement.into())).execute(owner.pool()).await.unwrap();
}

async fn ring(api: &Api, user: &User, agent: Uuid) -> CallId {
    let call = NewConversation {
        id: CallId::generate(),
        agent,
        agent_version: 1,
        provider: Provider::Twilio,
        provider_call_id: Uuid::now_v7().to_string(),
        customer_phone: Personal::new("+14155550100".into()),
        our_number: Personal::new("+15005550006".into()),
        context: [("name".to_owned(), "Ada Lovelace".to_owned())].into(),
        node: "node".into(),
    };
    let mut tx = api.control.db.begin(user.tenant).await.unwrap();
    calls::create(&mut tx, user.tenant, &call, now()).await.unwrap();
    tx.commit().await.unwrap();
    call.id
}

async fn write(api: &Api, user: &User, id: CallId, rows: CallRows) {
    let mut tx = api.control.db.begin(user.tenant).await.unwrap();
    journal::write(&mut tx, user.tenant, "node", &[(id, rows)], now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A call from its beginning to its analysis and its recording.
async fn call(api: &Api, user: &User, agent: Uuid) -> CallId {
    let id = ring(api, user, agent).await;
    write(api, user, id, CallRows { answered_at: Some(now()), ..CallRows::default() }).await;
    let ended = Ended { at: now(), status: "completed", reason: "caller_hangup".into() };
    write(api, user, id, CallRows { ended: Some(ended), ..CallRows::default() }).await;
    let analysis = Analysis {
        outcome: Some("resolved".into()),
        summary: Some("They spoke of secrets".into()),
        tags: vec!["secret".into()],
        ..Analysis::default()
    };
    let mut tx = api.control.db.begin(user.tenant).await.unwrap();
    assert!(analysis::write(&mut tx, user.tenant, id, &analysis).await.unwrap());
    tx.commit().await.unwrap();
    let (tenant, recording) = (user.tenant, Uuid::now_v7());
    run(
        api,
        format!(
            "insert into recordings (tenant_id, id, conversation_id, source, state) values ('{tenant}', '{recording}', '{id}', 'call', 'recording')"
        ),
    )
    .await;
    run(api, format!("update recordings set state = 'stored', duration_ms = 900 where id = '{recording}'")).await;
    id
}

async fn log(api: &Api, user: &User, id: Uuid) -> Vec<Value> {
    let answer = api.get(user, &format!("{PATH}/{id}/deliveries")).await;
    let deliveries = answer.data()["deliveries"].as_array().unwrap().clone();
    assert_eq!(answer.data()["pagination"]["total"], deliveries.len());
    deliveries.into_iter().rev().collect()
}

fn events(log: &[Value]) -> Vec<&str> {
    log.iter().map(|delivery| delivery["event"].as_str().unwrap()).collect()
}

async fn claim(api: &Api) -> Option<Job> {
    let claim =
        Claim { kind: Kind::Webhook, n: 1, per_tenant: 8, attempts: 3, worker: "w", lease: Duration::from_secs(30) };
    queue::claim(&api.control.db, claim).await.unwrap().pop()
}

async fn due(api: &Api, job: &Job) -> Due {
    let mut tx = api.control.db.begin(job.tenant).await.unwrap();
    deliveries::due(&mut tx, job.tenant, job.subject).await.unwrap().unwrap()
}

async fn settle(api: &Api, job: &Job, attempt: &Attempt, fate: Fate) -> bool {
    let due = due(api, job).await;
    let mut tx = api.control.db.begin(job.tenant).await.unwrap();
    let settled = deliveries::settle(&mut tx, job.tenant, job, &due, attempt, fate).await.unwrap();
    tx.commit().await.unwrap();
    settled
}

fn failed(status: u16) -> Attempt {
    Attempt {
        response_status: Some(status),
        response_body: Some("no\0".into()),
        error: Some(format!("it was answered with {status}")),
        duration_ms: 5,
    }
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_encrypted() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let made = api.post(&ada, PATH, body(&["call.ended"])).await;
    assert_eq!(made.status, 201);
    let secret = made.data()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let id: Uuid = made.data()["id"].as_str().unwrap().parse().unwrap();
    let listed = api.get(&ada, PATH).await;
    assert!(!listed.body.to_string().contains("whsec_"));
    assert_eq!(listed.data()["webhooks"][0]["url"], "https://hooks.example.com/x?key=hush");
    assert_eq!(listed.data()["webhooks"][0]["enabled"], true);
    let owner = api.scratch.superuser().await;
    let kept: String =
        sqlx::query_scalar("select to_jsonb(w)::text from webhook_endpoints w").fetch_one(owner.pool()).await.unwrap();
    assert!(!kept.contains(&secret[6..]));

    let path = format!("{PATH}/{id}");
    assert!(api.patch(&ada, &path, json!({ "description": "CRM" })).await.data().get("secret").is_none());
    let rotated = api.patch(&ada, &path, json!({ "rotate_secret": true })).await;
    let new = rotated.data()["secret"].as_str().unwrap();
    assert_ne!(new, secret);
    assert!(rotated.data()["previous_secret_until"].is_string());
    // For a day both sign, the new one first.
    let agent = api.agent(&ada, &[]).await;
    call(&api, &ada, agent).await;
    let job = claim(&api).await.unwrap();
    let due = due(&api, &job).await;
    let exposed = |secrets: Vec<Secret>| secrets.iter().map(|it| it.expose().to_owned()).collect::<Vec<_>>();
    assert_eq!(exposed(due.secrets(&api.control.vault, now()).unwrap()), [new.to_owned(), secret]);
    assert_eq!(exposed(due.secrets(&api.control.vault, now() + TimeDelta::hours(25)).unwrap()), [new]);
    let entries = api.get(&ada, "/v1/audit-log?target_kind=webhook").await;
    let entries = &entries.data()["entries"];
    assert_eq!(entries[0]["details"], json!({ "changed": ["secret"] }));
    assert!(!entries.to_string().contains("hush"));
}

#[tokio::test]
async fn what_cannot_be_told_anything_is_refused() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let wrong = [
        (json!({ "url": "https://169.254.169.254/", "events": ["call.ended"] }), "url"),
        (json!({ "url": format!("https://x.example/{}", "x".repeat(2048)), "events": ["call.ended"] }), "url"),
        (json!({ "url": "https://x.example", "events": [] }), "events"),
        (json!({ "url": "https://x.example", "events": ["call.ended", "call.ended"] }), "events"),
        (json!({ "url": "https://x.example", "events": ["call.exploded"] }), "events[0]"),
        (
            json!({ "url": "https://x.example", "events": ["call.ended"], "description": "x".repeat(201) }),
            "description",
        ),
        (json!({ "url": "https://x.example", "events": ["call.ended"], "secret": "mine" }), "secret"),
    ];
    for (body, field) in wrong {
        let answer = api.post(&ada, PATH, body.clone()).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{body}");
        assert_eq!(answer.body["details"]["fields"][0]["field"], field, "{:#}", answer.body);
    }
    let id = make(&api, &ada, &["call.ended"]).await;
    let refused = api.patch(&ada, &format!("{PATH}/{id}"), json!({ "url": "http://169.254.1.1" })).await;
    assert_eq!(refused.error(), (422, "VALIDATION_ERROR"));
    for _ in 1..20 {
        make(&api, &ada, &["call.ended"]).await;
    }
    assert_eq!(api.post(&ada, PATH, body(&["call.ended"])).await.error(), (409, "CONFLICT"));
    api.delete(&ada, &format!("{PATH}/{id}")).await.data();
    make(&api, &ada, &["call.ended"]).await;
}

#[tokio::test]
async fn a_call_is_told_in_order_with_what_erasing_would_leave() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let agent = api.agent(&ada, &[]).await;
    let all = make(&api, &ada, &ALL).await;
    let some = make(&api, &ada, &["call.ended"]).await;
    let none = make(&api, &ada, &ALL).await;
    api.patch(&ada, &format!("{PATH}/{none}"), json!({ "enabled": false })).await.data();
    // Another tenant's hears nothing of it, and what is undone is told nobody.
    let bob = tenant(&api).await;
    let foreign = make(&api, &bob, &ALL).await;
    let id = call(&api, &ada, agent).await;
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    sqlx::query("update conversations set status = 'active', analyzed_at = now()")
        .execute(tx.connection())
        .await
        .unwrap();
    drop(tx);
    assert_eq!(events(&log(&api, &ada, all).await), ALL);
    assert_eq!(events(&log(&api, &ada, some).await), ["call.ended"]);
    assert_eq!((log(&api, &ada, none).await.len(), log(&api, &bob, foreign).await.len()), (0, 0));

    let told = log(&api, &ada, all).await;
    let ended = &told[2];
    assert_eq!((&ended["status"], &ended["attempts"]), (&json!("pending"), &json!(0)));
    assert_eq!(ended["conversation_id"], json!(id));
    let payload = &ended["payload"];
    assert_eq!((&payload["type"], &payload["data"]["status"]), (&json!("call.ended"), &json!("completed")));
    assert_eq!(payload["data"]["end_reason"], "caller_hangup");
    assert_eq!(payload["timestamp"], payload["data"]["end_time"]);
    assert!(payload["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(told[0]["payload"]["data"]["status"], "ringing");
    assert_eq!(told[3]["payload"]["data"]["outcome"], "resolved");
    assert_eq!(told[4]["payload"]["data"]["duration_ms"], 900);
    let text = json!(told).to_string();
    for private in ["4155550100", "5005550006", "Lovelace", "secret"] {
        assert!(!text.contains(private), "{private} is told");
    }
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    erase::erase(&mut tx, ada.tenant, id.as_uuid(), now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(log(&api, &ada, all).await, told);

    // One after the other, for each endpoint.
    let mut heard = Vec::new();
    while let Some(job) = claim(&api).await {
        let due = due(&api, &job).await;
        heard.push((due.endpoint, due.payload["type"].as_str().unwrap().to_owned()));
        assert!(settle(&api, &job, &Attempt::default(), Fate::Delivered).await);
    }
    let of =
        |endpoint| heard.iter().filter(|(it, _)| *it == endpoint).map(|(_, event)| event.as_str()).collect::<Vec<_>>();
    assert_eq!((of(all), of(some)), (ALL.to_vec(), vec!["call.ended"]));
    assert!(log(&api, &ada, all).await.iter().all(|it| it["status"] == "delivered" && it["next_attempt_at"].is_null()));
}

#[tokio::test]
async fn an_endpoint_that_fails_is_tried_again_waited_for_and_at_last_disabled() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let agent = api.agent(&ada, &[]).await;
    let id = make(&api, &ada, &["call.started", "call.ended"]).await;
    let call_id = call(&api, &ada, agent).await;
    let shown = async || {
        let listed = api.get(&ada, PATH).await;
        listed.data()["webhooks"][0].clone()
    };
    let job = claim(&api).await.unwrap();
    assert!(settle(&api, &job, &failed(500), Fate::Again(Duration::from_secs(60))).await);
    assert!(!settle(&api, &job, &failed(500), Fate::Delivered).await, "the claim has ended");
    assert_eq!(claim(&api).await, None, "what comes later waits");
    let told = log(&api, &ada, id).await;
    assert_eq!((&told[0]["status"], &told[0]["response_status"]), (&json!("pending"), &json!(500)));
    assert_eq!((&told[0]["response_body"], &told[0]["duration_ms"]), (&json!("no\u{fffd}"), &json!(5)));
    assert!(told[0]["next_attempt_at"].is_string() && told[0]["attempted_at"].is_string());
    assert!(shown().await["failing_since"].is_string());
    let redeliver = format!("{PATH}/{id}/deliveries/{}/redeliver", job.subject);
    assert_eq!(api.post(&ada, &redeliver, Value::Null).await.error(), (409, "CONFLICT"));

    run(&api, "update jobs set run_at = now()").await;
    let job = claim(&api).await.unwrap();
    assert!(settle(&api, &job, &failed(503), Fate::GivenUp).await);
    let dead = api.get(&ada, "/v1/jobs/dead").await;
    let dead = &dead.data()["jobs"][0];
    assert_eq!((&dead["subject_id"], &dead["conversation_id"]), (&json!(job.subject), &json!(call_id)));
    assert_eq!(log(&api, &ada, id).await[0]["status"], "failed");
    // What waited for it is next; a success forgets the failures.
    let next = claim(&api).await.unwrap();
    assert!(settle(&api, &next, &Attempt::default(), Fate::Delivered).await);
    assert_eq!(shown().await["failing_since"], Value::Null);

    // Once more by hand: the job that gave up is the one that does it.
    let again = api.post(&ada, &redeliver, Value::Null).await;
    assert_eq!((again.status.as_u16(), &again.data()["status"]), (202, &json!("pending")));
    let job = claim(&api).await.unwrap();
    assert_eq!((json!(job.id), job.attempt, job.lane.clone()), (dead["id"].clone(), 1, None));
    assert!(settle(&api, &job, &Attempt::default(), Fate::Delivered).await);
    api.post(&ada, &redeliver, Value::Null).await.data();
    let job = claim(&api).await.unwrap();

    // Three days without success are enough.
    run(&api, "update webhook_endpoints set failing_since = now() - interval '73 hours'").await;
    assert!(settle(&api, &job, &failed(500), Fate::Again(Duration::ZERO)).await);
    let endpoint = shown().await;
    assert_eq!(endpoint["enabled"], false);
    assert_eq!(endpoint["disabled_reason"], "nothing could be delivered for 72 hours");
    let job = claim(&api).await.unwrap();
    assert!(!due(&api, &job).await.is_enabled);
    assert!(settle(&api, &job, &failed(500), Fate::Unwanted).await);
    assert_eq!(api.post(&ada, &redeliver, Value::Null).await.error(), (409, "CONFLICT"));
    let enabled = api.patch(&ada, &format!("{PATH}/{id}"), json!({ "enabled": true })).await;
    assert_eq!((&enabled.data()["disabled_reason"], &enabled.data()["failing_since"]), (&Value::Null, &Value::Null));
    api.post(&ada, &redeliver, Value::Null).await.data();
}

#[tokio::test]
async fn an_endpoint_that_is_gone_or_removed_is_told_nothing_more() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let agent = api.agent(&ada, &[]).await;
    let id = make(&api, &ada, &ALL).await;
    call(&api, &ada, agent).await;
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    deliveries::disable(&mut tx, ada.tenant, id, "it answered 410 Gone").await.unwrap();
    tx.commit().await.unwrap();
    let listed = api.get(&ada, PATH).await;
    assert_eq!(listed.data()["webhooks"][0]["disabled_reason"], "it answered 410 Gone");
    call(&api, &ada, agent).await;
    assert_eq!(log(&api, &ada, id).await.len(), 5);
    let eve = api.user(ada.tenant, Role::Member);
    assert_eq!(api.delete(&eve, &format!("{PATH}/{id}")).await.error(), (403, "TENANT_ACCESS_DENIED"));
    api.delete(&ada, &format!("{PATH}/{id}")).await.data();
    assert_eq!(claim(&api).await, None);
    assert_eq!(api.get(&ada, &format!("{PATH}/{id}/deliveries")).await.error(), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn secrets_come_under_the_first_key_of_the_ring() {
    let mut api = Api::new().await;
    let ada = tenant(&api).await;
    let old = Vault::generate_key();
    let with = |keys: &[&Secret], control: &Control| {
        let ring = keys.iter().map(|key| key.expose()).collect::<Vec<_>>().join(",");
        Control { vault: std::sync::Arc::new(Vault::new(&Secret::new(ring)).unwrap()), ..control.clone() }
    };
    let control = with(&[&old], &api.control);
    api = api.with_control(control);
    make(&api, &ada, &["call.ended"]).await;
    make(&api, &ada, &["call.ended"]).await;
    let new = Vault::generate_key();
    let control = with(&[&new, &old], &api.control);
    let report = rotation::rotate_all(&control.db, &control.vault).await.unwrap();
    assert_eq!((report.rotated, report.failed), (2, 0));
    assert_eq!(rotation::rotate_all(&control.db, &control.vault).await.unwrap().rotated, 0);
    let control = with(&[&Vault::generate_key()], &api.control);
    let report = rotation::rotate_all(&control.db, &control.vault).await.unwrap();
    assert_eq!((report.rotated, report.failed), (0, 2));
}
