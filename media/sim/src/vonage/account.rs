//! What the account has: its numbers and balance in the older API, its applications in the newer.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Application, Number, Shared, error::ApiError};

type Answer = Result<Response, ApiError>;
type Parameters = BTreeMap<String, String>;

/// `GET /account/get-balance`.
pub(super) async fn balance(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    older(&shared, &headers)?;
    Ok(Json(json!({"value": shared.config.balance, "autoReload": false})).into_response())
}

/// `GET /account/numbers`.
pub(super) async fn numbers(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
) -> Answer {
    older(&shared, &headers)?;
    let whole = |name: &str, default: usize| {
        query.get(name).map_or(Ok(default), |text| text.parse().map_err(|_| ApiError::account_invalid()))
    };
    let (size, index) = (whole("size", 10)?.clamp(1, 100), whole("index", 1)?.max(1));
    let place = whole("search_pattern", 0)?;
    let wanted = |number: &&Number| {
        let found = query.get("pattern").is_none_or(|pattern| match place {
            0 => number.msisdn.starts_with(pattern.as_str()),
            1 => number.msisdn.contains(pattern.as_str()),
            _ => number.msisdn.ends_with(pattern.as_str()),
        });
        let of = query.get("application_id").is_none_or(|id| number.app_id.as_ref() == Some(id));
        let linked =
            query.get("has_application").is_none_or(|it| (it == "true" || it == "True") == number.app_id.is_some());
        found && of && linked && query.get("country").is_none_or(|country| number.country == *country)
    };
    let found: Vec<Value> = shared.config.numbers.iter().filter(wanted).map(number).collect();
    let page: Vec<&Value> = found.iter().skip((index - 1) * size).take(size).collect();
    // Where there is nothing, the vendor leaves everything out.
    let body = if page.is_empty() { json!({}) } else { json!({"count": found.len(), "numbers": page}) };
    Ok(Json(body).into_response())
}

/// `GET /v2/applications`.
pub(super) async fn applications(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
) -> Answer {
    newer(&shared, &headers)?;
    let whole =
        |name: &str, default| query.get(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(default).max(1);
    let (size, page) = (whole("page_size", 10), whole("page", 1));
    let all = &shared.config.applications;
    let some: Vec<Value> = all.iter().skip((page - 1) * size).take(size).map(application).collect();
    Ok(Json(json!({
        "page_size": size,
        "page": page,
        "total_items": all.len(),
        "total_pages": all.len().div_ceil(size),
        "_embedded": {"applications": some},
        "_links": {"self": {"href": format!("/v2/applications?page_size={size}&page={page}")}},
    }))
    .into_response())
}

/// `GET /v2/applications/{id}`.
pub(super) async fn one_application(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    newer(&shared, &headers)?;
    let found = shared.config.applications.iter().find(|it| it.id == id);
    found.map(|it| Json(application(it)).into_response()).ok_or_else(ApiError::not_found)
}

fn older(shared: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    if shared.config.admits(headers) { Ok(()) } else { Err(ApiError::account_unauthorized()) }
}

fn newer(shared: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    if shared.config.admits(headers) { Ok(()) } else { Err(ApiError::refusal(401, None)) }
}

fn number(number: &Number) -> Value {
    let mut body = json!({
        "country": number.country,
        "msisdn": number.msisdn,
        "moHttpUrl": "",
        "type": "mobile-lvn",
        "features": ["VOICE", "SMS"],
    });
    if let Some(id) = &number.app_id {
        body["app_id"] = id.as_str().into();
        body["voiceCallbackType"] = "app".into();
        body["voiceCallbackValue"] = id.as_str().into();
    }
    body
}

fn application(application: &Application) -> Value {
    json!({
        "id": application.id,
        "name": application.name,
        "keys": {"public_key": application.public_key},
        "capabilities": {"voice": {
            "signed_callbacks": application.signed_callbacks,
            "webhooks": {
                "answer_url": {"address": application.answer_url, "http_method": "GET"},
                "event_url": {"address": application.event_url, "http_method": "POST"},
            },
        }},
        "privacy": {"improve_ai": false},
        "_links": {"self": {"href": format!("/v2/applications/{}", application.id)}},
    })
}
