//! `/services/data/`: the versions, and what a version has.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    Shared,
    error::ApiError,
    objects::{self, object},
    search::{Search, told},
};
use crate::{fault::Fault, http_fault};

/// The versions that are there, oldest first: three a year.
const VERSIONS: std::ops::RangeInclusive<u32> = 52..=68;

pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let ["services", "data", path @ ..] = &path[..] else { return ApiError::not_found().into_response() };
    let mut response = match shared.config.script.next() {
        Some(Fault::Refuse { status, retry_after }) => ApiError::refusal(status, retry_after).into_response(),
        Some(Fault::ErrorAfter(after, code)) => {
            tokio::time::sleep(after).await;
            ApiError::of_code(&code).into_response()
        }
        Some(fault) => http_fault::answer(fault).await,
        None => {
            let request = Request { method, query: query(&uri), body };
            answer(&shared, &headers, path, &request).unwrap_or_else(IntoResponse::into_response)
        }
    };
    if !path.is_empty()
        && let Ok(info) = HeaderValue::try_from(limit_info(&shared))
    {
        response.headers_mut().insert("sforce-limit-info", info);
    }
    response
}

/// The user of the session that a request's token opens.
pub(super) fn session_of(shared: &Shared, headers: &HeaderMap) -> Result<String, ApiError> {
    shared.state().user(bearer(headers)?).map(str::to_owned).ok_or_else(ApiError::session)
}

struct Request {
    method: Method,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl Request {
    fn object(&self) -> Result<Map<String, Value>, ApiError> {
        let body = serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad("JSON_PARSER_ERROR", format!("Unexpected character: {error}")))?;
        if let Value::Object(fields) = body {
            Ok(fields)
        } else {
            Err(ApiError::bad("JSON_PARSER_ERROR", "an object is expected"))
        }
    }
}

fn answer(shared: &Shared, headers: &HeaderMap, path: &[&str], request: &Request) -> Result<Response, ApiError> {
    let [version, path @ ..] = path else { return Ok(Json(versions()).into_response()) };
    let number = version.strip_prefix('v').and_then(|text| text.strip_suffix(".0")).and_then(|text| text.parse().ok());
    if !number.is_some_and(|number| VERSIONS.contains(&number)) {
        return Err(ApiError::not_found());
    }
    let base = format!("/services/data/{version}");
    let token = bearer(headers)?;
    if shared.state().requests >= shared.config.daily_requests {
        return Err(ApiError::used_up());
    }
    shared.state().count(token, shared.config.session_requests)?;
    let writes = request.method == Method::POST || request.method == Method::PATCH;
    if writes && !is_json(headers) {
        return Err(ApiError::refusal(415, None));
    }
    match (&request.method, path) {
        (&Method::GET, []) => Ok(Json(resources(&base)).into_response()),
        (&Method::GET, ["limits"]) => Ok(Json(limits(shared)).into_response()),
        (&Method::GET, ["parameterizedSearch"]) => found(shared, &base, &Search::from_query(&request.query)?),
        (&Method::POST, ["parameterizedSearch"]) => {
            found(shared, &base, &Search::from_body(&Value::Object(request.object()?))?)
        }
        (_, ["sobjects", path @ ..]) => sobjects(shared, &base, path, request),
        (_, [] | ["limits" | "parameterizedSearch"]) => Err(ApiError::refusal(405, None)),
        _ => Err(ApiError::not_found()),
    }
}

