//! A simulated object store that speaks S3's REST API, as far as one keeps files in it: put, parts of an upload, get with ranges, head and
//! delete, path style, under any path (Supabase has it under `/storage/v1/s3`). Every request must be signed (`AWS4-HMAC-SHA256`).
//!
//! What is put is there when all of it has come: an upload's parts are nowhere to be read until it is completed, and stay until it is
//! completed or aborted, as with the real one.

mod answer;
mod objects;
mod signature;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};

use self::{
    answer::{S3Error, xml},
    objects::{Bucket, Completed},
};
use crate::{
    fault::{Fault, Script},
    http_fault,
    server::{SimServer, TlsIdentity},
};

/// The largest body: S3 takes 5 GiB, and nobody here sends that.
const LARGEST: usize = 64 << 20;
/// The smallest part but for the last.
const SMALLEST_PART: usize = 5 << 20;

/// What a simulated store does. Start from [`S3Config::new`].
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The one bucket that there is.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The key that opens it.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The path before the bucket, such as `/storage/v1/s3`; empty: none.
    pub base_path: String,
    /// The fate of each request.
    pub script: Script,
    /// How long every answer is held back.
    pub delay: Duration,
}

impl S3Config {
    /// A healthy store with an empty bucket of this name.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            region: "us-east-1".into(),
            access_key_id: "sim-access-key".into(),
            secret_access_key: "sim-secret-access-key".into(),
            base_path: String::new(),
            script: Script::default(),
            delay: Duration::ZERO,
        }
    }
}

/// What was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Request {
    /// Such as `PUT`.
    pub method: String,
    /// The object's key; empty for the bucket itself.
    pub key: String,
    /// Which part of an upload, if it was one.
    pub part: Option<u32>,
    /// Its body's length.
    pub length: usize,
    /// What it was answered.
    pub status: u16,
}

/// A running simulated store.
pub struct S3Sim {
    server: SimServer,
    shared: Arc<Shared>,
}

struct Shared {
    config: S3Config,
    bucket: Mutex<Bucket>,
    requests: Mutex<Vec<S3Request>>,
    down: AtomicBool,
}

impl S3Sim {
    /// Serves on `addr` (port 0 picks a free one), over TLS if an identity is given.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(addr: SocketAddr, config: S3Config, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            config,
            bucket: Mutex::default(),
            requests: Mutex::default(),
            down: AtomicBool::new(false),
        });
        let router = Router::new().fallback(serve).with_state(shared.clone());
        Ok(Self { server: SimServer::start(addr, router, tls).await?, shared })
    }

    /// Where it is, as a client's endpoint: without the bucket.
    pub fn endpoint(&self) -> String {
        format!("{}{}", self.server.http_url(), self.shared.config.base_path)
    }

    /// Lets it answer everything with 503, or stop that.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        self.shared.bucket().keys()
    }

    /// An object's bytes.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.shared.bucket().get(key)
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.shared.bucket().open_uploads()
    }

    /// All that was asked of it, in order.
    pub fn requests(&self) -> Vec<S3Request> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for S3Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Sim").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

impl Shared {
    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key that a path names; empty: the bucket. `None`: another bucket.
    fn key(&self, uri: &Uri) -> Option<String> {
        let path = uri.path().strip_prefix(self.config.base_path.as_str())?;
        let path = signature::decoded(path.strip_prefix('/')?)?;
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        (bucket == self.config.bucket).then(|| key.to_owned())
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if shared.down.load(Ordering::SeqCst) {
        return S3Error::slow_down().into_response();
    }
    match shared.config.script.next() {
        Some(Fault::Refuse { status, .. }) => return S3Error::of_status(status).into_response(),
        Some(fault) => return http_fault::answer(fault).await,
        None => {}
    }
    let Ok(body) = to_bytes(body, LARGEST).await else { return S3Error::too_large().into_response() };
    tokio::time::sleep(shared.config.delay).await;
    let query = signature::query(parts.uri.query().unwrap_or_default());
    let part = query.iter().find(|(name, _)| name == "partNumber").and_then(|(_, value)| value.parse().ok());
    let key = shared.key(&parts.uri);
    let (method, length) = (parts.method.to_string(), body.len());
    let response = answer(&shared, &parts, key.as_deref(), &query, body).unwrap_or_else(S3Error::into_response);
    let asked = S3Request { method, key: key.unwrap_or_default(), part, length, status: response.status().as_u16() };
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    response
}

fn answer(
    shared: &Shared,
    parts: &Parts,
    key: Option<&str>,
    query: &[(String, String)],
    body: Bytes,
) -> Result<Response, S3Error> {
    signature::check(&shared.config, parts, &body)?;
    let key = key.ok_or_else(S3Error::no_bucket)?;
    if key.is_empty() {
        return Err(S3Error::of_status(501));
    }
    let value = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    let mut bucket = shared.bucket();
    match (&parts.method, value("uploadId")) {
        (&Method::POST, None) if value("uploads").is_some() => {
            let id = bucket.begin(key);
            let name = &shared.config.bucket;
            Ok(xml(&format!(
                "<InitiateMultipartUploadResult><Bucket>{name}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
                answer::escaped(key)
            )))
        }
        (&Method::PUT, Some(upload)) => {
            let number =
                value("partNumber").and_then(|number| number.parse().ok()).ok_or_else(|| S3Error::of_status(400))?;
            let etag = bucket.put_part(upload, number, body).ok_or_else(S3Error::no_upload)?;
            Ok((StatusCode::OK, [(header::ETAG, etag)]).into_response())
        }
        (&Method::POST, Some(upload)) => match bucket.complete(upload, &answer::parts_of(&body)?, SMALLEST_PART) {
            Completed::Done(etag) => Ok(xml(&format!(
                "<CompleteMultipartUploadResult><Key>{}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
                answer::escaped(key),
                answer::escaped(&etag)
            ))),
            Completed::NoUpload => Err(S3Error::no_upload()),
            Completed::NoPart => Err(S3Error::invalid_part()),
            Completed::TooSmall => Err(S3Error::too_small()),
        },
        (&Method::DELETE, Some(upload)) => {
            bucket.abort(upload);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (&Method::PUT, None) => {
            let etag = bucket.put(key, body);
            Ok((StatusCode::OK, [(header::ETAG, etag)]).into_response())
        }
        (&Method::GET | &Method::HEAD, None) => {
            let object = bucket.get(key).ok_or_else(S3Error::no_key)?;
            answer::object(parts, &object)
        }
        (&Method::DELETE, None) => {
            bucket.delete(key);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(S3Error::of_status(405)),
    }
}
