use serde_json::{Value, json};
use trunkline_base::Secret;
use uuid::Uuid;

use super::{rotation::rotate_all, store};
use crate::{
    Control,
    auth::Role,
    db::Db,
    testing::{Api, Log, PRIVATE_KEY, User, integration_id},
    vault::Vault,
    vendors::Provider,
};

const PATH: &str = "/v1/integrations/credentials";

fn openai(credentials: Value) -> Value {
    json!({
        "integration_id": integration_id(Provider::Openai), "credential_name": "Ours", "credential_type": "api_key",
        "credentials": credentials,
    })
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let api = Api::new().await;
    let log = Log::capture();
    let ada = api.owner();
    let body = openai(
        json!({ "api_key": "sk-very-secret", "endpoint_url": "https://llm.example.com/v1", "organization": "" }),
    );
    let created = api.post(&ada, PATH, body).await;
    assert_eq!(created.status, 201);
    let id = created.body["data"]["credential_id"].clone();
    assert!(created.body["timestamp"].is_string());
    let mut whole = created.body.clone();
    whole.as_object_mut().unwrap().remove("timestamp");
    assert_eq!(
        whole,
        json!({
            "success": true, "message": "Credential created successfully",
            "data": { "credential_id": id, "status": "created", "last_test_status": "not_tested" },
        })
    );
    let path = format!("{PATH}/{}", id.as_str().unwrap());
    let read = api.get(&ada, &path).await;
    let mut data = read.data().clone();
    assert!(data["created_at"].is_string() && data["created_at"] == data["updated_at"]);
    data.as_object_mut().unwrap().retain(|key, _| !key.ends_with("ed_at") || key == "last_tested_at");
    let expected = json!({
        "id": id, "tenant_id": ada.tenant, "integration_id": integration_id(Provider::Openai), "provider": "openai",
        "credential_name": "Ours", "credential_type": "api_key", "fields_set": ["api_key", "endpoint_url"],
        "last_test_status": "not_tested", "last_test_error": null, "last_tested_at": null, "expires_at": null, "version": 1,
    });
    assert_eq!(data, expected);
    let listed = api.get(&ada, PATH).await;
    assert_eq!(listed.data()["credentials"][0], *read.data());
    let pagination = json!({ "page": 1, "limit": 50, "total": 1, "total_pages": 1 });
    assert_eq!(listed.data()["pagination"], pagination);

    let wrong = openai(json!({ "api_key": "sk-very-secret", "key": "sk-very-secret" }));
    let refused = api.post(&ada, PATH, wrong).await;
    let patched = api.patch(&ada, &path, json!({ "credentials": { "api_key": "sk-very-secret-2" } })).await;
    let said = format!("{}{}{}{}{}", created.body, read.body, listed.body, refused.body, patched.body);
    let logged = log.text();
    assert!(logged.contains("api_response"), "{logged}");
    for text in [said, logged] {
        assert!(!text.contains("sk-very"), "{text}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_credential_is_named() {
    let api = Api::new().await;
    let ada = api.owner();
    let cases = [
        (openai(json!({})), "credentials.api_key"),
        (openai(json!({ "api_key": "k", "auth_token": "t" })), "credentials.auth_token"),
        (openai(json!({ "api_key": 7 })), "credentials.api_key"),
        (openai(json!({ "api_key": null })), "credentials.api_key"),
        (openai(json!({ "api_key": "k\u{0}" })), "credentials.api_key"),
        (openai(json!({ "api_key": "k".repeat(16_385) })), "credentials.api_key"),
        (openai(json!({ "api_key": "k", "endpoint_url": "http://169.254.169.254/" })), "credentials.endpoint_url"),
        (openai(json!("k-secret")), "credentials"),
        (openai(json!({ "api_key": ["k-secret"] })), "credentials.api_key"),
        (openai(json!({ "api_key": { "k": "k-secret" } })), "credentials.api_key"),
    ];
    let of = |key: &str, value: Value| {
        let mut body = openai(json!({ "api_key": "k" }));
        body[key] = value;
        body
    };
    let more = [
        (of("credential_type", json!("basic_auth")), "credential_type"),
        (of("credential_type", json!("password")), "credential_type"),
        (of("credential_name", json!("")), "credential_name"),
        (of("credential_name", json!("x".repeat(101))), "credential_name"),
        (of("integration_id", json!("openai")), "integration_id"),
        (of("unknown", json!(1)), "unknown"),
    ];
    for (body, field) in cases.into_iter().chain(more) {
        let answer = api.post(&ada, PATH, body).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{field}: {:#}", answer.body);
        assert_eq!(answer.body["details"]["fields"][0]["field"], field, "{:#}", answer.body);
        assert!(!answer.body.to_string().contains("k-secret"), "{:#}", answer.body);
    }
    let answer = api.post(&ada, PATH, of("integration_id", json!(Uuid::now_v7()))).await;
    assert_eq!(answer.error(), (404, "INTEGRATION_NOT_FOUND"));
    assert_eq!(api.get(&ada, PATH).await.data()["pagination"]["total"], 0);
}

#[tokio::test]
async fn a_change_replaces_the_whole_set_and_forgets_its_test() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.credential(&ada, Provider::Openai, "good").await;
    api.installation(&ada, Provider::Openai, id).await;
    let path = format!("{PATH}/{id}");
    assert_eq!(api.get(&ada, &path).await.data()["last_test_status"], "success");

    let renamed = api.patch(&ada, &path, json!({ "credential_name": "Other" })).await;
    let data = renamed.data();
    assert_eq!((&data["credential_name"], &data["version"]), (&json!("Other"), &json!(2)));
    assert_eq!(data["last_test_status"], "success");

    let body = json!({ "credentials": { "api_key": "other", "organization": "org" } });
    let replaced = api.patch(&ada, &path, body).await;
    let data = replaced.data();
    assert_eq!((&data["fields_set"], &data["version"]), (&json!(["api_key", "organization"]), &json!(3)));
    assert_eq!((&data["last_test_status"], &data["last_tested_at"]), (&json!("not_tested"), &Value::Null));
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    let stored = store::get_encrypted(&mut tx, ada.tenant, id).await.unwrap().unwrap();
    assert_eq!(api.control.vault.open(&stored.encrypted).unwrap().get("api_key").unwrap().expose(), "other");

    assert_eq!(api.patch(&ada, &path, json!({})).await.data()["version"], 3);
    let refused = api.patch(&ada, &path, json!({ "credentials": { "organization": "org" } })).await;
    assert_eq!(refused.error(), (422, "VALIDATION_ERROR"));
    assert_eq!(api.get(&ada, &path).await.data()["version"], 3);
}

#[tokio::test]
async fn what_is_used_is_not_removed_and_what_is_removed_is_forgotten() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.credential(&ada, Provider::Openai, "good").await;
    let installation = api.installation(&ada, Provider::Openai, id).await;
    let path = format!("{PATH}/{id}");
    assert_eq!(api.delete(&ada, &path).await.error(), (409, "CONFLICT"));
    api.delete(&ada, &format!("/v1/integrations/installed/{installation}")).await.data();
    let removed = api.delete(&ada, &path).await;
    assert_eq!((removed.status.as_u16(), removed.data()), (200, &Value::Null));
    for answer in [api.get(&ada, &path).await, api.delete(&ada, &path).await, api.patch(&ada, &path, json!({})).await] {
        assert_eq!(answer.error(), (404, "CREDENTIAL_NOT_FOUND"));
    }
    let body = json!({ "integration_id": integration_id(Provider::Openai), "credential_id": id });
    assert_eq!(api.post(&ada, "/v1/integrations/install", body).await.error(), (404, "CREDENTIAL_NOT_FOUND"));
    let owner = api.scratch.superuser().await;
    let kept: (String, Vec<String>) =
        sqlx::query_as("select encrypted_credentials, fields_set from credentials where id = $1")
            .bind(id)
            .fetch_one(owner.pool())
            .await
            .unwrap();
    assert_eq!(kept, (String::new(), Vec::new()));
}

#[tokio::test]
async fn only_administrators_write_and_all_members_read() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.credential(&ada, Provider::Openai, "good").await;
    let path = format!("{PATH}/{id}");
    for role in [Role::Viewer, Role::Member] {
        let other = api.user(ada.tenant, role);
        assert_eq!(api.get(&other, &path).await.status, 200);
        let denied = [
            api.post(&other, PATH, openai(json!({ "api_key": "k" }))).await,
            api.patch(&other, &path, json!({ "credential_name": "x" })).await,
            api.delete(&other, &path).await,
        ];
        for answer in denied {
            assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"));
        }
    }
    let admin = api.user(ada.tenant, Role::Admin);
    assert_eq!(api.delete(&admin, &path).await.status, 200);
}