fn sobjects(shared: &Shared, base: &str, path: &[&str], request: &Request) -> Result<Response, ApiError> {
    let custom = &shared.config.custom_fields;
    let mut state = shared.state();
    match (&request.method, path) {
        (&Method::GET, []) => {
            let all = objects::names().map(|name| {
                let urls = json!({"sobject": format!("{base}/sobjects/{name}")});
                json!({"name": name, "label": name, "queryable": true, "searchable": true, "urls": urls})
            });
            let all: Vec<Value> = all.collect();
            Ok(Json(json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": all})).into_response())
        }
        (&Method::GET, [name]) => {
            let described = object(name)?.describe(base, custom);
            Ok(Json(json!({"objectDescribe": described, "recentItems": []})).into_response())
        }
        (&Method::POST, [name]) => created(&state.create(object(name)?, request.object()?)?),
        (&Method::GET, [name, "describe"]) => Ok(Json(object(name)?.describe(base, custom)).into_response()),
        (&Method::GET, [name, id]) => {
            let object = object(name)?;
            let record = state.record(object, id)?;
            let wanted = request.query.iter().find(|(key, _)| key == "fields").map(|(_, fields)| fields.split(','));
            let names: Vec<&str> = match wanted {
                Some(names) => names.map(|name| object.spelling(name.trim(), custom)).collect::<Result<_, _>>()?,
                None => object.fields().map(|field| field.name).chain(custom_of(custom, object.name)).collect(),
            };
            Ok(Json(told(record, base, &names)).into_response())
        }
        (&Method::PATCH, [name, id]) => {
            state.update(object(name)?, id, request.object()?)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (&Method::DELETE, [name, id]) => {
            state.delete(object(name)?, id)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (&Method::PATCH, [name, field, value]) => {
            let object = object(name)?;
            let field = object.spelling(field, custom)?;
            let named = state.by_external_id(object, field, value)?;
            let mut fields = request.object()?;
            match &named[..] {
                [] => {
                    fields.insert(field.into(), (*value).into());
                    created(&state.create(object, fields)?)
                }
                [id] => {
                    state.update(object, id, fields)?;
                    Ok(Json(json!({"id": id, "success": true, "errors": [], "created": false})).into_response())
                }
                several => {
                    let urls: Vec<String> = several.iter().map(|id| format!("{base}/sobjects/{name}/{id}")).collect();
                    Ok((StatusCode::MULTIPLE_CHOICES, Json(urls)).into_response())
                }
            }
        }
        (_, [] | [_] | [_, _] | [_, _, _]) => Err(ApiError::refusal(405, None)),
        _ => Err(ApiError::not_found()),
    }
}

fn custom_of<'a>(custom: &'a [super::CustomField], object: &str) -> impl Iterator<Item = &'a str> {
    custom.iter().filter(move |field| field.object == object).map(|field| field.name.as_str())
}

fn created(id: &str) -> Result<Response, ApiError> {
    let body = json!({"id": id, "success": true, "errors": [], "created": true});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn found(shared: &Shared, base: &str, search: &Search) -> Result<Response, ApiError> {
    let found = search.run(&shared.state(), base, &shared.config.custom_fields, shared.config.index_delay)?;
    Ok(Json(found).into_response())
}

fn versions() -> Value {
    const SEASONS: [&str; 3] = ["Winter", "Spring", "Summer"];
    // Version 68 is Winter '27, and each year has three.
    let version = |number: u32| {
        let since = number + 1;
        let (year, season) = (4 + since / 3, SEASONS[(since % 3) as usize]);
        json!({"label": format!("{season} '{year:02}"), "url": format!("/services/data/v{number}.0"), "version": format!("{number}.0")})
    };
    VERSIONS.map(version).collect()
}

fn resources(base: &str) -> Value {
    json!({
        "limits": format!("{base}/limits"),
        "sobjects": format!("{base}/sobjects"),
        "parameterizedSearch": format!("{base}/parameterizedSearch"),
    })
}

fn limits(shared: &Shared) -> Value {
    let most = shared.config.daily_requests;
    json!({
        "DailyApiRequests": {"Max": most, "Remaining": most.saturating_sub(shared.state().requests)},
        "ConcurrentSyncReportRuns": {"Max": 20, "Remaining": 20},
        "DataStorageMB": {"Max": 5, "Remaining": 5},
    })
}

fn limit_info(shared: &Shared) -> String {
    let usage = format!("api-usage={}/{}", shared.state().requests, shared.config.daily_requests);
    if shared.config.bursts { usage + "; api-bursts=1/750" } else { usage }
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("OAuth ")));
    token.ok_or_else(|| ApiError::new(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json")
}

fn query(uri: &Uri) -> Vec<(String, String)> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}
