//! A tenant's stream.

use serde_json::json;

use super::{Hub, World, after, answered, ended, ring, what};
use crate::{
    conversations::calls::take_over,
    testing::{Event, Events},
};

const PATH: &str = "/v1/live";

fn id(event: &Event) -> String {
    event.id.clone().unwrap()
}

#[tokio::test]
async fn a_call_is_told_as_it_begins_is_answered_moves_and_ends() {
    let world = World::new().await;
    let before = world.ring().await;
    let mut events = world.api.listen(&world.user, PATH, None).await;
    let snapshot = events.next().await.unwrap();
    assert_eq!(snapshot.name, "snapshot");
    assert_eq!(snapshot.data["more"], false);
    assert_eq!(snapshot.data["calls"].as_array().unwrap().len(), 1);
    assert_eq!(snapshot.data["calls"][0]["id"], before.to_string());

    let call = world.ring().await;
    let ringing = events.next().await.unwrap();
    assert_eq!(what(&ringing), ("ringing", call.to_string().as_str()));
    assert_eq!(
        ringing.data,
        json!({
            "id": call, "agent_id": world.agent, "agent_version": 1, "direction": "inbound", "channel": "phone",
            "customer_phone": "+14155550100", "our_number": "+15005550006", "status": "ringing", "ending": false,
            "reattached": 0, "start_time": "2026-03-01T10:00:00Z", "answered_at": null, "end_time": null, "end_reason": null,
            "duration_seconds": null,
        })
    );
    world.write(call, answered()).await;
    let active = events.next().await.unwrap();
    assert_eq!((active.name.as_str(), &active.data["answered_at"]), ("active", &json!(after(2))));
    let mut tx = world.tx().await;
    take_over(&mut tx, world.user.tenant, call, "another node").await.unwrap();
    tx.commit().await.unwrap();
    world.tell(call, super::News::State);
    assert_eq!(events.next().await.unwrap().name, "moved");
    let mut tx = world.tx().await;
    take_over(&mut tx, world.user.tenant, call, super::NODE).await.unwrap();
    tx.commit().await.unwrap();
    world.tell(call, super::News::State);
    assert_eq!(events.next().await.unwrap().name, "moved");
    world.write(call, ended()).await;
    let over = events.next().await.unwrap();
    assert_eq!(what(&over), ("ended", call.to_string().as_str()));
    assert_eq!(
        (&over.data["status"], &over.data["end_reason"], &over.data["duration_seconds"]),
        (&json!("completed"), &json!("caller_hangup"), &json!(30))
    );
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was() {
    let world = World::new().await;
    let mut events = world.api.listen(&world.user, PATH, None).await;
    let snapshot = events.next().await.unwrap();
    assert_eq!(snapshot.data["calls"], json!([]));
    let first = world.ring().await;
    let ringing = events.next().await.unwrap();
    drop(events);

    world.write(first, answered()).await;
    world.write(first, ended()).await;
    let second = world.ring().await;
    let (first, second) = (first.to_string(), second.to_string());
    let missed = [("ended", first.as_str()), ("ringing", second.as_str())];
    let check = async |mut events: Events| {
        // Changes of one call that come together are one event.
        let told = [events.next().await.unwrap(), events.next().await.unwrap()];
        assert_eq!(told.each_ref().map(what), missed);
    };
    check(world.api.listen(&world.user, PATH, Some(&id(&ringing))).await).await;
    // In the address too, for an EventSource that is made anew; the header goes before it.
    let in_query = format!("{PATH}?last_event_id={}", id(&ringing));
    check(world.api.listen(&world.user, &in_query, None).await).await;
    check(world.api.listen(&world.user, &format!("{PATH}?last_event_id=1"), Some(&id(&ringing))).await).await;

    // What was not given here, was given too long ago, or has yet to come begins anew.
    let at: i64 = id(&ringing).parse().unwrap();
    let minutes = |minutes: i64| (at + minutes * 60_000_000).to_string();
    for last in ["", "x", "17.4", "0", &minutes(-60), &minutes(10), "99999999999999999"] {
        let mut events = world.api.listen(&world.user, PATH, Some(last)).await;
        let snapshot = events.next().await.unwrap();
        assert_eq!((snapshot.name.as_str(), &snapshot.data["calls"][0]["id"]), ("snapshot", &json!(second)), "{last}");
    }
}

/// Of two transactions, the one that began later may commit first.
#[tokio::test]
async fn what_is_committed_late_is_not_missed() {
    let world = World::new().await;
    let mut events = world.api.listen(&world.user, PATH, None).await;
    events.next().await.unwrap();
    let mut slow = world.tx().await;
    let late = ring(&mut slow, &world.user, world.agent).await;
    let early = world.ring().await;
    assert_eq!(what(&events.next().await.unwrap()).1, early.to_string());
    slow.commit().await.unwrap();
    let last = world.ring().await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.push(what(&events.next().await.unwrap()).1.to_owned());
    }
    assert_eq!(told, [late.to_string(), last.to_string()]);
    // Each once.
    let next = world.ring().await;
    assert_eq!(what(&events.next().await.unwrap()).1, next.to_string());
}

