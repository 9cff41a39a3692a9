//! Conversations as calls write them and the API shows them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use super::{
    calls::{self, NewConversation},
    journal::{self, CallRows, Ended, EventRow, TurnRow, UsageRow},
};
use crate::{
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
            "satisfaction_score": null, "metadata": {}, "context": { "from_number": "+14155550100" }, "recording_url": null,
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
    for wrong in
        ["limit=0", "limit=101", "page=0", "page=201&limit=51", "page=x", "status=done", "date_from=x", "agent_id=x"]
    {
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
    assert!(!calls::set_ending(&mut tx, world.user.tenant, id, "another node").await.unwrap());
    assert!(!calls::read(&mut tx, world.user.tenant, id).await.unwrap().unwrap().over);
    assert!(calls::set_ending(&mut tx, world.user.tenant, id, NODE).await.unwrap());
    assert!(calls::read(&mut tx, world.user.tenant, id).await.unwrap().unwrap().over);
}

#[tokio::test]
async fn a_token_replaces_the_one_before_and_a_legs_status_goes_one_way() {
    let world = World::new().await;
    let id = world.ring(start(), "CA1").await;
    let (first, second) = ([1; 32], [2; 32]);
    let mut tx = world.tx().await;
    for hash in [first, second] {
        calls::put_token(&mut tx, world.user.tenant, id, &hash, Duration::from_secs(120)).await.unwrap();
    }
    for (status, rank) in [("in-progress", 2), ("ringing", 1), ("completed", 4), ("busy", 4)] {
        calls::set_leg_status(&mut tx, world.user.tenant, id, "CA1", status, rank).await.unwrap();
    }
    tx.commit().await.unwrap();
    let db = &world.api.control.db;
    assert_eq!(lookup::stream_token(db, &first).await.unwrap(), None);
    let found = lookup::stream_token(db, &second).await.unwrap().unwrap();
    assert_eq!((found.tenant, found.conversation), (world.user.tenant, id));
    let owner = world.api.scratch.superuser().await;
    let status: String = sqlx::query_scalar("select status from call_legs").fetch_one(owner.pool()).await.unwrap();
    assert_eq!(status, "completed");
    assert_eq!(lookup::call(db, Provider::Twilio, "CA1").await.unwrap(), Some((world.user.tenant, id)));
    assert_eq!(lookup::conversation(db, id).await.unwrap(), Some(world.user.tenant));
    // The carrier's call is one call, whoever's.
    let mut tx = world.tx().await;
    let again = calls::create(&mut tx, world.user.tenant, &world.call("CA1"), start()).await;
    assert!(matches!(again, Err(DbError::Unique(_))), "{again:?}");
}

/// Whatever a call does, it does to its own tenant's rows: by the statements alone, and by row-level security alone.
#[tokio::test]
async fn a_call_finds_and_changes_nothing_of_another_tenants() {
    let world = World::new().await;
    let victim = world.ring(start(), "CA1").await;
    world.write(victim, NODE, CallRows { turns: vec![turn(0, "customer", 0, "secret")], ..CallRows::default() }).await;
    let before = world.read(victim).await;
    let attacker = world.api.owner();
    world.api.get(&attacker, "/v1/conversations").await.data();
    let guards: [(Db, TenantId); 2] =
        [(world.api.control.db.clone(), world.user.tenant), (world.api.scratch.superuser().await, attacker.tenant)];
    for (db, argument) in guards {
        let mut tx = db.begin(attacker.tenant).await.unwrap();
        assert!(calls::read(&mut tx, argument, victim).await.unwrap().is_none());
        assert_eq!(calls::history(&mut tx, argument, victim).await.unwrap().turns, []);
        assert!(!calls::close_abandoned(&mut tx, argument, victim, after(1)).await.unwrap());
        assert!(!calls::set_ending(&mut tx, argument, victim, NODE).await.unwrap());
        calls::take_over(&mut tx, argument, victim, "eve").await.unwrap();
        calls::set_leg_status(&mut tx, argument, victim, "CA1", "completed", 4).await.unwrap();
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
}
