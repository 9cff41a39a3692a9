use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use super::queue::{self, Claim, Job, Kind};
use crate::{
    auth::Role,
    conversations::{
        analysis::{self, Analysis},
        calls::{self, NewConversation},
        journal::{self, CallRows, Ended, TurnRow},
    },
    http::now,
    testing::{Api, User, agent_body},
    vendors::Provider,
};

const LEASE: Duration = Duration::from_secs(30);

/// Makes an agent's calls.
struct Line<'a> {
    api: &'a Api,
    user: &'a User,
    agent: Uuid,
}

impl<'a> Line<'a> {
    async fn open(api: &'a Api, user: &'a User, analysis: Value) -> Self {
        let mut body = agent_body("Ada");
        body["analysis_config"] = analysis;
        let made = api.post(user, "/v1/voice-agents", body).await;
        Self { api, user, agent: made.data()["id"].as_str().unwrap().parse().unwrap() }
    }

    async fn ring(&self) -> CallId {
        let call = NewConversation {
            id: CallId::generate(),
            agent: self.agent,
            agent_version: 1,
            provider: Provider::Twilio,
            provider_call_id: Uuid::now_v7().to_string(),
            customer_phone: Personal::new("+14155550100".into()),
            our_number: Personal::new("+15005550006".into()),
            context: std::collections::BTreeMap::new(),
            node: "node".into(),
        };
        let mut tx = self.api.control.db.begin(self.user.tenant).await.unwrap();
        calls::create(&mut tx, self.user.tenant, &call, now()).await.unwrap();
        tx.commit().await.unwrap();
        call.id
    }

    async fn write(&self, id: CallId, rows: CallRows) {
        let mut tx = self.api.control.db.begin(self.user.tenant).await.unwrap();
        journal::write(&mut tx, self.user.tenant, "node", &[(id, rows)], now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A call with one turn of this side's, from its beginning to its end.
    async fn call(&self, speaker: &'static str) -> CallId {
        let id = self.ring().await;
        self.write(id, said(speaker)).await;
        self.write(id, over()).await;
        id
    }
}

fn said(speaker: &'static str) -> CallRows {
    let turn = TurnRow {
        seq: 0,
        speaker,
        started_ms: 0,
        ended_ms: 900,
        text: "Hello.".into(),
        generated_text: None,
        interrupted: false,
        source: "speech".into(),
        latency: None,
    };
    CallRows { answered_at: Some(now()), turns: vec![turn], ..CallRows::default() }
}

fn over() -> CallRows {
    let ended = Ended { at: now(), status: "completed", reason: "caller_hangup".into() };
    CallRows { ended: Some(ended), ..CallRows::default() }
}

async fn claim(api: &Api, kind: Kind, n: i32, worker: &str) -> Vec<Job> {
    let claim = Claim { kind, n, per_tenant: 8, attempts: 3, worker, lease: LEASE };
    queue::claim(&api.control.db, claim).await.unwrap()
}

async fn run(api: &Api, statement: impl Into<String>) -> u64 {
    let owner = api.scratch.superuser().await;
    sqlx::query(AssertSqlSafe::<String>(statement.into())).execute(owner.pool()).await.unwrap().rows_affected()
}

async fn count(api: &Api, from: &str) -> i64 {
    let owner = api.scratch.superuser().await;
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {from}"))).fetch_one(owner.pool()).await.unwrap()
}

/// Jobs about nothing, of a tenant.
async fn make(api: &Api, user: &User, n: usize, lane: Option<&str>) {
    let lane = lane.map_or("null".to_owned(), |lane| format!("'{lane}'"));
    run(
        api,
        format!(
            "insert into jobs (tenant_id, id, kind, subject, lane)
             select '{}', uuid_v7(), 'webhook', gen_random_uuid(), {lane} from generate_series(1, {n})",
            user.tenant
        ),
    )
    .await;
}

async fn tenant(api: &Api) -> User {
    let user = api.owner();
    api.get(&user, "/v1/tenant").await.data();
    user
}

#[tokio::test]
async fn a_call_that_ends_is_to_be_analysed_in_the_same_transaction() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let line = Line::open(&api, &ada, json!({})).await;
    let id = line.ring().await;
    line.write(id, said("customer")).await;
    assert_eq!(claim(&api, Kind::Analysis, 9, "w").await, []);
    // What is undone leaves no job.
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    journal::write(&mut tx, ada.tenant, "node", &[(id, over())], now()).await.unwrap();
    drop(tx);
    assert_eq!(count(&api, "jobs").await, 0);
    line.write(id, over()).await;
    // A batch may come twice, and late.
    line.write(id, over()).await;
    line.write(id, said("customer")).await;
    let jobs = claim(&api, Kind::Analysis, 9, "w").await;
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0];
    assert_eq!((job.tenant, job.subject, job.conversation), (ada.tenant, id.as_uuid(), Some(id)));
    assert_eq!((job.attempt, job.kind), (1, Kind::Analysis));
}