#[tokio::test]
async fn nothing_of_another_tenants_calls_is_told() {
    let world = World::new().await;
    let (eve, agent) = world.another().await;
    let victim = world.ring().await;
    let mut events = world.api.listen(&eve, PATH, None).await;
    let snapshot = events.next().await.unwrap();
    assert_eq!(snapshot.data["calls"], json!([]));
    let mut ours = world.api.listen(&world.user, PATH, None).await;
    ours.next().await.unwrap();
    world.write(victim, answered()).await;
    let active = ours.next().await.unwrap();
    assert_eq!(active.name, "active");
    // However she is woken: as if it were hers, and by a call of her own.
    world.api.control.live.tell(eve.tenant, &[(victim, super::News::State)]);
    let mut tx = world.api.control.db.begin(eve.tenant).await.unwrap();
    let hers = ring(&mut tx, &eve, agent).await;
    tx.commit().await.unwrap();
    world.api.control.live.tell(eve.tenant, &[(hers, super::News::State)]);
    assert_eq!(what(&events.next().await.unwrap()), ("ringing", hers.to_string().as_str()));
    // Nor by an id of the other's stream.
    let mut events = world.api.listen(&eve, PATH, Some(&id(&active))).await;
    assert_eq!(what(&events.next().await.unwrap()), ("ringing", hers.to_string().as_str()));
    let path = format!("/v1/conversations/{victim}/live");
    assert_eq!(world.api.get(&eve, &path).await.error(), (404, "CONVERSATION_NOT_FOUND"));
}

/// The statements alone, for a listener whom the database would let see everything; and the database alone, for one who asks for the
/// victim's.
#[tokio::test]
async fn each_guard_alone_keeps_changes_apart() {
    use super::super::store;
    let world = World::new().await;
    let (eve, _) = world.another().await;
    let mut tx = world.tx().await;
    let (seen, at) = store::beginning(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let victim = world.ring().await;
    let guards = [(world.api.control.db.clone(), world.user.tenant), (world.api.scratch.superuser().await, eve.tenant)];
    for (db, argument) in guards {
        let mut tx = db.begin(eve.tenant).await.unwrap();
        assert_eq!(store::changes(&mut tx, argument, &seen, 10).await.unwrap().1, []);
        assert_eq!(store::changes_since(&mut tx, argument, at, 10).await.unwrap().unwrap().1, []);
        assert_eq!(store::live_calls(&mut tx, argument, 10).await.unwrap(), []);
        assert_eq!(store::calls(&mut tx, argument, &[victim.as_uuid()]).await.unwrap(), []);
        assert!(store::call(&mut tx, argument, victim).await.unwrap().is_none());
        assert!(store::events_after(&mut tx, argument, victim, -1, 10).await.unwrap().is_empty());
        assert!(!store::is_member(&mut tx, argument, world.user.id).await.unwrap());
    }
    let mut tx = world.tx().await;
    assert_eq!(store::changes(&mut tx, world.user.tenant, &seen, 10).await.unwrap().1.len(), 1);
    assert!(store::is_member(&mut tx, world.user.tenant, world.user.id).await.unwrap());
}

#[tokio::test]
async fn old_changes_are_swept_by_new_calls_and_a_conversation_that_was_never_live_leaves_none() {
    let world = World::new().await;
    let (old, new) = (world.ring().await, world.ring().await);
    let owner = world.api.scratch.superuser().await;
    let count = async || {
        let ids = "select conversation_id from call_changes order by id";
        sqlx::query_scalar::<_, uuid::Uuid>(ids).fetch_all(owner.pool()).await.unwrap()
    };
    assert_eq!(count().await, [old.as_uuid(), new.as_uuid()]);
    sqlx::query("update call_changes set at = now() - interval '61 minutes' where conversation_id = $1")
        .bind(old.as_uuid())
        .execute(owner.pool())
        .await
        .unwrap();
    let newest = world.ring().await;
    assert_eq!(count().await, [new.as_uuid(), newest.as_uuid()]);
    sqlx::query(
        "insert into conversations (tenant_id, id, agent_id, agent_version, channel, direction, status, start_time, end_time)
         values ($1, $2, $3, 1, 'phone', 'inbound', 'completed', now(), now())",
    )
    .bind(world.user.tenant.as_uuid())
    .bind(uuid::Uuid::now_v7())
    .bind(world.agent)
    .execute(owner.pool())
    .await
    .unwrap();
    assert_eq!(count().await.len(), 2);
}

#[tokio::test]
async fn a_tenant_and_a_node_have_so_many_places() {
    let mut world = World::new().await;
    let control = super::Control { live: Hub::of_at_most(2, 3), ..world.api.control.clone() };
    world.api = world.api.with_control(control);
    let (eve, _) = world.another().await;
    let call = format!("/v1/conversations/{}/live", world.ring().await);
    let first = world.api.listen(&world.user, PATH, None).await;
    let _second = world.api.listen(&world.user, &call, None).await;
    for path in [PATH, &call] {
        let refused = world.api.get(&world.user, path).await;
        assert_eq!(refused.error(), (429, "RATE_LIMITED"), "{path}");
        assert_eq!(refused.headers["retry-after"], "10");
    }
    let _third = world.api.listen(&eve, PATH, None).await;
    let refused = world.api.get(&eve, PATH).await;
    assert_eq!(refused.error(), (503, "OVERLOADED"));
    assert_eq!(refused.headers["retry-after"], "10");
    // A listener who goes away leaves a place; one who asks for nothing that is there takes none.
    drop(first);
    let nothing = format!("/v1/conversations/{}/live", uuid::Uuid::now_v7());
    for _ in 0..3 {
        assert_eq!(world.api.get(&world.user, &nothing).await.error(), (404, "CONVERSATION_NOT_FOUND"));
    }
    world.api.listen(&world.user, PATH, None).await.next().await.unwrap();
}