#[tokio::test]
async fn a_list_is_read_a_page_at_a_time() {
    let api = Api::new().await;
    let ada = api.owner();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.insert(0, api.credential(&ada, Provider::Openai, &format!("k{n}")).await);
    }
    let answer = api.get(&ada, &format!("{PATH}?limit=2&page=2&unknown=1")).await;
    let page: Vec<Value> = answer.data()["credentials"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(page, [json!(ids[2]), json!(ids[3])]);
    assert_eq!(answer.data()["pagination"], json!({ "page": 2, "limit": 2, "total": 5, "total_pages": 3 }));
    assert_eq!(api.get(&ada, &format!("{PATH}?page=9")).await.data()["credentials"], json!([]));
    for query in ["limit=101", "limit=0", "page=0", "page=-1", "page=x", "page=9223372036854775807"] {
        assert_eq!(api.get(&ada, &format!("{PATH}?{query}")).await.error(), (422, "VALIDATION_ERROR"), "{query}");
    }
}

/// An API whose vault has another first key, over the same database.
fn with_ring(api: Api, keys: &[&Secret]) -> Api {
    let ring: Vec<&str> = keys.iter().map(|key| key.expose()).collect();
    let vault = Vault::new(&Secret::new(ring.join(","))).unwrap();
    let control = Control { vault: vault.into(), ..api.control.clone() };
    api.with_control(control)
}

