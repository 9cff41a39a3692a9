//! Tokens say what they are asked to say, the list of keys is what signed them, and nobody may write what is the server's.

use std::time::Duration;

use crate::rest_common::{ask, client, loopback};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};
use trunkline_sim::{
    fault::{Fault, Script},
    supabase::{Signer, Signing, SupabaseConfig, SupabaseSim, Token, User},
};

const KEY: &str = "sb_publishable_simulated";
const SECRET: &str = "sb_secret_simulated";

async fn start(config: SupabaseConfig) -> SupabaseSim {
    SupabaseSim::start(loopback(), config, None).await.unwrap()
}

fn request(sim: &SupabaseSim, method: &str, path: &str) -> reqwest::RequestBuilder {
    client().request(method.parse().unwrap(), format!("{}/auth/v1{path}", sim.base_url())).header("apikey", KEY)
}

async fn jwks(sim: &SupabaseSim) -> JwkSet {
    let response = client().get(sim.base_url() + "/auth/v1/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "public, max-age=600");
    response.json().await.unwrap()
}

/// A token's claims, if the listed keys verify it.
async fn verified(sim: &SupabaseSim, token: &str) -> Option<Value> {
    let header = decode_header(token).ok()?;
    let keys = jwks(sim).await;
    let key = DecodingKey::from_jwk(keys.find(&header.kid?)?).unwrap();
    let mut rules = Validation::new(header.alg);
    rules.set_audience(&["authenticated"]);
    rules.leeway = 0;
    decode::<Value>(token, &key, &rules).ok().map(|decoded| decoded.claims)
}

#[tokio::test]
async fn a_healthy_token_has_every_claim_and_a_listed_key() {
    for (signing, algorithm, members) in
        [(Signing::Es256, Algorithm::ES256, &["crv", "x", "y"][..]), (Signing::Rs256, Algorithm::RS256, &["n", "e"])]
    {
        let sim = start(SupabaseConfig { signing, ..SupabaseConfig::default() }).await;
        let token = sim.mint(&User::new("ann@example.com", "a-password").token());
        assert_eq!(decode_header(&token).unwrap().alg, algorithm);
        let claims = verified(&sim, &token).await.unwrap();
        for name in ["iss", "aud", "exp", "iat", "sub", "role", "aal", "session_id", "email", "phone", "is_anonymous"] {
            assert!(claims.get(name).is_some(), "{name} is missing");
        }
        assert_eq!((&claims["iss"], &claims["role"]), (&sim.issuer().into(), &"authenticated".into()));
        let listed = serde_json::to_value(jwks(&sim).await).unwrap()["keys"][0].clone();
        assert_eq!((&listed["use"], &listed["key_ops"]), (&"sig".into(), &json!(["verify"])));
        assert!(
            members.iter().all(|name| listed[name].is_string())
                && listed["alg"].is_string()
                && listed["kid"].is_string()
        );
        assert!(listed.get("d").is_none());
    }
}

#[tokio::test]
async fn a_token_lies_as_it_is_told_to() {
    let sim = start(SupabaseConfig::default()).await;
    let healthy = Token::of("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "ann@example.com");
    let with = |change: &dyn Fn(&mut Token)| {
        let mut token = healthy.clone();
        change(&mut token);
        token
    };
    let expired = sim.mint(&with(&|token| token.lifetime = -60));
    let stranger = sim.mint(&with(&|token| token.signer = Signer::Stranger));
    let secret = sim.mint(&with(&|token| token.signer = Signer::Secret));
    let nobody = sim.mint(&with(&|token| token.signer = Signer::Nobody));
    for token in [&expired, &stranger, &secret, &nobody] {
        assert!(verified(&sim, token).await.is_none());
    }
    assert!(nobody.ends_with('.') && decode_header(&secret).unwrap().alg == Algorithm::HS256);
    let hostile = sim.mint(&with(&|token| {
        token.audience = json!(["authenticated", "other"]);
        token.user_metadata = json!({"tenant_id": "theirs"});
        token.app_metadata = json!({"tenant_id": "ours"});
        token.anonymous = true;
        token.aal = "aal2".into();
        token.issuer = Some("https://elsewhere.example/auth/v1".into());
        token.claims.insert("session_id".into(), Value::Null);
    }));
    let claims = verified(&sim, &hostile).await.unwrap();
    assert_eq!(
        (&claims["user_metadata"]["tenant_id"], &claims["app_metadata"]["tenant_id"]),
        (&"theirs".into(), &"ours".into())
    );
    assert_eq!(
        (&claims["aud"][1], &claims["aal"], &claims["is_anonymous"]),
        (&"other".into(), &"aal2".into(), &true.into())
    );
    assert!(claims.get("session_id").is_none() && claims["iss"] != *sim.issuer());
}

#[tokio::test]
async fn keys_rotate_and_are_revoked() {
    let sim = start(SupabaseConfig::default()).await;
    let user = User::new("ann@example.com", "a-password");
    let first = sim.signing_key().unwrap();
    let old = sim.mint(&user.token());
    let second = sim.rotate_keys();
    let new = sim.mint(&user.token());
    assert_eq!((decode_header(&new).unwrap().kid, sim.signing_key()), (Some(second.clone()), Some(second)));
    assert!(verified(&sim, &old).await.is_some() && verified(&sim, &new).await.is_some());
    sim.revoke_key(&first);
    assert!(verified(&sim, &old).await.is_none() && verified(&sim, &new).await.is_some());

    let shared =
        start(SupabaseConfig { signing: Signing::Hs256, users: vec![user.clone()], ..SupabaseConfig::default() }).await;
    assert!(jwks(&shared).await.keys.is_empty() && shared.signing_key().is_none());
    let token = shared.mint(&user.token());
    assert_eq!(decode_header(&token).unwrap().alg, Algorithm::HS256);
    assert_eq!(ask(request(&shared, "GET", "/user").bearer_auth(token)).await.0, 200);
}

#[tokio::test]
async fn errors_come_in_the_form_that_is_asked_for() {
    let user = User::new("ann@example.com", "a-password");
    let banned = User { banned: true, ..User::new("bob@example.com", "b-password") };
    let sim = start(SupabaseConfig { users: vec![user.clone(), banned.clone()], ..SupabaseConfig::default() }).await;
    let no_uuid = sim.mint(&Token::of("ann", "ann@example.com"));
    let unknown = sim.mint(&User::new("carol@example.com", "x").token());
    for (token, status, code) in [
        (None, 401, "no_authorization"),
        (Some("nonsense".to_owned()), 403, "bad_jwt"),
        (Some(sim.mint(&Token { lifetime: -60, ..user.token() })), 403, "bad_jwt"),
        (Some(no_uuid), 400, "bad_jwt"),
        (Some(unknown), 403, "user_not_found"),
        (Some(sim.mint(&banned.token())), 403, "user_banned"),
    ] {
        let with = |request: reqwest::RequestBuilder| match &token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let older = with(request(&sim, "GET", "/user")).send().await.unwrap();
        assert_eq!((older.status().as_u16(), &older.headers()["x-sb-error-code"]), (status, &code.parse().unwrap()));
        let body: Value = older.json().await.unwrap();
        assert_eq!((&body["code"], &body["error_code"]), (&status.into(), &code.into()));
        assert!(body["msg"].is_string());
        let newer =
            with(request(&sim, "GET", "/user").header("x-supabase-api-version", "2024-01-01")).send().await.unwrap();
        assert_eq!(newer.headers()["x-supabase-api-version"], "2024-01-01");
        let body: Value = newer.json().await.unwrap();
        assert_eq!((&body["code"], body["message"].is_string()), (&code.into(), true));
    }
    let login = request(&sim, "POST", "/token?grant_type=password")
        .json(&json!({"email": banned.email, "password": banned.password}));
    assert_eq!(ask(login).await.1["error_code"], "user_banned");
    // No password and no token is kept.
    assert!(sim.requests().entries().iter().all(|it| it.body.is_null()));
}

#[tokio::test]
async fn a_user_writes_only_what_is_theirs() {
    let user = User::new("ann@example.com", "a-password");
    let sim = start(SupabaseConfig { users: vec![user.clone()], ..SupabaseConfig::default() }).await;
    let put =
        async |body: Value| ask(request(&sim, "PUT", "/user").bearer_auth(sim.mint(&user.token())).json(&body)).await;
    let (status, changed) = put(json!({"data": {"tenant_id": "theirs", "colour": "red"}})).await;
    assert_eq!((status, &changed["user_metadata"]["tenant_id"]), (200, &"theirs".into()));
    assert_eq!(put(json!({"data": {"colour": null}})).await.1["user_metadata"], json!({"tenant_id": "theirs"}));
    for refused in [json!({"app_metadata": {"tenant_id": "x"}}), json!({"data": {}, "role": "service_role"})] {
        assert_eq!(put(refused).await.1["error_code"], "not_admin");
    }
    assert_eq!(put(json!({"password": "short"})).await.1["error_code"], "weak_password");
    assert_eq!(sim.user(&user.id).unwrap()["app_metadata"], json!({"provider": "email", "providers": ["email"]}));
    // With a key for everybody, nobody administers users; with the one for servers, its bearer does.
    let list = request(&sim, "GET", "/admin/users").bearer_auth(sim.mint(&user.token()));
    assert_eq!(ask(list).await.1["error_code"], "not_admin");
    assert_eq!(ask(request(&sim, "GET", "/admin/users").bearer_auth(SECRET)).await.0, 200);
}

#[tokio::test]
async fn the_gateway_asks_for_a_key() {
    let sim = start(SupabaseConfig::default()).await;
    let root = sim.base_url() + "/rest/v1/";
    assert_eq!(ask(client().get(&root)).await.1["message"], "No API key found in request");
    assert_eq!(ask(client().get(&root).header("apikey", "sb_wrong")).await.1["message"], "Invalid API key");
    assert_eq!(ask(client().get(&root).header("apikey", KEY).bearer_auth(KEY)).await.1["swagger"], "2.0");
    assert_eq!(ask(client().get(&root).header("apikey", KEY).bearer_auth("no")).await.0, 401);
    // The keys of older projects are tokens of the shared secret.
    let mut anon =
        Token { signer: Signer::Secret, issuer: Some("supabase".into()), role: "anon".into(), ..Token::of("", "") };
    anon.claims.insert("sub".into(), Value::Null);
    let anon = sim.mint(&anon);
    assert_eq!(ask(client().get(&root).header("apikey", &anon).bearer_auth(&anon)).await.0, 200);
    assert_eq!(ask(request(&sim, "GET", "/health")).await.1["name"], "GoTrue");
    assert_eq!(ask(client().get(sim.base_url() + "/nothing").header("apikey", KEY)).await.0, 404);
}

#[tokio::test]
async fn scripted_faults_strike_keys_and_requests_apart() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let config = SupabaseConfig {
        jwks_script: Script::new([refuse(500, None), Some(Fault::Hang)]),
        auth_script: Script::new([refuse(429, Some(5)), Some(Fault::GarbageAfter(Duration::ZERO))]),
        ..SupabaseConfig::default()
    };
    let sim = start(config).await;
    let keys = sim.base_url() + "/auth/v1/.well-known/jwks.json";
    assert_eq!(ask(client().get(&keys)).await.0, 500);
    assert!(client().get(&keys).timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    assert_eq!(jwks(&sim).await.keys.len(), 1);
    let limited = request(&sim, "GET", "/health").send().await.unwrap();
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"5".parse().unwrap()));
    assert_eq!(limited.json::<Value>().await.unwrap()["error_code"], "over_request_rate_limit");
    assert_eq!(ask(request(&sim, "GET", "/health")).await, (200, Value::Null));
    assert_eq!(ask(request(&sim, "GET", "/health")).await.0, 200);
}
