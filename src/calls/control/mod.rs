//! `POST /v1/conversations/{id}/hangup`, `/transfer`, `/say`, `/hold`, `/dtmf`: what is asked of a call while it goes on, from any node.
//!
//! The node that is asked looks among its own calls first. If the call is elsewhere, its row says where, and that node is asked over Redis
//! ([`bus`]); it checks the tenant once more and acknowledges. Of two shapes (asking all nodes and waiting for the one that knows, or
//! asking the one that the row names) this is the second: a call that has just moved costs a second try, and no node hears of others'
//! calls. A hang-up needs no node at all: where none answers, the carrier is told.

mod bus;
mod model;
#[cfg(test)]
mod tests;
mod transfer;
mod twilio;
mod vonage;

use std::time::Duration;

use axum::extract::State;
use trunkline_base::{CallId, Clock, E164, Personal, SystemClock};
use trunkline_control::{
    agents::store as agents,
    auth::{Allowed, Member},
    conversations::{calls as stored, dials, reach},
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Envelope, PathId, ReadRefusals, Reply, WriteRefusals},
    tenant::TenantId,
};
use trunkline_media::{call::CallCommand, event::EndReason, telephony::Transfer};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    bus::Ask,
    model::{Accepted, Hold, Keys, Say, TransferTo},
    transfer::Progress,
};
pub(super) use self::{
    bus::{Bus, Told},
    transfer::Transfers,
    twilio::{consult, dialled},
    vonage::{consult_on_vonage, dialled_on_vonage},
};
use super::Calls;

/// When somebody whose call cannot be reached may try again.
const LATER: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new()
        .routes(routes!(hang_up))
        .routes(routes!(hand_over))
        .routes(routes!(say))
        .routes(routes!(hold))
        .routes(routes!(press))
}

