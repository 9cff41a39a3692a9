//! `Idempotency-Key`: a request that is sent again is done once.
//!
//! A layer around all routes, not an extractor in some: every POST of the API that creates something or dials has it, and whoever adds
//! one need not think of it. The key is claimed before the handler runs and its answer is kept after, each in a transaction of its own.
//! The handler runs apart from the connection that asked, so that a client who is gone, which is what keys are for, finds the answer
//! when it comes back. What a crash interrupts is free again once its lease is over; if it crashed between the handler's commit and the
//! answer's, it is done twice then.
//!
//! A key is its tenant's and its route's. An answer is given again only to somebody whom the route itself would let through now.

mod answer;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{FromRequest, MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use self::{
    answer::Kept,
    store::{Claim, Earlier, Key, Lease},
};
use crate::{
    Control,
    auth::Principal,
    db::DbError,
    error::{ApiError, ErrorCode},
    http::{Caller, Demanded, RequestId, is_api, render, unreadable},
    lookup,
};

/// POSTs of the API that make nothing that lasts: they ask, or make what is good for one use. And one that does nothing the second time,
/// whose file is not to be held in memory. A key changes nothing about them.
pub(crate) const NOT_KEPT: [&str; 4] =
    ["/v1/integrations/test-credential", "/v1/voices/preview", "/v1/live/tickets", "/v1/campaigns/{id}/contacts"];

/// The name of the header.
pub(crate) const HEADER: &str = "idempotency-key";

/// How long a handler may run under a key. Longer than a request takes: it goes on after the client was told that it took too long.
const RUN: Duration = Duration::from_secs(50);
/// How long a key is held while its request runs: what a crash leaves is free after this.
const LEASE: Duration = Duration::from_secs(60);
/// How long answers are kept.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest key, in characters.
pub(crate) const LONGEST: usize = 255;
/// The largest answer that is kept, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// How often what has expired is removed.
const CLEAN: Duration = Duration::from_secs(10 * 60);
/// How many expired keys are looked at at once.
const BATCH: i32 = 10_000;

/// Whether a route keeps answers.
pub(crate) fn keeps(method: &Method, route: &str) -> bool {
    *method == Method::POST && is_api(route) && !NOT_KEPT.contains(&route)
}

/// The layer. It stands inside those that authenticate, count and limit bodies.
pub(crate) async fn layer(State(control): State<Control>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let Some(route) = route.filter(|route| keeps(request.method(), route)) else { return next.run(request).await };
    // Whoever is not known is refused by the route, before anything else is said, and has claimed nothing.
    let Some(Caller(Ok(principal))) = request.extensions().get::<Caller>().cloned() else {
        return next.run(request).await;
    };
    let key = match key(request.headers()) {
        Ok(Some(key)) => Key { route, key },
        Ok(None) => return next.run(request).await,
        Err(error) => return error.into_response(),
    };
    match once(control, principal, key, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let wrong =
        || ApiError::field("Idempotency-Key", format!("must be 1 to {LONGEST} printable ASCII characters, once"));
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| wrong())?;
    let good = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if good && values.next().is_none() { Ok(Some(text.to_owned())) } else { Err(wrong()) }
}

async fn once(
    control: Control,
    principal: Principal,
    key: Key,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), &()).await;
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    // The template has no ids: the same key for another agent is another request.
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
    let said: [&[u8]; 2] = [target.as_bytes(), &body];
    let digest = control.vault.digest(said);
    match store::claim(&control.db, principal.tenant, &key, &digest, LEASE).await? {
        Claim::Theirs(earlier) => again(&control, &principal, &earlier, control.vault.is_digest(&earlier.digest, said)),
        Claim::Ours(lease) => {
            let request = Request::from_parts(parts, Body::from(body));
            let run = first(control, principal, key, lease, request, next).in_current_span();
            tokio::spawn(run).await.map_err(|error| ApiError::internal(&error))
        }
    }
}

fn again(control: &Control, principal: &Principal, earlier: &Earlier, same: bool) -> Result<Response, ApiError> {
    if !same {
        return Err(ApiError::conflict("This Idempotency-Key was used for another request: use a new one"));
    }
    let Some(token) = &earlier.answer else {
        let running = "The first request with this Idempotency-Key still runs: ask again to have its answer";
        return Err(ApiError::conflict(running).retry_after(Duration::from_secs(1)));
    };
    let Some(kept) = Kept::open(&control.vault, token) else {
        return Err(ApiError::conflict(
            "The answer kept for this Idempotency-Key can no longer be read: use a new one",
        ));
    };
    principal.at_least(kept.role)?;
    Ok(kept.replay())
}

/// Runs the handler, and keeps what it answers.
async fn first(
    control: Control,
    principal: Principal,
    key: Key,
    lease: Lease,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let demanded = Demanded::default();
    request.extensions_mut().insert(demanded.clone());
    let response = match tokio::time::timeout(RUN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(ErrorCode::RequestTimeout, "The request took too long").into_response(),
    };
    // Written now, so that it is the same when it is given again.
    let response = render(response, &id, &Method::POST);
    let db = &control.db;
    let tenant = principal.tenant;
    let (response, kept) = match is_final(response.status()) {
        true => keep(response, demanded.role().unwrap_or(principal.role)).await,
        false => (response, None),
    };
    let done = match kept.and_then(|kept| Some((response.status().as_u16(), kept.seal(&control.vault)?))) {
        Some((status, sealed)) => store::finish(db, tenant, &key, lease, (status, &sealed), KEEP).await,
        None => store::release(db, tenant, &key, lease).await,
    };
    if let Err(error) = done {
        // The client has its answer. Its key is free when the lease is over.
        tracing::warn!(%error, "the answer to a request with an Idempotency-Key is not kept");
    }
    response
}

/// Whether asking again would not help: an error of ours might pass, and who may ask, and how often, is decided anew each time.
fn is_final(status: StatusCode) -> bool {
    let anew =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    !status.is_server_error() && !anew.contains(&status)
}

/// Reads an answer that is small and whole. A stream is not, and goes on to the client as it is.
async fn keep(response: Response, role: crate::auth::Role) -> (Response, Option<Kept>) {
    if response.body().size_hint().exact().is_none_or(|size| size > LARGEST) {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, usize::MAX).await {
        Ok(bytes) => {
            let kept = Kept::new(&parts, &bytes, role);
            (Response::from_parts(parts, Body::from(bytes)), kept)
        }
        Err(error) => (ApiError::internal(&error).into_response(), None),
    }
}

/// Removes what has expired, until it is dropped.
pub async fn keep_clean(control: Control) {
    let mut tick = tokio::time::interval(CLEAN);
    loop {
        tick.tick().await;
        if let Err(error) = remove_expired(&control).await {
            tracing::warn!(%error, "expired idempotency keys could not be removed");
        }
    }
}

/// How many keys are removed.
async fn remove_expired(control: &Control) -> Result<u64, DbError> {
    let mut removed = 0;
    loop {
        let tenants = lookup::expired_idempotency_keys(&control.db, BATCH).await?;
        let before = removed;
        for tenant in tenants {
            let mut tx = control.db.begin(tenant).await?;
            removed += store::remove_expired(&mut tx, tenant).await?;
            tx.commit().await?;
        }
        if removed == before {
            return Ok(removed);
        }
    }
}
