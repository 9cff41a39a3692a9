//! Counts are what a look at every call would find, whatever was done to the calls, and in whatever order.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use super::histogram::BOUNDS;
use crate::{
    conversations::{
        analysis::{self, Analysis},
        calls::{self, NewConversation},
        erase::erase,
        journal::{self, CallRows, Ended, TurnRow, UsageRow},
    },
    db::{Db, DbError},
    http::now,
    tenant::TenantId,
    testing::{Api, ScratchDb, User},
    vendors::Provider,
};

const NODE: &str = "this node";

fn call(agent: Uuid) -> NewConversation {
    let id = CallId::generate();
    NewConversation {
        id,
        agent,
        agent_version: 1,
        provider: Provider::Twilio,
        provider_call_id: id.to_string(),
        customer_phone: Personal::new("+14155550100".into()),
        our_number: Personal::new("+15005550006".into()),
        context: [].into(),
        node: NODE.into(),
    }
}

fn answered_turn(seq: i32, ms: u64) -> TurnRow {
    TurnRow {
        seq,
        speaker: "customer",
        started_ms: seq * 1000,
        ended_ms: seq * 1000 + 900,
        text: "Where is my parcel?".into(),
        generated_text: None,
        interrupted: false,
        source: "speech".into(),
        latency: Some(json!({ "response_latency": Duration::from_millis(ms), "ttft": null })),
    }
}

async fn ring(db: &Db, tenant: TenantId, agent: Uuid, at: DateTime<Utc>) -> CallId {
    let mut tx = db.begin(tenant).await.unwrap();
    let call = call(agent);
    calls::create(&mut tx, tenant, &call, at).await.unwrap();
    tx.commit().await.unwrap();
    call.id
}

async fn write(db: &Db, tenant: TenantId, rows: &[(CallId, CallRows)]) -> Result<(), DbError> {
    let mut tx = db.begin(tenant).await?;
    journal::write(&mut tx, tenant, NODE, rows, now()).await?;
    tx.commit().await
}

fn ended(at: DateTime<Utc>, completed: bool) -> Option<Ended> {
    let (status, reason) = if completed { ("completed", "caller_hangup") } else { ("failed", "media_lost") };
    Some(Ended { at, status, reason: reason.into() })
}

/// Fails if the counts are not what reading everything gives.
async fn check_counts(scratch: &ScratchDb) {
    let owner = scratch.superuser().await;
    let wrong: i64 = sqlx::query_scalar(
        "with kept as (select tenant_id, day, agent_id, direction, status, outcome, calls, seconds, round(score_sum::numeric, 6), score_n,
                              latency_hist from call_daily where calls <> 0),
              found as (select tenant_id, day, agent_id, direction, status, outcome, calls, seconds, round(score_sum::numeric, 6), score_n,
                               latency_hist from call_counts),
              kept_totals as (select tenant_id, agent_id, direction, status, outcome, calls::numeric from call_totals where calls <> 0),
              found_totals as (select tenant_id, agent_id, direction, status, outcome, sum(calls) from call_counts group by 1, 2, 3, 4, 5),
              kept_usage as (select tenant_id, day, provider, unit, quantity::numeric, wasted::numeric from usage_daily),
              found_usage as (select tenant_id, (at at time zone 'UTC')::date, provider, unit, sum(quantity),
                                     coalesce(sum(quantity) filter (where wasted), 0) from usage_entries group by 1, 2, 3, 4)
         select (select count(*) from (table kept except all table found) a) + (select count(*) from (table found except all table kept) b)
              + (select count(*) from (table kept_totals except all table found_totals) c)
              + (select count(*) from (table found_totals except all table kept_totals) d)
              + (select count(*) from (table kept_usage except all table found_usage) e)
              + (select count(*) from (table found_usage except all table kept_usage) f)",
    )
    .fetch_one(owner.pool())
    .await
    .unwrap();
    assert_eq!(wrong, 0, "counts are not true");
}

#[tokio::test]
async fn the_database_has_the_same_buckets() {
    let api = Api::new().await;
    let owner = api.scratch.superuser().await;
    let bounds: Vec<i32> = sqlx::query_scalar("select latency_bounds()").fetch_one(owner.pool()).await.unwrap();
    assert_eq!(bounds, BOUNDS);
    let edges = vec![0, 99, 100, 149, 1500, 29_999, 30_000, 99_999];
    let counts: Vec<i64> =
        sqlx::query_scalar("select latency_hist($1)").bind(&edges).fetch_one(owner.pool()).await.unwrap();
    let mut histogram = super::histogram::Histogram::default();
    edges.iter().for_each(|ms| histogram.add(*ms, 1));
    assert_eq!(super::histogram::Histogram::new(counts), histogram);
}

