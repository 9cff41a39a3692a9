//! Conversations as calls write them and the API shows them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use super::{
    analysis::{self, Analysis},
    calls::{self, NewConversation},
    journal::{self, CallRows, Ended, EventRow, TurnRow, UsageRow},
    legs, receipts, retention,
};
use crate::{
    auth::Role,
    db::{Db, DbError, Tx},
    lookup,
    tenant::TenantId,
    testing::{Api, User},
    vendors::Provider,
};

const NODE: &str = "this node";

fn start() -> DateTime<Utc> {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

fn turn(seq: i32, speaker: &'static str, started_ms: i32, text: &str) -> TurnRow {
    TurnRow {
        seq,
        speaker,
        started_ms,
        ended_ms: started_ms + 900,
        text: text.into(),
        generated_text: None,
        interrupted: false,
        source: "speech".into(),
        latency: None,
    }
}

fn event(seq: i32, kind: &str) -> EventRow {
    EventRow { seq, at_ms: seq * 100, kind: kind.into(), data: json!({ "turn": seq }) }
}

fn ended(at: DateTime<Utc>, status: &'static str, reason: &str) -> Option<Ended> {
    Some(Ended { at, status, reason: reason.into() })
}

struct World {
    api: Api,
    user: User,
    agent: Uuid,
}

impl World {
    async fn new() -> Self {
        let api = Api::new().await;
        let user = api.owner();
        let agent = api.agent(&user, &[]).await;
        Self { api, user, agent }
    }

    async fn tx(&self) -> Tx {
        self.api.control.db.begin(self.user.tenant).await.unwrap()
    }

    async fn ring(&self, at: DateTime<Utc>, sid: &str) -> CallId {
        let mut tx = self.tx().await;
        let call = self.call(sid);
        calls::create(&mut tx, self.user.tenant, &call, at).await.unwrap();
        tx.commit().await.unwrap();
        call.id
    }

    fn call(&self, sid: &str) -> NewConversation {
        NewConversation {
            id: CallId::generate(),
            agent: self.agent,
            agent_version: 1,
            provider: Provider::Twilio,
            provider_call_id: sid.into(),
            customer_phone: Personal::new("+14155550100".into()),
            our_number: Personal::new("+15005550006".into()),
            context: [("from_number".to_owned(), "+14155550100".to_owned())].into(),
            node: NODE.into(),
        }
    }

    async fn write(&self, id: CallId, node: &str, rows: CallRows) {
        let mut tx = self.tx().await;
        journal::write(&mut tx, self.user.tenant, node, &[(id, rows)], after(9)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn read(&self, id: CallId) -> Value {
        self.api.get(&self.user, &format!("/v1/conversations/{id}")).await.data().clone()
    }
}

#[tokio::test]
async fn a_conversation_is_shown_as_the_frontend_wants_it() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    assert_eq!(world.read(id).await["status"], "ringing");
    let interrupted = TurnRow {
        generated_text: Some("Hello, how are you?".into()),
        interrupted: true,
        ..turn(0, "agent", 100, "Hello,")
    };
    let rows = CallRows {
        answered_at: Some(after(2)),
        // In the order in which turns ended, which is not that in which speech began.
        turns: vec![
            turn(2, "agent", 2500, "Fine."),
            interrupted,
            turn(1, "customer", 700, "I am\0 lost."),
            turn(3, "agent", 3000, ""),
        ],
        events: vec![event(0, "answered"), event(1, "turn_ended")],
        ..CallRows::default()
    };
    world.write(id, NODE, rows.clone()).await;
    assert_eq!(world.read(id).await["status"], "active");
    // A batch may come twice.
    world.write(id, NODE, rows).await;
    world
        .write(id, NODE, CallRows { ended: ended(after(332), "completed", "caller_hangup"), ..CallRows::default() })
        .await;
    assert_eq!(
        world.read(id).await,
        json!({
            "id": id, "agent_id": world.agent, "agent_version": 1, "customer_phone": "+14155550100",
            "our_number": "+15005550006", "status": "completed", "direction": "inbound", "channel": "phone",
            "end_reason": "caller_hangup", "start_time": "2026-03-01T10:00:00Z", "end_time": "2026-03-01T10:05:32Z",
            "duration_seconds": 330, "sentiment": null, "outcome": null, "tags": [], "summary": null,
            "satisfaction_score": null, "extraction": null, "analyzed_at": null, "erased_at": null, "metadata": {}, "context": { "from_number": "+14155550100" }, "recording_url": null,
            "transcript": [
                { "speaker": "agent", "text": "Hello,", "timestamp": "2026-03-01T10:00:02.100Z", "interrupted": true,
                  "generated_text": "Hello, how are you?", "started_ms": 100, "ended_ms": 1000 },
                { "speaker": "customer", "text": "I am\u{fffd} lost.", "timestamp": "2026-03-01T10:00:02.700Z",
                  "interrupted": false, "started_ms": 700, "ended_ms": 1600 },
                { "speaker": "agent", "text": "Fine.", "timestamp": "2026-03-01T10:00:04.500Z", "interrupted": false,
                  "started_ms": 2500, "ended_ms": 3400 },
            ],
        })
    );
}

#[tokio::test]
async fn a_list_is_filtered_counted_and_cut_into_pages() {
    let world = World::new().await;
    for day in 1..=5 {
        let id = world.ring(start() + TimeDelta::days(day), &format!("CA{day}")).await;
        let (status, reason) = if day % 2 == 0 { ("completed", "agent_hangup") } else { ("failed", "no_answer") };
        let turns = vec![turn(0, "customer", 0, &format!("The parcel number {day}"))];
        let ended = ended(start() + TimeDelta::days(day), status, reason);
        world.write(id, NODE, CallRows { turns, ended, ..CallRows::default() }).await;
    }
    let list = async |query: &str| {
        let answer = world.api.get(&world.user, &format!("/v1/conversations?{query}")).await;
        let data = answer.data().clone();
        let days: Vec<String> = data["conversations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["start_time"].as_str().unwrap()[8..10].to_owned())
            .collect();
        (days.join(" "), data["pagination"]["total"].as_i64().unwrap())
    };
    let expect = |days: &str, total| (days.to_owned(), total);
    assert_eq!(list("").await, expect("06 05 04 03 02", 5));
    assert_eq!(list("limit=2&page=2").await, expect("04 03", 5));
    assert_eq!(list("limit=2&page=4").await, expect("", 5));
    assert_eq!(list("status=completed").await, expect("05 03", 2));
    assert_eq!(list("status=active&direction=inbound").await, expect("", 0));
    assert_eq!(list("direction=inbound&date_from=2026-03-03&date_to=2026-03-04").await, expect("04 03", 2));
    assert_eq!(list("date_to=2026-03-03T10:00:00Z").await, expect("03 02", 2));
    assert_eq!(list("date_from=2026-03-05T10:00:01%2B00:00").await, expect("06", 1));
    assert_eq!(list(&format!("agent_id={}", world.agent)).await.1, 5);
    assert_eq!(list(&format!("agent_id={}", Uuid::now_v7())).await, expect("", 0));
    assert_eq!(list("q=parcel+3").await, expect("04", 1));
    assert_eq!(list("q=nothing").await, expect("", 0));
    assert_eq!(list("an_unknown=parameter&status=").await.1, 5);
    for wrong in [
        "limit=0",
        "limit=101",
        "page=0",
        "page=201&limit=51",
        "page=x",
        "status=done",
        "date_from=x",
        "agent_id=x",
        "q=%00",
        "outcome=%00",
        "date_from=-9999-01-01",
        "date_to=%2B99999-01-01",
    ] {
        let answer = world.api.get(&world.user, &format!("/v1/conversations?{wrong}")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{wrong}");
    }
}

#[tokio::test]
async fn a_terminal_state_sticks_and_only_the_node_that_has_a_call_closes_it() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    let end = |reason: &str| CallRows { ended: ended(after(60), "completed", reason), ..CallRows::default() };
    world.write(id, "another node", end("caller_hangup")).await;
    assert_eq!(world.read(id).await["status"], "ringing");
    let mut tx = world.tx().await;
    calls::take_over(&mut tx, world.user.tenant, id, "another node").await.unwrap();
    tx.commit().await.unwrap();
    world.write(id, NODE, end("media_lost")).await;
    assert_eq!(world.read(id).await["status"], "ringing");
    world.write(id, "another node", end("agent_hangup")).await;
    world.write(id, "another node", end("caller_hangup")).await;
    assert_eq!(world.read(id).await["end_reason"], "agent_hangup");
    world.write(id, "another node", CallRows { answered_at: Some(after(1)), ..CallRows::default() }).await;
    assert_eq!(world.read(id).await["status"], "completed");
}

#[tokio::test]
async fn a_call_that_no_node_keeps_alive_is_found_and_closed_once() {
    let world = World::new().await;
    let (alive, abandoned) = (world.ring(start(), "CA1").await, world.ring(start(), "CA2").await);
    assert_eq!(lookup::abandoned_calls(&world.api.control.db, 10).await.unwrap(), []);
    let owner = world.api.scratch.superuser().await;
    sqlx::query("update slots set expires_at = now() - interval '1 second' where holder = $1")
        .bind(abandoned.as_uuid())
        .execute(owner.pool())
        .await
        .unwrap();
    let found = lookup::abandoned_calls(&world.api.control.db, 10).await.unwrap();
    assert_eq!(found, [(world.user.tenant, abandoned)]);
    let mut closed = Vec::new();
    for id in [alive, abandoned, abandoned] {
        let mut tx = world.tx().await;
        closed.push(calls::close_abandoned(&mut tx, world.user.tenant, id, after(90)).await.unwrap());
        tx.commit().await.unwrap();
    }
    assert_eq!(closed, [false, true, false]);
    assert_eq!(lookup::abandoned_calls(&world.api.control.db, 10).await.unwrap(), []);
    let stored = world.read(abandoned).await;
    assert_eq!((&stored["status"], &stored["end_reason"]), (&json!("failed"), &json!("media_lost")));
    // What is over is not kept alive by a late renewal.
    let mut tx = world.tx().await;
    calls::renew_leases(&mut tx, world.user.tenant, &[alive, abandoned]).await.unwrap();
    tx.commit().await.unwrap();
    let slots: Vec<Uuid> = sqlx::query_scalar("select holder from slots").fetch_all(owner.pool()).await.unwrap();
    assert_eq!(slots, [alive.as_uuid()]);
}

#[tokio::test]
async fn a_call_that_comes_back_finds_what_was_said() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    let mut sign = turn(3, "customer", 2600, "mm-hm");
    sign.source = "backchannel".into();
    let rows = CallRows {
        answered_at: Some(after(2)),
        turns: vec![turn(2, "agent", 2500, "Fine."), turn(1, "customer", 700, "I am lost."), sign],
        // A turn that was under way has a number already.
        events: vec![event(0, "answered"), event(4, "turn_started")],
        reattached: 1,
        ..CallRows::default()
    };
    world.write(id, NODE, rows).await;
    let mut tx = world.tx().await;
    let call = calls::read(&mut tx, world.user.tenant, id).await.unwrap().unwrap();
    assert_eq!((call.answered_at, call.reattached, call.over), (Some(after(2)), 1, false));
    assert_eq!(call.provider_call_id.as_deref(), Some("CA1"));
    assert_eq!(call.context["from_number"], "+14155550100");
    let history = calls::history(&mut tx, world.user.tenant, id).await.unwrap();
    let said: Vec<_> = history.turns.iter().map(|turn| (turn.by_agent, turn.text.expose().as_str())).collect();
    assert_eq!(said, [(false, "I am lost."), (true, "Fine.")]);
    assert_eq!((history.next_turn, history.next_event, history.last_ms), (5, 5, 3500));
    assert!(!calls::set_ending(&mut tx, world.user.tenant, id, "another node", "idle").await.unwrap());
    assert!(!calls::read(&mut tx, world.user.tenant, id).await.unwrap().unwrap().over);
    assert!(calls::set_ending(&mut tx, world.user.tenant, id, NODE, "idle").await.unwrap());
    assert!(calls::read(&mut tx, world.user.tenant, id).await.unwrap().unwrap().over);
}

#[tokio::test]
async fn a_token_replaces_the_one_before() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    let (first, second) = ([1; 32], [2; 32]);
    let mut tx = world.tx().await;
    for hash in [first, second] {
        calls::put_token(&mut tx, world.user.tenant, id, &hash, Duration::from_secs(120)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let db = &world.api.control.db;
    assert_eq!(lookup::stream_token(db, &first).await.unwrap(), None);
    let found = lookup::stream_token(db, &second).await.unwrap().unwrap();
    assert_eq!((found.tenant, found.conversation), (world.user.tenant, id));
    assert_eq!(lookup::call(db, Provider::Twilio, "CA1").await.unwrap(), Some((world.user.tenant, id)));
    assert_eq!(lookup::conversation(db, id).await.unwrap(), Some(world.user.tenant));
    // The carrier's call is one call, whoever's.
    let mut tx = world.tx().await;
    let again = calls::create(&mut tx, world.user.tenant, &world.call("CA1"), start()).await;
    assert!(matches!(again, Err(DbError::Unique(_))), "{again:?}");
}

async fn legs_of(world: &World, id: CallId) -> Vec<legs::StoredLeg> {
    let mut tx = world.tx().await;
    legs::of_call(&mut tx, world.user.tenant, id).await.unwrap()
}

/// Everything that has a time in the past, a minute further there.
async fn a_minute_passes(world: &World) {
    let owner = world.api.scratch.superuser().await;
    for statement in [
        "update call_legs set heard_at = heard_at - interval '1 minute', asked_at = asked_at - interval '1 minute'",
        "update slots set expires_at = expires_at - interval '1 minute'",
        "update conversations set ending_at = ending_at - interval '1 minute', end_time = end_time - interval '1 minute'",
        "update webhook_receipts set at = at - interval '1 minute'",
    ] {
        sqlx::query(statement).execute(owner.pool()).await.unwrap();
    }
}

#[tokio::test]
async fn a_leg_that_has_gone_quiet_is_found_until_it_has_ended_and_asked_about_once() {
    let world = World::new().await;
    let (tenant, db) = (world.user.tenant, &world.api.control.db);
    let (kept, left, over) =
        (world.ring(start(), "CA1").await, world.ring(start(), "CA2").await, world.ring(start(), "CA3").await);
    world.write(kept, NODE, CallRows { answered_at: Some(after(1)), ..CallRows::default() }).await;
    let end = || ended(Utc::now(), "completed", "agent_hangup");
    world.write(over, NODE, CallRows { answered_at: Some(after(1)), ended: end(), ..CallRows::default() }).await;
    let quiet = async || {
        let mut found: Vec<_> =
            lookup::quiet_legs(db, 10).await.unwrap().into_iter().map(|quiet| quiet.conversation).collect();
        found.sort();
        found
    };
    let a_minute = async || {
        a_minute_passes(&world).await;
        let mut tx = world.tx().await;
        calls::renew_leases(&mut tx, tenant, &[kept]).await.unwrap();
        tx.commit().await.unwrap();
    };
    assert_eq!(quiet().await, []);
    a_minute().await;
    assert_eq!(quiet().await, [left, over]);

    let [leg] = legs_of(&world, over).await.try_into().unwrap();
    let claim = async || {
        let mut tx = world.tx().await;
        let claimed = legs::claim(&mut tx, tenant, leg.id).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    };
    assert_eq!((claim().await, claim().await), (true, false));
    assert_eq!(quiet().await, [left]);
    // It is asked about again, and each time later.
    a_minute().await;
    assert_eq!(quiet().await, [left, over]);
    for _ in 0..3 {
        assert!(claim().await);
        a_minute().await;
    }
    assert_eq!(quiet().await, [left]);

    let mut tx = world.tx().await;
    legs::heard(&mut tx, tenant, leg.id, "completed", 4, Some(3)).await.unwrap();
    legs::set_region(&mut tx, tenant, over, "CA3", "https://api-eu-3.vonage.com").await.unwrap();
    tx.commit().await.unwrap();
    a_minute().await;
    assert_eq!(quiet().await, [left]);
    let [leg] = legs_of(&world, over).await.try_into().unwrap();
    assert_eq!((leg.status.as_str(), leg.rank, leg.last_seq), ("completed", 4, Some(3)));
    assert_eq!(leg.region_url.as_deref(), Some("https://api-eu-3.vonage.com"));
}

#[tokio::test]
async fn a_call_is_locked_with_what_its_end_is_decided_by() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    let tenant = world.user.tenant;
    let mut tx = world.tx().await;
    let state = legs::lock(&mut tx, tenant, id).await.unwrap().unwrap();
    assert!(state.leased && !state.answered && !state.ending && !state.over && !state.outbound);
    assert!(legs::set_active(&mut tx, tenant, id).await.unwrap());
    assert!(!legs::set_active(&mut tx, tenant, id).await.unwrap());
    calls::set_ending(&mut tx, tenant, id, NODE, "agent_hangup").await.unwrap();
    calls::set_ending(&mut tx, tenant, id, NODE, "media_lost").await.unwrap();
    let state = legs::lock(&mut tx, tenant, id).await.unwrap().unwrap();
    assert_eq!((state.ending, state.ending_reason.as_deref()), (true, Some("agent_hangup")));
    tx.commit().await.unwrap();
    assert_eq!(world.read(id).await["status"], "active");
}

/// A receipt goes with the effect that it is of.
#[tokio::test]
async fn a_webhook_has_one_receipt_which_is_swept_when_it_is_old() {
    let world = World::new().await;
    let write = async |keep: bool| {
        let mut tx = world.tx().await;
        let first = receipts::write(&mut tx, Provider::Vonage, "jti").await.unwrap();
        if keep {
            tx.commit().await.unwrap();
        }
        first
    };
    assert!(write(false).await, "an effect that is undone takes its receipt with it");
    assert!(write(true).await);
    assert!(!write(true).await);
    let db = &world.api.control.db;
    assert_eq!(receipts::sweep(db, Duration::from_secs(90)).await.unwrap(), 0);
    a_minute_passes(&world).await;
    a_minute_passes(&world).await;
    assert_eq!(receipts::sweep(db, Duration::from_secs(90)).await.unwrap(), 1);
    assert!(write(true).await);
}

async fn total(world: &World, query: &str) -> (i64, bool, usize) {
    let answer = world.api.get(&world.user, &format!("/v1/conversations?{query}")).await;
    let (data, pagination) = (answer.data(), &answer.data()["pagination"]);
    let more = pagination["total_is_lower_bound"] == true;
    (pagination["total"].as_i64().unwrap(), more, data["conversations"].as_array().unwrap().len())
}

#[tokio::test]
async fn a_total_is_exact_unless_nobody_has_counted() {
    let world = World::new().await;
    let owner = world.api.scratch.superuser().await;
    let insert = "insert into conversations (tenant_id, id, agent_id, agent_version, channel, direction, status, start_time, end_time, outcome,
                             search)
        select $1, gen_random_uuid(), $2, 1, 'phone', case when n % 10 = 0 then 'outbound' else 'inbound' end,
               case when n % 5 = 0 then 'failed' else 'completed' end, '2026-03-01Z'::timestamptz + n * interval '1 minute',
               '2026-03-30Z', case when n % 1000 = 0 then 'rare' end,
               search_words($1, 'Every parcel has number' || n || case when n < 9000 then ' and a label' else '' end)
        from generate_series(0, 10099) n";
    sqlx::query(insert).bind(world.user.tenant.as_uuid()).bind(world.agent).execute(owner.pool()).await.unwrap();
    for fill in [
        "insert into call_daily select * from call_counts",
        "insert into call_totals select tenant_id, agent_id, direction, status, outcome, sum(calls) from call_daily group by 1, 2, 3, 4, 5",
    ] {
        sqlx::query(fill).execute(owner.pool()).await.unwrap();
    }
    let live = world.ring("2026-03-05T00:00:00Z".parse().unwrap(), "CA1").await;
    // 1440 calls began on each day but the last.
    let agent = format!("agent_id={}&limit=1", world.agent);
    for (query, expected) in [
        ("limit=1", (10_101, false, 1)),
        (agent.as_str(), (10_101, false, 1)),
        ("status=ringing", (1, false, 1)),
        ("status=failed&limit=3", (2020, false, 3)),
        ("status=failed&direction=inbound&limit=3", (1010, false, 3)),
        ("outcome=rare", (11, false, 11)),
        ("outcome=rare&page=2&limit=10", (11, false, 1)),
        ("outcome=rare&status=completed", (0, false, 0)),
        ("date_from=2026-03-02&limit=1", (10_101 - 1440, false, 1)),
        ("date_from=2026-03-02&date_to=2026-03-02&limit=1", (1440, false, 1)),
        ("date_to=2026-03-04&limit=1", (4 * 1440, false, 1)),
        ("date_from=2026-03-05&date_to=2026-03-05&status=ringing", (1, false, 1)),
        ("date_from=2026-03-01T00:00:00Z&limit=1", (10_101, false, 1)),
        ("date_from=2026-03-01T00:00:01Z&limit=1", (10_000, true, 1)),
        ("date_from=2026-03-01T23:59:01Z&limit=1", (10_101 - 1440, false, 1)),
        ("limit=100&page=101", (10_101, false, 100)),
        ("q=parcel&limit=2", (10_000, true, 2)),
        ("q=label&limit=2", (9000, false, 2)),
        ("q=label&page=90&limit=100", (9000, false, 100)),
        ("q=label&page=91&limit=100", (9000, false, 0)),
        ("q=label&status=failed&limit=2", (1800, false, 2)),
        ("q=number77", (1, false, 1)),
        ("q=number77+-label", (0, false, 0)),
        ("q=%22has+number77%22&date_from=2026-03-01", (1, false, 1)),
        ("q=number77&date_from=2026-03-02", (0, false, 0)),
        ("q=...", (0, false, 0)),
    ] {
        assert_eq!(total(&world, query).await, expected, "{query}");
    }
    let newest = world.api.get(&world.user, "/v1/conversations?q=parcel&limit=1&page=10000").await;
    assert_eq!(newest.data()["conversations"][0]["start_time"], "2026-03-01T01:40:00Z");
    let deep = world.api.get(&world.user, "/v1/conversations?limit=50&page=202").await;
    assert_eq!(deep.error(), (422, "VALIDATION_ERROR"));
    world.write(live, NODE, CallRows { ended: ended(after(9), "failed", "no_answer"), ..CallRows::default() }).await;
    assert_eq!(total(&world, "limit=1").await, (10_101, false, 1));
    assert_eq!(total(&world, "status=failed&limit=1").await, (2021, false, 1));
}

#[tokio::test]
async fn the_timeline_is_told_in_order() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    let events = vec![event(0, "answered"), event(1, "turn_started"), event(2, "turn_ended"), event(3, "turn_started")];
    world.write(id, NODE, CallRows { events, ..CallRows::default() }).await;
    let path = format!("/v1/conversations/{id}/events");
    let answer = world.api.get(&world.user, &path).await;
    let told = answer.data()["events"].as_array().unwrap();
    assert_eq!(told[2], json!({ "seq": 2, "at_ms": 200, "kind": "turn_ended", "data": { "turn": 2 } }));
    assert_eq!(told.len(), 4);
    let answer = world.api.get(&world.user, &format!("{path}?kind=turn_started&limit=1&page=2")).await;
    assert_eq!(answer.data()["events"][0]["seq"], 3);
    assert_eq!(answer.data()["pagination"], json!({ "page": 2, "limit": 1, "total": 2, "total_pages": 2 }));
    assert_eq!(world.api.get(&world.user, &format!("{path}?limit=0")).await.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(world.api.get(&world.user, &format!("{path}?kind=%00")).await.error(), (422, "VALIDATION_ERROR"));
    let missing = format!("/v1/conversations/{}/events", Uuid::now_v7());
    for path in [missing.as_str(), "/v1/conversations/x/events"] {
        assert_eq!(world.api.get(&world.user, path).await.error(), (404, "CONVERSATION_NOT_FOUND"));
    }
}

#[tokio::test]
async fn what_is_erased_is_nowhere_and_stays_so() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    let path = format!("/v1/conversations/{id}");
    let secret = EventRow { data: json!({ "text": "parcel", "turn": 1 }), ..event(1, "turn_ended") };
    let rows = CallRows {
        answered_at: Some(after(1)),
        turns: vec![turn(0, "customer", 100, "My parcel is lost")],
        events: vec![event(0, "answered"), secret],
        ..CallRows::default()
    };
    world.write(id, NODE, rows.clone()).await;
    let live = world.api.delete(&world.user, &path).await;
    assert_eq!(live.error(), (409, "CONFLICT"));
    world
        .write(id, NODE, CallRows { ended: ended(after(61), "completed", "caller_hangup"), ..CallRows::default() })
        .await;
    let analysis = Analysis {
        sentiment: Some("parcel".into()),
        outcome: Some("resolved".into()),
        tags: vec!["parcel".into()],
        summary: Some("A parcel was lost".into()),
        satisfaction_score: Some(4.0),
        extraction: Some(json!({ "lost": "parcel" })),
    };
    let mut tx = world.tx().await;
    assert!(analysis::write(&mut tx, world.user.tenant, id, &analysis).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(total(&world, "q=parcel").await.0, 1);
    let member = world.api.user(world.user.tenant, Role::Member);
    assert_eq!(world.api.delete(&member, &path).await.error(), (403, "TENANT_ACCESS_DENIED"));

    assert_eq!(world.api.delete(&world.user, &path).await.status, 200);
    let erased = world.read(id).await;
    assert_eq!(world.api.delete(&world.user, &path).await.status, 200);
    // The node's last rows were late, and so was the analysis.
    world.write(id, NODE, CallRows { events: vec![event(7, "turn_ended")], ..rows }).await;
    let mut tx = world.tx().await;
    assert!(!analysis::write(&mut tx, world.user.tenant, id, &analysis).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(world.read(id).await, erased);
    for gone in ["customer_phone", "sentiment", "summary"] {
        assert_eq!(erased[gone], Value::Null, "{gone}");
    }
    assert_eq!((&erased["transcript"], &erased["tags"], &erased["context"]), (&json!([]), &json!([]), &json!({})));
    let numbers = (&erased["duration_seconds"], &erased["outcome"], &erased["satisfaction_score"]);
    assert_eq!(numbers, (&json!(60), &json!("resolved"), &json!(4.0)));
    assert!(erased["erased_at"].is_string());
    assert_eq!(total(&world, "q=parcel").await.0, 0);
    assert_eq!(total(&world, "").await.0, 1);
    let events = world.api.get(&world.user, &format!("{path}/events")).await;
    assert_eq!(
        events.data()["events"],
        json!([{ "seq": 0, "at_ms": 0, "kind": "answered", "data": { "turn": 0 } }, { "seq": 1, "at_ms": 100, "kind": "turn_ended", "data": {} }])
    );
    let owner = world.api.scratch.superuser().await;
    for table in ["conversations", "turns", "conversation_events", "recordings"] {
        let all = format!("select coalesce(jsonb_agg(t), '[]')::text from {table} t");
        let text: String = sqlx::query_scalar(sqlx::AssertSqlSafe(all)).fetch_one(owner.pool()).await.unwrap();
        assert!(!text.contains("parcel") && !text.contains("4155550100"), "{table}: {text}");
    }
    let unknown = world.api.delete(&world.user, &format!("/v1/conversations/{}", Uuid::now_v7())).await;
    assert_eq!(unknown.error(), (404, "CONVERSATION_NOT_FOUND"));
}

#[tokio::test]
async fn text_is_kept_for_as_long_as_the_tenant_wants() {
    let world = World::new().await;
    let db = &world.api.control.db;
    let owner = world.api.scratch.superuser().await;
    let keep = async |retention: Value| {
        sqlx::query("update tenants set settings = jsonb_build_object('retention', $1) where id = $2")
            .bind(retention)
            .bind(world.user.tenant.as_uuid())
            .execute(owner.pool())
            .await
            .unwrap();
    };
    let mut calls = Vec::new();
    for day in 0..4 {
        let id = world.ring(start() + TimeDelta::days(day), &format!("CA{day}")).await;
        let at = start() + TimeDelta::days(day);
        world.write(id, NODE, CallRows { ended: ended(at, "completed", "caller_hangup"), ..CallRows::default() }).await;
        calls.push(id);
    }
    world.ring(start(), "live").await;
    let later = start() + TimeDelta::days(12);
    for unset in [
        json!(null),
        json!({}),
        json!({ "transcripts_days": null }),
        json!({ "transcripts_days": "1" }),
        json!({ "transcripts_days": -1 }),
    ] {
        keep(unset.clone()).await;
        assert_eq!(retention::sweep(db, later, 10).await.unwrap(), 0, "{unset}");
    }
    keep(json!({ "transcripts_days": 10 })).await;
    assert_eq!(retention::sweep(db, start() + TimeDelta::days(10), 10).await.unwrap(), 0);
    assert_eq!(retention::sweep(db, later, 1).await.unwrap(), 1, "the oldest first, and no more than were asked for");
    assert!(world.read(calls[0]).await["erased_at"].is_string());
    assert_eq!(retention::sweep(db, later, 10).await.unwrap(), 1);
    assert_eq!(retention::sweep(db, later, 10).await.unwrap(), 0);
    assert_eq!(world.read(calls[2]).await["erased_at"], Value::Null);
    keep(json!({ "transcripts_days": 0 })).await;
    assert_eq!(retention::sweep(db, later, 10).await.unwrap(), 2);
    assert_eq!(total(&world, "").await.0, 5);
}

/// Whatever a call does, it does to its own tenant's rows: by the statements alone, and by row-level security alone.
#[tokio::test]
async fn a_call_finds_and_changes_nothing_of_another_tenants() {
    let world = World::new().await;
    let victim = world.ring(start(), "CA1").await;
    world.write(victim, NODE, CallRows { turns: vec![turn(0, "customer", 0, "secret")], ..CallRows::default() }).await;
    let before = world.read(victim).await;
    let [known] = legs_of(&world, victim).await.try_into().unwrap();
    let leg = known.id;
    let attacker = world.api.owner();
    world.api.get(&attacker, "/v1/conversations").await.data();
    let guards: [(Db, TenantId); 2] =
        [(world.api.control.db.clone(), world.user.tenant), (world.api.scratch.superuser().await, attacker.tenant)];
    for (db, argument) in guards {
        let mut tx = db.begin(attacker.tenant).await.unwrap();
        assert!(calls::read(&mut tx, argument, victim).await.unwrap().is_none());
        assert_eq!(calls::history(&mut tx, argument, victim).await.unwrap().turns, []);
        assert!(!calls::close_abandoned(&mut tx, argument, victim, after(1)).await.unwrap());
        assert!(!calls::set_ending(&mut tx, argument, victim, NODE, "idle").await.unwrap());
        calls::take_over(&mut tx, argument, victim, "eve").await.unwrap();
        assert_eq!(legs::lock(&mut tx, argument, victim).await.unwrap(), None);
        assert_eq!(legs::of_call(&mut tx, argument, victim).await.unwrap(), []);
        legs::heard(&mut tx, argument, leg, "completed", 4, None).await.unwrap();
        legs::set_region(&mut tx, argument, victim, "CA1", "https://eve.example").await.unwrap();
        assert!(!legs::claim(&mut tx, argument, leg).await.unwrap());
        assert!(!legs::set_active(&mut tx, argument, victim).await.unwrap());
        let end = CallRows { ended: ended(after(1), "failed", "media_lost"), ..CallRows::default() };
        journal::write(&mut tx, argument, NODE, &[(victim, end)], after(1)).await.unwrap();
        tx.commit().await.unwrap();
        // What would add a row is refused by the database itself.
        let usage = UsageRow {
            id: Uuid::now_v7(),
            provider: "x".into(),
            unit: "x".into(),
            quantity: 1,
            wasted: false,
            turn_seq: None,
        };
        let additions = [
            CallRows { turns: vec![turn(7, "agent", 0, "planted")], ..CallRows::default() },
            CallRows { events: vec![event(7, "planted")], ..CallRows::default() },
        ];
        for rows in additions {
            let mut tx = db.begin(attacker.tenant).await.unwrap();
            let written = journal::write(&mut tx, argument, NODE, &[(victim, rows)], after(1)).await;
            assert!(written.is_err(), "{written:?}");
        }
        if argument != attacker.tenant {
            let mut tx = db.begin(attacker.tenant).await.unwrap();
            let rows = CallRows { usage: vec![usage], ..CallRows::default() };
            assert!(journal::write(&mut tx, argument, NODE, &[(victim, rows)], after(1)).await.is_err());
        }
        let mut tx = db.begin(attacker.tenant).await.unwrap();
        let token = calls::put_token(&mut tx, argument, victim, &[3; 32], Duration::from_secs(9)).await;
        assert!(token.is_err(), "{token:?}");
    }
    assert_eq!(world.read(victim).await, before);
    assert_eq!(legs_of(&world, victim).await, [known]);
}
