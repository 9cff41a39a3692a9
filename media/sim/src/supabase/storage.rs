//! `/storage/v1/`: who may do what, and the requests.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    Role, Shared, UserAccess,
    error::StorageError,
    multipart,
    objects::{Object, Upload},
};
use crate::{dates::unix_now, fault::Fault, http_fault};

type Answer = Result<Response, StorageError>;
type Place = Path<(String, String)>;
type Parameters = Query<BTreeMap<String, String>>;

/// How long a signed upload may wait, in seconds.
const UPLOAD_LIFETIME: u64 = 7_200;

pub(super) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let root = "/storage/v1";
    let at = |path: &str| format!("{root}{path}");
    Router::new()
        .route(&at("/status"), get(async || StatusCode::OK))
        .route(&at("/health"), get(health))
        .route(&at("/bucket"), get(list_buckets).post(create_bucket))
        .route(&at("/bucket/{id}"), get(read_bucket).put(change_bucket).delete(delete_bucket))
        .route(&at("/bucket/{id}/empty"), post(empty_bucket))
        .route(&at("/object/move"), post(move_object))
        .route(&at("/object/copy"), post(copy_object))
        .route(&at("/object/list/{bucket}"), post(list))
        .route(&at("/object/sign/{bucket}"), post(sign_many))
        .route(&at("/object/sign/{bucket}/{*path}"), post(sign).get(signed))
        .route(&at("/object/upload/sign/{bucket}/{*path}"), post(sign_upload).put(signed_upload))
        .route(&at("/object/info/{bucket}/{*path}"), get(info))
        .route(&at("/object/authenticated/{bucket}/{*path}"), get(download))
        .route(&at("/object/public/{bucket}/{*path}"), get(public))
        .route(&at("/object/{bucket}"), axum::routing::delete(remove))
        .route(&at("/object/{bucket}/{*path}"), get(download).post(upload).put(replace))
        .layer(DefaultBodyLimit::disable())
        .route_layer(from_fn_with_state(shared.clone(), enter))
}

async fn enter(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.config.storage_script.next() {
        None => next.run(request).await,
        Some(Fault::Refuse { status, retry_after }) => StorageError::refusal(status, retry_after).into_response(),
        Some(Fault::ErrorAfter(after, code)) => {
            tokio::time::sleep(after).await;
            StorageError::new(400, &code, &code, "the script says so").into_response()
        }
        Some(fault) => http_fault::answer(fault).await,
    }
}

/// What somebody wants with an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Read,
    Write,
}

impl Shared {
    /// Checks that the caller may have their way with a path of a bucket.
    fn allow(&self, headers: &HeaderMap, path: &str, wish: Wish) -> Result<(), StorageError> {
        let granted = match self.role(headers) {
            None => return Err(StorageError::denied("Invalid Compact JWS")),
            Some(Role::Service) => true,
            Some(Role::Anon) => false,
            Some(Role::User(claims)) => match self.config.user_access {
                UserAccess::Nothing => false,
                UserAccess::Everything => true,
                UserAccess::TenantFolder => {
                    let tenant = claims.get("app_metadata").and_then(|it| it.get("tenant_id")).and_then(Value::as_str);
                    tenant.is_some_and(|tenant| path.split('/').next() == Some(tenant))
                }
            },
        };
        match (granted, wish) {
            (true, _) => Ok(()),
            // What may not be seen is not there.
            (false, Wish::Read) => Err(StorageError::no_key()),
            (false, Wish::Write) => Err(StorageError::denied("new row violates row-level security policy")),
        }
    }

    fn allow_admin(&self, headers: &HeaderMap) -> Result<(), StorageError> {
        match self.role(headers) {
            Some(Role::Service) => Ok(()),
            Some(_) => Err(StorageError::denied("new row violates row-level security policy")),
            None => Err(StorageError::denied("Invalid Compact JWS")),
        }
    }
}

async fn health(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    shared.role(&headers).ok_or_else(|| StorageError::denied("Invalid Compact JWS"))?;
    Ok(Json(json!({"healthy": true})).into_response())
}

async fn list_buckets(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    // A list that nothing may be seen of is empty.
    let buckets = if shared.allow_admin(&headers).is_ok() { shared.store().buckets() } else { Vec::new() };
    Ok(Json(buckets).into_response())
}