/// Whatever happens to a few calls, one thing after the other.
#[tokio::test]
async fn counts_are_true_after_any_history() {
    let api = Api::new().await;
    let user = api.owner();
    let agents = [api.agent(&user, &[]).await, api.agent(&user, &[]).await];
    let (db, tenant) = (&api.control.db, user.tenant);
    let mut random = StdRng::seed_from_u64(7);
    let mut known: Vec<CallId> = Vec::new();
    for step in 0..400 {
        // A second before midnight and one after are two days.
        let at = now() - TimeDelta::hours(random.random_range(0..72));
        let one = (!known.is_empty()).then(|| known[random.random_range(0..known.len())]);
        match (random.random_range(0..10), one) {
            (0..3, _) | (_, None) => known.push(ring(db, tenant, agents[random.random_range(0..2)], at).await),
            (3..7, Some(id)) => {
                let mut turns = Vec::new();
                for seq in 0..random.random_range(0..4) {
                    turns.push(answered_turn(seq, random.random_range(0..40_000)));
                }
                let usage = UsageRow {
                    id: Uuid::now_v7(),
                    provider: "llm".into(),
                    unit: ["prompt_tokens", "completion_tokens"][random.random_range(0..2)].into(),
                    quantity: random.random_range(0..500),
                    wasted: random.random(),
                    turn_seq: None,
                };
                let rows = CallRows {
                    answered_at: random.random::<bool>().then_some(at),
                    turns,
                    ended: if random.random() { ended(at + TimeDelta::minutes(3), random.random()) } else { None },
                    usage: vec![usage],
                    ..CallRows::default()
                };
                write(db, tenant, &[(id, rows.clone())]).await.unwrap();
                if random.random() {
                    // A batch may come twice.
                    write(db, tenant, &[(id, rows)]).await.unwrap();
                }
            }
            (7..9, Some(id)) => {
                let analysis = Analysis {
                    outcome: ["resolved", "callback", ""].get(random.random_range(0..4)).map(ToString::to_string),
                    satisfaction_score: random.random::<bool>().then(|| random.random_range(1.0..5.0)),
                    ..Analysis::default()
                };
                let mut tx = db.begin(tenant).await.unwrap();
                analysis::write(&mut tx, tenant, id, &analysis).await.unwrap();
                tx.commit().await.unwrap();
            }
            (_, Some(id)) => {
                let mut tx = db.begin(tenant).await.unwrap();
                erase(&mut tx, tenant, id.as_uuid(), at).await.unwrap();
                // What is not committed is not counted either.
                if step % 3 != 0 {
                    tx.commit().await.unwrap();
                }
            }
        }
    }
    check_counts(&api.scratch).await;
}

