use serde_json::{Value, json};
use uuid::Uuid;

use super::store;
use crate::{
    auth::Role,
    tenants,
    testing::{Answer, Api, User},
};

const PATH: &str = "/v1/members";

fn of(user: &User) -> String {
    format!("{PATH}/{}", user.id)
}

/// A member with this role, whose token says no more than who they are.
async fn member(api: &Api, owner: &User, role: Role) -> User {
    let user = api.user(owner.tenant, role);
    api.post(owner, PATH, json!({ "user_id": user.id, "role": role })).await.data();
    user
}

fn denied(answer: &Answer) {
    assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"), "{:#}", answer.body);
}

#[tokio::test]
async fn a_member_comes_goes_and_comes_back() {
    let api = Api::new().await;
    let ada = api.owner();
    let bob = api.user(ada.tenant, Role::Viewer);
    let body = json!({ "user_id": bob.id, "email": "bob@example.com", "role": "viewer" });
    let added = api.post(&ada, PATH, body.clone()).await;
    assert_eq!(added.status, 201);
    let mut shown = added.data().clone();
    assert!(shown.as_object_mut().unwrap().remove("created_at").unwrap().is_string());
    assert_eq!(shown, json!({ "user_id": bob.id, "email": "bob@example.com", "role": "viewer" }));
    assert_eq!(api.post(&ada, PATH, body).await.error(), (409, "CONFLICT"));
    api.get(&bob, "/v1/voice-agents").await.data();
    let listed = api.get(&ada, PATH).await;
    assert_eq!(listed.data()["pagination"]["total"], 2);
    assert_eq!(listed.data()["members"][0], *added.data());

    // At once, both ways, though his token says viewer.
    assert_eq!(api.get(&bob, PATH).await.error(), (403, "TENANT_ACCESS_DENIED"));
    assert_eq!(api.patch(&ada, &of(&bob), json!({ "role": "admin" })).await.data()["role"], "admin");
    api.get(&bob, PATH).await.data();
    api.delete(&ada, &of(&bob)).await.data();
    denied(&api.get(&bob, "/v1/voice-agents").await);
    assert_eq!(api.delete(&ada, &of(&bob)).await.error(), (404, "MEMBER_NOT_FOUND"));
    assert_eq!(api.patch(&ada, &of(&bob), json!({ "role": "viewer" })).await.error(), (404, "MEMBER_NOT_FOUND"));
    let listed = api.get(&ada, PATH).await;
    assert_eq!(listed.data()["pagination"]["total"], 1);

    let back = api.post(&ada, PATH, json!({ "user_id": bob.id, "role": "member" })).await;
    assert_eq!((back.status.as_u16(), &back.data()["role"]), (201, &json!("member")));
    assert_eq!(back.data()["email"], "bob@example.com");
    api.get(&bob, "/v1/voice-agents").await.data();
}

#[tokio::test]
async fn nobody_reaches_above_themselves() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, PATH).await.data();
    let admin = member(&api, &ada, Role::Admin).await;
    let viewer = member(&api, &ada, Role::Viewer).await;
    let somebody = Uuid::now_v7();
    denied(&api.post(&admin, PATH, json!({ "user_id": somebody, "role": "owner" })).await);
    denied(&api.patch(&admin, &of(&viewer), json!({ "role": "owner" })).await);
    denied(&api.patch(&admin, &of(&admin), json!({ "role": "owner" })).await);
    denied(&api.patch(&admin, &of(&ada), json!({ "role": "viewer" })).await);
    denied(&api.patch(&admin, &of(&ada), json!({ "role": "owner" })).await);
    denied(&api.delete(&admin, &of(&ada)).await);
    api.patch(&admin, &of(&viewer), json!({ "role": "admin" })).await.data();
    api.patch(&ada, &of(&viewer), json!({ "role": "owner" })).await.data();
    denied(&api.delete(&admin, &of(&viewer)).await);
    // An owner takes it away again, and then everybody may.
    api.patch(&ada, &of(&viewer), json!({ "role": "member" })).await.data();
    api.delete(&admin, &of(&viewer)).await.data();

    let wrong = [
        json!({ "user_id": "x", "role": "viewer" }),
        json!({ "role": "viewer" }),
        json!({ "user_id": somebody }),
        json!({ "user_id": somebody, "role": "root" }),
        json!({ "user_id": somebody, "role": "viewer", "email": "nobody" }),
        json!({ "user_id": somebody, "role": "viewer", "email": "a@b@c" }),
        json!({ "user_id": somebody, "role": "viewer", "email": "@" }),
        json!({ "user_id": somebody, "role": "viewer", "email": format!("a@{}", "b".repeat(254)) }),
        json!({ "user_id": somebody, "role": "viewer", "removed_at": null }),
    ];
    for body in wrong {
        let answer = api.post(&ada, PATH, body.clone()).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{body}");
    }
    assert_eq!(api.patch(&ada, &of(&admin), json!({})).await.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(api.delete(&ada, &format!("{PATH}/me")).await.error(), (404, "MEMBER_NOT_FOUND"));
}

