//! `/services/oauth2/`: tokens for client credentials, for assertions and for refresh tokens; revocation; whose a token is.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous::insecure_decode_claims, decode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use url::form_urlencoded;

use super::{
    Shared,
    config::App,
    data::session_of,
    error::{ApiError, OAuthError},
};
use crate::{dates::unix_now, fault::Fault, http_fault};

/// The only audiences of assertions, beside the organization's own address.
const AUDIENCES: [&str; 2] = ["https://login.salesforce.com", "https://test.salesforce.com"];
/// How far in the future an assertion may end, and how far the clocks may be apart; seconds.
const LONGEST_ASSERTION: u64 = 180;
const LEEWAY: u64 = 30;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/services/oauth2/token", post(token))
        .route("/services/oauth2/revoke", post(revoke))
        .route("/services/oauth2/userinfo", get(userinfo))
}

type Form = BTreeMap<String, String>;

async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    match shared.config.token_script.next() {
        None => grant(&shared, &headers, &body).map_or_else(IntoResponse::into_response, |it| Json(it).into_response()),
        Some(Fault::Refuse { status, retry_after }) => OAuthError::refusal(status, retry_after).into_response(),
        Some(Fault::ErrorAfter(after, error)) => {
            tokio::time::sleep(after).await;
            OAuthError::new(&error, "the script says so").into_response()
        }
        Some(fault) => http_fault::answer(fault).await,
    }
}

fn grant(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
    let form = form(headers, body)?;
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    match field("grant_type") {
        Some("client_credentials") => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            if host.starts_with("login.") || host.starts_with("test.") {
                return Err(OAuthError::grant("request not supported on this domain"));
            }
            let app = authenticate(shared, headers, &form, true)?;
            let user = app.run_as.as_ref().ok_or_else(|| OAuthError::grant("no client credentials user enabled"))?;
            Ok(issue(shared, user, "api", None))
        }
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            let assertion =
                field("assertion").ok_or_else(|| OAuthError::new("invalid_request", "assertion is required"))?;
            let user = check_assertion(shared, assertion)?;
            Ok(issue(shared, &user, "api", None))
        }
        Some("refresh_token") => {
            let app = authenticate(shared, headers, &form, false)?;
            let token = field("refresh_token").unwrap_or_default();
            let next = shared.config.rotation.then(|| format!("5Aep{}", uuid::Uuid::new_v4().simple()));
            let user = shared.state().refresh(&app.client_id, token, next.clone());
            let user = user.ok_or_else(|| OAuthError::grant("expired access/refresh token"))?;
            Ok(issue(shared, &user, "refresh_token api", next))
        }
        Some(_) => Err(OAuthError::new("unsupported_grant_type", "grant type not supported")),
        None => Err(OAuthError::new("unsupported_grant_type", "grant_type is required")),
    }
}

fn form(headers: &HeaderMap, body: &[u8]) -> Result<Form, OAuthError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(OAuthError::new("invalid_request", "content type must be application/x-www-form-urlencoded"));
    }
    Ok(form_urlencoded::parse(body).into_owned().collect())
}

/// The app that asks, by the form or by Basic authentication. `strictly`: its secret has to come along.
fn authenticate<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    form: &Form,
    strictly: bool,
) -> Result<&'a App, OAuthError> {
    let basic = basic(headers);
    let (id, secret) = match &basic {
        Some((id, secret)) => (Some(id), Some(secret)),
        None => (form.get("client_id"), form.get("client_secret")),
    };
    let app = shared.config.apps.iter().find(|app| id.is_some_and(|id| *id == app.client_id));
    let app = app.ok_or_else(|| OAuthError::new("invalid_client_id", "client identifier invalid"))?;
    match secret {
        Some(secret) if *secret == app.client_secret => Ok(app),
        None if !strictly => Ok(app),
        _ => Err(OAuthError::client()),
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: String,
    /// A number, or the same number as a string.
    #[serde(default)]
    exp: Value,
}

/// Checks an assertion and tells whom it speaks for.
fn check_assertion(shared: &Shared, assertion: &str) -> Result<String, OAuthError> {
    let invalid = |description: &str| OAuthError::new("invalid_assertion", description);
    let claims: Claims = insecure_decode_claims(assertion).map_err(|_| invalid("invalid assertion"))?;
    let app = shared.config.apps.iter().find(|app| app.client_id == claims.iss);
    let app = app.ok_or_else(|| OAuthError::new("invalid_client_id", "client identifier invalid"))?;
    let key = app.certificate.as_ref().and_then(|pem| DecodingKey::from_rsa_pem(pem.as_bytes()).ok());
    let key = key.ok_or_else(|| invalid("the app has no certificate"))?;
    let mut rules = Validation::new(Algorithm::RS256);
    (rules.validate_exp, rules.validate_aud) = (false, false);
    rules.required_spec_claims.clear();
    decode::<Claims>(assertion, &key, &rules).map_err(|_| invalid("invalid assertion"))?;
    let exp = claims.exp.as_u64().or_else(|| claims.exp.as_str()?.parse().ok());
    let exp = exp.ok_or_else(|| invalid("exp is required"))?;
    let now = unix_now();
    if exp + LEEWAY < now {
        return Err(invalid("assertion is expired"));
    }
    if exp > now + LONGEST_ASSERTION + LEEWAY {
        return Err(invalid("exp is too far in the future"));
    }
    if !AUDIENCES.contains(&claims.aud.as_str()) && claims.aud != shared.instance_url() {
        return Err(OAuthError::grant("audience is invalid"));
    }
    if app.approved.contains(&claims.sub) {
        Ok(claims.sub)
    } else {
        Err(OAuthError::grant("user hasn't approved this consumer"))
    }
}

/// Gives out an access token.
fn issue(shared: &Shared, user: &str, scope: &str, refresh_token: Option<String>) -> Value {
    let token = shared.state().open(user);
    let (id, issued_at) = (shared.identity_url(), (unix_now() * 1_000).to_string());
    let mut answer = json!({
        "access_token": token,
        "signature": signature(&id, &issued_at),
        "scope": scope,
        "instance_url": shared.instance_url(),
        "id": id,
        "token_type": "Bearer",
        "issued_at": issued_at,
        "token_format": "opaque",
    });
    if let Some(refresh) = refresh_token {
        answer["refresh_token"] = refresh.into();
    }
    answer
}

/// The vendor signs with the app's secret; nobody here checks it.
fn signature(id: &str, issued_at: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(b"simulated").map(|mac| mac.chain_update(id).chain_update(issued_at));
    mac.map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default()
}

async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = match form(&headers, &body) {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    if shared.state().revoke(form.get("token").map_or("", String::as_str)) {
        StatusCode::OK.into_response()
    } else {
        OAuthError::new("invalid_token", "invalid token").into_response()
    }
}

async fn userinfo(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    match session_of(&shared, &headers) {
        Ok(user) => Json(json!({
            "sub": shared.identity_url(),
            "user_id": super::USER_ID,
            "organization_id": super::ORGANIZATION_ID,
            "preferred_username": user,
            "active": true,
        }))
        .into_response(),
        Err(_) => ApiError::new(403, "Bad_OAuth_Token", "Bad_OAuth_Token").into_response(),
    }
}