async fn create_bucket(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    shared.allow_admin(&headers)?;
    let body = parsed(&body)?;
    let name = body.get("id").or_else(|| body.get("name")).and_then(Value::as_str).unwrap_or_default();
    shared.store().create_bucket(name, &body)?;
    Ok(Json(json!({"name": name})).into_response())
}

async fn read_bucket(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    shared.allow_admin(&headers).map_err(|_| StorageError::no_bucket())?;
    Ok(Json(shared.store().bucket(&id)?.to_json()).into_response())
}

async fn change_bucket(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    shared.allow_admin(&headers)?;
    shared.store().bucket_mut(&id)?.change(&parsed(&body)?);
    Ok(message("Successfully updated"))
}

async fn delete_bucket(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    shared.allow_admin(&headers)?;
    shared.store().delete_bucket(&id)?;
    Ok(message("Successfully deleted"))
}

async fn empty_bucket(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    shared.allow_admin(&headers)?;
    shared.store().bucket_mut(&id)?.clear();
    Ok(message("Successfully emptied"))
}

async fn upload(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((bucket, path)): Place,
    body: Bytes,
) -> Answer {
    shared.allow(&headers, &path, Wish::Write)?;
    let upsert = headers.get("x-upsert").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    keep(&shared, &headers, &bucket, &path, body, upsert)
}

async fn replace(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((bucket, path)): Place,
    body: Bytes,
) -> Answer {
    shared.allow(&headers, &path, Wish::Write)?;
    shared.store().bucket(&bucket)?.object(&path)?;
    keep(&shared, &headers, &bucket, &path, body, true)
}

fn keep(shared: &Shared, headers: &HeaderMap, bucket: &str, path: &str, body: Bytes, replaces: bool) -> Answer {
    let upload = read_upload(headers, body)?;
    let mut store = shared.store();
    let place = store.bucket_mut(bucket)?;
    if !replaces && place.object(path).is_ok() {
        return Err(StorageError::duplicate());
    }
    let id = place.put(path, upload, shared.config.largest_upload)?;
    Ok(Json(json!({"Id": id, "Key": format!("{bucket}/{path}")})).into_response())
}

/// The file of a form, or the body as it is.
fn read_upload(headers: &HeaderMap, body: Bytes) -> Result<Upload, StorageError> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content_type = text(header::CONTENT_TYPE).unwrap_or_else(|| "application/octet-stream".into());
    if !content_type.starts_with("multipart/") {
        let cache_control = text(header::CACHE_CONTROL).unwrap_or_else(|| "no-cache".into());
        return Ok(Upload { content: body, content_type, cache_control, metadata: json!({}) });
    }
    let parts = multipart::parts(&content_type, &body).ok_or_else(|| StorageError::invalid("the form is malformed"))?;
    let field = |name: &str| {
        let part = parts.iter().find(|part| !part.file && part.name == name)?;
        String::from_utf8(part.content.clone()).ok()
    };
    let file = parts.iter().find(|part| part.file).ok_or_else(|| StorageError::invalid("the form has no file"))?;
    Ok(Upload {
        content: file.content.clone().into(),
        content_type: file.content_type.clone().unwrap_or_else(|| "application/octet-stream".into()),
        cache_control: field("cacheControl").map_or_else(|| "no-cache".into(), |age| format!("max-age={age}")),
        metadata: field("metadata").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_else(|| json!({})),
    })
}

async fn download(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path((bucket, path)): Place) -> Answer {
    let store = shared.store();
    let place = store.bucket(&bucket)?;
    shared.allow(&headers, &path, Wish::Read)?;
    Ok(content(place.object(&path)?, &headers, None))
}

async fn public(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path((bucket, path)): Place) -> Answer {
    let store = shared.store();
    let place = store.bucket(&bucket)?;
    if !place.public {
        return Err(StorageError::no_bucket());
    }
    Ok(content(place.object(&path)?, &headers, None))
}

async fn info(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path((bucket, path)): Place) -> Answer {
    let store = shared.store();
    let place = store.bucket(&bucket)?;
    shared.allow(&headers, &path, Wish::Read)?;
    Ok(Json(place.object(&path)?.info(&bucket, &path)).into_response())
}