#[tokio::test]
async fn a_tenant_keeps_an_owner() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, PATH).await.data();
    assert_eq!(api.delete(&ada, &of(&ada)).await.error(), (409, "CONFLICT"));
    assert_eq!(api.patch(&ada, &of(&ada), json!({ "role": "admin" })).await.error(), (409, "CONFLICT"));
    // That they stay what they are is no change.
    api.patch(&ada, &of(&ada), json!({ "role": "owner" })).await.data();
    let bob = member(&api, &ada, Role::Owner).await;
    api.delete(&bob, &of(&ada)).await.data();
    denied(&api.get(&ada, PATH).await);
    assert_eq!(api.delete(&bob, &of(&bob)).await.error(), (409, "CONFLICT"));
}

#[tokio::test]
async fn of_owners_who_leave_at_once_one_stays() {
    let api = Api::new().await;
    for leave in [None, Some(json!({ "role": "viewer" }))] {
        let ada = api.owner();
        api.get(&ada, PATH).await.data();
        let mut owners = vec![ada.clone()];
        for _ in 0..3 {
            owners.push(member(&api, &ada, Role::Owner).await);
        }
        let leaving = owners.iter().map(|owner| {
            let (api, leave) = (&api, leave.clone());
            async move {
                match leave {
                    None => api.delete(owner, &of(owner)).await,
                    Some(body) => api.patch(owner, &of(owner), body).await,
                }
            }
        });
        let answers = futures_util::future::join_all(leaving).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
        let stayed = owners.iter().zip(&statuses).find(|(_, status)| **status == 409).unwrap().0;
        let listed = api.get(stayed, PATH).await;
        let role = |member: &Value| member["role"] == "owner";
        assert_eq!(listed.data()["members"].as_array().unwrap().iter().filter(|member| role(member)).count(), 1);
    }
}

/// Whoever takes an owner away waits for what others are just doing to the members.
#[tokio::test]
async fn an_owner_who_is_just_leaving_is_none() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, PATH).await.data();
    let bob = member(&api, &ada, Role::Owner).await;
    let looker = api.scratch.superuser().await;
    let somebody_waits = async {
        let waiting = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(looker.pool()).await.unwrap() {}
    };
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    assert!(tenants::store::lock(&mut tx, ada.tenant).await.unwrap());
    assert!(store::remove(&mut tx, ada.tenant, bob.id).await.unwrap());
    let path = of(&ada);
    let mut leaving = std::pin::pin!(api.delete(&ada, &path));
    tokio::select! {
        answer = &mut leaving => panic!("it did not wait: {}", answer.status),
        () = somebody_waits => {}
    }
    tx.commit().await.unwrap();
    assert_eq!(leaving.await.error(), (409, "CONFLICT"));
}
