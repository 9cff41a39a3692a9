//! Whether this node can serve: for load balancers and people. Nothing of any tenant is in it.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{Control, http::now, vendors::BoxFuture};

/// How long each check may take.
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(live)).routes(routes!(ready))
}

/// Something that the node depends on and knows no more of than whether it answers.
pub trait Dependency: std::fmt::Debug + Send + Sync {
    /// Whether it does. Whoever asks has a time limit.
    fn is_alive(&self) -> BoxFuture<'_, bool>;
}

/// How the node is.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    checks: Checks,
    timestamp: DateTime<Utc>,
}

/// What the node depends on: whether it answers, or null where it is not configured.
#[derive(Debug, Serialize, ToSchema)]
struct Checks {
    database: Option<bool>,
    supabase: Option<bool>,
    redis: Option<bool>,
}

/// How this node and what it depends on are.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "read_health",
    tag = "operations",
    responses(
        (status = 200, description = "What it asks answers", body = Health),
        (status = 503, description = "Something doesn't", body = Health),
    )
)]
async fn health(State(control): State<Control>) -> Response {
    let supabase = async {
        let supabase = control.supabase.as_ref()?;
        Some(tokio::time::timeout(LIMIT, supabase.is_alive()).await.unwrap_or(false))
    };
    let redis = async { Some(control.redis.as_ref()?.ping(LIMIT).await) };
    let (database, supabase, redis) = tokio::join!(control.db.is_alive(LIMIT), supabase, redis);
    let checks = Checks { database: Some(database), supabase, redis };
    let healthy = database && supabase != Some(false) && redis != Some(false);
    let status = if healthy { "healthy" } else { "unhealthy" };
    answer(healthy, Health { status, checks, timestamp: now() })
}

/// Whether this node runs.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "read_liveness",
    tag = "operations",
    responses((status = 200, description = "It does", body = HealthState))
)]
async fn live() -> Response {
    answer(true, HealthState { status: "alive" })
}

/// Whether this node takes new calls.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "read_readiness",
    tag = "operations",
    responses(
        (status = 200, description = "It does", body = HealthState),
        (status = 503, description = "It drains, or its database does not answer", body = HealthState),
    )
)]
async fn ready(State(control): State<Control>) -> Response {
    if control.draining.load(Ordering::Acquire) {
        return answer(false, HealthState { status: "draining" });
    }
    let alive = control.db.is_alive(LIMIT).await;
    answer(alive, HealthState { status: if alive { "ready" } else { "no database" } })
}

/// One word.
#[derive(Debug, Serialize, ToSchema)]
struct HealthState {
    status: &'static str,
}

fn answer(well: bool, body: impl Serialize) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}