async fn sign(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((bucket, path)): Place,
    body: Bytes,
) -> Answer {
    let lifetime = expires_in(&parsed(&body)?)?;
    shared.allow(&headers, &path, Wish::Read)?;
    shared.store().bucket(&bucket)?.object(&path)?;
    Ok(Json(json!({"signedURL": signed_url(&shared, &bucket, &path, lifetime)})).into_response())
}

async fn sign_many(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(bucket): Path<String>,
    body: Bytes,
) -> Answer {
    let body = parsed(&body)?;
    let lifetime = expires_in(&body)?;
    let store = shared.store();
    let place = store.bucket(&bucket)?;
    let paths = body.get("paths").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let signed = paths.iter().filter_map(Value::as_str).map(|path| {
        let there = shared.allow(&headers, path, Wish::Read).is_ok() && place.object(path).is_ok();
        let url = there.then(|| signed_url(&shared, &bucket, path, lifetime));
        let error = (!there).then_some("Either the object does not exist or you do not have access to it");
        json!({"path": path, "signedURL": url, "error": error})
    });
    Ok(Json(signed.collect::<Vec<_>>()).into_response())
}

/// A signed URL stands alone: it needs no key.
async fn signed(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((bucket, path)): Place,
    Query(query): Parameters,
) -> Answer {
    check_seal(&shared, &query, &format!("{bucket}/{path}"))?;
    let store = shared.store();
    let object = store.bucket(&bucket)?.object(&path)?;
    Ok(content(object, &headers, query.get("download").map(String::as_str)))
}

async fn sign_upload(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path((bucket, path)): Place) -> Answer {
    shared.allow(&headers, &path, Wish::Write)?;
    let upsert = headers.get("x-upsert").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if !upsert && shared.store().bucket(&bucket)?.object(&path).is_ok() {
        return Err(StorageError::duplicate());
    }
    let claims = json!({"url": format!("{bucket}/{path}"), "upsert": upsert, "exp": unix_now() + UPLOAD_LIFETIME});
    let token = shared.keys.seal(&claims);
    let url = format!("/object/upload/sign/{bucket}/{path}?token={token}");
    Ok(Json(json!({"url": url, "token": token})).into_response())
}

async fn signed_upload(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((bucket, path)): Place,
    Query(query): Parameters,
    body: Bytes,
) -> Answer {
    let claims = check_seal(&shared, &query, &format!("{bucket}/{path}"))?;
    let replaces = claims.get("upsert").and_then(Value::as_bool).unwrap_or(false);
    keep(&shared, &headers, &bucket, &path, body, replaces)
}

