//! URLs that stand alone: each is bound to one object and to a time, and whoever has it needs no key.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::IntoResponse,
};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    Shared,
    content::content,
    error::StorageError,
    storage::{Answer, Parameters, Place, Wish, keep, parsed},
};
use crate::dates::unix_now;

/// How long a signed upload may wait, in seconds.
const UPLOAD_LIFETIME: u64 = 7_200;

pub(super) async fn sign(
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

pub(super) async fn sign_many(
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
pub(super) async fn signed(
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

pub(super) async fn sign_upload(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((bucket, path)): Place,
) -> Answer {
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

pub(super) async fn signed_upload(
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

fn signed_url(shared: &Shared, bucket: &str, path: &str, lifetime: u64) -> String {
    let now = unix_now();
    let token = shared.keys.seal(&json!({"url": format!("{bucket}/{path}"), "iat": now, "exp": now + lifetime}));
    // The path goes into a URL, segment by segment.
    let path: Vec<String> = path
        .split('/')
        .map(|part| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20"))
        .collect();
    format!("/object/sign/{bucket}/{}?token={token}", path.join("/"))
}

/// Checks the token of a signed URL, which is bound to the object.
fn check_seal(
    shared: &Shared,
    query: &BTreeMap<String, String>,
    url: &str,
) -> Result<Map<String, Value>, StorageError> {
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
