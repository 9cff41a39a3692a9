//! Tokens that were forged in each known way, against a project that signs with published keys, alone and beside its secret.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    signers::{HandClock, ISSUER, SECRET, Signer, Source, api_of},
    tests::{but, claims, with_header},
};
use crate::testing::{Answer, Api};

const EC: &[u8] = include_bytes!("test_keys/ec.pem");
const EC_PUBLIC: &[u8] = include_bytes!("test_keys/ec_public.pem");
const RSA: &[u8] = include_bytes!("test_keys/rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("test_keys/rsa_public.pem");
const STRANGER: &[u8] = include_bytes!("test_keys/ec_stranger.pem");

fn good() -> Value {
    let app = json!({ "tenant_id": Uuid::now_v7() });
    but(claims(Uuid::now_v7()), json!({ "iss": ISSUER, "aal": "aal1", "app_metadata": app }))
}

async fn bearing(api: &Api, token: &str) -> Answer {
    with_header(api, Some(format!("Bearer {token}"))).await
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The same message and signature under another header.
fn with_head(token: &str, header: &Value) -> String {
    format!("{}.{}", part(header), token.split_once('.').unwrap().1)
}

#[tokio::test]
async fn a_token_counts_only_under_the_algorithm_of_the_key_that_it_names() {
    let (ec, rsa) = (Signer::ec("ec", EC), Signer::rsa("rsa", RSA));
    let stranger = Signer::ec("theirs", STRANGER);
    let shared = Signer::shared(SECRET.as_bytes());
    let published = [ec.published(), rsa.published()];
    for with_secret in [true, false] {
        let api = api_of(&Source::new(&published), &HandClock::new(), with_secret).await;
        for signer in [&ec, &rsa] {
            assert_eq!(bearing(&api, &signer.sign(&good())).await.status, 200, "{}", signer.id);
        }
        let by_secret = bearing(&api, &shared.sign(&good())).await.status;
        assert_eq!(by_secret, if with_secret { 200 } else { 401 });

        let mut forged = vec![
            // Nothing signs.
            format!("{}.{}.", part(&json!({ "alg": "none", "kid": "ec" })), part(&good())),
            format!("{}.{}.", part(&json!({ "alg": "None", "typ": "JWT" })), part(&good())),
            format!("{}.{}.", part(&json!({ "alg": "ES256", "kid": "ec" })), part(&good())),
            format!("{}.{}.{}", part(&json!({ "alg": "ES256", "kid": "ec" })), part(&good()), "A".repeat(86)),
            // Another's key, under a name of its own and under ours.
            stranger.sign(&good()),
            stranger.sign_as("ec", &good()),
            // A key under the name, and so the algorithm, of another.
            ec.sign_as("rsa", &good()),
            rsa.sign_as("ec", &good()),
            // One algorithm's signature, claimed to be another's.
            with_head(&ec.sign(&good()), &json!({ "alg": "RS256", "kid": "ec" })),
            with_head(&rsa.sign(&good()), &json!({ "alg": "ES256", "kid": "rsa" })),
            with_head(&rsa.sign(&good()), &json!({ "alg": "PS256", "kid": "rsa" })),
            with_head(&rsa.sign(&good()), &json!({ "alg": "RS512", "kid": "rsa" })),
            with_head(&ec.sign(&good()), &json!({ "alg": "HS256", "kid": "ec" })),
            with_head(&ec.sign(&good()), &json!({ "alg": "EdDSA", "kid": "ec" })),
            // No name, and names that would lead elsewhere where names are paths.
            ec.sign_with(&Header::new(Algorithm::ES256), &good()),
            // The secret's signature, claimed to be a published key's.
            with_head(&shared.sign(&good()), &json!({ "alg": "ES256", "kid": "ec" })),
            // An extension that must be understood.
            with_head(&ec.sign(&good()), &json!({ "alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": false })),
        ];
        for id in
            ["../ec", "ec/../ec", "/dev/null", "ec\0", "EC", " ec", "https://evil.example/jwks.json", "' or 1=1 --", ""]
        {
            forged.push(stranger.sign_as(id, &good()));
            forged.push(ec.sign_as(id, &good()));
        }
        // A key that comes with the token.
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("ec".into());
        header.jwk = Some(serde_json::from_value(stranger.published()).unwrap());
        header.jku = Some("https://evil.example/jwks.json".into());
        forged.push(stranger.sign_with(&header, &good()));
        // What is public, taken for a secret: as PEM, as it is published, as its parts.
        let jwks = |keys: &[Value]| json!({ "keys": keys }).to_string().into_bytes();
        let secrets = [
            EC_PUBLIC.to_vec(),
            EC_PUBLIC.trim_ascii_end().to_vec(),
            RSA_PUBLIC.to_vec(),
            RSA_PUBLIC.trim_ascii_end().to_vec(),
            ec.published().to_string().into_bytes(),
            rsa.published().to_string().into_bytes(),
            jwks(&published),
            rsa.published()["n"].as_str().unwrap().into(),
            ec.published()["x"].as_str().unwrap().into(),
            Vec::new(),
        ];
        for secret in &secrets {
            let forger = Signer { key: EncodingKey::from_secret(secret), ..Signer::shared(b"") };
            for id in ["ec", "rsa", "shared"] {
                forged.push(forger.sign_as(id, &good()));
            }
            forged.push(forger.sign_with(&Header::new(Algorithm::HS256), &good()));
        }
        for token in &forged {
            let answer = bearing(&api, token).await;
            assert_eq!(answer.error(), (401, "AUTH_INVALID"), "secret: {with_secret}, {token}: {:#}", answer.body);
        }
    }
}

#[tokio::test]
async fn what_is_signed_well_and_says_something_else_is_refused() {
    let (ec, shared) = (Signer::ec("ec", EC), Signer::shared(SECRET.as_bytes()));
    let api = api_of(&Source::new(&[ec.published()]), &HandClock::new(), true).await;
    let now = Utc::now().timestamp();
    let fine = [
        json!({ "exp": now - 5 }),
        json!({ "nbf": now + 5 }),
        json!({ "iat": now + 5 }),
        json!({ "iat": now as f64 - 0.5 }),
        json!({ "iat": null }),
        json!({ "role": null }),
        json!({ "aud": ["else", "authenticated"] }),
        json!({ "amr": ["password"], "email": "", "phone": "" }),
    ];
    for changes in fine {
        for signer in [&ec, &shared] {
            let answer = bearing(&api, &signer.sign(&but(good(), changes.clone()))).await;
            assert_eq!(answer.status, 200, "{} {changes}: {:#}", signer.id, answer.body);
        }
    }
    let wrong = [
        json!({ "exp": now - 60 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": "never" }),
        json!({ "exp": null }),
        json!({ "nbf": now + 60 }),
        json!({ "nbf": "later" }),
        json!({ "iat": now + 60 }),
        json!({ "iat": "yesterday" }),
        json!({ "aud": "another" }),
        json!({ "aud": "authenticated2" }),
        json!({ "aud": ["another"] }),
        json!({ "aud": [] }),
        json!({ "aud": null }),
        json!({ "role": "service_role" }),
        json!({ "role": "anon" }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": "1; drop table members" }),
        json!({ "sub": 7 }),
    ];
    for changes in wrong {
        for signer in [&ec, &shared] {
            let answer = bearing(&api, &signer.sign(&but(good(), changes.clone()))).await;
            assert_eq!(answer.error(), (401, "AUTH_INVALID"), "{} {changes}", signer.id);
        }
    }
    let issuers = [
        json!(null),
        json!("supabase"),
        json!("https://project.example.com/auth/v1/"),
        json!("https://project.example.com"),
        json!("https://other.example.com/auth/v1"),
        json!([ISSUER]),
    ];
    for issuer in issuers {
        let answer = bearing(&api, &ec.sign(&but(good(), json!({ "iss": issuer })))).await;
        assert_eq!(answer.error(), (401, "AUTH_INVALID"), "{issuer}");
    }
    // The project's own keys, which its frontends carry: signed with the same secret, and nobody's.
    for role in ["anon", "service_role"] {
        let key = json!({ "iss": "supabase", "ref": "project", "role": role, "iat": now, "exp": now + 9_999_999 });
        assert_eq!(bearing(&api, &shared.sign(&key)).await.error(), (401, "AUTH_INVALID"));
        let helped = but(key, json!({ "aud": "authenticated", "sub": Uuid::now_v7() }));
        assert_eq!(bearing(&api, &shared.sign(&helped)).await.error(), (401, "AUTH_INVALID"));
    }
}

#[tokio::test]
async fn a_tenant_that_the_user_wrote_lets_nobody_in() {
    let ec = Signer::ec("ec", EC);
    let api = api_of(&Source::new(&[ec.published()]), &HandClock::new(), false).await;
    let theirs = good();
    assert_eq!(bearing(&api, &ec.sign(&theirs)).await.status, 200);
    let tenant = theirs["app_metadata"]["tenant_id"].clone();
    let stranger = but(claims(Uuid::now_v7()), json!({ "iss": ISSUER }));
    let swapped = [
        json!({ "user_metadata": { "tenant_id": tenant, "role": "owner" } }),
        json!({ "user_metadata": { "tenant_id": tenant, "app_metadata": { "tenant_id": tenant } } }),
        json!({ "user_metadata": { "tenant_id": tenant }, "app_metadata": { "tenant_id": "" } }),
        json!({ "user_metadata": { "tenant_id": tenant }, "app_metadata": { "tenant_id": 7 } }),
        json!({ "tenant_id": tenant }),
        json!({ "app_metadata": [{ "tenant_id": tenant }] }),
        json!({ "app_metadata": tenant }),
    ];
    for changes in swapped {
        let answer = bearing(&api, &ec.sign(&but(stranger.clone(), changes.clone()))).await;
        assert_eq!(answer.error(), (403, "TENANT_ACCESS_DENIED"), "{changes}");
    }
}

#[tokio::test]
async fn only_what_signs_tokens_is_taken_from_what_is_published() {
    let (ec, rsa) = (Signer::ec("ec", EC), Signer::rsa("rsa", RSA));
    let secret = Signer::shared(b"a secret that was published by mistake, long enough");
    let with = |signer: &Signer, changes: Value| but(signer.published(), changes);
    let unusable = [
        // A shared secret is none once it is published.
        json!({ "kty": "oct", "kid": "shared", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode("a secret that was published by mistake, long enough") }),
        json!({ "kty": "oct", "kid": "ec", "k": URL_SAFE_NO_PAD.encode("x") }),
        with(&ec, json!({ "alg": "HS256" })),
        with(&ec, json!({ "alg": "ES384" })),
        with(&ec, json!({ "use": "enc" })),
        with(&ec, json!({ "key_ops": ["deriveKey"] })),
        with(&ec, json!({ "crv": "P-384" })),
        with(&ec, json!({ "kid": null })),
        with(&rsa, json!({ "alg": "PS256" })),
        with(&rsa, json!({ "n": URL_SAFE_NO_PAD.encode([0x80; 128]) })),
        json!({ "kty": "AKP", "kid": "new", "alg": "ML-DSA-44", "pub": "…" }),
        json!("nonsense"),
        json!(null),
    ];
    let source = Source::new(&unusable);
    let api = api_of(&source, &HandClock::new(), false).await;
    for signer in [&ec, &rsa, &secret] {
        assert_eq!(bearing(&api, &signer.sign(&good())).await.error(), (401, "AUTH_INVALID"), "{}", signer.id);
    }
    // Beside them, the good ones are found; of two with one id, the first has it.
    let stranger = Signer::ec("ec", STRANGER);
    let published = [&unusable[..], &[ec.published(), stranger.published(), rsa.published()]].concat();
    let api = api_of(&Source::new(&published), &HandClock::new(), false).await;
    for signer in [&ec, &rsa] {
        assert_eq!(bearing(&api, &signer.sign(&good())).await.status, 200, "{}", signer.id);
    }
    assert_eq!(bearing(&api, &stranger.sign(&good())).await.error(), (401, "AUTH_INVALID"));
    // A key need not say what it is for.
    let silent = but(ec.published(), json!({ "alg": null, "use": null, "key_ops": null }));
    let api = api_of(&Source::new(&[silent]), &HandClock::new(), false).await;
    assert_eq!(bearing(&api, &ec.sign(&good())).await.status, 200);
}
