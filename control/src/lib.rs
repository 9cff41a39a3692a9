//! The control plane: what tenants store and manage, apart from any call in progress.
//!
//! It owns the database, authentication, the vault and the HTTP routes that have nothing to do with audio. It knows no samples, no
//! codecs and no vendor's protocol; whoever runs a call turns what is read here into what the engine takes.
#![deny(missing_docs)]

pub mod agents;
pub mod analytics;
pub mod api_keys;
pub mod audit_log;
pub mod auth;
pub mod campaigns;
mod check;
pub mod conversations;
pub mod credentials;
pub mod db;
pub mod do_not_call;
pub mod error;
pub mod health;
pub mod http;
pub mod idempotency;
pub mod integrations;
#[cfg(test)]
mod isolation_tests;
pub mod jobs;
pub mod limits;
pub mod live;
pub mod lookup;
pub mod members;
pub mod phone_numbers;
pub mod recordings;
pub mod redis;
pub mod removal;
#[cfg(test)]
mod supabase_tests;
pub mod tenant;
pub mod tenants;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod usage;
pub mod vault;
pub mod vendors;
mod voices;
pub mod webhooks;

use std::sync::{Arc, atomic::AtomicBool};

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::{
    auth::Auth, db::Db, health::Dependency, http::Edge, live::Hub, redis::Redis, vault::Vault, vendors::Vendors,
};

/// What all handlers share.
#[derive(Debug, Clone)]
pub struct Control {
    /// The database.
    pub db: Db,
    /// Who may call.
    pub auth: Arc<Auth>,
    /// Credentials at rest.
    pub vault: Arc<Vault>,
    /// The outside.
    pub vendors: Arc<dyn Vendors>,
    /// Where carriers reach us; no trailing slash.
    pub public_url: Arc<str>,
    /// Set while this node takes no new calls.
    pub draining: Arc<AtomicBool>,
    /// Who listens to calls.
    pub live: Hub,
    /// Where requests may come from, and how often.
    pub edge: Arc<Edge>,
    /// What nodes share for a moment; without it, each is alone.
    pub redis: Option<Redis>,
    /// The Supabase project, where there is one.
    pub supabase: Option<Arc<dyn Dependency>>,
}

impl Control {
    /// Sets the gauges of what is only known by looking: to be done whenever somebody asks for metrics.
    pub fn measure(&self) {
        let (busy, idle) = self.db.connections();
        metrics::gauge!("trunkline_db_connections", "state" => "busy").set(busy);
        metrics::gauge!("trunkline_db_connections", "state" => "idle").set(idle);
        if let Some(redis) = &self.redis {
            metrics::gauge!("trunkline_redis_up").set(if redis.is_up() { 1.0 } else { 0.0 });
        }
    }
}

/// The routes, and their description.
pub fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::with_openapi(Shared::openapi())
        .merge(integrations::router())
        .merge(credentials::router())
        .merge(agents::router())
        .merge(phone_numbers::router())
        .merge(conversations::router())
        .merge(tenants::router())
        .merge(members::router())
        .merge(api_keys::router())
        .merge(audit_log::router())
        .merge(analytics::router())
        .merge(usage::router())
        .merge(live::router())
        .merge(voices::router())
        .merge(campaigns::router())
        .merge(do_not_call::router())
        .merge(jobs::router())
        .merge(webhooks::router())
        .merge(health::router())
}

/// What every route's description refers to.
#[derive(OpenApi)]
#[openapi(components(schemas(error::ErrorBody)))]
struct Shared;
