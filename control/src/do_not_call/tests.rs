use serde_json::json;

use crate::{auth::Role, testing::Api};

#[tokio::test]
async fn a_number_is_on_the_list_once_until_it_is_taken_off() {
    let api = Api::new().await;
    let owner = api.owner();
    let add = async |number: &str| api.post(&owner, "/v1/do-not-call", json!({ "phone_number": number })).await;
    let first = add("+14155550111").await;
    assert_eq!((first.status.as_u16(), &first.data()["phone_number"]), (201, &"+14155550111".into()));
    assert_eq!(add("+14155550111").await.data(), first.data());
    add("+14155550112").await.data();
    assert_eq!(add("415-555-0113").await.error(), (422, "VALIDATION_ERROR"));
    let listed = api.get(&owner, "/v1/do-not-call?limit=1").await;
    assert_eq!(listed.data()["numbers"][0]["phone_number"], "+14155550112");
    assert_eq!(listed.data()["pagination"]["total"], 2);
    for path in ["/v1/do-not-call/+14155550111", "/v1/do-not-call/%2B14155550112"] {
        assert_eq!(api.delete(&owner, path).await.status, 200, "{path}");
        assert_eq!(api.delete(&owner, path).await.error(), (404, "NOT_FOUND"), "{path}");
    }
    assert_eq!(api.delete(&owner, "/v1/do-not-call/nobody").await.error(), (404, "NOT_FOUND"));
    // Whose numbers they were is nowhere else.
    let log = api.get(&owner, "/v1/audit-log").await.body.to_string();
    assert!(log.contains("do_not_call.removed") && !log.contains("+14155550111"));
}

#[tokio::test]
async fn a_member_changes_the_list_and_a_viewer_reads_it() {
    let api = Api::new().await;
    let owner = api.owner();
    api.get(&owner, "/v1/tenant").await.data();
    let (member, viewer) = (api.user(owner.tenant, Role::Member), api.user(owner.tenant, Role::Viewer));
    let body = json!({ "phone_number": "+14155550111" });
    api.post(&member, "/v1/do-not-call", body.clone()).await.data();
    assert_eq!(api.post(&viewer, "/v1/do-not-call", body).await.error(), (403, "TENANT_ACCESS_DENIED"));
    assert_eq!(api.delete(&viewer, "/v1/do-not-call/+14155550111").await.error(), (403, "TENANT_ACCESS_DENIED"));
    assert_eq!(api.get(&viewer, "/v1/do-not-call").await.data()["pagination"]["total"], 1);
    // Another tenant has a list of its own.
    assert_eq!(api.get(&api.owner(), "/v1/do-not-call").await.data()["pagination"]["total"], 0);
}
