//! `POST /v1/voice-agents/{agent_id}/calls`: an agent calls somebody.
//!
//! Of two ways to place a call so that nobody is dialled twice (a job that is retried until it works, or the request itself with a row
//! that says that it is under way), this is the second: whoever asks is told what the carrier says, and what cannot be known yet is
//! found out afterwards ([`settle`]), also by another process.

mod answer;
mod carrier;
mod line;
mod place;
mod request;
mod settle;

use std::time::Duration;

use axum::{extract::State, http::HeaderMap};
use tokio::sync::oneshot;
use trunkline_control::{
    auth::{Allowed, Member},
    conversations::dials::{self, EarlierDial, NoDial},
    do_not_call::store as do_not_call,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Envelope, PathId, Reply, WriteRefusals},
    lookup::Turn,
    tenant::TenantId,
    tenants::store as tenants,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::request::{DialedCall, NewCall};
pub(super) use self::{
    carrier::{Fault, Refused},
    line::{Line, Wanted},
    place::{Dialling, Outcome},
};
use super::Calls;

/// How far away an account's next turn to place a call may be: whoever comes later is sent away.
const QUEUE: Duration = Duration::from_secs(8);
/// How long whoever asks is kept waiting for the carrier's word, less than a request may take.
const PATIENCE: Duration = Duration::from_secs(27);
/// How long a dial's place among the tenant's calls is kept beyond its waiting and ringing.
const MARGIN: Duration = Duration::from_secs(60);
/// When to ask again after there was no place for one more call.
const FULL: Duration = Duration::from_secs(5);

pub(super) fn router() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(dial))
}

/// Call somebody
///
/// The carrier is asked before this is answered. Where it does not say in time whether it has the call, `call_sid` is null, and the
/// conversation tells what has come of it. With an `Idempotency-Key`, a request that is sent again is the same call.
#[utoipa::path(
    post, path = "/v1/voice-agents/{agent_id}/calls", tag = "voice-agents", operation_id = "call_with_voice_agent", security(("bearer" = [])),
    params(("agent_id" = Uuid, Path)), request_body = NewCall,
    responses(
        (status = 202, description = "It is being placed", body = Envelope<DialedCall>),
        (status = 409, description = "A call between these numbers is being placed already, or the number is on the do-not-call list, or the agent cannot call as it is: a credential fails its test", body = ErrorBody),
        (status = 429, description = "Too many calls at once, or one after the other", body = ErrorBody),
        (status = 502, description = "The carrier failed, or refused the account", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn dial(
    caller: Allowed<Member>,
    State(calls): State<Calls>,
    id: PathId,
    headers: HeaderMap,
    Body(call): Body<NewCall>,
) -> Result<Reply<DialedCall>, ApiError> {
    let agent = id.or(ErrorCode::AgentNotFound)?;
    call.check()?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let dialling = match calls.begin(caller.tenant, agent, &call, key).await? {
        Begun::Now(dialling) => dialling,
        Begun::Before(earlier) => return Ok(Reply::accepted("The call is being placed", earlier.into())),
    };
    let id = dialling.id;
    let (tell, told) = oneshot::channel();
    // By itself: it goes on when whoever asked is gone.
    let run = calls.clone().place(dialling);
    calls.0.registry.tasks().spawn(async move {
        let _ = tell.send(run.await);
    });
    let call_sid = match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(Outcome::Placed(call_sid))) => Some(call_sid),
        Ok(Ok(Outcome::Refused(refused))) => return Err(refused.into()),
        Ok(Ok(Outcome::GivenUp)) => return Err(ApiError::conflict("The call was ended before it was placed")),
        Ok(Ok(Outcome::Failed(error))) => return Err(error),
        // Nobody knows yet.
        Ok(Ok(Outcome::Unsure) | Err(_)) | Err(_) => None,
    };
    Ok(Reply::accepted(
        "The call is being placed",
        DialedCall { conversation_id: id.as_uuid(), call_sid, status: "ringing".to_owned() },
    ))
}

/// What a request comes to.
enum Begun {
    Now(Dialling),
    /// It was made before, with the same key.
    Before(EarlierDial),
}

impl Calls {
    /// Writes a call that is to be placed, and takes its turn.
    async fn begin(&self, tenant: TenantId, agent: Uuid, call: &NewCall, key: Option<&str>) -> Result<Begun, ApiError> {
        if self.0.registry.gauges().draining {
            return Err(ApiError::overloaded("This server is about to stop; try again", Duration::from_secs(2)));
        }
        let mut tx = self.control().db.begin(tenant).await?;
        if let Some(key) = key
            && let Some(earlier) = dials::by_key(&mut tx, tenant, key).await?
        {
            return repeated(earlier, agent, call);
        }
        if do_not_call::has(&mut tx, tenant, &call.phone_number).await? {
            return Err(ApiError::conflict("The number is on the do-not-call list: nobody calls it"));
        }
        let line = self.line(tx, tenant, agent, call.from()).await?;
        if line.number == call.phone_number {
            return Err(ApiError::field("phone_number", "is the number that would call"));
        }
        let wanted = Wanted {
            to: &call.phone_number,
            ring: call.ring(),
            context: call.context(),
            metadata: call.metadata(),
            key,
            contact: None,
            held_for: QUEUE + MARGIN,
        };
        let mut tx = self.control().db.begin(tenant).await?;
        if tenants::is_full(&mut tx, tenant, &line.tenant).await? {
            let message = "The tenant has as many calls at once as its settings allow";
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(FULL));
        }
        let dialling = self.write(&mut tx, tenant, &line, wanted).await.map_err(no_dial)?;
        let turn = match line.turn(&mut tx, QUEUE).await? {
            Turn::In(wait) => wait,
            Turn::NotBefore(wait) => {
                let message = "The carrier's account places as many calls a second as it may, and too many wait";
                return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(wait));
            }
        };
        tx.commit().await?;
        self.tell_state(tenant, dialling.id);
        Ok(Begun::Now(Dialling { turn, ..dialling }))
    }
}

fn repeated(earlier: EarlierDial, agent: Uuid, call: &NewCall) -> Result<Begun, ApiError> {
    let same_number = earlier.to.as_ref().is_none_or(|to| to.expose() == call.phone_number.expose());
    if earlier.agent != agent || !same_number {
        return Err(ApiError::conflict("This Idempotency-Key was used for another request: use a new one"));
    }
    Ok(Begun::Before(earlier))
}

fn no_dial(error: NoDial) -> ApiError {
    match error {
        NoDial::Pair => ApiError::conflict("A call from this number to that one is being placed already")
            .retry_after(Duration::from_secs(5)),
        NoDial::Key => {
            ApiError::conflict("The first request with this Idempotency-Key still runs: ask again to have its answer")
                .retry_after(Duration::from_secs(1))
        }
        NoDial::Db(error) => error.into(),
    }
}
