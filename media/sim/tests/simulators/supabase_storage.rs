//! Objects are kept and signed for; errors have the vendor's odd statuses.

use std::time::Duration;

use crate::rest_common::{ask, client, loopback};
use serde_json::{Value, json};
use trunkline_sim::{
    fault::{Fault, Script},
    supabase::{SupabaseConfig, SupabaseSim, User, UserAccess},
};

const KEY: &str = "sb_publishable_simulated";
const SECRET: &str = "sb_secret_simulated";

fn config() -> SupabaseConfig {
    SupabaseConfig { buckets: vec!["recordings".into()], ..SupabaseConfig::default() }
}

async fn start(config: SupabaseConfig) -> SupabaseSim {
    SupabaseSim::start(loopback(), config, None).await.unwrap()
}

/// A request of a server's.
fn request(sim: &SupabaseSim, method: &str, path: &str) -> reqwest::RequestBuilder {
    with_key(sim, SECRET, method, path)
}

/// A request of a user's.
fn request_of(user: &User, sim: &SupabaseSim, method: &str, path: &str) -> reqwest::RequestBuilder {
    with_key(sim, KEY, method, path).bearer_auth(sim.mint(&user.token()))
}

fn with_key(sim: &SupabaseSim, key: &str, method: &str, path: &str) -> reqwest::RequestBuilder {
    client().request(method.parse().unwrap(), format!("{}/storage/v1{path}", sim.base_url())).header("apikey", key)
}

async fn put(sim: &SupabaseSim, path: &str, content: &'static str) -> (u16, Value) {
    ask(request(sim, "POST", &format!("/object/{path}")).header("content-type", "text/plain").body(content)).await
}

/// The HTTP status of an error, and the `statusCode`, `code` and `error` of its body.
fn told((status, body): &(u16, Value)) -> (u16, &str, &str, &str) {
    let text = |name: &str| body[name].as_str().unwrap();
    (*status, text("statusCode"), text("code"), text("error"))
}

#[tokio::test]
async fn the_http_status_of_an_error_is_not_its_status() {
    let sim = start(config()).await;
    assert_eq!(put(&sim, "recordings/a.txt", "one").await.1["Key"], "recordings/a.txt");
    let twice = put(&sim, "recordings/a.txt", "two").await;
    assert_eq!(told(&twice), (400, "409", "ResourceAlreadyExists", "Duplicate"));
    let missing = ask(request(&sim, "GET", "/object/recordings/b.txt")).await;
    assert_eq!(told(&missing), (400, "404", "NoSuchKey", "not_found"));
    let nowhere = put(&sim, "nowhere/a.txt", "one").await;
    assert_eq!(told(&nowhere), (400, "404", "NoSuchBucket", "Bucket not found"));
    let replaced = ask(request(&sim, "PUT", "/object/recordings/b.txt").body("x")).await;
    assert_eq!(told(&replaced), (400, "404", "NoSuchKey", "not_found"));
    let forged = ask(request(&sim, "GET", "/object/recordings/a.txt").bearer_auth("no.such.token")).await;
    assert_eq!(told(&forged), (400, "403", "AccessDenied", "Unauthorized"));
    let full = ask(request(&sim, "DELETE", "/bucket/recordings")).await;
    assert_eq!(told(&full).1, "409");
}

#[tokio::test]
async fn uploads_have_their_limits() {
    let sim = start(SupabaseConfig { largest_upload: 10, ..config() }).await;
    let options = json!({"id": "sounds", "public": true, "file_size_limit": 4, "allowed_mime_types": ["text/plain"]});
    assert_eq!(ask(request(&sim, "POST", "/bucket").json(&options)).await, (200, json!({"name": "sounds"})));
    assert_eq!(
        told(&put(&sim, "recordings/a.txt", "eleven char").await),
        (400, "413", "EntityTooLarge", "Payload too large")
    );
    assert_eq!(told(&put(&sim, "sounds/a.txt", "five!").await).1, "413");
    let image = request(&sim, "POST", "/object/sounds/a.png").header("content-type", "image/png").body("x");
    assert_eq!(told(&ask(image).await), (400, "415", "InvalidMimeType", "invalid_mime_type"));
    assert_eq!(put(&sim, "sounds/a.txt", "four").await.0, 200);
    let public = client().get(sim.base_url() + "/storage/v1/object/public/sounds/a.txt").send().await.unwrap();
    assert_eq!(public.text().await.unwrap(), "four");
    let private = client().get(sim.base_url() + "/storage/v1/object/public/recordings/a.txt");
    assert_eq!(told(&ask(private).await).1, "404");
}

