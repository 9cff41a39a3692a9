//! Streams that are opened by a ticket.

use axum::{
    body::Body,
    http::{Request, header},
};
use serde_json::json;

use super::World;
use crate::{
    auth::Role,
    testing::{Answer, Api, Events, Log, User},
};

const PATH: &str = "/v1/live";

async fn ticket(api: &Api, user: &User) -> String {
    let answer = api.post(user, "/v1/live/tickets", json!(null)).await;
    assert_eq!(answer.status, 201);
    answer.data()["ticket"].as_str().unwrap().to_owned()
}

fn showing(path: &str, ticket: &str) -> Request<Body> {
    Request::builder().uri(format!("{path}?ticket={ticket}")).body(Body::empty()).unwrap()
}

async fn refused(api: &Api, path: &str, ticket: &str) -> Answer {
    let answer = api.request(showing(path, ticket)).await;
    assert_eq!(answer.error(), (401, "AUTH_INVALID"), "{ticket}");
    answer
}

async fn open(api: &Api, path: &str, ticket: &str) -> Events {
    let response = api.response(showing(path, ticket)).await;
    assert_eq!(response.status(), 200);
    Events::of(response.into_body().into_data_stream())
}

#[tokio::test]
async fn a_ticket_opens_one_stream_of_its_tenants_and_once() {
    let log = Log::capture();
    let world = World::new().await;
    let api = &world.api;
    let call = world.ring().await;
    let viewer = api.user(world.user.tenant, Role::Viewer);
    let path = format!("/v1/conversations/{call}/live");
    let (first, second) = (ticket(api, &viewer).await, ticket(api, &viewer).await);
    assert!(first != second && first.len() == 43, "{first}");
    let mut events = open(api, PATH, &first).await;
    assert_eq!(events.next().await.unwrap().data["calls"][0]["id"], call.to_string());
    assert_eq!(open(api, &path, &second).await.next().await.unwrap().name, "state");
    let used = refused(api, PATH, &first).await;
    assert_eq!(used.headers[header::WWW_AUTHENTICATE], "Bearer");
    // What never was one is told the same.
    for unknown in ["", "x", &first[1..], &"A".repeat(43), &"A".repeat(5000)] {
        assert_eq!(refused(api, PATH, unknown).await.body["message"], used.body["message"]);
    }
    // It opens nothing else, and a good token in the header needs none.
    let third = ticket(api, &viewer).await;
    assert_eq!(api.request(showing("/v1/conversations", &third)).await.error(), (401, "AUTH_INVALID"));
    api.listen(&viewer, &format!("{PATH}?ticket={first}"), None).await.next().await.unwrap();
    open(api, PATH, &third).await.next().await.unwrap();

    let owner = api.scratch.superuser().await;
    let stored: Vec<String> =
        sqlx::query_scalar("select row_to_json(t)::text from sse_tickets t").fetch_all(owner.pool()).await.unwrap();
    let seen = format!("{stored:?} {}", log.text());
    for ticket in [&first, &second, &third] {
        assert!(!seen.contains(ticket), "only its hash is kept, and it is not logged");
    }
}

#[tokio::test]
async fn of_those_who_show_a_ticket_at_once_one_is_let_in() {
    let world = World::new().await;
    let ticket = ticket(&world.api, &world.user).await;
    let show = || world.api.request(showing(PATH, &ticket));
    let (a, b, c, d) = tokio::join!(show(), show(), show(), show());
    let mut statuses = [a, b, c, d].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 401, 401]);
}

#[tokio::test]
async fn a_ticket_never_opens_another_tenants_stream() {
    let world = World::new().await;
    let (eve, _) = world.another().await;
    let call = world.ring().await;
    let hers = ticket(&world.api, &eve).await;
    let path = format!("/v1/conversations/{call}/live");
    assert_eq!(world.api.request(showing(&path, &hers)).await.error(), (404, "CONVERSATION_NOT_FOUND"));
    let hers = ticket(&world.api, &eve).await;
    assert_eq!(open(&world.api, PATH, &hers).await.next().await.unwrap().data["calls"], json!([]));
    // The store alone, by either guard.
    use super::super::{store, watcher};
    let (_, hash) = watcher::mint();
    let mut tx = world.tx().await;
    let soon = crate::http::now() + watcher::VALID_FOR;
    store::put_ticket(&mut tx, world.user.tenant, &hash, "user:x", soon, None).await.unwrap();
    tx.commit().await.unwrap();
    let guards = [(world.api.control.db.clone(), world.user.tenant), (world.api.scratch.superuser().await, eve.tenant)];
    for (db, argument) in guards {
        let mut tx = db.begin(eve.tenant).await.unwrap();
        assert_eq!(store::use_ticket(&mut tx, argument, &hash, crate::http::now()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_ticket_is_worth_what_its_makers_token_is() {
    let world = World::new().await;
    let api = &world.api;
    let owner = api.scratch.superuser().await;
    let member = api.user(world.user.tenant, Role::Member);
    // For a minute.
    let old = ticket(api, &member).await;
    sqlx::query("update sse_tickets set expires_at = now() - interval '1 second'").execute(owner.pool()).await.unwrap();
    refused(api, PATH, &old).await;
    // What is old is swept by the next one.
    let spent = ticket(api, &member).await;
    let left: i64 = sqlx::query_scalar("select count(*) from sse_tickets").fetch_one(owner.pool()).await.unwrap();
    assert_eq!(left, 1);
    // The token that asked for it has expired in the meantime: its stream ends at once.
    sqlx::query("update sse_tickets set session_expires_at = now()").execute(owner.pool()).await.unwrap();
    let events = open(api, PATH, &spent).await.rest().await;
    assert_eq!(events.last().unwrap().data, json!({ "reason": "token_expired" }));
    // Nor for somebody who is no member any more.
    let fresh = ticket(api, &member).await;
    sqlx::query("update members set removed_at = now() where user_id = $1")
        .bind(member.id)
        .execute(owner.pool())
        .await
        .unwrap();
    refused(api, PATH, &fresh).await;
}
