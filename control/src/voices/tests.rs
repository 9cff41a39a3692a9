use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::Role,
    testing::Api,
    vendors::{Provider, VendorErrorKind},
};

const PATH: &str = "/v1/voices";
const PREVIEW: &str = "/v1/voices/preview";

fn names(data: &Value) -> Vec<&str> {
    data["voices"].as_array().unwrap().iter().map(|voice| voice["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_voice_has_what_one_chooses_by() {
    let api = Api::new().await;
    let ada = api.owner();
    let credential = api.credential(&ada, Provider::Elevenlabs, "good").await;
    let viewer = api.user(ada.tenant, Role::Viewer);
    let listed = api.get(&viewer, &format!("{PATH}?credential_id={credential}&limit=1")).await;
    assert_eq!(
        *listed.data(),
        json!({
            "provider": "elevenlabs",
            "voices": [{
                "voice_id": "v1", "name": "good 1", "category": "premade", "description": null, "languages": ["en"],
                "preview_url": "https://audio.example.com/v1.mp3", "labels": { "gender": "female" },
            }],
            "pagination": { "page": 1, "limit": 1, "total": 3, "total_pages": 3 },
        })
    );
    let last = api.get(&viewer, &format!("{PATH}?credential_id={credential}&limit=2&page=2")).await;
    assert_eq!(names(last.data()), ["good 3"]);
    assert_eq!(names(api.get(&viewer, &format!("{PATH}?credential_id={credential}&page=9")).await.data()), [""; 0]);
}

#[tokio::test]
async fn the_credential_is_the_given_one_else_the_default_else_the_platforms() {
    let api = Api::new().await;
    let ada = api.owner();
    let none = api.get(&ada, PATH).await;
    assert_eq!(none.error(), (409, "INTEGRATION_TEST_FAILED"));
    assert_eq!(none.body["details"]["vendor"], "elevenlabs");
    assert!(none.body["message"].as_str().unwrap().contains("elevenlabs"), "{:#}", none.body);

    api.vendors.accept("platform");
    api.vendors.set_platform(Provider::Elevenlabs, "platform");
    assert_eq!(names(api.get(&ada, PATH).await.data())[0], "platform 1");
    let other = api.credential(&ada, Provider::Elevenlabs, "other").await;
    assert_eq!(
        names(api.get(&ada, PATH).await.data())[0],
        "platform 1",
        "one that is not installed is nobody's default"
    );
    let credential = api.credential(&ada, Provider::Elevenlabs, "installed").await;
    api.installation(&ada, Provider::Elevenlabs, credential).await;
    assert_eq!(names(api.get(&ada, PATH).await.data())[0], "installed 1");
    assert_eq!(names(api.get(&ada, &format!("{PATH}?credential_id=")).await.data())[0], "installed 1");
    assert_eq!(names(api.get(&ada, &format!("{PATH}?credential_id={other}")).await.data())[0], "other 1");
}

#[tokio::test]
async fn a_text_is_spoken_as_audio() {
    let api = Api::new().await;
    let ada = api.owner();
    let credential = api.credential(&ada, Provider::Elevenlabs, "good").await;
    let member = api.user(ada.tenant, Role::Member);
    let body = json!({ "voice_id": "v1", "text": "Grüß Gott!", "credential_id": credential, "language": "de-AT" });
    let spoken = api.post(&member, PREVIEW, body).await;
    assert_eq!((spoken.status.as_u16(), &spoken.headers["content-type"]), (200, &"audio/mpeg".parse().unwrap()));
    assert_eq!(spoken.headers["cache-control"], "private, no-store");
    assert_eq!(spoken.bytes, "good says in v1 with eleven_flash_v2_5 and de-AT: Grüß Gott!".as_bytes());
    let viewer = api.user(ada.tenant, Role::Viewer);
    let denied = api.post(&viewer, PREVIEW, json!({ "voice_id": "v1", "text": "Hi" })).await;
    assert_eq!(denied.error(), (403, "TENANT_ACCESS_DENIED"));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let api = Api::new().await;
    let ada = api.owner();
    let openai = api.credential(&ada, Provider::Openai, "k").await;
    let cases = [
        (json!({ "text": "Hi" }), "voice_id"),
        (json!({ "voice_id": "../v1", "text": "Hi" }), "voice_id"),
        (json!({ "voice_id": "", "text": "Hi" }), "voice_id"),
        (json!({ "voice_id": "v1", "text": "" }), "text"),
        (json!({ "voice_id": "v1", "text": " \n" }), "text"),
        (json!({ "voice_id": "v1", "text": "x".repeat(501) }), "text"),
        (json!({ "voice_id": "v1", "text": "Hi", "model": "a b" }), "model"),
        (json!({ "voice_id": "v1", "text": "Hi", "language": "English, please" }), "language"),
        (json!({ "voice_id": "v1", "text": "Hi", "credential_id": "x" }), "credential_id"),
        (json!({ "voice_id": "v1", "text": "Hi", "credential_id": openai }), "credential_id"),
        (json!({ "voice_id": "v1", "text": "Hi", "format": "wav" }), "format"),
    ];
    for (body, field) in cases {
        let answer = api.post(&ada, PREVIEW, body).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{field}: {:#}", answer.body);
        let named = answer.body["details"]["fields"][0]["field"].as_str().unwrap();
        assert!(named == field || (field == "voice_id" && named.is_empty()), "{field}: {:#}", answer.body);
    }
    for (query, field) in [("credential_id=x", "credential_id"), ("limit=101", "limit"), ("page=0", "page")] {
        let answer = api.get(&ada, &format!("{PATH}?{query}")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_ERROR"), "{query}");
        assert_eq!(answer.body["details"]["fields"][0]["field"], field);
    }
    let wrong = api.get(&ada, &format!("{PATH}?credential_id={openai}")).await;
    assert_eq!(wrong.body["details"]["fields"][0]["message"], "is a credential of openai: voices are elevenlabs's");
}

#[tokio::test]
async fn a_vendor_that_fails_is_named_with_its_status_and_code() {
    let api = Api::new().await;
    let ada = api.owner();
    let credential = api.credential(&ada, Provider::Elevenlabs, "good").await;
    api.vendors.revoke("good");
    let preview = json!({ "voice_id": "v1", "text": "Hi", "credential_id": credential });
    for (method, path, body) in [
        (Method::GET, format!("{PATH}?credential_id={credential}"), Value::Null),
        (Method::POST, PREVIEW.into(), preview),
    ] {
        let answer = api.send(&ada, method, &path, body).await;
        assert_eq!(answer.error(), (502, "EXTERNAL_API_ERROR"), "{:#}", answer.body);
        assert_eq!(answer.body["details"], json!({ "vendor": "elevenlabs", "status": 401, "code": null }));
    }
    api.vendors.fail("good", VendorErrorKind::AddressRefused);
    let answer = api.get(&ada, &format!("{PATH}?credential_id={credential}")).await;
    assert_eq!(answer.error(), (409, "INTEGRATION_TEST_FAILED"));
}

#[tokio::test]
async fn anothers_credential_speaks_for_nobody_else() {
    let api = Api::new().await;
    let (ada, eve) = (api.owner(), api.owner());
    let credential = api.credential(&ada, Provider::Elevenlabs, "good").await;
    for id in [credential, Uuid::now_v7()] {
        let answer = api.get(&eve, &format!("{PATH}?credential_id={id}")).await;
        assert_eq!(answer.error(), (404, "CREDENTIAL_NOT_FOUND"));
        let body = json!({ "voice_id": "v1", "text": "Hi", "credential_id": id });
        assert_eq!(api.post(&eve, PREVIEW, body).await.error(), (404, "CREDENTIAL_NOT_FOUND"));
    }
}