#[tokio::test]
async fn a_signed_url_is_bound_to_its_object_and_its_time() {
    let sim = start(config()).await;
    for path in ["recordings/tenant 1/a.txt", "recordings/b.txt"] {
        put(&sim, path, "hello").await;
    }
    let sign = async |path: &str, lifetime: Value| {
        ask(request(&sim, "POST", &format!("/object/sign/recordings/{path}")).json(&json!({"expiresIn": lifetime})))
            .await
    };
    for lifetime in [json!(60), json!("60")] {
        let (status, signed) = sign("tenant%201/a.txt", lifetime).await;
        let url = signed["signedURL"].as_str().unwrap();
        assert!(status == 200 && url.starts_with("/object/sign/recordings/tenant%201/a.txt?token="), "{url}");
        let answer = client().get(format!("{}/storage/v1{url}&download=a.txt", sim.base_url())).send().await.unwrap();
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"a.txt\"");
        assert_eq!(answer.text().await.unwrap(), "hello");
        let elsewhere = url.replace("tenant%201/a.txt", "b.txt");
        let other = ask(client().get(format!("{}/storage/v1{elsewhere}", sim.base_url()))).await;
        assert_eq!(told(&other), (400, "400", "InvalidSignature", "InvalidSignature"));
    }
    assert_eq!(told(&sign("b.txt", json!(0)).await).1, "400");
    assert_eq!(told(&sign("none.txt", json!(60)).await).2, "NoSuchKey");
    let brief = sign("b.txt", json!(1)).await.1["signedURL"].as_str().unwrap().to_owned();
    let url = format!("{}/storage/v1{brief}", sim.base_url());
    let over = async {
        loop {
            let answer = ask(client().get(&url)).await;
            if answer.0 != 200 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(told(&tokio::time::timeout(crate::rest_common::LIMIT, over).await.unwrap()).2, "ExpiredToken");
}

#[tokio::test]
async fn a_part_of_an_object_can_be_had() {
    let sim = start(config()).await;
    put(&sim, "recordings/a.txt", "0123456789").await;
    for (range, part) in [("bytes=2-4", "234"), ("bytes=7-", "789"), ("bytes=-2", "89"), ("bytes=8-99", "89")] {
        let answer = request(&sim, "GET", "/object/recordings/a.txt").header("range", range).send().await.unwrap();
        assert_eq!(answer.status(), 206);
        assert!(answer.headers()["content-range"].to_str().unwrap().ends_with("/10"));
        assert_eq!(answer.text().await.unwrap(), part);
    }
    let head = request(&sim, "HEAD", "/object/recordings/a.txt").send().await.unwrap();
    assert_eq!(
        (&head.headers()["content-length"], &head.headers()["content-type"]),
        (&"10".parse().unwrap(), &"text/plain".parse().unwrap())
    );
}

#[tokio::test]
async fn lists_have_folders_pages_and_an_order() {
    let sim = start(config()).await;
    for path in ["t/a.txt", "t/c.txt", "t/b/x.txt", "t/b/y.txt", "u/z.txt"] {
        put(&sim, &format!("recordings/{path}"), "x").await;
    }
    let names = async |query: Value| {
        let (_, list) = ask(request(&sim, "POST", "/object/list/recordings").json(&query)).await;
        list.as_array()
            .unwrap()
            .iter()
            .map(|it| (it["name"].as_str().unwrap().to_owned(), it["id"].is_null()))
            .collect::<Vec<_>>()
    };
    let entry = |name: &str, folder| (name.to_owned(), folder);
    assert_eq!(names(json!({"prefix": "t"})).await, [entry("a.txt", false), entry("b", true), entry("c.txt", false)]);
    assert_eq!(names(json!({"prefix": ""})).await, [entry("t", true), entry("u", true)]);
    let page = json!({"prefix": "t/", "limit": 1, "offset": 1, "sortBy": {"column": "name", "order": "desc"}});
    assert_eq!(names(page).await, [entry("b", true)]);
    assert_eq!(names(json!({"prefix": "t", "search": "c.t"})).await, [entry("c.txt", false)]);
}

#[tokio::test]
async fn policies_keep_users_in_their_own_folder() {
    let mut ann = User::new("ann@example.com", "a-password");
    ann.app_metadata["tenant_id"] = "ours".into();
    ann.user_metadata["tenant_id"] = "theirs".into();
    let sim = start(SupabaseConfig { user_access: UserAccess::TenantFolder, ..config() }).await;
    put(&sim, "recordings/theirs/a.txt", "secret").await;
    let as_ann = |method: &str, path: &str| request_of(&ann, &sim, method, path);
    assert_eq!(ask(as_ann("POST", "/object/recordings/ours/a.txt").body("mine")).await.0, 200);
    assert_eq!(sim.object("recordings", "ours/a.txt").unwrap(), b"mine");
    assert_eq!(told(&ask(as_ann("GET", "/object/recordings/theirs/a.txt")).await).2, "NoSuchKey");
    assert_eq!(told(&ask(as_ann("POST", "/object/recordings/theirs/b.txt").body("x")).await).2, "AccessDenied");
    let remove = as_ann("DELETE", "/object/recordings").json(&json!({"prefixes": ["theirs/a.txt", "ours/a.txt"]}));
    assert_eq!(ask(remove).await.1.as_array().unwrap().len(), 1);
    assert!(sim.object("recordings", "theirs/a.txt").is_some());
    let closed = start(config()).await;
    let upload = request_of(&ann, &closed, "POST", "/object/recordings/ours/a.txt");
    assert_eq!(told(&ask(upload.body("x")).await).2, "AccessDenied");
}

#[tokio::test]
async fn scripted_faults_have_the_statuses_that_are_real() {
    let expected = [
        (544, 544, "DatabaseTimeout"),
        (429, 429, "SlowDown"),
        (423, 400, "ResourceLocked"),
        (413, 400, "EntityTooLarge"),
        (503, 400, "LockTimeout"),
        (500, 500, "InternalError"),
    ];
    let faults = expected.map(|(status, ..)| Some(Fault::Refuse { status, retry_after: None }));
    let storage_script = Script::new(faults.into_iter().chain([Some(Fault::DropAfter(Duration::ZERO))]));
    let sim = start(SupabaseConfig { storage_script, ..config() }).await;
    for (status, http, code) in expected {
        let answer = ask(request(&sim, "GET", "/bucket")).await;
        let status = status.to_string();
        assert_eq!((told(&answer).0, told(&answer).1, told(&answer).2), (http, status.as_str(), code));
    }
    let cut = async { request(&sim, "GET", "/bucket").send().await?.bytes().await };
    assert!(cut.await.is_err());
    assert_eq!(ask(request(&sim, "GET", "/health")).await.1, json!({"healthy": true}));
    assert_eq!(client().get(sim.base_url() + "/storage/v1/status").send().await.unwrap().status(), 200);
}