async fn left(db: &Db, fingerprint: &str) -> i64 {
    sqlx::query_scalar("select count(*) from credentials where key_fingerprint <> $1 and deleted_at is null")
        .bind(fingerprint)
        .fetch_one(db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn rotation_finds_all_tenants_credentials_and_leaves_what_it_cannot_open() {
    let (old, new, lost) = (Vault::generate_key(), Vault::generate_key(), Vault::generate_key());
    let api = with_ring(Api::new().await, &[&lost]);
    let (ada, bob) = (api.owner(), api.owner());
    for n in 0..3 {
        api.credential(&ada, Provider::Openai, &format!("lost{n}")).await;
    }
    let api = with_ring(api, &[&old]);
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push((ada.clone(), api.credential(&ada, Provider::Openai, &format!("a{n}")).await, format!("a{n}")));
        ids.push((bob.clone(), api.credential(&bob, Provider::Deepgram, &format!("b{n}")).await, format!("b{n}")));
    }
    let api = with_ring(api, &[&new, &old]);
    let owner = api.scratch.superuser().await;
    let vault = api.control.vault.clone();
    // Fewer at a time than there are that cannot be opened.
    let report = rotate_all(&api.control.db, &vault, 2).await.unwrap();
    assert_eq!((report.rotated, report.skipped, report.failed), (8, 0, 3));
    assert_eq!(left(&owner, vault.fingerprint()).await, 3);
    let api = with_ring(api, &[&new]);
    for (user, id, key) in ids {
        assert_eq!(key_in(&api, &user, id).await, key);
    }
    let again = rotate_all(&api.control.db, &vault, 2).await.unwrap();
    assert_eq!((again.rotated, again.failed), (0, 3));
}

async fn key_in(api: &Api, user: &User, id: Uuid) -> String {
    let mut tx = api.control.db.begin(user.tenant).await.unwrap();
    let stored = store::get_encrypted(&mut tx, user.tenant, id).await.unwrap().unwrap();
    api.control.vault.open(&stored.encrypted).unwrap().get("api_key").unwrap().expose().to_owned()
}

/// A service that has not been restarted yet goes on sealing with the old key, while two rotations run.
#[tokio::test]
async fn no_change_is_lost_while_keys_rotate() {
    let (old, new) = (Vault::generate_key(), Vault::generate_key());
    let api = with_ring(Api::new().await, &[&old]);
    let ada = api.owner();
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(api.credential(&ada, Provider::Openai, &format!("first{n}")).await);
    }
    let both = Vault::new(&Secret::new(format!("{},{}", new.expose(), old.expose()))).unwrap();
    let change = async {
        for (n, id) in ids.iter().enumerate() {
            let body = json!({ "credentials": { "api_key": format!("second{n}") } });
            api.patch(&ada, &format!("{PATH}/{id}"), body).await.data();
        }
    };
    let db = &api.control.db;
    let (first, second, ()) = tokio::join!(rotate_all(db, &both, 1), rotate_all(db, &both, 3), change);
    assert_eq!((first.unwrap().failed, second.unwrap().failed), (0, 0));
    rotate_all(db, &both, 10).await.unwrap();
    let api = with_ring(api, &[&new]);
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(key_in(&api, &ada, id).await, format!("second{n}"));
    }
}

