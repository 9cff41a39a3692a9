//! What a tenant's calls have used of their vendors.
//!
//! Entries are counted by UTC day in the transaction that writes them: there are some hundred to a call, and a month of them is too
//! much to add up for every look.

mod query;
mod store;

use axum::extract::State;
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::query::{UsageFilter, UsageQuery};
use crate::{
    Control,
    auth::{Admin, Allowed},
    error::ApiError,
    http::{Envelope, Params, ReadRefusals, Reply, now},
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(read))
}

/// What was used.
#[derive(Debug, Serialize, ToSchema)]
struct UsageReport {
    /// The first UTC day.
    date_from: NaiveDate,
    /// The last UTC day.
    date_to: NaiveDate,
    /// By day, if so asked for, provider and unit.
    usage: Vec<UsageLine>,
}

/// How much of something was used.
#[derive(Debug, Serialize, ToSchema)]
struct UsageLine {
    /// The UTC day; only where usage is grouped by day.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<NaiveDate>,
    /// Whose service, such as `llm`.
    provider: String,
    /// In the provider's own terms, such as `prompt_tokens`.
    unit: String,
    /// All that was used.
    quantity: i64,
    /// How much of it came to nothing, such as an answer that was thrown away because the caller went on.
    wasted: i64,
    /// What it cost, in millionths of the currency; null where that is not known.
    cost_micros: Option<i64>,
    /// The currency; null where the cost is not known.
    currency: Option<String>,
}

/// Read usage
///
/// By UTC day: an instant stands for its day. Without dates, this month up to today. What has a known cost and what has none are told
/// apart, and so are currencies.
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage", operation_id = "read_usage", security(("bearer" = [])), params(UsageQuery),
    responses((status = 200, description = "What was used", body = Envelope<UsageReport>), ReadRefusals)
)]
async fn read(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Params(query): Params<UsageQuery>,
) -> Result<Reply<UsageReport>, ApiError> {
    let filter = UsageFilter::new(query, now().date_naive())?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let usage = store::read(&mut tx, caller.tenant, &filter).await?;
    tx.commit().await?;
    Ok(Reply::ok("Usage retrieved successfully", UsageReport { date_from: filter.from, date_to: filter.to, usage }))
}