async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(bucket): Path<String>,
    body: Bytes,
) -> Answer {
    let query = parsed(&body)?;
    let store = shared.store();
    let place = store.bucket(&bucket)?;
    let prefix = query.get("prefix").and_then(Value::as_str).unwrap_or_default();
    let seen = shared.allow(&headers, prefix.trim_matches('/'), Wish::Read).is_ok();
    Ok(Json(if seen { place.list(&query) } else { Vec::new() }).into_response())
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(bucket): Path<String>,
    body: Bytes,
) -> Answer {
    let body = parsed(&body)?;
    let prefixes = body.get("prefixes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut store = shared.store();
    let place = store.bucket_mut(&bucket)?;
    // What may not be touched is left out of the answer, as what is not there.
    let paths =
        prefixes.iter().filter_map(Value::as_str).filter(|path| shared.allow(&headers, path, Wish::Write).is_ok());
    let removed: Vec<Value> = paths.filter_map(|path| Some(place.take(path)?.to_json(path))).collect();
    Ok(Json(removed).into_response())
}

async fn move_object(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let way = way(&shared, &headers, &body)?;
    let mut store = shared.store();
    store.bucket(&way.into)?.object(&way.to).map_or(Ok(()), |_| Err(StorageError::duplicate()))?;
    let object = store.bucket_mut(&way.bucket)?.take(&way.from).ok_or_else(StorageError::no_key)?;
    store.bucket_mut(&way.into)?.place(&way.to, object)?;
    Ok(message("Successfully moved"))
}

async fn copy_object(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let way = way(&shared, &headers, &body)?;
    let mut store = shared.store();
    let object = store.bucket(&way.bucket)?.object(&way.from)?.duplicated();
    let id = object.id.clone();
    store.bucket_mut(&way.into)?.place(&way.to, object)?;
    Ok(Json(json!({"Id": id, "Key": format!("{}/{}", way.into, way.to)})).into_response())
}

/// Where an object comes from and where it goes.
struct Way {
    bucket: String,
    from: String,
    into: String,
    to: String,
}

fn way(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Way, StorageError> {
    let body = parsed(body)?;
    let text = |name: &str| {
        let text = body.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| StorageError::invalid(&format!("body must have required property '{name}'")))
    };
    let (bucket, from, to) = (text("bucketId")?, text("sourceKey")?, text("destinationKey")?);
    let into = text("destinationBucket").unwrap_or_else(|_| bucket.clone());
    shared.allow(headers, &from, Wish::Read)?;
    shared.allow(headers, &to, Wish::Write)?;
    Ok(Way { bucket, from, into, to })
}

/// The content, or the range of it that is asked for.
fn content(object: &Object, headers: &HeaderMap, attachment: Option<&str>) -> Response {
    let whole = object.content.len();
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(|range| bounds(range, whole));
    let mut response = match range {
        None => object.content.clone().into_response(),
        Some((start, end)) => {
            let mut part = (StatusCode::PARTIAL_CONTENT, object.content.slice(start..=end)).into_response();
            if let Ok(value) = HeaderValue::try_from(format!("bytes {start}-{end}/{whole}")) {
                part.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            part
        }
    };
    let disposition = attachment.map(|name| format!("attachment; filename=\"{}\"", name.replace('"', "")));
    let given = [
        (header::CONTENT_TYPE, Some(object.content_type.clone())),
        (header::CACHE_CONTROL, Some(object.cache_control.clone())),
        (header::ETAG, Some(object.etag.clone())),
        (header::ACCEPT_RANGES, Some("bytes".into())),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    for (name, value) in given {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The first and the last byte of a range such as `bytes=0-99`, `bytes=100-` or `bytes=-100`.
fn bounds(range: &str, whole: usize) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = whole.checked_sub(1)?;
    let bounds = match (start, end) {
        ("", length) => (whole.saturating_sub(length.parse().ok()?), last),
        (start, "") => (start.parse().ok()?, last),
        (start, end) => (start.parse().ok()?, end.parse::<usize>().ok()?.min(last)),
    };
    (bounds.0 <= bounds.1).then_some(bounds)
}

fn signed_url(shared: &Shared, bucket: &str, path: &str, lifetime: u64) -> String {
    let now = unix_now();
    let token = shared.keys.seal(&json!({"url": format!("{bucket}/{path}"), "iat": now, "exp": now + lifetime}));
    // The path goes into a URL, segment by segment.
    let path: Vec<String> = path
        .split('/')
        .map(|part| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20"))
        .collect();
    format!("/object/sign/{bucket}/{}?token={token}", path.join("/"))
}

/// Checks the token of a signed URL, which is bound to the object.
fn check_seal(
    shared: &Shared,
    query: &BTreeMap<String, String>,
    url: &str,
) -> Result<serde_json::Map<String, Value>, StorageError> {
    let token = query.get("token").map_or("", String::as_str);
    let claims = shared.keys.unseal(token);
    let claims = claims.ok_or_else(|| StorageError::new(400, "InvalidJWT", "InvalidJWT", "invalid signature"))?;
    if claims.get("url").and_then(Value::as_str) != Some(url) {
        return Err(StorageError::new(
            400,
            "InvalidSignature",
            "InvalidSignature",
            "The url do not match the signature",
        ));
    }
    if claims.get("exp").and_then(Value::as_u64).is_none_or(|exp| exp <= unix_now()) {
        return Err(StorageError::new(400, "ExpiredToken", "ExpiredToken", "\"exp\" claim timestamp check failed"));
    }
    Ok(claims)
}

/// `expiresIn`, as a number or as a string of one.
fn expires_in(body: &Value) -> Result<u64, StorageError> {
    let seconds = body.get("expiresIn");
    let seconds =
        seconds.and_then(|it| it.as_u64().or_else(|| it.as_str()?.parse().ok())).filter(|seconds| *seconds >= 1);
    seconds.ok_or_else(|| StorageError::invalid("body/expiresIn must be >= 1"))
}

fn parsed(body: &[u8]) -> Result<Value, StorageError> {
    serde_json::from_slice(body).map_err(|_| StorageError::invalid("body must be object"))
}

fn message(text: &str) -> Response {
    Json(json!({"message": text})).into_response()
}