#[tokio::test]
async fn a_swap_needs_the_token_that_is_there() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.credential(&ada, Provider::Openai, "k").await;
    let mut tx = api.control.db.begin(ada.tenant).await.unwrap();
    let stored = store::get_encrypted(&mut tx, ada.tenant, id).await.unwrap().unwrap();
    let sealed = api.control.vault.reseal(&stored.encrypted).unwrap();
    assert!(!store::rotate(&mut tx, ada.tenant, id, "another", &sealed).await.unwrap());
    assert!(store::rotate(&mut tx, ada.tenant, id, &stored.encrypted, &sealed).await.unwrap());
    assert!(!store::rotate(&mut tx, ada.tenant, id, &stored.encrypted, &sealed).await.unwrap());
    let after = store::get_encrypted(&mut tx, ada.tenant, id).await.unwrap().unwrap();
    assert_eq!((after.encrypted, after.version), (sealed.token, stored.version));
}

const TEST: &str = "/v1/integrations/test-credential";

/// A credential whose refresh token is replaced on each use.
async fn renewed(api: &Api, user: &User, key: &str) -> Uuid {
    api.vendors.accept(key);
    api.vendors.refresh_token(key, "r");
    let body = json!({
        "integration_id": integration_id(Provider::Salesforce), "credential_name": "CRM", "credential_type": "oauth",
        "credentials": { "flow": "refresh_token", "my_domain": "acme", "client_id": key, "refresh_token": "r" },
    });
    let created = api.post(user, PATH, body).await;
    created.data()["credential_id"].as_str().unwrap().parse().unwrap()
}

async fn fields_of(api: &Api, user: &User, id: Uuid) -> crate::vault::Fields {
    let mut tx = api.control.db.begin(user.tenant).await.unwrap();
    let stored = store::get_encrypted(&mut tx, user.tenant, id).await.unwrap().unwrap();
    api.control.vault.open(&stored.encrypted).unwrap()
}

async fn refresh_token_of(api: &Api, user: &User, id: Uuid) -> String {
    fields_of(api, user, id).await.get("refresh_token").unwrap().expose().to_owned()
}

#[tokio::test]
async fn a_test_says_what_came_of_it_and_is_remembered() {
    let api = Api::new().await;
    let ada = api.owner();
    let admin = api.user(ada.tenant, Role::Admin);
    let id = api.credential(&ada, Provider::Claude, "good").await;
    let good = api.post(&admin, TEST, json!({ "credential_id": id })).await;
    assert_eq!(good.body["message"], "Connection test completed");
    assert!(good.data()["response_time_ms"].is_u64());
    assert_eq!((&good.data()["status"], &good.data()["error_details"]), (&json!("success"), &Value::Null));
    let read = api.get(&ada, &format!("{PATH}/{id}")).await;
    assert_eq!((&read.data()["last_test_status"], &read.data()["last_test_error"]), (&json!("success"), &Value::Null));
    assert!(read.data()["last_tested_at"].is_string());

    api.vendors.revoke("good");
    let failed = api.post(&ada, TEST, json!({ "credential_id": id })).await;
    assert_eq!((failed.status.as_u16(), &failed.data()["status"]), (200, &json!("failed")));
    let details = json!({ "kind": "wrong_key", "explanation": "the key is not valid", "vendor": "claude", "status": 401, "code": null });
    assert_eq!(failed.data()["error_details"], details);
    let read = api.get(&ada, &format!("{PATH}/{id}")).await;
    let expected = (&json!("failed"), &json!("claude: the key is not valid"));
    assert_eq!((&read.data()["last_test_status"], &read.data()["last_test_error"]), expected);
    assert_eq!(read.data()["version"], 1, "a test is no change");
}

#[tokio::test]
async fn only_administrators_test_and_only_what_is_theirs() {
    let api = Api::new().await;
    let (ada, eve) = (api.owner(), api.owner());
    let id = api.credential(&ada, Provider::Openai, "good").await;
    for role in [Role::Viewer, Role::Member] {
        let other = api.user(ada.tenant, role);
        assert_eq!(api.post(&other, TEST, json!({ "credential_id": id })).await.error(), (403, "TENANT_ACCESS_DENIED"));
    }
    for id in [id, Uuid::now_v7()] {
        assert_eq!(api.post(&eve, TEST, json!({ "credential_id": id })).await.error(), (404, "CREDENTIAL_NOT_FOUND"));
    }
    for body in [json!({}), json!({ "credential_id": "x" }), json!({ "credential_id": id, "fields": {} })] {
        assert_eq!(api.post(&ada, TEST, body).await.error(), (422, "VALIDATION_ERROR"));
    }
    assert_eq!(api.get(&ada, &format!("{PATH}/{id}")).await.data()["last_test_status"], "not_tested");
}

