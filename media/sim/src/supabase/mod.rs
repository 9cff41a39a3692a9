//! A Supabase project: Auth with real signing keys, Storage, and the root of the Data API, behind one gateway that asks for an API key.

mod auth;
mod content;
mod error;
mod keys;
mod multipart;
mod objects;
mod signed;
mod storage;
mod users;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};

pub use keys::{Signer, Signing, Token};
pub use users::User;

pub use crate::front::Exchange;
use crate::{
    fault::Script,
    front::{self, Front},
    log::Log,
    server::{SimServer, TlsIdentity},
};
use keys::Keys;
use objects::Store;
use users::Users;

/// How the project behaves.
#[derive(Debug, Clone)]
pub struct SupabaseConfig {
    /// The key for everybody.
    pub publishable_key: String,
    /// The key for servers, which may do everything.
    pub secret_key: String,
    /// The shared secret that tokens can be signed with too.
    pub jwt_secret: String,
    /// What new tokens are signed with.
    pub signing: Signing,
    /// Where tokens say they are from; its own address with `/auth/v1` if none.
    pub issuer: Option<String>,
    /// The users there are from the start.
    pub users: Vec<User>,
    /// The buckets there are from the start, none of them public.
    pub buckets: Vec<String>,
    /// What policies let users do in Storage.
    pub user_access: UserAccess,
    /// The largest upload, in bytes.
    pub largest_upload: u64,
    /// How long every answer takes at least.
    pub latency: Duration,
    /// The fate of each request to Auth, but for keys. Times count from its arrival; `ErrorAfter` is HTTP 400 with that code.
    pub auth_script: Script,
    /// The fate of each request for keys. Times count from its arrival.
    pub jwks_script: Script,
    /// The fate of each request to Storage. `Refuse` takes the `statusCode`, which the HTTP status does not tell. Times count from its
    /// arrival; `ErrorAfter` is a 400 with that code.
    pub storage_script: Script,
}

/// What policies let users do in Storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserAccess {
    /// There are no policies.
    #[default]
    Nothing,
    /// Everything below the folder that `app_metadata.tenant_id` names.
    TenantFolder,
    /// Everything.
    Everything,
}

impl Default for SupabaseConfig {
    fn default() -> Self {
        Self {
            publishable_key: "sb_publishable_simulated".into(),
            secret_key: "sb_secret_simulated".into(),
            jwt_secret: "simulated-supabase-jwt-secret-known-to-everybody".into(),
            signing: Signing::default(),
            issuer: None,
            users: Vec::new(),
            buckets: Vec::new(),
            user_access: UserAccess::default(),
            largest_upload: 50 * 1024 * 1024,
            latency: Duration::ZERO,
            auth_script: Script::default(),
            jwks_script: Script::default(),
            storage_script: Script::default(),
        }
    }
}

/// A running project.
pub struct SupabaseSim {
    server: SimServer,
    shared: Arc<Shared>,
    log: Log<Exchange>,
}

impl SupabaseSim {
    /// Serves on `addr` (port 0 picks a free one).
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: SupabaseConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let front = Front::new(config.latency, |path| path.starts_with("/auth/"));
        let log = front.log.clone();
        let (mut users, mut store) = (Users::default(), Store::default());
        for user in &config.users {
            users.add(user.clone());
        }
        for bucket in &config.buckets {
            // Named twice, it is there all the same.
            let _ = store.create_bucket(bucket, &Value::Null);
        }
        let keys = Keys::new(config.signing, &config.jwt_secret);
        let (users, store) = (Mutex::new(users), Mutex::new(store));
        let shared = Arc::new(Shared { config, keys, users, store, address: OnceLock::new() });
        let router = Router::new()
            .route("/rest/v1/", get(data_api))
            .merge(auth::router(&shared))
            .merge(storage::router(&shared))
            .fallback(async || (StatusCode::NOT_FOUND, Json(json!({"message": "no Route matched with those values"}))))
            .layer(from_fn_with_state(shared.clone(), gateway))
            .layer(from_fn_with_state(front, front::enter))
            .with_state(shared.clone());
        let server = SimServer::start(addr, router, tls).await?;
        let _ = shared.address.set(server.http_url());
        Ok(Self { server, shared, log })
    }

    /// Its listener.
    pub fn server(&self) -> &SimServer {
        &self.server
    }

    /// What clients call the project's address: `http://host:port`.
    pub fn base_url(&self) -> String {
        self.server.http_url()
    }

    /// What its tokens are from.
    pub fn issuer(&self) -> String {
        self.shared.issuer()
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> &Log<Exchange> {
        &self.log
    }

    /// A token as it is asked for, healthy or not.
    pub fn mint(&self, token: &Token) -> String {
        self.shared.mint(token)
    }

    /// The id of the key that signs; none, where the shared secret does.
    pub fn signing_key(&self) -> Option<String> {
        self.shared.keys.current()
    }

    /// Makes a new key, which signs from now on; the others stay listed. Tells its id.
    pub fn rotate_keys(&self) -> String {
        self.shared.keys.rotate()
    }

    /// Takes a key off the list.
    pub fn revoke_key(&self, kid: &str) {
        self.shared.keys.revoke(kid);
    }

    /// A user as the API tells of them, by their id.
    pub fn user(&self, id: &str) -> Option<Value> {
        self.shared.users().describe(id)
    }

    /// An object's content.
    pub fn object(&self, bucket: &str, path: &str) -> Option<Vec<u8>> {
        let store = self.shared.store();
        store.bucket(bucket).ok()?.object(path).ok().map(|object| object.content.to_vec())
    }
}

