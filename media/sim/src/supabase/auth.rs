//! `/auth/v1/`: the list of keys, logging in and out, the user's own record, and the administration of all users.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header::CACHE_CONTROL},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use super::{
    Role, Shared,
    error::AuthError,
    keys::Token,
    users::{Changes, User},
};
use crate::{dates::unix_now, fault::Fault, http_fault};

/// How long a token lives, in seconds.
const LIFETIME: i64 = 3_600;
/// The shortest password, in characters.
const SHORTEST_PASSWORD: usize = 6;

type Answer = Result<Response, AuthError>;
type Parameters = BTreeMap<String, String>;

pub(super) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/auth/v1/health", get(health))
        .route("/auth/v1/settings", get(settings))
        .route("/auth/v1/token", post(token))
        .route("/auth/v1/user", get(read_user).put(change_user))
        .route("/auth/v1/logout", post(log_out))
        .route("/auth/v1/admin/users", get(list_users).post(create_user))
        .route("/auth/v1/admin/users/{id}", get(admin_read).put(admin_change).delete(admin_delete))
        .route_layer(from_fn_with_state(shared.clone(), enter))
        .merge(
            Router::new()
                .route("/auth/v1/.well-known/jwks.json", get(jwks))
                .route_layer(from_fn_with_state(shared.clone(), enter_jwks)),
        )
}

async fn enter(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    match shared.config.auth_script.next() {
        None => next.run(request).await,
        Some(Fault::Refuse { status, retry_after }) => AuthError::refusal(headers, status, retry_after).into_response(),
        Some(Fault::ErrorAfter(after, code)) => {
            let error = AuthError::new(headers, 400, &code, "the script says so");
            tokio::time::sleep(after).await;
            error.into_response()
        }
        Some(fault) => http_fault::answer(fault).await,
    }
}

async fn enter_jwks(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.config.jwks_script.next() {
        None => next.run(request).await,
        Some(fault) => http_fault::answer(fault).await,
    }
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    ([(CACHE_CONTROL, "public, max-age=600")], Json(shared.keys.jwks())).into_response()
}

async fn health() -> Response {
    let about = "GoTrue is a user registration and authentication API";
    Json(json!({"version": "v2.200.0", "name": "GoTrue", "description": about})).into_response()
}

async fn settings() -> Response {
    Json(json!({"external": {"email": true, "phone": false, "anonymous_users": false}, "disable_signup": false, "mailer_autoconfirm": true}))
        .into_response()
}

async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    body: Bytes,
) -> Answer {
    let body = object(&headers, &body)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut users = shared.users();
    let (user, session, refresh_token) = match query.get("grant_type").map(String::as_str) {
        Some("password") => {
            let user = users.by_password(text("email"), text("password")).cloned();
            let user =
                user.ok_or_else(|| AuthError::new(&headers, 400, "invalid_credentials", "Invalid login credentials"))?;
            let (session, refresh_token) = users.begin(&user.id);
            (user, session, refresh_token)
        }
        Some("refresh_token") => {
            let gone = || {
                AuthError::new(
                    &headers,
                    400,
                    "refresh_token_not_found",
                    "Invalid Refresh Token: Refresh Token Not Found",
                )
            };
            let (user, session, refresh_token) = users.refresh(text("refresh_token")).ok_or_else(gone)?;
            (users.get(&user).cloned().ok_or_else(gone)?, session, refresh_token)
        }
        _ => return Err(AuthError::new(&headers, 400, "validation_failed", "unsupported_grant_type")),
    };
    if user.banned {
        return Err(AuthError::new(&headers, 400, "user_banned", "User is banned"));
    }
    let described = users.describe(&user.id);
    let access_token = shared.mint(&Token { session: Some(session), lifetime: LIFETIME, ..user.token() });
    Ok(Json(json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": LIFETIME,
        "expires_at": unix_now().saturating_add_signed(LIFETIME),
        "refresh_token": refresh_token,
        "user": described,
    }))
    .into_response())
}

async fn read_user(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    let (user, _) = shared.signed_in(&headers)?;
    Ok(Json(shared.users().describe(&user)).into_response())
}

async fn change_user(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let (user, _) = shared.signed_in(&headers)?;
    let body = object(&headers, &body)?;
    // What only the server may write is refused, however it is spelt.
    if body.contains_key("app_metadata") || body.contains_key("raw_app_meta_data") || body.contains_key("role") {
        return Err(AuthError::new(&headers, 403, "not_admin", "User not allowed to change app_metadata"));
    }
    let changes = Changes { user_metadata: map(&body, "data"), ..changes(&headers, &body)? };
    Ok(Json(shared.users().change(&user, changes)).into_response())
}

