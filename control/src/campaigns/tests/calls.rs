use std::collections::BTreeSet;

use chrono::Utc;
use serde_json::{Value, json};
use trunkline_base::CallId;

use super::{LONG, World};
use crate::{
    campaigns::claims::{self, Work},
    conversations::dials,
};

const ANN: &str = "+14155550101";
const BOB: &str = "+14155550102";
const ZOE: &str = "+14155550103";

#[tokio::test]
async fn each_is_called_once_at_a_time_and_no_more_than_the_campaign_may_have() {
    let world = World::new(json!({ "concurrency": 2 })).await;
    world.started_with(&[ANN, BOB, ZOE]).await;
    let (first, ann) = world.claim().await.unwrap();
    let (second, _) = world.claim().await.unwrap();
    assert!(world.claim().await.is_none());
    assert_eq!(world.look().await.unwrap().work, Work::Later);
    assert_eq!((first.attempt, world.slots().await), (1, 2));
    assert_ne!(first.id, second.id);
    let progress = world.get().await["contacts"].clone();
    assert_eq!((&progress["calling"], &progress["pending"]), (&2.into(), &1.into()));
    // The conversation's end is the attempt's, and the carrier's word gives the place back.
    world.placed(ann).await;
    world.close(ann, "completed", "agent_hangup").await;
    let contact = world.contact(first.number.expose()).await;
    assert_eq!((&contact["status"], &contact["outcome"]), (&"done".into(), &"answered".into()));
    assert_eq!(contact["attempts"][0]["conversation_id"], ann.to_string());
    assert!(world.claim().await.is_none());
    world.hangs_up(ann).await;
    assert_eq!(world.slots().await, 1);
    let (third, zoe) = world.claim().await.unwrap();
    assert_eq!([first.id, second.id, third.id].into_iter().collect::<BTreeSet<_>>().len(), 3);
    // The other way round: the carrier is the first to say so.
    world.placed(zoe).await;
    world.hangs_up(zoe).await;
    assert_eq!(world.slots().await, 2);
    world.close(zoe, "failed", "busy").await;
    assert_eq!(world.slots().await, 1);
}

#[tokio::test]
async fn a_place_that_nobody_gives_back_comes_back_by_time() {
    let world = World::new(json!({ "concurrency": 1 })).await;
    world.started_with(&[ANN, BOB]).await;
    world.claim().await.unwrap();
    assert!(world.claim().await.is_none());
    world
        .run(
            "update slots set expires_at = now() - interval '1 second' where tenant_id = $1",
            world.ada.tenant.as_uuid(),
        )
        .await;
    assert!(world.claim().await.is_some());
}

#[tokio::test]
async fn what_came_to_nothing_is_tried_again_as_its_outcome_says() {
    let retry = json!({
        "busy": { "max_attempts": 2, "delay_s": 600 },
        "no_answer": { "max_attempts": 3, "delay_s": 3600 },
        "voicemail": { "max_attempts": 1, "delay_s": 0 },
        "failed": { "max_attempts": 2, "delay_s": 0 },
    });
    let world = World::new(json!({ "retry": retry })).await;
    world.started_with(&[ANN]).await;
    let ends = async |status, reason| {
        let (contact, id) = world.claim().await.unwrap();
        world.placed(id).await;
        world.ends(id, status, reason).await;
        contact.attempt
    };
    assert_eq!(ends("failed", "busy").await, 1);
    let waiting = world.contact(ANN).await;
    let next: chrono::DateTime<Utc> = waiting["next_attempt_at"].as_str().unwrap().parse().unwrap();
    assert!((590..=600).contains(&(next - Utc::now()).num_seconds()), "{waiting:#}");
    assert_eq!((&waiting["status"], &waiting["attempts"][0]["outcome"]), (&"pending".into(), &"busy".into()));
    assert!(world.claim().await.is_none());
    world.time_passes().await;
    // A second one that nobody answers is not the last, as a busy one would be.
    assert_eq!(ends("failed", "no_answer").await, 2);
    world.time_passes().await;
    assert_eq!(ends("failed", "no_answer").await, 3);
    let done = world.contact(ANN).await;
    assert_eq!((&done["outcome"], done["attempts"].as_array().unwrap().len()), (&"no_answer".into(), 3));
    // What is final at once.
    for (number, status, reason, outcome) in [
        ("+14155550111", "completed", "voicemail", "voicemail"),
        ("+14155550112", "failed", "invalid_number", "invalid_number"),
        ("+14155550113", "failed", "api_hangup", "canceled"),
        ("+14155550114", "completed", "transferred", "answered"),
        ("+14155550115", "completed", "api_hangup", "answered"),
    ] {
        world
            .api
            .post(&world.ada, &world.path("/contacts"), json!({ "contacts": [{ "phone_number": number }] }))
            .await
            .data();
        assert_eq!(ends(status, reason).await, 1);
        let contact = world.contact(number).await;
        assert_eq!((&contact["status"], &contact["outcome"]), (&"done".into(), &outcome.into()), "{reason}");
    }
    assert_eq!(world.slots().await, 0);
}

