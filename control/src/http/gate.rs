//! What every request to the API passes before its handler: who asks is found out once, and how often they ask is counted.
//!
//! It refuses nobody for not being known: a route that lets people in by other means, such as a stream with a ticket, decides for
//! itself, and all others do by asking for [`crate::auth::Allowed`]. Who is not known is counted by address.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    Control,
    auth::{Principal, Role},
    error::{ApiError, ErrorCode},
    limits::{Verdict, client_address},
    tenant::TenantId,
};

/// How long finding out who asks may take.
const AUTHENTICATE: Duration = Duration::from_secs(10);
/// When to try again what took longer.
const RETRY: Duration = Duration::from_secs(2);

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Who asks, or why nobody knows. In the extensions of every request to the API.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Result<Principal, ApiError>);

/// The least role that a route asked for, for those who have to know after its handler has run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Demanded(Arc<OnceLock<Role>>);

impl Demanded {
    pub(crate) fn tell(&self, role: Role) {
        let _ = self.0.set(role);
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.0.get().copied()
    }
}

/// Whose calls prove themselves in another way.
const CARRIERS: [&str; 3] = ["twilio", "vonage", "deepgram"];

/// Whether a path, or a route's template, is the API's: who asks is found out, and counted.
pub(crate) fn is_api(path: &str) -> bool {
    let carriers = path.strip_prefix("/v1/webhooks/").and_then(|rest| rest.split('/').next());
    path.starts_with("/v1/") && !carriers.is_some_and(|name| CARRIERS.contains(&name))
}

/// Finds out who asks, and puts it into the request.
pub(super) async fn identify(control: &Control, request: &mut Request) -> Option<TenantId> {
    let authenticate = control.auth.authenticate(&control.db, request.headers());
    let caller = match tokio::time::timeout(AUTHENTICATE, authenticate).await {
        Ok(caller) => caller,
        Err(_) => Err(ApiError::overloaded("Who asks could not be found out in time; try again", RETRY)),
    };
    let tenant = caller.as_ref().ok().map(|principal| principal.tenant);
    request.extensions_mut().insert(Caller(caller));
    tenant
}

/// Counts a request of a [`Caller`]'s, and says on every answer what is left.
pub(super) async fn count(State(control): State<Control>, request: Request, next: Next) -> Response {
    let Some(Caller(caller)) = request.extensions().get::<Caller>() else { return next.run(request).await };
    let verdict = match caller {
        Ok(principal) => control.edge.limiter.tenant(principal.tenant).await,
        // That the database is down is not the client's doing.
        Err(error) if error.status.is_server_error() => return next.run(request).await,
        Err(_) => control.edge.limiter.address(address(&control, &request)).await,
    };
    let mut response = match verdict.retry_after {
        None => next.run(request).await,
        Some(wait) => over(&verdict, wait).into_response(),
    };
    tell(response.headers_mut(), &verdict);
    response
}

fn over(verdict: &Verdict, wait: Duration) -> ApiError {
    let wait = Duration::from_secs(whole_seconds(wait));
    let message = format!("More than {} requests in a minute: try again in {} s", verdict.limit, wait.as_secs());
    ApiError::new(ErrorCode::RateLimited, message).retry_after(wait)
}

fn tell(headers: &mut HeaderMap, verdict: &Verdict) {
    headers.insert(LIMIT.clone(), HeaderValue::from(verdict.limit));
    headers.insert(REMAINING.clone(), HeaderValue::from(verdict.remaining));
    headers.insert(RESET.clone(), HeaderValue::from(whole_seconds(verdict.reset())));
}

/// Rounded up: who waits for so long has waited long enough.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn address(control: &Control, request: &Request) -> IpAddr {
    match request.extensions().get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => client_address(*peer, request.headers(), &control.edge.trusted_proxies),
        // A request that came over no socket.
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
