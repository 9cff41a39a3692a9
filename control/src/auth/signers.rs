//! For tests: keys that sign, a project that publishes some of them, and a clock that is moved by hand.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};
use trunkline_base::{Clock, Secret, SystemClock};

use super::{ApiKeys, Auth, FetchedKeys, Jwks, KeySource, KeySourceError, TokenKeys};
use crate::{Control, testing::Api};

pub(super) const ISSUER: &str = "https://project.example.com/auth/v1";
pub(super) const SECRET: &str = "the project's own secret, of more than thirty-two bytes";

/// A key that signs, with its id.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) id: &'static str,
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
}

impl Signer {
    pub(super) fn ec(id: &'static str, pem: &[u8]) -> Self {
        Self { id, algorithm: Algorithm::ES256, key: EncodingKey::from_ec_pem(pem).unwrap() }
    }

    pub(super) fn rsa(id: &'static str, pem: &[u8]) -> Self {
        Self { id, algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_pem(pem).unwrap() }
    }

    pub(super) fn shared(secret: &[u8]) -> Self {
        Self { id: "shared", algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) }
    }

    /// A token that names this key.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_as(self.id, claims)
    }

    /// A token that names another key.
    pub(super) fn sign_as(&self, id: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(id.to_owned());
        self.sign_with(&header, claims)
    }

    pub(super) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }

    /// As a project publishes it.
    pub(super) fn published(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = self.id.into();
        jwk["use"] = "sig".into();
        jwk["key_ops"] = json!(["verify"]);
        jwk
    }
}

/// A project's published keys, for a test to change.
#[derive(Debug, Clone)]
pub(super) struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    answer: Mutex<Answer>,
    /// Each fetch takes one.
    permits: Semaphore,
}

#[derive(Debug)]
struct Answer {
    body: Result<Vec<u8>, String>,
    max_age: Option<Duration>,
    fetches: usize,
}

impl Source {
    /// One that answers at once.
    pub(super) fn new(keys: &[Value]) -> Self {
        let source = Self::held(keys);
        source.release(Semaphore::MAX_PERMITS);
        source
    }

    /// One that answers nobody until it is let.
    pub(super) fn held(keys: &[Value]) -> Self {
        let answer = Answer { body: Ok(Vec::new()), max_age: None, fetches: 0 };
        let source = Self(Arc::new(Inner { answer: Mutex::new(answer), permits: Semaphore::new(0) }));
        source.publish(keys);
        source
    }

    pub(super) fn release(&self, fetches: usize) {
        self.0.permits.add_permits(fetches);
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.answer(|answer| answer.body = Ok(json!({ "keys": keys }).to_string().into_bytes()));
    }

    pub(super) fn publish_body(&self, body: &str) {
        self.answer(|answer| answer.body = Ok(body.into()));
    }

    pub(super) fn fail(&self) {
        self.answer(|answer| answer.body = Err("connection refused".into()));
    }

    pub(super) fn max_age(&self, seconds: u64) {
        self.answer(|answer| answer.max_age = Some(Duration::from_secs(seconds)));
    }

    pub(super) fn fetches(&self) -> usize {
        self.answer(|answer| answer.fetches)
    }

    fn answer<T>(&self, with: impl FnOnce(&mut Answer) -> T) -> T {
        with(&mut self.0.answer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeySource for Source {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedKeys, KeySourceError>> {
        Box::pin(async {
            self.answer(|answer| answer.fetches += 1);
            self.0.permits.acquire().await.unwrap().forget();
            self.answer(|answer| match &answer.body {
                Ok(body) => Ok(FetchedKeys { body: body.clone(), max_age: answer.max_age }),
                Err(cause) => Err(KeySourceError(cause.clone())),
            })
        })
    }
}

/// Monotonic time that stands still until it is moved.
#[derive(Debug, Clone)]
pub(super) struct HandClock(Arc<Mutex<Instant>>);

impl HandClock {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(SystemClock.now())))
    }

    pub(super) fn forward(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemClock.wall()
    }
}

/// An API for the users of a project with these published keys, and of its secret if that is wanted.
pub(super) async fn api_of(source: &Source, clock: &HandClock, with_secret: bool) -> Api {
    let api = Api::new().await;
    let shared = if with_secret { TokenKeys::shared(&Secret::new(SECRET)) } else { TokenKeys::default() };
    let keys = shared.and_project(ISSUER, Jwks::new(source.clone(), clock.clone()));
    let auth = Auth { keys, api_keys: ApiKeys::new(&Secret::new(SECRET)), auto_provision: false };
    let control = Control { auth: Arc::new(auth), ..api.control.clone() };
    api.with_control(control)
}