#[tokio::test]
async fn an_attempt_that_its_dialler_left_behind_does_not_count() {
    let world = World::new(json!({ "retry": { "failed": { "max_attempts": 1, "delay_s": 0 } } })).await;
    world.started_with(&[ANN]).await;
    let leave = async |id: CallId| {
        let mut tx = world.tx().await;
        assert!(dials::refuse(&mut tx, world.ada.tenant, id).await.unwrap());
        tx.commit().await.unwrap();
        world.close(id, "failed", "canceled").await;
    };
    let (_, id) = world.claim().await.unwrap();
    leave(id).await;
    assert_eq!((world.contact(ANN).await["status"].clone(), world.slots().await), ("pending".into(), 0));
    // The next has another number, so that it is another dial.
    let (contact, id) = world.claim().await.unwrap();
    assert_eq!(contact.attempt, 2);
    let outcomes = |contact: &Value| -> Vec<Value> {
        contact["attempts"].as_array().unwrap().iter().map(|it| it["outcome"].clone()).collect()
    };
    assert_eq!(outcomes(&world.contact(ANN).await), ["not_placed".into(), Value::Null]);
    // Once the carrier was asked, it does.
    let mut tx = world.tx().await;
    assert!(dials::send(&mut tx, world.ada.tenant, id, LONG).await.unwrap());
    assert!(dials::refuse(&mut tx, world.ada.tenant, id).await.unwrap());
    claims::note(&mut tx, world.ada.tenant, id, "Twilio has placed no call").await.unwrap();
    tx.commit().await.unwrap();
    world.close(id, "failed", "carrier_failed").await;
    let contact = world.contact(ANN).await;
    assert_eq!((&contact["outcome"], outcomes(&contact).len()), (&"failed".into(), 2));
    assert_eq!(contact["attempts"][1]["error"], "Twilio has placed no call");
}

#[tokio::test]
async fn a_pause_and_the_do_not_call_list_reach_calls_that_wait_for_their_turn() {
    let world = World::new(json!({ "concurrency": 5 })).await;
    world.started_with(&[ANN, BOB, ZOE]).await;
    let (_, waits) = world.claim().await.unwrap();
    let (rings, id) = world.claim().await.unwrap();
    world.placed(id).await;
    let may_send = async |id: CallId| {
        let mut tx = world.tx().await;
        dials::send(&mut tx, world.ada.tenant, id, LONG).await.unwrap()
    };
    assert!(may_send(waits).await);
    world.post("/pause").await.data();
    assert!(!may_send(waits).await);
    let mut tx = world.tx().await;
    dials::refuse(&mut tx, world.ada.tenant, waits).await.unwrap();
    tx.commit().await.unwrap();
    world.close(waits, "failed", "canceled").await;
    // Whoever is being called already is not cut off.
    world.ends(id, "completed", "caller_hangup").await;
    assert_eq!(world.contact(rings.number.expose()).await["outcome"], "answered");
    assert!(world.claim().await.is_none());
    world.post("/start").await.data();
    let (again, waits) = world.claim().await.unwrap();
    // Somebody does not want to be called after all: neither who waits for their turn, nor who is to be called.
    let stop = async |number: &str| {
        world.api.post(&world.ada, "/v1/do-not-call", json!({ "phone_number": number })).await.data();
    };
    stop(again.number.expose()).await;
    assert!(!may_send(waits).await);
    for number in [ANN, BOB, ZOE] {
        stop(number).await;
    }
    let mut tx = world.tx().await;
    dials::refuse(&mut tx, world.ada.tenant, waits).await.unwrap();
    tx.commit().await.unwrap();
    world.close(waits, "failed", "canceled").await;
    assert!(world.claim().await.is_none());
    world.look().await;
    let campaign = world.get().await;
    assert_eq!(campaign["status"], "completed");
    assert_eq!(campaign["contacts"]["outcomes"], json!({ "answered": 1, "do_not_call": 2 }));
    assert_eq!(world.slots().await, 0);
}