#[tokio::test]
async fn what_nobody_has_said_or_wants_is_not_analysed() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let line = Line::open(&api, &ada, json!({})).await;
    line.call("agent").await;
    let unwanted = Line::open(&api, &ada, json!({ "enabled": false })).await;
    unwanted.call("customer").await;
    assert_eq!(count(&api, "jobs").await, 0);
    // One that no node keeps alive is, once it is closed.
    let id = line.ring().await;
    line.write(id, said("customer")).await;
    run(&api, "update slots set expires_at = now() - interval '1 minute'").await;
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    assert!(calls::close_abandoned(&mut tx, ada.tenant, id, now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(claim(&api, Kind::Analysis, 9, "w").await.len(), 1);
}

#[tokio::test]
async fn two_workers_never_have_the_same_job() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    make(&api, &ada, 40, None).await;
    let take = |worker: &'static str| {
        let api = &api;
        async move {
            let claim = Claim { kind: Kind::Webhook, n: 5, per_tenant: 100, attempts: 3, worker, lease: LEASE };
            let mut ids = Vec::new();
            // Somebody else may hold those that are looked at; so it is looked again.
            for _ in 0..20 {
                ids.extend(queue::claim(&api.control.db, claim).await.unwrap().into_iter().map(|job| job.id));
            }
            ids
        }
    };
    let (one, other) = tokio::join!(take("one"), take("other"));
    let mut all = [one, other].concat();
    assert_eq!(all.len(), 40);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
}

#[tokio::test]
async fn a_tenant_with_many_jobs_holds_up_nobody() {
    let api = Api::new().await;
    let (ada, bob) = (tenant(&api).await, tenant(&api).await);
    make(&api, &ada, 2000, None).await;
    make(&api, &bob, 3, None).await;
    let of = |jobs: &[Job], user: &User| jobs.iter().filter(|job| job.tenant == user.tenant).count();
    let jobs = claim(&api, Kind::Webhook, 6, "w").await;
    assert_eq!((of(&jobs, &ada), of(&jobs, &bob)), (3, 3));
    // However much room there is, a tenant has no more than its share of it running.
    assert_eq!(claim(&api, Kind::Webhook, 100, "w").await.len(), 5);
    assert_eq!(claim(&api, Kind::Webhook, 100, "w").await.len(), 0);
    make(&api, &bob, 1, None).await;
    assert_eq!(of(&claim(&api, Kind::Webhook, 100, "v").await, &bob), 1);
}

