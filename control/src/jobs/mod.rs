//! Jobs: work that is done beside requests and calls, at least once, and whose effect is there once.
//!
//! They are a table of our own, claimed with `for update skip locked`, and no queue's crate: a job is written in the transaction of what
//! it is about (a call's end and its analysis), under its tenant's row-level security, and what gave up is listed for its tenant. A
//! crate's own schema and connections can have none of the three. [`queue`] is the seam; who does the work is no matter of this crate.
//!
//! Workers look for what is due a few times a second. `notify` would tell them at once, but its senders commit one after the other, and
//! the journal of all calls is among them.

pub mod queue;
mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use self::queue::{Job, Kind};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed},
    error::{ApiError, ErrorCode},
    http::{Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply},
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retry))
}

/// A job that gave up.
#[derive(Debug, Serialize, ToSchema)]
struct DeadJob {
    /// Its id.
    id: Uuid,
    /// `analysis`: of a conversation that is over. `webhook`: a delivery to one of the tenant's endpoints.
    #[schema(example = "analysis")]
    kind: String,
    /// What it is about: the conversation of an analysis, the delivery of a webhook.
    subject_id: Uuid,
    /// The conversation that it came from, if it came from one.
    conversation_id: Option<Uuid>,
    /// How often it was tried.
    #[schema(example = 7)]
    attempts: i32,
    /// Why the last attempt came to nothing.
    #[schema(example = "the tenant has no credential for openai, and the platform has no key of its own")]
    error: Option<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it gave up.
    dead_at: Option<DateTime<Utc>>,
}

/// A page of jobs that gave up.
#[derive(Debug, Serialize, ToSchema)]
struct DeadJobList {
    /// The last that gave up first.
    jobs: Vec<DeadJob>,
    pagination: Pagination,
}

/// A job that will be tried again.
#[derive(Debug, Serialize, ToSchema)]
struct RetriedJob {
    /// Its id.
    id: Uuid,
    /// Always `queued`.
    #[schema(example = "queued")]
    state: &'static str,
}

/// List jobs that gave up
///
/// What is tried several times and then given up is kept for 30 days, with the reason.
#[utoipa::path(
    get, path = "/v1/jobs/dead", tag = "jobs", operation_id = "list_dead_jobs", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<DeadJobList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<DeadJobList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (jobs, total) = store::dead(&mut tx, caller.tenant, page).await?;
    tx.commit().await?;
    Ok(Reply::ok("Jobs that gave up", DeadJobList { jobs, pagination: Pagination::new(page, total) }))
}

/// Try a job again that gave up
///
/// With all its attempts anew.
#[utoipa::path(
    post, path = "/v1/jobs/dead/{id}/retry", tag = "jobs", operation_id = "retry_dead_job", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses((status = 202, description = "It will be tried", body = Envelope<RetriedJob>), ReadRefusals)
)]
async fn retry(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    id: PathId,
) -> Result<Reply<RetriedJob>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::NotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    let Some(kind) = store::revive(&mut tx, tenant, id).await? else {
        return Err(ApiError::not_found(ErrorCode::NotFound));
    };
    audit_log::note(&mut tx, &caller, "job.retried", id, json!({ "kind": kind })).await?;
    tx.commit().await?;
    Ok(Reply::accepted("The job will be tried again", RetriedJob { id, state: "queued" }))
}