async fn log_out(State(shared): State<Arc<Shared>>, headers: HeaderMap, Query(query): Query<Parameters>) -> Answer {
    let (user, session) = shared.signed_in(&headers)?;
    let scope = query.get("scope").map_or("global", String::as_str);
    if !matches!(scope, "global" | "local" | "others") {
        return Err(AuthError::new(&headers, 400, "validation_failed", "Unsupported logout scope"));
    }
    shared.users().log_out(&user, &session, scope);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list_users(State(shared): State<Arc<Shared>>, headers: HeaderMap, Query(query): Query<Parameters>) -> Answer {
    shared.admin(&headers)?;
    let whole =
        |name: &str, default| query.get(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(default).max(1);
    let (page, size) = (whole("page", 1), whole("per_page", 50));
    let users: Vec<Value> = shared.users().all().skip((page - 1) * size).take(size).collect();
    Ok(Json(json!({"users": users, "aud": "authenticated"})).into_response())
}

async fn create_user(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    shared.admin(&headers)?;
    let body = object(&headers, &body)?;
    let changes = changes(&headers, &body)?;
    let email = changes.email.as_deref().filter(|email| email.contains('@'));
    let email = email.ok_or_else(|| {
        AuthError::new(&headers, 400, "validation_failed", "Cannot create a user without either an email or phone")
    })?;
    let user = User::new(email, changes.password.as_deref().unwrap_or_default());
    let id = user.id.clone();
    let mut users = shared.users();
    if !users.add(user) {
        let message = "A user with this email address has already been registered";
        return Err(AuthError::new(&headers, 422, "email_exists", message));
    }
    let metadata = Changes {
        user_metadata: map(&body, "user_metadata"),
        app_metadata: map(&body, "app_metadata"),
        ..Changes::default()
    };
    Ok(Json(users.change(&id, metadata)).into_response())
}

async fn admin_read(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    shared.admin(&headers)?;
    let user = shared.users().describe(&id).ok_or_else(|| not_found(&headers))?;
    Ok(Json(user).into_response())
}

async fn admin_change(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    shared.admin(&headers)?;
    let body = object(&headers, &body)?;
    let banned = body.get("ban_duration").and_then(Value::as_str).map(|duration| duration != "none");
    let changes = Changes {
        user_metadata: map(&body, "user_metadata"),
        app_metadata: map(&body, "app_metadata"),
        banned,
        ..changes(&headers, &body)?
    };
    let user = shared.users().change(&id, changes).ok_or_else(|| not_found(&headers))?;
    Ok(Json(user).into_response())
}

async fn admin_delete(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    shared.admin(&headers)?;
    if shared.users().remove(&id) { Ok(Json(json!({})).into_response()) } else { Err(not_found(&headers)) }
}

impl Shared {
    /// The user whose token came along, and its session.
    fn signed_in(&self, headers: &HeaderMap) -> Result<(String, String), AuthError> {
        let token = super::bearer(headers).ok_or_else(|| AuthError::refusal(headers, 401, None))?;
        let claims = self.keys.verify(token).ok_or_else(|| AuthError::bad_jwt(headers))?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (user, session) = (text("sub"), text("session_id"));
        if uuid::Uuid::parse_str(&user).is_err() {
            return Err(AuthError::new(headers, 400, "bad_jwt", "invalid claim: sub claim must be a UUID"));
        }
        let users = self.users();
        let found = users.get(&user).ok_or_else(|| {
            AuthError::new(headers, 403, "user_not_found", "User from sub claim in JWT does not exist")
        })?;
        if found.banned {
            return Err(AuthError::new(headers, 403, "user_banned", "User is banned"));
        }
        if users.has_ended(&session) {
            let message = "Session from session_id claim in JWT does not exist";
            return Err(AuthError::new(headers, 403, "session_not_found", message));
        }
        Ok((user, session))
    }

    fn admin(&self, headers: &HeaderMap) -> Result<(), AuthError> {
        match self.role(headers) {
            Some(Role::Service) => Ok(()),
            Some(Role::Anon | Role::User(_)) => Err(AuthError::new(headers, 403, "not_admin", "User not allowed")),
            None => Err(AuthError::bad_jwt(headers)),
        }
    }
}

fn not_found(headers: &HeaderMap) -> AuthError {
    AuthError::new(headers, 404, "user_not_found", "User not found")
}

fn object(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, AuthError> {
    serde_json::from_slice(body)
        .map_err(|_| AuthError::new(headers, 400, "bad_json", "Could not read request body as JSON object"))
}

fn map(body: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    body.get(name).and_then(Value::as_object).cloned()
}

/// What every user may change.
fn changes(headers: &HeaderMap, body: &Map<String, Value>) -> Result<Changes, AuthError> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let (email, password) = (text("email"), text("password"));
    if password.as_ref().is_some_and(|password| password.chars().count() < SHORTEST_PASSWORD) {
        let message = format!("Password should be at least {SHORTEST_PASSWORD} characters.");
        return Err(AuthError::new(headers, 422, "weak_password", &message));
    }
    Ok(Changes { email, password, ..Changes::default() })
}
