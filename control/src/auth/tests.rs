use axum::{
    body::Body,
    http::{Request, header},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use serde_json::{Value, json};
use trunkline_base::Secret;
use uuid::Uuid;

use crate::{
    auth::Role,
    tenant::TenantId,
    testing::{Answer, Api, User, agent_body},
};

const PATH: &str = "/v1/voice-agents";

pub(super) fn claims(user: Uuid) -> Value {
    let now = Utc::now().timestamp();
    json!({ "sub": user, "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 600 })
}

/// Claims with some replaced; null removes.
pub(super) fn but(mut claims: Value, changes: Value) -> Value {
    let claims_object = claims.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        claims_object.insert(key.clone(), value.clone());
    }
    claims_object.retain(|_, value| !value.is_null());
    claims
}

pub(super) async fn with_header(api: &Api, value: Option<String>) -> Answer {
    let mut builder = Request::builder().uri(PATH);
    if let Some(value) = value {
        builder = builder.header(header::AUTHORIZATION, value);
    }
    api.request(builder.body(Body::empty()).unwrap()).await
}

async fn bearing(api: &Api, claims: Value) -> Answer {
    with_header(api, Some(format!("Bearer {}", api.sign(&claims).expose()))).await
}

#[tokio::test]
async fn only_a_users_own_valid_token_is_let_in() {
    let api = Api::new().await;
    let tenant = Uuid::now_v7();
    let good = but(claims(Uuid::now_v7()), json!({ "app_metadata": { "tenant_id": tenant } }));
    assert_eq!(bearing(&api, good.clone()).await.status, 200);
    let now = Utc::now().timestamp();
    assert_eq!(bearing(&api, but(good.clone(), json!({ "exp": now - 5 }))).await.status, 200);

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = api.sign(&good).expose().to_owned();
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let other = part(&but(good.clone(), json!({ "sub": Uuid::now_v7() })));
    let head = message.split_once('.').unwrap().0;
    let refused = [
        None,
        Some("Basic dTpw".to_owned()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer x.y.z".to_owned()),
        Some(format!("Bearer {}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&good))),
        Some(format!("Bearer {}.{}.{signature}", part(&json!({ "alg": "none" })), part(&good))),
        Some(format!("Bearer {}.{}.{signature}", part(&json!({ "alg": "RS256" })), part(&good))),
        Some(format!("Bearer {head}.{other}.{signature}")),
        Some(format!("Bearer {message}.")),
        Some(format!("Bearer {}", "x".repeat(10_000))),
    ];
    for header in refused {
        let answer = with_header(&api, header.clone()).await;
        assert_eq!(answer.error(), (401, "AUTH_INVALID"), "{header:?}");
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
    }
    let refused = [
        json!({ "exp": now - 60 }),
        json!({ "exp": null }),
        json!({ "nbf": now + 600 }),
        json!({ "aud": "another" }),
        json!({ "aud": null }),
        json!({ "role": "service_role" }),
        json!({ "role": "anon" }),
        json!({ "sub": null }),
        json!({ "sub": "ada" }),
    ];
    for changes in refused {
        let answer = bearing(&api, but(good.clone(), changes.clone())).await;
        assert_eq!(answer.error(), (401, "AUTH_INVALID"), "{changes}");
        assert!(!answer.body.to_string().contains(&signed));
    }
}

#[tokio::test]
async fn what_a_user_can_write_counts_only_for_members() {
    let api = Api::new().await;
    let ada = api.owner();
    api.get(&ada, PATH).await.data();
    let stranger = Uuid::now_v7();
    let nobody = bearing(&api, claims(stranger)).await;
    assert_eq!(nobody.error(), (403, "TENANT_ACCESS_DENIED"));
    let mut said = Vec::new();
    for tenant in [ada.tenant.as_uuid(), Uuid::now_v7()] {
        let answer = bearing(&api, but(claims(stranger), json!({ "user_metadata": { "tenant_id": tenant } }))).await;
        assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"));
        said.push(answer.body["message"].clone());
    }
    assert_eq!(said[0], said[1]);
    let by_herself = but(claims(ada.id), json!({ "user_metadata": { "tenant_id": ada.tenant, "role": "owner" } }));
    assert_eq!(bearing(&api, by_herself).await.status, 200);
    // What the server says goes before what the user says.
    let both = json!({ "app_metadata": { "tenant_id": Uuid::now_v7() }, "user_metadata": { "tenant_id": ada.tenant } });
    let answer = bearing(&api, but(claims(stranger), both)).await;
    assert_eq!(answer.data()["voice_agents"], json!([]));
    let answer = bearing(&api, but(claims(stranger), json!({ "user_metadata": { "tenant_id": ada.tenant } }))).await;
    assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"));
}

#[tokio::test]
async fn the_first_of_a_tenant_owns_it_and_the_removed_stay_out() {
    let api = Api::new().await;
    let tenant = TenantId::new(Uuid::now_v7());
    let said = |user: Uuid, metadata: Value| {
        let token = api.sign(&but(claims(user), json!({ "app_metadata": metadata })));
        User { id: user, tenant, token }
    };
    let first = said(Uuid::now_v7(), json!({ "tenant_id": tenant, "role": "viewer" }));
    let second = said(Uuid::now_v7(), json!({ "tenant_id": tenant }));
    let third = api.user(tenant, Role::Viewer);
    assert_eq!(api.post(&first, PATH, agent_body("a")).await.status, 201);
    assert_eq!(api.post(&second, PATH, agent_body("b")).await.status, 201);
    assert_eq!(api.post(&third, PATH, agent_body("c")).await.error(), (403, "TENANT_ACCESS_DENIED"));
    let owner = api.scratch.superuser().await;
    let roles: Vec<(Uuid, String)> =
        sqlx::query_as("select user_id, role from members where tenant_id = $1 order by created_at")
            .bind(tenant.as_uuid())
            .fetch_all(owner.pool())
            .await
            .unwrap();
    let roles: Vec<(Uuid, &str)> = roles.iter().map(|(user, role)| (*user, role.as_str())).collect();
    assert_eq!(roles, [(first.id, "owner"), (second.id, "member"), (third.id, "viewer")]);

    sqlx::query("update members set removed_at = now() where user_id = $1")
        .bind(second.id)
        .execute(owner.pool())
        .await
        .unwrap();
    assert_eq!(api.get(&second, PATH).await.error(), (403, "TENANT_ACCESS_DENIED"));
    sqlx::query("update tenants set status = 'suspended'").execute(owner.pool()).await.unwrap();
    assert_eq!(api.get(&first, PATH).await.error(), (403, "TENANT_ACCESS_DENIED"));
}

#[tokio::test]
async fn of_many_who_come_first_one_is_the_owner() {
    let api = Api::new().await;
    let tenant = TenantId::new(Uuid::now_v7());
    let users = [0; 4].map(|_| api.user(tenant, Role::Viewer));
    let [a, b, c, d] = users.each_ref().map(|user| api.get(user, PATH));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for answer in [a, b, c, d] {
        answer.data();
    }
    let owner = api.scratch.superuser().await;
    let owners: i64 =
        sqlx::query_scalar("select count(*) from members where role = 'owner'").fetch_one(owner.pool()).await.unwrap();
    assert_eq!(owners, 1);
}

#[test]
fn a_token_prints_nothing() {
    let user = User { id: Uuid::nil(), tenant: TenantId::new(Uuid::nil()), token: Secret::new("eyJ") };
    assert!(!format!("{user:?}").contains("eyJ"));
}
