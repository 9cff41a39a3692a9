//! The API through its router, on a database of its own.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::Value;
use tower::ServiceExt;
use trunkline_base::{Clock, Secret, SystemClock, guard::AllowedRanges};
use uuid::Uuid;

use super::{Events, ScratchDb, ScriptedVendors};
use crate::{
    Control,
    auth::{ApiKeys, Auth, Role, TokenKeys, development_token},
    db::Db,
    http::{Edge, finish},
    limits::{Limiter, Rates},
    live::Hub,
    tenant::TenantId,
    vault::Vault,
    vendors::Vendors,
};

const SECRET: &str = "a secret of more than thirty-two bytes, for tests";
const KEY_SECRET: &str = "another secret of more than thirty-two bytes";

/// An API with nobody in it yet.
#[derive(Debug)]
pub struct Api {
    /// Its database.
    pub scratch: ScratchDb,
    /// What its handlers share.
    pub control: Control,
    /// Its vendors.
    pub vendors: Arc<ScriptedVendors>,
    router: Router,
}

/// Somebody with a token.
#[derive(Debug, Clone)]
pub struct User {
    /// Their id.
    pub id: Uuid,
    /// Their tenant.
    pub tenant: TenantId,
    /// Their token.
    pub token: Secret,
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null if it is no JSON.
    pub body: Value,
    /// Its body as it came.
    pub bytes: Bytes,
}

impl Answer {
    /// What is in the envelope. Fails the test if the request did.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(self.status.is_success(), "{}: {:#}", self.status, self.body);
        &self.body["data"]
    }

    /// The `error_code`, with its status.
    pub fn error(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["error_code"].as_str().unwrap_or_default())
    }
}

/// What handlers share, on this database, with a vault of one key. Whoever can sign for it is a [`user`].
pub fn control(db: Db, vendors: Arc<dyn Vendors>) -> Control {
    Control {
        db,
        auth: Arc::new(Auth {
            keys: TokenKeys::shared(&Secret::new(SECRET)),
            api_keys: ApiKeys::new(&Secret::new(KEY_SECRET)),
            auto_provision: false,
        }),
        vault: Arc::new(Vault::new(&Vault::generate_key()).expect("a new key is a key")),
        vendors,
        public_url: "https://voice.example.com".into(),
        draining: Arc::default(),
        live: Hub::alone(),
        edge: Arc::new(edge(rates(u32::MAX))),
        redis: None,
        supabase: None,
    }
}

/// A user whom the server's metadata make a member of a tenant, for an hour, with this role unless they are its first.
pub fn user(tenant: TenantId, role: Role) -> User {
    let id = Uuid::now_v7();
    let now = SystemClock.wall().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let token = development_token(&Secret::new(SECRET), id, tenant, role, now, now + 3600);
    User { id, tenant, token }
}

impl Api {
    /// On a new database, with a vault of one key.
    pub async fn new() -> Self {
        let scratch = ScratchDb::new().await;
        let vendors = Arc::new(ScriptedVendors::default());
        let control = control(scratch.db.clone(), vendors.clone());
        let router = router(&control);
        Self { scratch, control, vendors, router }
    }

    /// A user of a new tenant, whose owner they are.
    pub fn owner(&self) -> User {
        self.user(TenantId::new(Uuid::now_v7()), Role::Owner)
    }

    /// A user whom the server's metadata make a member of a tenant, with this role unless they are its first.
    pub fn user(&self, tenant: TenantId, role: Role) -> User {
        user(tenant, role)
    }

    /// A token with these claims, signed with the secret that is expected.
    pub fn sign(&self, claims: &Value) -> Secret {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        Secret::new(encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims can be signed"))
    }

    /// The same routes with so many requests a minute.
    #[must_use]
    pub fn with_rates(self, rates: Rates) -> Self {
        let control = Control { edge: Arc::new(edge(rates)), ..self.control.clone() };
        self.with_control(control)
    }

    /// The same routes over another database, or with other vendors.
    #[must_use]
    pub fn with_control(self, control: Control) -> Self {
        let router = router(&control);
        Self { control, router, ..self }
    }

    /// The routes as they are served.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The same routes on another node.
    pub fn node(&self, live: Hub) -> Router {
        router(&Control { live, ..self.control.clone() })
    }

    /// A request with a body of JSON, unless that is null.
    pub async fn send(&self, user: &User, method: Method, path: &str, body: Value) -> Answer {
        self.send_with(user, method, path, &[], body).await
    }

    /// One with more headers.
    pub async fn send_with(
        &self,
        user: &User,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", user.token.expose()));
        for &(name, value) in headers {
            builder = builder.header(name, value);
        }
        let request = if body.is_null() {
            builder.body(Body::empty())
        } else {
            builder.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))
        };
        self.request(request.expect("a request")).await
    }

    /// Reads something.
    pub async fn get(&self, user: &User, path: &str) -> Answer {
        self.send(user, Method::GET, path, Value::Null).await
    }

    /// Makes something.
    pub async fn post(&self, user: &User, path: &str, body: Value) -> Answer {
        self.send(user, Method::POST, path, body).await
    }

    /// Changes something.
    pub async fn patch(&self, user: &User, path: &str, body: Value) -> Answer {
        self.send(user, Method::PATCH, path, body).await
    }

    /// Removes something.
    pub async fn delete(&self, user: &User, path: &str) -> Answer {
        self.send(user, Method::DELETE, path, Value::Null).await
    }

    /// A request's status alone: for an answer that does not end.
    pub async fn status(&self, request: Request<Body>) -> StatusCode {
        self.router.clone().oneshot(request).await.expect("a router answers").status()
    }

    /// Opens a stream of events. Fails the test if that is refused.
    pub async fn listen(&self, user: &User, path: &str, last: Option<&str>) -> Events {
        listen_at(self.router.clone(), user, path, last).await
    }

    /// What any request is answered, its body unread.
    pub async fn response(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.expect("a router answers")
    }

    /// Any request. What is answered with a stream of events is not waited for to its end.
    pub async fn request(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.response(request).await.into_parts();
        if parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
            return Answer { status: parts.status, headers: parts.headers, bytes: Bytes::new(), body: Value::Null };
        }
        let bytes = to_bytes(body, 16 * 1024 * 1024).await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body, bytes }
    }
}

/// Opens a stream of events of these routes. Fails the test if that is refused.
pub async fn listen_at(router: Router, user: &User, path: &str, last: Option<&str>) -> Events {
    let mut builder =
        Request::builder().uri(path).header(header::AUTHORIZATION, format!("Bearer {}", user.token.expose()));
    if let Some(last) = last {
        builder = builder.header("last-event-id", last);
    }
    let request = builder.body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("a router answers");
    assert_eq!(response.status(), 200, "{path}");
    Events::of(response.into_body().into_data_stream())
}

fn router(control: &Control) -> Router {
    finish(Router::from(crate::router()), control).with_state(control.clone())
}

/// No page of a browser's, no proxy.
fn edge(rates: Rates) -> Edge {
    let limiter = Limiter::new(rates, None);
    Edge { limiter, trusted_proxies: AllowedRanges::none(), cors_origins: Vec::new() }
}

/// The same for tenants and addresses.
fn rates(rate: u32) -> Rates {
    let rate = NonZeroU32::new(rate).expect("a rate is not 0");
    Rates { tenant: rate, address: rate }
}
