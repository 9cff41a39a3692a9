//! What a request must be like before anybody looks at what it wants: not too large in any part, and content with what there is.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::gate::is_api;
use crate::error::{ApiError, ErrorCode};

/// The longest path and query, in bytes.
pub(crate) const LONGEST_TARGET: usize = 8 * 1024;
/// The most that headers may have in all, names and values, in bytes.
pub(crate) const LARGEST_HEADERS: usize = 16 * 1024;

pub(super) async fn check(request: Request, next: Next) -> Response {
    match refusal(&request) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(request: &Request) -> Option<ApiError> {
    let error = |status, message: String| Some(ApiError::new(ErrorCode::ValidationError, message).status(status));
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
        let message = format!("The path and query must not be longer than {LONGEST_TARGET} bytes");
        return error(StatusCode::URI_TOO_LONG, message);
    }
    let size: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > LARGEST_HEADERS {
        let message = format!("The headers must not have more than {LARGEST_HEADERS} bytes in all");
        return error(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message);
    }
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    if is_api(route) && !accepts(request.headers(), kinds(route)) {
        let message = format!("`Accept` allows none of {}", kinds(route).join(", "));
        return Some(ApiError::new(ErrorCode::NotAcceptable, message));
    }
    None
}

/// What a route answers with. Errors are always JSON.
fn kinds(route: &str) -> &'static [&'static str] {
    match route.rsplit('/').next() {
        Some("live") => &["application/json", "text/event-stream"],
        Some("recording" | "preview") => &["application/json", "audio/*"],
        _ => &["application/json"],
    }
}

/// Whether one of these kinds is accepted. What cannot be read refuses nothing.
fn accepts(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let mut named = false;
    for line in headers.get_all(header::ACCEPT) {
        let Ok(line) = line.to_str() else { return true };
        for range in line.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            named = true;
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let refused = weight.and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0);
            if !refused && (!kind.contains('/') || kinds.iter().any(|ours| overlap(&kind, ours))) {
                return true;
            }
        }
    }
    !named
}

fn overlap(theirs: &str, ours: &str) -> bool {
    let (Some((kind, sub)), Some((our_kind, our_sub))) = (theirs.split_once('/'), ours.split_once('/')) else {
        return false;
    };
    let json = our_sub == "json" && sub.ends_with("+json");
    kind == "*" || (kind == our_kind && (sub == "*" || our_sub == "*" || sub == our_sub || json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_allows_nothing_there_is_is_not_acceptable() {
        let live = kinds("/v1/conversations/{conversation_id}/live");
        let json = kinds("/v1/voice-agents");
        let cases: [(&[&str], &[&str], bool); 16] = [
            (&[], json, true),
            (&[""], json, true),
            (&["*/*"], json, true),
            (&["application/json"], json, true),
            (&["Application/JSON; charset=utf-8"], json, true),
            (&["application/*;q=0.1"], json, true),
            (&["application/problem+json"], json, true),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], json, true),
            (&["text/html"], json, false),
            (&["text/html", "application/json"], json, true),
            (&["application/json;q=0"], json, false),
            (&["text/event-stream"], json, false),
            (&["text/event-stream"], live, true),
            (&["audio/wav"], kinds("/v1/conversations/{conversation_id}/recording"), true),
            (&["image/png;q=0.5,text/*"], json, false),
            (&["nonsense"], json, true),
        ];
        for (lines, kinds, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ACCEPT, line.parse().unwrap());
            }
            assert_eq!(accepts(&headers, kinds), expected, "{lines:?} for {kinds:?}");
        }
    }
}
