//! Tokens that were made with PyJWT and checked with the vendor's own library, and what must not pass.

use std::time::UNIX_EPOCH;

use super::*;

const EVENT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3NjcyMjU2MDAsImp0aSI6IjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMSIsImlzcyI6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6IjZlNzFiMDg5YzQzOWQxMjY4M2EzZjc1MmZhNTU5MTE5Njc0NTVkZjA4OTc2NWQ5NmQ0OTk3NTFjYjc2NWYwZDQiLCJhcGlfa2V5IjoiYTFiMmMzZDQiLCJhcHBsaWNhdGlvbl9pZCI6ImFhYWFhYWFhLWJiYmItY2NjYy1kZGRkLTAxMjM0NTY3ODlhYiJ9._f2236DsHbo5rqBfwIRrN2VtaUiKWLMGqkVQdPBHzDw";
const ANSWER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3NjcyMjU2MDAsImp0aSI6IjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMiIsImlzcyI6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6ImRhZGMxZDllYjQ1MzQ3ZjBmYjEyZTc0MDkxMGI2MTAwNzc4OWI0NDc1ZDc0ZDc3MGIyMTdlMDg2OGViODg4Y2YiLCJhcGlfa2V5IjoiYTFiMmMzZDQiLCJhcHBsaWNhdGlvbl9pZCI6ImFhYWFhYWFhLWJiYmItY2NjYy1kZGRkLTAxMjM0NTY3ODlhYiJ9.24t8APxsOybZG09uJq55UYH5MfQLSerG7rlnsrAXnW4";
const SOCKET: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3NjcyMjU2MDAsImp0aSI6IjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMyIsImlzcyI6IlZvbmFnZSIsImFwaV9rZXkiOiJhMWIyYzNkNCIsImFwcGxpY2F0aW9uX2lkIjoiYWFhYWFhYWEtYmJiYi1jY2NjLWRkZGQtMDEyMzQ1Njc4OWFiIn0.H_Y0Ov9CmuIZUpdUmOfJu7i5cPppu5ZvDx6btH9D9hk";
const FOREIGN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJPbmxpbmUgSldUIEJ1aWxkZXIiLCJpYXQiOjE2OTc2MzQ2ODAsImV4cCI6MzMyNTQ1NDA4MjgsImF1ZCI6IiIsInN1YiI6IiJ9.88vJc3I2HhuqEDixHXVhc9R30tA6U_HQHZTC29y6CGM";
const NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpYXQiOjE3NjcyMjU2MDAsImp0aSI6IngiLCJpc3MiOiJWb25hZ2UiLCJhcGlfa2V5IjoiYTFiMmMzZDQifQ.";
const BODY: &str = r#"{"from":"447700900000","to":"442079460000","uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab","conversation_uuid":"CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab","status":"answered","direction":"inbound","timestamp":"2026-01-01T00:00:00.000Z"}"#;
const SECRET: &str = "vonage-test-signature-secret-0123456789abcdef";
const IAT: u64 = 1_767_225_600;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn query() -> Vec<(String, String)> {
    [
        ("to", "442079460000"),
        ("from", "447700900000"),
        ("conversation_uuid", "CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab"),
        ("uuid", "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn check_as(
    api_key: &str,
    secret: &str,
    token: &str,
    payload: Payload<'_>,
    now: u64,
) -> Result<Claims, SignatureError> {
    let secret = Secret::new(secret);
    let application_id = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
    let account = Account { api_key, application_id, signature_secret: &secret };
    verify(&account, Some(&bearer(token)), payload, at(now))
}

fn check(token: &str, payload: Payload<'_>) -> Result<Claims, SignatureError> {
    check_as("a1b2c3d4", SECRET, token, payload, IAT)
}

/// A token with these claims over those of the vectors.
fn token(claims: serde_json::Value) -> String {
    let mut all = serde_json::json!({ "iat": IAT, "jti": "j", "iss": "Vonage", "api_key": "a1b2c3d4" });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    sign(&format!("{}.{}", part(serde_json::json!({ "alg": "HS256", "typ": "JWT" })), part(all)), SECRET)
}

fn sign(signed: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn each_of_the_three_requests_passes_and_names_itself() {
    let claims = check(EVENT, Payload::Body(BODY.as_bytes())).unwrap();
    let expected = Claims {
        jti: "00000000-0000-4000-8000-000000000001".into(),
        iat: IAT,
        api_key: "a1b2c3d4".into(),
        application_id: Some("aaaaaaaa-bbbb-cccc-dddd-0123456789ab".into()),
    };
    assert_eq!(claims, expected);
    assert_eq!(unverified(Some(&bearer(EVENT))), Ok(expected));
    let answer = check(ANSWER, Payload::Query(&query())).unwrap();
    assert_eq!(answer.jti, "00000000-0000-4000-8000-000000000002");
    let socket = check(SOCKET, Payload::Upgrade).unwrap();
    assert_eq!(socket.jti, "00000000-0000-4000-8000-000000000003");
}

#[test]
fn the_vendor_s_own_example_passes_the_signature_and_fails_at_its_issuer() {
    let secret = "qwertyuiopasdfghjklzxcvbnm123456";
    let foreign = check_as("a1b2c3d4", secret, FOREIGN, Payload::Upgrade, 1_697_634_680);
    assert_eq!(foreign, Err(SignatureError::Issuer));
    let wrong = check_as("a1b2c3d4", "qwertyuiopasdfghjklzxcvbnm123457", FOREIGN, Payload::Upgrade, 1_697_634_680);
    assert_eq!(wrong, Err(SignatureError::Mismatch));
}

#[test]
fn what_is_not_signed_does_not_pass() {
    assert_eq!(check(NONE, Payload::Upgrade), Err(SignatureError::Algorithm));
    assert_eq!(unverified(Some(&bearer(NONE))), Err(SignatureError::Algorithm));
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = part(serde_json::json!({ "iat": IAT, "jti": "x", "iss": "Vonage", "api_key": "a1b2c3d4" }));
    for alg in ["none", "None", "hs256", "HS512", "RS256", ""] {
        let signed = format!("{}.{claims}", part(serde_json::json!({ "alg": alg })));
        assert_eq!(check(&sign(&signed, SECRET), Payload::Upgrade), Err(SignatureError::Algorithm), "{alg}");
    }
    let body = Payload::Body(BODY.as_bytes());
    assert_eq!(check_as("a1b2c3d4", &format!("{SECRET}x"), EVENT, body, IAT), Err(SignatureError::Mismatch));
    // Nobody has an empty secret, so that nobody signs with one.
    let signed = token(serde_json::json!({}));
    let empty = sign(signed.rsplit_once('.').unwrap().0, "");
    assert_eq!(check_as("a1b2c3d4", "", &empty, Payload::Upgrade, IAT), Err(SignatureError::Mismatch));
}

#[test]
fn a_header_that_is_no_token_is_told_apart() {
    let secret = Secret::new(SECRET);
    let account = Account { api_key: "a1b2c3d4", application_id: "x", signature_secret: &secret };
    let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
    let four = format!("Bearer {SOCKET}.AAAA");
    for (header, error) in [
        (None, SignatureError::Missing),
        (Some(""), SignatureError::Missing),
        (Some("Bearer"), SignatureError::Missing),
        (Some("Basic YTpi"), SignatureError::Missing),
        (Some(SOCKET), SignatureError::Missing),
        (Some("Bearer a.b"), SignatureError::Malformed),
        (Some("Bearer a.b.c.d"), SignatureError::Malformed),
        (Some("Bearer !!!.???.***"), SignatureError::Malformed),
        (Some(four.as_str()), SignatureError::Malformed),
        (Some(long.as_str()), SignatureError::Malformed),
    ] {
        assert_eq!(verify(&account, header, Payload::Upgrade, at(IAT)), Err(error), "{header:?}");
        assert_eq!(unverified(header), Err(error), "{header:?}");
    }
    let lower = format!("bearer  {SOCKET} ");
    let account = Account { application_id: "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", ..account };
    assert!(verify(&account, Some(&lower), Payload::Upgrade, at(IAT)).is_ok());
}

#[test]
fn a_token_is_for_one_account_one_application_and_five_minutes() {
    let body = Payload::Body(BODY.as_bytes());
    assert_eq!(check_as("b1b2c3d4", SECRET, EVENT, body, IAT), Err(SignatureError::Account));
    let other = token(serde_json::json!({ "application_id": "bbbbbbbb-bbbb-cccc-dddd-0123456789ab" }));
    assert_eq!(check(&other, Payload::Upgrade), Err(SignatureError::Application));
    let none = check(&token(serde_json::json!({})), Payload::Upgrade).unwrap();
    assert_eq!(none.application_id, None);
    for (now, result) in [
        (IAT - 301, Some(SignatureError::NotYet)),
        (IAT - 300, None),
        (IAT + 300, None),
        (IAT + 301, Some(SignatureError::Expired)),
    ] {
        assert_eq!(check_as("a1b2c3d4", SECRET, EVENT, body, now).err(), result, "{now}");
    }
    let over = token(serde_json::json!({ "exp": IAT }));
    assert_eq!(check(&over, Payload::Upgrade), Err(SignatureError::Expired));
    assert!(check(&token(serde_json::json!({ "exp": IAT + 1 })), Payload::Upgrade).is_ok());
    for jti in ["".to_owned(), "x".repeat(MAX_JTI + 1)] {
        assert_eq!(check(&token(serde_json::json!({ "jti": jti })), Payload::Upgrade), Err(SignatureError::Id));
    }
    assert_eq!(check(&token(serde_json::json!({ "iat": "soon" })), Payload::Upgrade), Err(SignatureError::Malformed));
}

#[test]
fn a_body_is_hashed_as_it_came_or_without_its_white_space() {
    let hash = |text: &str| Sha256::digest(text).iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let spaced = "{ \"a\" : \"b \\\" c\\\\\",\r\n\t\"n\": [1.50, \"é \\u00e9\"] }";
    let compacted = r#"{"a":"b \" c\\","n":[1.50,"é \u00e9"]}"#;
    for made_of in [spaced, compacted] {
        let token = token(serde_json::json!({ "payload_hash": hash(made_of) }));
        assert!(check(&token, Payload::Body(spaced.as_bytes())).is_ok(), "{made_of}");
        assert_eq!(check(&token, Payload::Body(BODY.as_bytes())), Err(SignatureError::PayloadHash));
    }
    assert_eq!(check(EVENT, Payload::Body(b"{}")), Err(SignatureError::PayloadHash));
    // A socket's token is not good for a webhook.
    assert_eq!(check(SOCKET, Payload::Body(BODY.as_bytes())), Err(SignatureError::NoPayloadHash));
    let mut turned = query();
    turned.swap(0, 1);
    assert_eq!(check(ANSWER, Payload::Query(&turned)), Err(SignatureError::PayloadHash));
    assert_eq!(check(ANSWER, Payload::Query(&[])), Err(SignatureError::PayloadHash));
}
