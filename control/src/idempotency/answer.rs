//! An answer as it is kept, and as it is given again.

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use trunkline_base::Secret;

use crate::{auth::Role, vault::Vault};

/// On an answer that was given before.
pub(super) static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The whole of an answer. It may hold a key that is shown once: it is kept encrypted, and prints nothing.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    status: u16,
    /// The least role that the route let through: whoever is answered again must have it too.
    pub(super) role: Role,
    content_type: Option<String>,
    location: Option<String>,
    body: String,
}

impl Kept {
    /// `None` for a body that is no text.
    pub(super) fn new(response: &axum::http::response::Parts, body: &Bytes, role: Role) -> Option<Self> {
        let text =
            |name: HeaderName| response.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = std::str::from_utf8(body).ok()?.to_owned();
        let (content_type, location) = (text(header::CONTENT_TYPE), text(header::LOCATION));
        Some(Self { status: response.status.as_u16(), role, content_type, location, body })
    }

    pub(super) fn seal(&self, vault: &Vault) -> Option<String> {
        let text = Secret::new(serde_json::to_string(self).ok()?);
        Some(vault.seal_text(&text).token)
    }

    /// `None` if no key of the ring opens it any more.
    pub(super) fn open(vault: &Vault, token: &str) -> Option<Self> {
        serde_json::from_str(vault.open_text(token).ok()?.expose()).ok()
    }

    pub(super) fn replay(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in [(header::CONTENT_TYPE, self.content_type), (header::LOCATION, self.location)] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
        response
    }
}
