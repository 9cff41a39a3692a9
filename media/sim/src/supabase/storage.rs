//! `/storage/v1/`: who may do what, and the requests.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    Role, Shared, UserAccess,
    content::{content, read_upload},
    error::StorageError,
    signed,
};
use crate::{fault::Fault, http_fault};

pub(super) type Answer = Result<Response, StorageError>;
pub(super) type Place = Path<(String, String)>;
pub(super) type Parameters = Query<BTreeMap<String, String>>;

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
        .route(&at("/object/sign/{bucket}"), post(signed::sign_many))
        .route(&at("/object/sign/{bucket}/{*path}"), post(signed::sign).get(signed::signed))
        .route(&at("/object/upload/sign/{bucket}/{*path}"), post(signed::sign_upload).put(signed::signed_upload))
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
pub(super) enum Wish {
    Read,
    Write,
}

impl Shared {
    /// Checks that the caller may have their way with a path of a bucket.
    pub(super) fn allow(&self, headers: &HeaderMap, path: &str, wish: Wish) -> Result<(), StorageError> {
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

pub(super) fn keep(
    shared: &Shared,
    headers: &HeaderMap,
    bucket: &str,
    path: &str,
    body: Bytes,
    replaces: bool,
) -> Answer {
    let upload = read_upload(headers, body)?;
    let mut store = shared.store();
    let place = store.bucket_mut(bucket)?;
    if !replaces && place.object(path).is_ok() {
        return Err(StorageError::duplicate());
    }
    let id = place.put(path, upload, shared.config.largest_upload)?;
    Ok(Json(json!({"Id": id, "Key": format!("{bucket}/{path}")})).into_response())
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

pub(super) fn parsed(body: &[u8]) -> Result<Value, StorageError> {
    serde_json::from_slice(body).map_err(|_| StorageError::invalid("body must be object"))
}

fn message(text: &str) -> Response {
    Json(json!({"message": text})).into_response()
}