struct Shared {
    config: SupabaseConfig,
    keys: Keys,
    users: Mutex<Users>,
    store: Mutex<Store>,
    /// Where it listens, once it does.
    address: OnceLock<String>,
}

/// Who asks.
enum Role {
    /// Somebody with the key for everybody.
    Anon,
    /// A user, by these claims.
    User(Map<String, Value>),
    /// A server, which may do everything.
    Service,
}

impl Shared {
    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issuer(&self) -> String {
        let own = || format!("{}/auth/v1", self.address.get().map_or("", String::as_str));
        self.config.issuer.clone().unwrap_or_else(own)
    }

    fn mint(&self, token: &Token) -> String {
        self.keys.mint(token, &self.issuer())
    }

    /// Who asks; none, if a token came along that is not valid. A key may come as a token too.
    fn role(&self, headers: &HeaderMap) -> Option<Role> {
        let key = headers.get("apikey").and_then(|key| key.to_str().ok());
        let of_key = |key: &str| match key {
            key if key == self.config.secret_key => Some(Role::Service),
            key if key == self.config.publishable_key => Some(Role::Anon),
            _ => None,
        };
        match bearer(headers) {
            None => of_key(key?),
            Some(token) => of_key(token).or_else(|| {
                let claims = self.keys.verify(token)?;
                match claims.get("role").and_then(Value::as_str) {
                    Some("service_role") => Some(Role::Service),
                    Some("anon") => Some(Role::Anon),
                    _ => Some(Role::User(claims)),
                }
            }),
        }
    }

    /// Whether a key opens the gateway: one of the two, or a token of the older kind.
    fn opens(&self, key: &str) -> bool {
        key == self.config.publishable_key
            || key == self.config.secret_key
            || self.keys.verify(key).is_some_and(|claims| claims.get("iss").is_some_and(|iss| iss == "supabase"))
    }
}

/// What is open to everybody.
const OPEN: [&str; 5] = [
    "/auth/v1/.well-known/",
    "/storage/v1/status",
    "/storage/v1/object/public/",
    "/storage/v1/object/sign/",
    "/storage/v1/object/upload/sign/",
];

/// Runs before everything else: the API key, which goes without saying where a URL is signed or public.
async fn gateway(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let key = request.headers().get("apikey").map(|key| key.to_str().unwrap_or_default());
    let open = OPEN.iter().any(|path| request.uri().path().starts_with(path));
    match key {
        Some(key) if !shared.opens(key) => {
            (StatusCode::UNAUTHORIZED, Json(json!({"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."})))
                .into_response()
        }
        None if !open => {
            (StatusCode::UNAUTHORIZED, Json(json!({"message": "No API key found in request", "hint": "No `apikey` request header or url param was found."})))
                .into_response()
        }
        _ => next.run(request).await,
    }
}

/// The Data API describes itself; it has no tables here.
async fn data_api(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if shared.role(&headers).is_none() {
        let error = json!({"code": "PGRST301", "message": "JWT could not be verified", "details": null, "hint": null});
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    let about = json!({"title": "standard public schema", "version": "14.1", "description": ""});
    Json(json!({"swagger": "2.0", "info": about, "basePath": "/", "paths": {}, "definitions": {}})).into_response()
}

/// The bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
