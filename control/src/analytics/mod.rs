//! What became of a tenant's calls, in numbers. They are counted as calls end ([`rollup`]); nothing here reads a call.

pub(crate) mod histogram;
mod model;
pub mod rollup;
mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use chrono::{Days, NaiveDate};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::model::{Dashboard, LatencyReport, Period, PeriodQuery, Series, SeriesFilter, SeriesQuery};
use crate::{
    Control,
    auth::{Allowed, Viewer},
    error::ApiError,
    http::{Envelope, Params, ReadRefusals, Reply, now},
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(dashboard)).routes(routes!(timeseries)).routes(routes!(latency))
}

/// The first and the last day of a period that ends today.
fn days(period: Period) -> (NaiveDate, NaiveDate) {
    let today = now().date_naive();
    (today.checked_sub_days(Days::new(period.days() - 1)).unwrap_or(today), today)
}

/// Read the dashboard
///
/// Of the calls that began in the period, which ends with today (UTC), and are over.
#[utoipa::path(
    get, path = "/v1/analytics/dashboard", tag = "analytics", operation_id = "read_dashboard", security(("bearer" = [])), params(PeriodQuery),
    responses((status = 200, description = "The numbers", body = Envelope<Dashboard>), ReadRefusals)
)]
async fn dashboard(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PeriodQuery>,
) -> Result<Reply<Dashboard>, ApiError> {
    let (from, to) = days(Period::try_from(query)?);
    let mut tx = control.db.begin(caller.tenant).await?;
    let dashboard = store::dashboard(&mut tx, caller.tenant, from, to).await?;
    tx.commit().await?;
    Ok(Reply::ok("Dashboard metrics retrieved successfully", dashboard))
}

/// Read a time series
///
/// A point for each UTC day of the period, those without calls too.
#[utoipa::path(
    get, path = "/v1/analytics/timeseries", tag = "analytics", operation_id = "read_timeseries", security(("bearer" = [])), params(SeriesQuery),
    responses((status = 200, description = "The days, the oldest first", body = Envelope<Series>), ReadRefusals)
)]
async fn timeseries(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<SeriesQuery>,
) -> Result<Reply<Series>, ApiError> {
    let filter = SeriesFilter::try_from(query)?;
    let (from, to) = days(filter.period);
    let mut tx = control.db.begin(caller.tenant).await?;
    let points = store::points(&mut tx, caller.tenant, &filter, from, to).await?;
    tx.commit().await?;
    Ok(Reply::ok("Time series retrieved successfully", Series { period: filter.period, points }))
}

/// Read response latencies
///
/// How long the caller waited for an answer: from the last word of a turn to the first sound of the answer to it. The percentiles come
/// from counts in buckets, most of which are 50 ms wide.
#[utoipa::path(
    get, path = "/v1/analytics/latency", tag = "analytics", operation_id = "read_latency", security(("bearer" = [])), params(PeriodQuery),
    responses((status = 200, description = "The percentiles, in all and for each UTC day", body = Envelope<LatencyReport>), ReadRefusals)
)]
async fn latency(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PeriodQuery>,
) -> Result<Reply<LatencyReport>, ApiError> {
    let period = Period::try_from(query)?;
    let (from, to) = days(period);
    let mut tx = control.db.begin(caller.tenant).await?;
    let days = store::latencies(&mut tx, caller.tenant, from, to).await?;
    tx.commit().await?;
    Ok(Reply::ok("Latency percentiles retrieved successfully", LatencyReport::new(period, from, to, days)))
}