#[tokio::test]
async fn nobody_is_called_outside_the_hours_where_they_are() {
    let now = Utc::now();
    let there = |zone: chrono_tz::Tz| now.with_timezone(&zone);
    // Open for the hours around noon in the one zone, twelve hours away from the other.
    let noon = there(chrono_tz::Tz::UTC) - chrono::TimeDelta::hours(1);
    let hours = json!({
        "start": noon.format("%H:%M").to_string(), "end": (noon + chrono::TimeDelta::hours(3)).format("%H:%M").to_string(),
    });
    let world = World::new(json!({ "calling_hours": hours, "concurrency": 10 })).await;
    let contacts = json!({ "contacts": [
        { "phone_number": ANN, "timezone": "Etc/GMT+11" },
        { "phone_number": BOB },
        { "phone_number": ZOE, "timezone": "Etc/GMT-11" },
    ] });
    world.api.post(&world.ada, &world.path("/contacts"), contacts).await.data();
    world.post("/start").await.data();
    let (contact, _) = world.claim().await.unwrap();
    assert_eq!(contact.number.expose(), BOB);
    assert!(world.claim().await.is_none());
    assert_eq!(world.look().await.unwrap().work, Work::None);
    // The campaign waits for the others: it is not completed.
    assert_eq!(world.get().await["status"], "running");
    world
        .api
        .patch(&world.ada, &world.path(""), json!({ "calling_hours": { "start": "00:00", "end": "00:00" } }))
        .await
        .data();
    assert!(world.claim().await.is_some() && world.claim().await.is_some());
}

#[tokio::test]
async fn calls_a_second_are_kept_and_others_leave_a_campaign_alone_that_is_claimed_for() {
    let world = World::new(json!({ "calls_per_second": 0.1 })).await;
    world.started_with(&[ANN, BOB]).await;
    let campaign = world.look().await.unwrap();
    let mut tx = world.tx().await;
    let claim = claims::claim(&mut tx, world.ada.tenant, &campaign).await.unwrap();
    assert!(matches!(claim, claims::Claim::Contact(_)));
    assert!(world.claim().await.is_none());
    drop(tx);
    assert!(world.claim().await.is_some());
    // The next is in ten seconds.
    assert!(world.claim().await.is_none());
    assert_eq!(world.look().await.unwrap().work, Work::Later);
}

#[tokio::test]
async fn a_campaign_that_is_removed_leaves_its_calls() {
    let world = World::new(json!({})).await;
    world.started_with(&[ANN]).await;
    let (_, id) = world.claim().await.unwrap();
    world.placed(id).await;
    world.post("/pause").await.data();
    assert_eq!(world.api.delete(&world.ada, &world.path("")).await.status, 200);
    assert_eq!(world.slots().await, 1);
    world.ends(id, "completed", "caller_hangup").await;
    assert_eq!(world.slots().await, 0);
    let conversation = world.api.get(&world.ada, &format!("/v1/conversations/{id}")).await;
    assert_eq!(conversation.data()["status"], "completed");
}

#[tokio::test]
async fn what_keeps_a_campaign_from_calling_anybody_pauses_it_and_is_said() {
    let world = World::new(json!({})).await;
    world.started_with(&[ANN]).await;
    let mut tx = world.tx().await;
    assert!(claims::hold(&mut tx, world.ada.tenant, world.campaign, "the agent is not active").await.unwrap());
    tx.commit().await.unwrap();
    let campaign = world.get().await;
    assert_eq!(
        (&campaign["status"], &campaign["paused_reason"]),
        (&"paused".into(), &"the agent is not active".into())
    );
    assert_eq!(world.post("/start").await.data()["paused_reason"], Value::Null);
}
