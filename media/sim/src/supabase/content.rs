//! What is in an upload, and what of an object is sent.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    error::StorageError,
    multipart,
    objects::{Object, Upload},
};

/// The file of a form, or the body as it is.
pub(super) fn read_upload(headers: &HeaderMap, body: Bytes) -> Result<Upload, StorageError> {
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

/// The content, or the range of it that is asked for.
pub(super) fn content(object: &Object, headers: &HeaderMap, attachment: Option<&str>) -> Response {
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