#[tokio::test]
async fn a_vendor_that_never_answers_is_a_result_after_ten_seconds() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.credential(&ada, Provider::Deepgram, "slow").await;
    api.vendors.hang("slow");
    let later = async {
        api.vendors.hanging.notified().await;
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        tokio::time::resume();
    };
    let (answer, ()) = tokio::join!(api.post(&ada, TEST, json!({ "credential_id": id })), later);
    let details = &answer.data()["error_details"];
    assert_eq!((&answer.data()["status"], &details["kind"]), (&json!("failed"), &json!("unreachable")));
    assert!(details["explanation"].as_str().unwrap().contains("within 10 seconds"), "{details}");
    assert!(answer.data()["response_time_ms"].as_u64().unwrap() >= 10_000);
    assert_eq!(api.get(&ada, &format!("{PATH}/{id}")).await.data()["last_test_status"], "failed");
}

/// What a test finds out is not said of values that it did not test.
#[tokio::test]
async fn a_test_of_former_values_is_not_remembered() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = api.credential(&ada, Provider::Deepgram, "slow").await;
    api.vendors.hang("slow");
    let later = async {
        api.vendors.hanging.notified().await;
        api.patch(&ada, &format!("{PATH}/{id}"), json!({ "credentials": { "api_key": "other" } })).await.data();
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        tokio::time::resume();
    };
    let (answer, ()) = tokio::join!(api.post(&ada, TEST, json!({ "credential_id": id })), later);
    assert_eq!(answer.data()["status"], "failed");
    assert_eq!(api.get(&ada, &format!("{PATH}/{id}")).await.data()["last_test_status"], "not_tested");
}

#[tokio::test]
async fn a_replaced_refresh_token_is_kept_and_the_next_exchange_uses_it() {
    let api = Api::new().await;
    let log = Log::capture();
    let ada = api.owner();
    let id = renewed(&api, &ada, "client").await;
    for expected in ["r'", "r''"] {
        let tested = api.post(&ada, TEST, json!({ "credential_id": id })).await;
        assert_eq!(tested.data()["status"], "success", "{:#}", tested.body);
        assert_eq!(refresh_token_of(&api, &ada, id).await, expected);
    }
    let read = api.get(&ada, &format!("{PATH}/{id}")).await;
    assert_eq!((&read.data()["last_test_status"], &read.data()["version"]), (&json!("success"), &json!(3)));
    assert_eq!(read.data()["fields_set"], json!(["client_id", "flow", "my_domain", "refresh_token"]));
    api.installation(&ada, Provider::Salesforce, id).await;
    assert_eq!(refresh_token_of(&api, &ada, id).await, "r'''");
    assert!(!log.text().contains("r'"), "{}", log.text());
}

#[tokio::test]
async fn exchanges_of_one_credential_wait_for_each_other() {
    let api = Api::new().await;
    let ada = api.owner();
    let (one, other) = (renewed(&api, &ada, "one").await, renewed(&api, &ada, "other").await);
    let test = |id: Uuid| api.post(&ada, TEST, json!({ "credential_id": id }));
    let (a, b, c, d) = tokio::join!(test(one), test(one), test(one), test(other));
    for answer in [a, b, c, d] {
        assert_eq!(answer.data()["status"], "success", "{:#}", answer.body);
    }
    assert_eq!((refresh_token_of(&api, &ada, one).await, api.vendors.renewals().0), ("r'''".into(), 4));
    // Two credentials, so two at once at most.
    assert!(api.vendors.renewals().1 <= 2);
    let owner = api.scratch.superuser().await;
    let leases: i64 = sqlx::query_scalar("select count(*) from slots").fetch_one(owner.pool()).await.unwrap();
    assert_eq!(leases, 0);
}