/// Many writers end, analyse and erase calls of the same agents at the same time, each in an order of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_the_same_time_neither_miscount_nor_block_each_other() {
    let api = Api::new().await;
    let user = api.owner();
    let tenant = user.tenant;
    let mut agents = Vec::new();
    for _ in 0..4 {
        agents.push(api.agent(&user, &[]).await);
    }
    let mut known = Vec::new();
    for n in 0..80 {
        known.push(ring(&api.control.db, tenant, agents[n % 4], now() - TimeDelta::days((n % 3) as i64)).await);
    }
    let writers = (0..8).map(|seed| {
        let (db, mut known) = (api.control.db.clone(), known.clone());
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            known.shuffle(&mut random);
            for batch in known.chunks(10) {
                // Several close the same calls; one of them counts.
                let rows: Vec<_> = batch
                    .iter()
                    .map(|id| {
                        let turns = vec![answered_turn(0, random.random_range(0..3000))];
                        (*id, CallRows { turns, ended: ended(now(), random.random()), ..CallRows::default() })
                    })
                    .collect();
                write(&db, tenant, &rows).await?;
                let mut tx = db.begin(tenant).await?;
                let outcome = Some(["resolved", "callback"][random.random_range(0..2)].to_owned());
                let analysis = Analysis { outcome, satisfaction_score: Some(3.5), ..Analysis::default() };
                analysis::write(&mut tx, tenant, batch[0], &analysis).await?;
                tx.commit().await?;
                let mut tx = db.begin(tenant).await?;
                erase(&mut tx, tenant, batch[1].as_uuid(), now()).await?;
                tx.commit().await?;
            }
            Ok::<(), DbError>(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    check_counts(&api.scratch).await;
    let owner = api.scratch.superuser().await;
    let (calls, text): (i64, i64) = sqlx::query_as(
        "select (select sum(calls)::bigint from call_daily),
                (select count(*) from turns t join conversations c on c.id = t.conversation_id where c.erased_at is not null)",
    )
    .fetch_one(owner.pool())
    .await
    .unwrap();
    assert_eq!((calls, text), (80, 0));
}

/// A call of so many seconds, with an outcome and a score.
async fn over(
    api: &Api,
    user: &User,
    agent: Uuid,
    days_ago: i64,
    seconds: Option<i64>,
    outcome: Option<&str>,
    score: Option<f32>,
) -> CallId {
    let (db, tenant) = (&api.control.db, user.tenant);
    let at = (now() - TimeDelta::days(days_ago)).date_naive().and_hms_opt(0, 0, 1).unwrap().and_utc();
    let id = ring(db, tenant, agent, at).await;
    let rows = CallRows {
        answered_at: seconds.map(|_| at),
        turns: seconds.map(|_| vec![answered_turn(0, 700), answered_turn(1, 720)]).unwrap_or_default(),
        ended: ended(at + TimeDelta::seconds(seconds.unwrap_or(9)), seconds.is_some()),
        ..CallRows::default()
    };
    write(db, tenant, &[(id, rows)]).await.unwrap();
    let mut tx = db.begin(tenant).await.unwrap();
    let analysis = Analysis { outcome: outcome.map(Into::into), satisfaction_score: score, ..Analysis::default() };
    assert!(analysis::write(&mut tx, tenant, id, &analysis).await.unwrap());
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn the_dashboard_tells_what_became_of_the_calls() {
    let api = Api::new().await;
    let user = api.owner();
    let (ada, bob) = (api.agent(&user, &[]).await, api.agent(&user, &[]).await);
    let dashboard = async |query: &str| api.get(&user, &format!("/v1/analytics/dashboard{query}")).await.data().clone();
    let nothing = json!({
        "total_calls": 0, "successful_calls": 0, "failed_calls": 0, "average_duration": 0, "satisfaction_score": null, "top_outcomes": []
    });
    assert_eq!(dashboard("").await, nothing);
    ring(&api.control.db, user.tenant, ada, now()).await;
    assert_eq!(dashboard("").await, nothing, "what goes on is not counted");
    over(&api, &user, ada, 0, Some(100), Some("resolved"), Some(4.0)).await;
    over(&api, &user, bob, 0, Some(201), Some("callback"), Some(4.5)).await;
    let erased = over(&api, &user, ada, 6, Some(30), Some("resolved"), None).await;
    over(&api, &user, ada, 6, None, None, None).await;
    over(&api, &user, ada, 7, Some(1000), Some("old"), Some(1.0)).await;
    over(&api, &user, ada, 89, Some(1000), Some("older"), None).await;
    over(&api, &user, ada, 90, Some(1000), Some("too old"), None).await;
    let week = json!({
        "total_calls": 4, "successful_calls": 3, "failed_calls": 1, "average_duration": 110, "satisfaction_score": 4.25,
        "top_outcomes": [{ "outcome": "resolved", "count": 2 }, { "outcome": "callback", "count": 1 }],
    });
    assert_eq!(dashboard("").await, week);
    assert_eq!(dashboard("?period=7d&unknown=x").await, week);
    assert_eq!(dashboard("?period=30d").await["total_calls"], 5);
    assert_eq!(dashboard("?period=90d").await["total_calls"], 6);
    assert_eq!(api.delete(&user, &format!("/v1/conversations/{erased}")).await.status, 200);
    assert_eq!(dashboard("").await, week, "what is erased still counts");
    for n in 0..6 {
        over(&api, &user, ada, 1, Some(10), Some(&format!("o{n}")), None).await;
    }
    let outcomes = dashboard("").await["top_outcomes"].clone();
    let names: Vec<_> = outcomes.as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(names, ["resolved", "callback", "o0", "o1", "o2"]);
    check_counts(&api.scratch).await;
    for path in ["dashboard", "timeseries", "latency"] {
        let answer = api.get(&user, &format!("/v1/analytics/{path}?period=1d")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"));
        assert_eq!(answer.body["details"]["fields"][0]["message"], "must be 7d, 30d or 90d");
    }
}

#[tokio::test]
async fn every_day_has_a_point_and_its_percentiles() {
    let api = Api::new().await;
    let user = api.owner();
    let (ada, bob) = (api.agent(&user, &[]).await, api.agent(&user, &[]).await);
    over(&api, &user, ada, 0, Some(100), None, Some(5.0)).await;
    over(&api, &user, bob, 2, Some(10), None, None).await;
    over(&api, &user, bob, 2, None, None, None).await;
    let points = async |query: &str| -> Vec<Value> {
        let answer = api.get(&user, &format!("/v1/analytics/timeseries?{query}")).await;
        answer.data()["points"].as_array().unwrap().clone()
    };
    let week = points("").await;
    let today = now().date_naive();
    assert_eq!(week.len(), 7);
    assert_eq!(
        week[6],
        json!({ "date": today, "total": 1, "successful": 1, "failed": 0, "average_duration": 100, "satisfaction": 5.0 })
    );
    assert_eq!(
        week[4],
        json!({ "date": today - TimeDelta::days(2), "total": 2, "successful": 1, "failed": 1, "average_duration": 10, "satisfaction": null })
    );
    assert_eq!(week.iter().filter(|point| point["total"] == 0).count(), 5);
    assert_eq!(points("period=90d").await.len(), 90);
    let total = |points: Vec<Value>| points.iter().map(|point| point["total"].as_i64().unwrap()).sum::<i64>();
    assert_eq!(total(points(&format!("agent_id={ada}&direction=")).await), 1);
    assert_eq!(total(points("direction=outbound").await), 0);
    assert_eq!(total(points("direction=inbound").await), 3);
    for wrong in ["agent_id=x", "direction=up", "period=x"] {
        let answer = api.get(&user, &format!("/v1/analytics/timeseries?{wrong}")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{wrong}");
    }

    let answer = api.get(&user, "/v1/analytics/latency?period=7d").await;
    let latency = answer.data();
    assert_eq!((&latency["period"], &latency["turns"]), (&json!("7d"), &json!(4)));
    assert!((700..=750).contains(&latency["p50"].as_i64().unwrap()), "{latency}");
    let days = latency["days"].as_array().unwrap();
    assert_eq!(days.len(), 7);
    assert_eq!(
        days[5],
        json!({ "date": today - TimeDelta::days(1), "turns": 0, "p50": null, "p90": null, "p95": null, "p99": null })
    );
    assert_eq!(days[6]["turns"], 2);
}

#[tokio::test]
async fn what_calls_have_used_is_told_to_admins() {
    let api = Api::new().await;
    let user = api.owner();
    let agent = api.agent(&user, &[]).await;
    let id = ring(&api.control.db, user.tenant, agent, now()).await;
    let used = |unit: &str, quantity, wasted| UsageRow {
        id: Uuid::now_v7(),
        provider: "llm".into(),
        unit: unit.into(),
        quantity,
        wasted,
        turn_seq: None,
    };
    let usage = vec![used("prompt_tokens", 100, false), used("prompt_tokens", 7, true), used("characters", 3, false)];
    let rows = CallRows { usage, ..CallRows::default() };
    for _ in 0..2 {
        write(&api.control.db, user.tenant, &[(id, rows.clone())]).await.unwrap();
    }
    let today = now().date_naive();
    let line = |unit: &str, quantity: i64, wasted: i64| json!({ "provider": "llm", "unit": unit, "quantity": quantity, "wasted": wasted, "cost_micros": null, "currency": null });
    let answer = api.get(&user, "/v1/usage").await;
    assert_eq!(answer.data()["usage"], json!([line("characters", 3, 0), line("prompt_tokens", 107, 7)]));
    assert_eq!(answer.data()["date_to"], json!(today));
    let by_day = api.get(&user, &format!("/v1/usage?group_by=day&date_from={today}&date_to={today}")).await;
    let mut first = line("characters", 3, 0);
    first["day"] = json!(today);
    assert_eq!(by_day.data()["usage"][0], first);
    let before = api.get(&user, "/v1/usage?date_from=2020-01-01&date_to=2020-12-31").await;
    assert_eq!(before.data()["usage"], json!([]));
    for wrong in ["date_from=x", "date_to=2020-01-01&date_from=2020-01-02", "date_from=2019-01-01", "group_by=week"] {
        assert_eq!(api.get(&user, &format!("/v1/usage?{wrong}")).await.error(), (422, "VALIDATION_ERROR"), "{wrong}");
    }
    let member = api.user(user.tenant, crate::auth::Role::Member);
    assert_eq!(api.get(&member, "/v1/usage").await.error(), (403, "TENANT_ACCESS_DENIED"));
    check_counts(&api.scratch).await;
}