/// Hang up
///
/// Ends the call at once, in the middle of a word. Where no node answers for the call, its carrier is told to end it; a call of which the
/// carrier has not said yet whether it has it is ended as soon as it says so, and not placed if it has not.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/hangup", tag = "conversations", operation_id = "hang_up_call", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    responses(
        (status = 202, description = "It is being ended", body = Envelope<Accepted>),
        (status = 409, description = "The call is over", body = ErrorBody),
        (status = 502, description = "EXTERNAL_API_ERROR: the carrier does not end it", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn hang_up(State(calls): State<Calls>, caller: Allowed<Member>, id: PathId) -> Result<Reply<Accepted>, ApiError> {
    let id = call_id(id)?;
    let ask = Ask::Command { command: CallCommand::HangUp { reason: EndReason::ApiHangup } };
    match calls.ask(caller.tenant, id, &ask).await? {
        Asked::Told(Told::Done) => {}
        Asked::Told(_) | Asked::Nobody => calls.hang_up_at_carrier(caller.tenant, id).await?,
    }
    Ok(Reply::accepted("The call is being ended", Accepted::of(id)))
}

/// Hand a call over
///
/// To a number, or to one of the agent's transfer targets by its name. Cold: the caller hears a sentence, and the carrier rings the target
/// in the agent's place. Warm: the caller is held while the target is rung and asked whether it takes the call. A caller who was not
/// connected is back with the agent, who is told why. How it went is in the conversation's timeline, as `transfer`. While a transfer is
/// under way, another is ignored.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/transfer", tag = "conversations", operation_id = "transfer_call", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    request_body = TransferTo,
    responses(
        (status = 202, description = "It is being handed over", body = Envelope<Accepted>),
        (status = 409, description = "The call is over", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn hand_over(
    State(calls): State<Calls>,
    caller: Allowed<Member>,
    id: PathId,
    Body(to): Body<TransferTo>,
) -> Result<Reply<Accepted>, ApiError> {
    let id = call_id(id)?;
    let transfer = calls.transfer_of(caller.tenant, id, &to).await?;
    let command = CallCommand::Transfer { target: transfer.target, mode: transfer.mode };
    calls.command(caller.tenant, id, command).await?;
    Ok(Reply::accepted("The call is being handed over", Accepted::of(id)))
}

/// Say something
///
/// The agent says it as soon as what it is saying is over. It is part of the transcript, and of what the agent knows that it has said.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/say", tag = "conversations", operation_id = "say_in_call", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    request_body = Say,
    responses(
        (status = 202, description = "It will be said", body = Envelope<Accepted>),
        (status = 409, description = "The call is over", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn say(
    State(calls): State<Calls>,
    caller: Allowed<Member>,
    id: PathId,
    Body(say): Body<Say>,
) -> Result<Reply<Accepted>, ApiError> {
    let id = call_id(id)?;
    let command = CallCommand::Say { text: Personal::new(say.words()?), interruptible: say.interruptible };
    calls.command(caller.tenant, id, command).await?;
    Ok(Reply::accepted("It will be said", Accepted::of(id)))
}

/// Put a caller on hold, or take them off it
///
/// On hold, the agent is silent and does not listen: nothing that is said is transcribed. What it owed the caller it answers afterwards.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/hold", tag = "conversations", operation_id = "hold_call", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    request_body = Hold,
    responses(
        (status = 202, description = "It is being done", body = Envelope<Accepted>),
        (status = 409, description = "The call is over", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn hold(
    State(calls): State<Calls>,
    caller: Allowed<Member>,
    id: PathId,
    Body(hold): Body<Hold>,
) -> Result<Reply<Accepted>, ApiError> {
    let id = call_id(id)?;
    calls.command(caller.tenant, id, CallCommand::Hold { on: hold.on }).await?;
    Ok(Reply::accepted(
        if hold.on { "The caller is put on hold" } else { "The caller is taken off hold" },
        Accepted::of(id),
    ))
}

/// Press keys
///
/// As the agent's own telephone would, towards the caller: for a menu at the other end. Which keys they were is kept nowhere.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/dtmf", tag = "conversations", operation_id = "press_keys_in_call", security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    request_body = Keys,
    responses(
        (status = 202, description = "They are being pressed", body = Envelope<Accepted>),
        (status = 409, description = "The call is over", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn press(
    State(calls): State<Calls>,
    caller: Allowed<Member>,
    id: PathId,
    Body(keys): Body<Keys>,
) -> Result<Reply<Accepted>, ApiError> {
    let id = call_id(id)?;
    calls.command(caller.tenant, id, CallCommand::SendKeys { keys: keys.keys()? }).await?;
    Ok(Reply::accepted("The keys are being pressed", Accepted::of(id)))
}

fn call_id(id: PathId) -> Result<CallId, ApiError> {
    Ok(CallId::from(id.or(ErrorCode::ConversationNotFound)?))
}

fn over() -> ApiError {
    ApiError::conflict("The call is over")
}

/// What came of asking for a call.
#[derive(Debug)]
enum Asked {
    /// Its node says this.
    Told(Told),
    /// No node answers for it.
    Nobody,
}

impl Calls {
    /// Asks something of a call that only its node can do.
    pub(super) async fn command(&self, tenant: TenantId, id: CallId, command: CallCommand) -> Result<(), ApiError> {
        match self.ask(tenant, id, &Ask::Command { command }).await? {
            Asked::Told(Told::Done) => Ok(()),
            Asked::Told(Told::Over) => Err(over()),
            Asked::Told(Told::Busy) => Err(ApiError::overloaded("The call has too much to do; try again", LATER)),
            Asked::Told(Told::Unknown | Told::Document { .. } | Told::Moving) | Asked::Nobody => {
                let why = if self.0.bus.is_some() {
                    "The node that has the call does not answer; try again"
                } else {
                    "The call is on another node, and without REDIS_URL nodes cannot reach each other"
                };
                Err(ApiError::overloaded(why, LATER))
            }
        }
    }

    /// Asks the node that has a call, which may be this one. A call that is over, or of nobody, is refused.
    async fn ask(&self, tenant: TenantId, id: CallId, ask: &Ask) -> Result<Asked, ApiError> {
        let mut node = None;
        // A call may move while it is asked for.
        for _ in 0..2 {
            match self.ask_here(tenant, id, ask).await {
                Told::Unknown => {}
                told => return Ok(Asked::Told(told)),
            }
            let mut tx = self.control().db.begin(tenant).await?;
            let found = reach::whereabouts(&mut tx, tenant, id).await?;
            tx.commit().await?;
            let Some(found) = found else { return Err(ApiError::not_found(ErrorCode::ConversationNotFound)) };
            if found.over {
                return Err(over());
            }
            let (Some(bus), Some(other)) = (&self.0.bus, found.node.filter(|other| *other != self.0.node)) else {
                return Ok(Asked::Nobody);
            };
            if node.as_ref() == Some(&other) {
                return Ok(Asked::Nobody);
            }
            match bus.ask(&other, tenant, id, ask).await {
                Some(Told::Unknown) => node = Some(other),
                Some(told) => return Ok(Asked::Told(told)),
                None => return Ok(Asked::Nobody),
            }
        }
        Ok(Asked::Nobody)
    }

    /// Whether the caller of a call of another node is on their way to somebody else.
    pub(super) async fn is_moving_elsewhere(&self, tenant: TenantId, id: CallId) -> bool {
        !self.0.registry.contains(id)
            && matches!(self.ask(tenant, id, &Ask::Moving).await, Ok(Asked::Told(Told::Moving)))
    }

    /// What is asked of a call that is here, if it is this tenant's.
    pub(super) async fn ask_here(&self, tenant: TenantId, id: CallId, ask: &Ask) -> Told {
        match ask {
            Ask::Command { command } => self.0.registry.command(tenant, id, command.clone()),
            Ask::Moving | Ask::Transfer { .. }
                if self.0.registry.owner(id).is_none_or(|(owner, _)| owner != tenant) =>
            {
                Told::Unknown
            }
            Ask::Moving => {
                if self.0.transfers.is_moving(id) {
                    Told::Moving
                } else {
                    Told::Done
                }
            }
            Ask::Transfer { progress, comes_back } => {
                match (self.0.transfers.tell(id, progress.clone()), progress) {
                    (true, Progress::Connected) => self.0.registry.set_handed_over(id, true),
                    (false, Progress::Accepted) => return Told::Over,
                    _ => {}
                }
                if *comes_back { self.next_document(tenant, id).await } else { Told::Done }
            }
        }
    }

    /// Ends a call by its carrier alone.
    async fn hang_up_at_carrier(&self, tenant: TenantId, id: CallId) -> Result<(), ApiError> {
        let call = self.stored_call(tenant, id).await?;
        let call = call.ok_or_else(|| ApiError::not_found(ErrorCode::ConversationNotFound))?;
        if call.over {
            return Err(over());
        }
        let account = match call.provider {
            Some(provider) => self.account_of_call(&call, provider).await?,
            None => None,
        };
        if call.provider_call_id.is_some() && account.is_none() {
            return Err(ApiError::overloaded("No node has the call, and its carrier's account is gone", LATER));
        }
        let mut tx = self.control().db.begin(tenant).await?;
        // Whoever is told just now that the carrier has the call comes before this, or sees it.
        dials::hold(&mut tx, tenant, id).await?;
        reach::set_ending(&mut tx, tenant, id).await?;
        let leg = stored::read(&mut tx, tenant, id).await?.and_then(|call| call.provider_call_id);
        tx.commit().await?;
        let (Some(leg), Some(account)) = (leg, account) else {
            // The carrier has not said yet whether it has the call: it is ended as soon as it says so, and not placed if it has not.
            self.tell_state(tenant, id);
            return Ok(());
        };
        account.hang_up(&leg).await.map_err(|error| {
            ApiError::new(ErrorCode::ExternalApiError, format!("The carrier does not end the call: {error}"))
        })?;
        tracing::info!(call = %id, "ended at its carrier: no node answers for it");
        let mut tx = self.control().db.begin(tenant).await?;
        reach::close_hung_up(&mut tx, tenant, id, SystemClock.wall().into()).await?;
        tx.commit().await?;
        self.tell_state(tenant, id);
        Ok(())
    }

    /// Whom a request means: a number, or one of the agent's targets.
    async fn transfer_of(&self, tenant: TenantId, id: CallId, to: &TransferTo) -> Result<Transfer, ApiError> {
        if let Ok(number) = E164::parse(to.target.expose()) {
            let target = Personal::new(number.expose().to_owned());
            return Ok(Transfer { target, mode: to.mode.unwrap_or_default().into() });
        }
        let mut tx = self.control().db.begin(tenant).await?;
        let found = reach::whereabouts(&mut tx, tenant, id).await?;
        let found = found.ok_or_else(|| ApiError::not_found(ErrorCode::ConversationNotFound))?;
        let agent = agents::get_version(&mut tx, tenant, found.agent, found.agent_version).await?;
        tx.commit().await?;
        let targets = agent.map(|agent| agent.config.call_config.transfer_targets).unwrap_or_default();
        let name = to.target.expose().trim();
        let target = targets.into_iter().find(|target| target.name.trim().eq_ignore_ascii_case(name));
        let target = target.ok_or_else(|| {
            ApiError::field(
                "target",
                "must be a number in E.164, such as +14155550100, or the name of one of the agent's targets",
            )
        })?;
        let mode = to.mode.unwrap_or_else(|| target.mode.into());
        Ok(Transfer { target: target.number, mode: mode.into() })
    }
}