#[tokio::test]
async fn a_lane_is_done_in_order_and_a_dead_job_holds_up_nobody() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    make(&api, &ada, 3, Some("a")).await;
    make(&api, &ada, 1, Some("b")).await;
    let mut first = claim(&api, Kind::Webhook, 9, "w").await;
    first.sort_by_key(|job| job.seq);
    assert_eq!(first.iter().map(|job| job.lane.as_deref().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(claim(&api, Kind::Webhook, 9, "w").await, []);
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    assert!(queue::again(&mut tx, ada.tenant, &first[0], Duration::from_secs(60), "busy").await.unwrap());
    tx.commit().await.unwrap();
    // Those behind it wait as long.
    assert_eq!(claim(&api, Kind::Webhook, 9, "w").await, []);
    assert_eq!(count(&api, "jobs where lane = 'a' and run_at > now() + interval '50 seconds'").await, 3);
    run(&api, "update jobs set run_at = now()").await;
    let again = claim(&api, Kind::Webhook, 9, "w").await;
    assert_eq!(again.iter().map(|job| (job.id, job.attempt)).collect::<Vec<_>>(), [(first[0].id, 2)]);
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    assert!(queue::bury(&mut tx, ada.tenant, &again[0], "gone").await.unwrap());
    tx.commit().await.unwrap();
    let next = claim(&api, Kind::Webhook, 9, "w").await;
    assert_eq!((next.len(), next[0].seq), (1, first[0].seq + 1));
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    assert!(queue::done(&mut tx, ada.tenant, &next[0]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(claim(&api, Kind::Webhook, 9, "w").await[0].seq, first[0].seq + 2);
}

#[tokio::test]
async fn a_dead_workers_jobs_come_back_and_it_can_end_none_of_them() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    make(&api, &ada, 2, None).await;
    let lost = claim(&api, Kind::Webhook, 2, "dies").await;
    let ids: Vec<Uuid> = lost.iter().map(|job| job.id).collect();
    assert_eq!(queue::keep(&api.control.db, "dies", &ids, LEASE).await.unwrap().len(), 2);
    assert_eq!(claim(&api, Kind::Webhook, 2, "lives").await, []);
    run(&api, "update jobs set lease_until = now() - interval '1 second'").await;
    let mut taken = claim(&api, Kind::Webhook, 2, "lives").await;
    taken.sort_by_key(|job| job.seq);
    assert_eq!(taken.iter().map(|job| job.attempt).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(queue::keep(&api.control.db, "dies", &ids, LEASE).await.unwrap(), []);
    let old = lost.iter().find(|job| job.id == taken[0].id).unwrap();
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    assert!(!queue::done(&mut tx, ada.tenant, old).await.unwrap());
    assert!(!queue::bury(&mut tx, ada.tenant, old, "x").await.unwrap());
    assert!(!queue::give_back(&mut tx, ada.tenant, old).await.unwrap());
    assert!(!queue::again(&mut tx, ada.tenant, old, Duration::ZERO, "x").await.unwrap());
    assert!(queue::done(&mut tx, ada.tenant, &taken[0]).await.unwrap());
    // What is given back was no attempt.
    assert!(queue::give_back(&mut tx, ada.tenant, &taken[1]).await.unwrap());
    tx.commit().await.unwrap();
    let back = claim(&api, Kind::Webhook, 2, "lives").await;
    assert_eq!(back.iter().map(|job| (job.id, job.attempt)).collect::<Vec<_>>(), [(taken[1].id, 2)]);
    // What has killed three workers is not given to a fourth.
    for _ in 0..2 {
        run(&api, "update jobs set lease_until = now() - interval '1 second'").await;
        claim(&api, Kind::Webhook, 2, "dies too").await;
    }
    assert_eq!(count(&api, "jobs where state = 'dead' and attempts = 3 and dead_at is not null").await, 1);
}

#[tokio::test]
async fn what_gave_up_is_listed_for_its_tenant_and_tried_again() {
    let api = Api::new().await;
    let (ada, bob) = (tenant(&api).await, tenant(&api).await);
    let line = Line::open(&api, &ada, json!({})).await;
    let id = line.call("customer").await;
    let job = claim(&api, Kind::Analysis, 1, "w").await.remove(0);
    let path = format!("/v1/jobs/dead/{}/retry", job.id);
    assert_eq!(api.post(&ada, &path, Value::Null).await.error(), (404, "NOT_FOUND"));
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    queue::bury(&mut tx, ada.tenant, &job, &format!("no credential\0{}", "ä".repeat(400))).await.unwrap();
    tx.commit().await.unwrap();
    let listed = api.get(&ada, "/v1/jobs/dead").await;
    let listed = &listed.data()["jobs"];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let dead = &listed[0];
    assert_eq!((&dead["id"], &dead["kind"], &dead["attempts"]), (&json!(job.id), &json!("analysis"), &json!(1)));
    assert_eq!((&dead["subject_id"], &dead["conversation_id"]), (&json!(id), &json!(id)));
    assert!(dead["error"].as_str().unwrap().starts_with("no credential\u{fffd}ä"));
    assert_eq!(claim(&api, Kind::Analysis, 1, "w").await, []);

    assert_eq!(api.get(&bob, "/v1/jobs/dead").await.data()["pagination"]["total"], 0);
    assert_eq!(api.post(&bob, &path, Value::Null).await.error(), (404, "NOT_FOUND"));
    let eve = api.user(ada.tenant, Role::Member);
    assert_eq!(api.post(&eve, &path, Value::Null).await.error(), (403, "TENANT_ACCESS_DENIED"));
    assert_eq!(api.post(&ada, "/v1/jobs/dead/x/retry", Value::Null).await.error(), (404, "NOT_FOUND"));

    let retried = api.post(&ada, &path, Value::Null).await;
    assert_eq!((retried.status.as_u16(), retried.data()), (202, &json!({ "id": job.id, "state": "queued" })));
    assert_eq!(api.get(&ada, "/v1/jobs/dead").await.data()["pagination"]["total"], 0);
    let again = claim(&api, Kind::Analysis, 1, "w").await.remove(0);
    assert_eq!((again.id, again.attempt), (job.id, 1));
    let log = api.get(&ada, "/v1/audit-log?action=job.retried").await;
    assert_eq!(log.data()["entries"][0]["details"], json!({ "kind": "analysis" }));
}

#[tokio::test]
async fn what_is_made_of_a_call_shows_and_is_written_with_the_end_of_its_job() {
    let api = Api::new().await;
    let ada = tenant(&api).await;
    let line = Line::open(&api, &ada, json!({})).await;
    let id = line.call("customer").await;
    let job = claim(&api, Kind::Analysis, 1, "w").await.remove(0);
    let analysis =
        Analysis { outcome: Some("resolved".into()), extraction: Some(json!({ "guests": 2 })), ..Analysis::default() };
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    assert!(queue::done(&mut tx, ada.tenant, &job).await.unwrap());
    assert!(analysis::write(&mut tx, ada.tenant, id, &analysis).await.unwrap());
    tx.commit().await.unwrap();
    let shown = api.get(&ada, &format!("/v1/conversations/{id}")).await;
    assert_eq!((&shown.data()["extraction"], &shown.data()["outcome"]), (&json!({ "guests": 2 }), &json!("resolved")));
    assert!(shown.data()["analyzed_at"].is_string());
    assert_eq!(count(&api, "jobs").await, 0);
}

#[tokio::test]
async fn jobs_are_counted_and_old_ones_removed() {
    let api = Api::new().await;
    let (ada, bob) = (tenant(&api).await, tenant(&api).await);
    make(&api, &ada, 3, None).await;
    make(&api, &bob, 2, None).await;
    run(
        &api,
        format!(
            "update jobs set state = 'dead', dead_at = now() - interval '29 days' where tenant_id = '{}'",
            bob.tenant
        ),
    )
    .await;
    let counts = queue::counts(&api.control.db).await.unwrap();
    let jobs =
        |state: &str| counts.iter().find(|count| count.state == state).map(|count| (count.kind.as_str(), count.jobs));
    assert_eq!((jobs("queued"), jobs("dead"), jobs("running")), (Some(("webhook", 3)), Some(("webhook", 2)), None));
    let oldest = counts.iter().find(|count| count.state == "dead").unwrap().oldest.unwrap();
    assert!(now() - oldest > TimeDelta::days(28));
    assert_eq!(queue::sweep(&api.control.db, now()).await.unwrap(), 0);
    assert_eq!(queue::sweep(&api.control.db, now() + TimeDelta::days(2)).await.unwrap(), 2);
    assert_eq!(count(&api, "jobs").await, 3);
}
