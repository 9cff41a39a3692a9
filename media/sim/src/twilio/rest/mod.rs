//! The REST API (2010-04-01), as far as a call needs it.

mod calls;
mod creates;
mod errors;
mod resources;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use tokio::time::sleep;
use url::form_urlencoded;

pub use creates::{CreateFault, Creates};
pub(crate) use errors::ApiError;

use super::{carrier::Carrier, signature::Form};
use crate::fault::Fault;

/// The path below which everything is.
const ROOT: &str = "/2010-04-01/Accounts/";

/// One request to the REST API and the status it was answered with. Credentials are left out.
#[derive(Debug, Clone)]
pub struct RestRecord {
    /// When it came.
    pub at: Instant,
    /// `GET` or `POST`.
    pub method: String,
    /// Its path with the query.
    pub path: String,
    /// The form, of a POST.
    pub form: Form,
    /// HTTP status of the answer; 0 where a fault left it without an answer.
    pub status: u16,
}

impl RestRecord {
    /// A form field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.form, name)
    }
}

/// A request taken apart.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Account the path names, without `.json`.
    pub(crate) account: String,
    /// What follows the account in the path, without `.json`.
    pub(crate) path: Vec<String>,
    pub(crate) query: Form,
    pub(crate) form: Form,
}

impl Request {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.form, name)
    }
}

fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

pub(crate) fn router(carrier: Arc<Carrier>) -> Router {
    Router::new().fallback(handle).with_state(carrier)
}

async fn handle(
    State(carrier): State<Arc<Carrier>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = Instant::now();
    let form: Form = form_urlencoded::parse(&body).into_owned().collect();
    let path = uri.path().strip_prefix(ROOT).map(|path| path.trim_end_matches(".json").to_owned());
    let mut record = RestRecord {
        at,
        method: method.to_string(),
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        form: form.clone(),
        status: 0,
    };
    let call = path.as_deref().and_then(|path| path.split('/').nth(2)).map(str::to_owned);
    let response = match carrier.config.script.next() {
        Some(fault) => strike(fault, &carrier, &record, call.as_deref()).await,
        None => {
            let creates = method == Method::POST && path.as_deref().is_some_and(|path| path.ends_with("/Calls"));
            let fault = creates.then(|| carrier.config.creates.next()).flatten();
            let answer = || answer(&carrier, &headers, path, &uri, method, form);
            match fault {
                None => answer(),
                Some(fault) => create_badly(fault, answer, &carrier, &record).await,
            }
        }
    };
    record.status = response.status().as_u16();
    carrier.push_request(record, call.as_deref());
    response
}

fn answer(
    carrier: &Arc<Carrier>,
    headers: &HeaderMap,
    path: Option<String>,
    uri: &Uri,
    method: Method,
    form: Form,
) -> Response {
    let Some(path) = path else { return ApiError::NOT_FOUND.into_response() };
    let mut path = path.split('/').map(str::to_owned);
    let account = path.next().unwrap_or_default();
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let request = Request { method, account, path: path.collect(), query, form };
    match credentials(headers) {
        Some((user, password)) if carrier.admits(&request.account, &user, &password) => {
            // The account itself is for its token alone.
            if request.path.is_empty() && user != request.account {
                return ApiError::AUTHENTICATE.into_response();
            }
        }
        _ => return ApiError::AUTHENTICATE.into_response(),
    }
    resources::answer(carrier, &request).unwrap_or_else(IntoResponse::into_response)
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    let (sid, token) = decoded.split_once(':')?;
    Some((sid.to_owned(), token.to_owned()))
}

/// What becomes of a request to place a call, and what is answered.
async fn create_badly(
    fault: CreateFault,
    answer: impl FnOnce() -> Response,
    carrier: &Carrier,
    record: &RestRecord,
) -> Response {
    let (CreateFault::Hang { dials } | CreateFault::Cut { dials } | CreateFault::Error { dials, .. }) = fault else {
        let CreateFault::Refuse { status, code } = fault else { unreachable!("all others dial or do not") };
        return ApiError::new(status, code, "Refused").into_response();
    };
    if dials {
        drop(answer());
    }
    match fault {
        CreateFault::Hang { .. } => {
            carrier.push_request(record.clone(), None);
            std::future::pending().await
        }
        CreateFault::Cut { .. } => broken(futures_util::stream::once(async { Err("cut") })),
        CreateFault::Error { status, .. } | CreateFault::Refuse { status, .. } => {
            ApiError::of_status(status, None).into_response()
        }
    }
}

/// What a scripted fault makes of a request. The request itself is not carried out.
async fn strike(fault: Fault, carrier: &Carrier, record: &RestRecord, call: Option<&str>) -> Response {
    match fault {
        Fault::Refuse { status, retry_after } => ApiError::of_status(status, retry_after).into_response(),
        Fault::Hang => {
            // Recorded now: the client is going to give up, and this task with it.
            carrier.push_request(record.clone(), call);
            std::future::pending().await
        }
        Fault::DropAfter(after) => {
            sleep(after).await;
            broken(futures_util::stream::once(async { Err("cut") }))
        }
        Fault::StallAfter(after) => {
            sleep(after).await;
            broken(futures_util::stream::once(async { Ok("{\"sid\":") }).chain(futures_util::stream::pending()))
        }
        Fault::GarbageAfter(after) => {
            sleep(after).await;
            ([(header::CONTENT_TYPE, "text/html")], "<html><body>502 Bad Gateway</body></html>").into_response()
        }
        Fault::ErrorAfter(after, code) => {
            sleep(after).await;
            let code = code.parse().unwrap_or(20500);
            ApiError { code, ..ApiError::of_status(400, None) }.into_response()
        }
    }
}

/// A response whose body breaks off or never ends.
fn broken(body: impl futures_util::Stream<Item = Result<&'static str, &'static str>> + Send + 'static) -> Response {
    let body = body.map(|part| part.map_err(std::io::Error::other));
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response()
}
