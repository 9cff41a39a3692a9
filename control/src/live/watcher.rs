//! Who listens: by a token or key in a header, or, from a browser's EventSource that sends none, by a ticket in the address.
//!
//! A ticket is 32 random bytes, base64url, of which only the SHA-256 is kept. It is good once, within [`VALID_FOR`], and for what its
//! maker may see for as long as they may see it: the stream ends when the token that asked for the ticket expires.

use std::time::Duration;

use axum::{
    extract::{FromRef, FromRequestParts, Query},
    http::{header, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use trunkline_base::Secret;
use uuid::Uuid;

use super::{StreamQuery, store};
use crate::{
    Control,
    auth::{Allowed, Principal, Viewer},
    db::{Db, DbError},
    error::ApiError,
    http::now,
    lookup,
    tenant::TenantId,
};

/// How long a ticket may be shown after it was handed out.
pub(super) const VALID_FOR: Duration = Duration::from_secs(60);

/// Who listens, for which tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watcher {
    pub(super) tenant: TenantId,
    /// As the audit log names them: `user:<id>` or `key:<id>`.
    actor: String,
    /// When what they showed expires; `None` if it doesn't.
    expires_at: Option<DateTime<Utc>>,
}

impl Watcher {
    /// For how much longer they may listen; `None` without an end.
    pub(super) fn lasts(&self) -> Option<Duration> {
        self.expires_at.map(|at| (at - now()).to_std().unwrap_or_default())
    }

    /// Whether they still belong to the tenant. Who is removed, or whose key is revoked, must not go on listening until a token expires.
    pub(super) async fn has_standing(&self, db: &Db) -> Result<bool, DbError> {
        let Some((kind, id)) = self.actor.split_once(':') else { return Ok(false) };
        let Ok(id) = Uuid::try_parse(id) else { return Ok(false) };
        let mut tx = db.begin(self.tenant).await?;
        let standing = match kind {
            "user" => store::is_member(&mut tx, self.tenant, id).await?,
            "key" => store::is_good_key(&mut tx, self.tenant, id).await?,
            _ => false,
        };
        tx.commit().await?;
        Ok(standing)
    }

    async fn by_ticket(db: &Db, ticket: &str) -> Result<Self, ApiError> {
        let hash = hash(ticket);
        let tenant = lookup::sse_ticket(db, &hash).await?.ok_or_else(no_good)?;
        let mut tx = db.begin(tenant).await?;
        let used = store::use_ticket(&mut tx, tenant, &hash, now()).await?;
        tx.commit().await?;
        let (actor, expires_at) = used.ok_or_else(no_good)?;
        let watcher = Self { tenant, actor, expires_at };
        if watcher.has_standing(db).await? { Ok(watcher) } else { Err(no_good()) }
    }
}

impl From<&Principal> for Watcher {
    fn from(principal: &Principal) -> Self {
        Self { tenant: principal.tenant, actor: principal.actor.clone(), expires_at: principal.expires_at }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Watcher
where
    Control: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let in_header = parts.headers.contains_key(header::AUTHORIZATION) || parts.headers.contains_key("x-api-key");
        let query = Query::<StreamQuery>::try_from_uri(&parts.uri).ok();
        match query.and_then(|Query(query)| query.ticket) {
            Some(ticket) if !in_header => {
                let control = Control::from_ref(state);
                let watcher = Self::by_ticket(&control.db, &ticket).await?;
                tracing::Span::current().record("tenant_id", tracing::field::display(watcher.tenant));
                Ok(watcher)
            }
            _ => Ok(Self::from(&*Allowed::<Viewer>::from_request_parts(parts, state).await?)),
        }
    }
}

/// The same words for a ticket that never was, was used, or is too old.
fn no_good() -> ApiError {
    ApiError::auth("The ticket is not known, was used, or has expired: ask for another with POST /v1/live/tickets")
}

/// A new ticket, and what is kept of it.
pub(super) fn mint() -> (Secret, [u8; 32]) {
    let mut bytes = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    let ticket = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash(&ticket);
    (Secret::new(ticket), hash)
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket.as_bytes()).into()
}

/// Keeps a ticket for whoever asks for it; until when it may be shown.
pub(super) async fn keep(db: &Db, principal: &Principal, hash: &[u8; 32]) -> Result<DateTime<Utc>, DbError> {
    let expires_at = now() + VALID_FOR;
    let mut tx = db.begin(principal.tenant).await?;
    store::put_ticket(&mut tx, principal.tenant, hash, &principal.actor, expires_at, principal.expires_at).await?;
    tx.commit().await?;
    Ok(expires_at)
}