/// The vendor has answered and the old token is dead: that nobody waits any more must not lose the new one.
#[tokio::test]
async fn a_token_is_kept_though_whoever_asked_has_gone() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = renewed(&api, &ada, "client").await;
    let held = api.vendors.renewing.write().await;
    let mut asking = Box::pin(api.post(&ada, TEST, json!({ "credential_id": id })));
    let begun = async {
        while api.vendors.renewals().1 == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = &mut asking => panic!("{:#}", answer.body),
        () = begun => {}
    }
    drop(asking);
    drop(held);
    while refresh_token_of(&api, &ada, id).await != "r'" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_name_that_changes_meanwhile_loses_no_token() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = renewed(&api, &ada, "client").await;
    let held = api.vendors.renewing.write().await;
    let rename = async {
        while api.vendors.renewals().1 == 0 {
            tokio::task::yield_now().await;
        }
        api.patch(&ada, &format!("{PATH}/{id}"), json!({ "credential_name": "Renamed" })).await.data();
        drop(held);
    };
    let (tested, ()) = tokio::join!(api.post(&ada, TEST, json!({ "credential_id": id })), rename);
    assert_eq!(tested.data()["status"], "success");
    let read = api.get(&ada, &format!("{PATH}/{id}")).await;
    assert_eq!(
        (&read.data()["credential_name"], &read.data()["last_test_status"]),
        (&json!("Renamed"), &json!("success"))
    );
    assert_eq!(refresh_token_of(&api, &ada, id).await, "r'");
}

#[tokio::test]
async fn what_somebody_sets_meanwhile_is_not_overwritten() {
    let api = Api::new().await;
    let ada = api.owner();
    let id = renewed(&api, &ada, "client").await;
    let held = api.vendors.renewing.write().await;
    let set = async {
        while api.vendors.renewals().1 == 0 {
            tokio::task::yield_now().await;
        }
        let fields =
            json!({ "flow": "refresh_token", "my_domain": "acme", "client_id": "client", "refresh_token": "new" });
        api.patch(&ada, &format!("{PATH}/{id}"), json!({ "credentials": fields })).await.data();
        drop(held);
    };
    let (tested, ()) = tokio::join!(api.post(&ada, TEST, json!({ "credential_id": id })), set);
    assert_eq!(tested.error(), (409, "CONFLICT"));
    assert_eq!(refresh_token_of(&api, &ada, id).await, "new");
    assert_eq!(api.get(&ada, &format!("{PATH}/{id}")).await.data()["last_test_status"], "not_tested");
}

#[tokio::test]
async fn a_token_that_cannot_be_kept_is_said_loudly() {
    let api = Api::new().await;
    let log = Log::capture();
    let ada = api.owner();
    let id = renewed(&api, &ada, "client").await;
    let owner = api.scratch.superuser().await;
    for statement in [
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$",
        "create trigger refuse before update on credentials for each row execute function refuse()",
    ] {
        sqlx::query(statement).execute(owner.pool()).await.unwrap();
    }
    let renewal = super::renewal::renew(&api.control, ada.tenant, id).await;
    let error = renewal.unwrap_err();
    assert_eq!(error.code, crate::error::ErrorCode::ServerError);
    assert!(error.message.contains("authorise the app again"), "{}", error.message);
    let logged = log.text();
    assert!(logged.contains("COULD NOT BE STORED") && logged.contains(&id.to_string()), "{logged}");
    assert!(!logged.contains("r'") && !error.message.contains("r'"), "{logged}");
}

#[tokio::test]
async fn a_private_key_is_checked_before_it_is_kept() {
    let api = Api::new().await;
    let ada = api.owner();
    let body = |key: &str| {
        json!({
            "integration_id": integration_id(Provider::Vonage), "credential_name": "Ours", "credential_type": "basic_auth",
            "credentials": {
                "api_key": "abc", "api_secret": "s", "application_id": Uuid::now_v7(), "private_key": key, "signature_secret": "s",
            },
        })
    };
    let refused = api.post(&ada, PATH, body("hush-hush")).await;
    assert_eq!(refused.error(), (422, "VALIDATION_ERROR"));
    let field = &refused.body["details"]["fields"][0];
    assert_eq!(field["field"], "credentials.private_key");
    assert!(field["message"].as_str().unwrap().contains("as PEM"), "{field}");
    assert!(!refused.body.to_string().contains("hush"), "{:#}", refused.body);
    let kept = api.post(&ada, PATH, body(&PRIVATE_KEY.replace('\n', "\\n"))).await;
    let id = kept.data()["credential_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(fields_of(&api, &ada, id).await.get("private_key").unwrap().expose(), PRIVATE_KEY);
}
