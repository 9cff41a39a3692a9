//! Agents: who answers a call, and how. Every change makes a version, and a call records the version that it ran.

pub mod config;
mod describe;
mod model;
mod models;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use serde_json::{Map, Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::{
    config::AgentConfig,
    model::{Agent, AgentList, AgentPatch, AgentVersion, VersionList},
};
use crate::{
    Control, audit_log,
    auth::{Allowed, Member, Viewer},
    check::Checker,
    db::Tx,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{
        Body, Empty, Envelope, IfMatch, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals,
    },
    integrations,
    removal::Removal,
    tenant::TenantId,
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    let mut router = OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(read, change, remove))
        .routes(routes!(versions));
    describe::complete(router.get_openapi_mut());
    router
}

/// Make an agent
#[utoipa::path(
    post, path = "/v1/voice-agents", tag = "voice-agents", operation_id = "create_voice_agent", security(("bearer" = [])), request_body = AgentConfig,
    responses((status = 201, description = "The agent, at version 1", body = Envelope<Agent>), WriteRefusals)
)]
async fn create(
    caller: Allowed<Member>,
    State(control): State<Control>,
    Body(document): Body<Map<String, Value>>,
) -> Result<Reply<Agent>, ApiError> {
    let tenant = caller.tenant;
    let config = read_config(document)?;
    let id = Uuid::now_v7();
    let mut tx = control.db.begin(tenant).await?;
    check_integrations(&mut tx, tenant, &config).await?;
    store::insert(&mut tx, tenant, id, &config, &caller.actor).await?;
    audit_log::note(&mut tx, &caller, "agent.created", id, json!({ "version": 1 })).await?;
    let stored = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(Reply::created("Voice agent created successfully", Agent::new(tenant, stored)))
}

/// List agents
#[utoipa::path(
    get, path = "/v1/voice-agents", tag = "voice-agents", operation_id = "list_voice_agents", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<AgentList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<AgentList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (agents, total) = store::list(&mut tx, caller.tenant, page).await?;
    let voice_agents = agents.into_iter().map(|agent| Agent::new(caller.tenant, agent)).collect();
    Ok(Reply::ok("Voice agents", AgentList { voice_agents, pagination: Pagination::new(page, total) }))
}

/// Read an agent
#[utoipa::path(
    get, path = "/v1/voice-agents/{agent_id}", tag = "voice-agents", operation_id = "read_voice_agent", security(("bearer" = [])),
    params(("agent_id" = Uuid, Path)),
    responses((status = 200, description = "As it is now", body = Envelope<Agent>), ReadRefusals)
)]
async fn read(caller: Allowed<Viewer>, State(control): State<Control>, id: PathId) -> Result<Reply<Agent>, ApiError> {
    let id = id.or(ErrorCode::AgentNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let stored = store::get(&mut tx, caller.tenant, id).await?.ok_or_else(missing)?;
    Ok(Reply::ok("Voice agent", Agent::new(caller.tenant, stored)))
}

/// Change an agent
///
/// Replaces whole top-level keys; `null` brings back a key's default. With `If-Match: <version>`, only if that is still its version.
#[utoipa::path(
    patch, path = "/v1/voice-agents/{agent_id}", tag = "voice-agents", operation_id = "change_voice_agent", security(("bearer" = [])),
    params(
        ("agent_id" = Uuid, Path),
        ("If-Match" = Option<String>, Header, description = "The version that the change is meant for", pattern = "^[0-9]{1,9}$"),
    ),
    request_body = AgentPatch,
    responses(
        (status = 200, description = "As it is now; a version more, if anything changed", body = Envelope<Agent>),
        (status = 409, description = "It has changed since that version", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn change(
    caller: Allowed<Member>,
    State(control): State<Control>,
    id: PathId,
    if_match: IfMatch,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Reply<Agent>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::AgentNotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    // Of two who change it at once, the second sees what the first has made of it.
    let version = store::lock(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    if_match.check(version)?;
    let before = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    let config = merge(&before.config, patch)?;
    if config == before.config {
        return Ok(Reply::ok("Voice agent unchanged", Agent::new(tenant, before)));
    }
    check_integrations(&mut tx, tenant, &config).await?;
    if !store::update(&mut tx, tenant, id, version, &config, &caller.actor).await? {
        return Err(ApiError::conflict("It has changed in the meantime"));
    }
    let details = json!({ "version": version + 1, "changed": changed_keys(&before.config, &config)? });
    audit_log::note(&mut tx, &caller, "agent.changed", id, details).await?;
    let after = store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(Reply::ok("Voice agent changed", Agent::new(tenant, after)))
}

/// Remove an agent
///
/// Refused while a phone number rings it. Its conversations stay.
#[utoipa::path(
    delete, path = "/v1/voice-agents/{agent_id}", tag = "voice-agents", operation_id = "remove_voice_agent", security(("bearer" = [])),
    params(("agent_id" = Uuid, Path)),
    responses(
        (status = 200, description = "Removed", body = Envelope<Empty>),
        (status = 409, description = "A phone number rings it", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn remove(caller: Allowed<Member>, State(control): State<Control>, id: PathId) -> Result<Reply<Empty>, ApiError> {
    let id = id.or(ErrorCode::AgentNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let removal = store::remove(&mut tx, caller.tenant, id).await?;
    if removal == Removal::Removed {
        audit_log::note(&mut tx, &caller, "agent.removed", id, json!({})).await?;
    }
    tx.commit().await?;
    removal.answer(
        "Voice agent removed",
        "A phone number rings the agent, or a campaign has it call",
        ErrorCode::AgentNotFound,
    )
}

/// List an agent's versions
#[utoipa::path(
    get, path = "/v1/voice-agents/{agent_id}/versions", tag = "voice-agents", operation_id = "list_voice_agent_versions", security(("bearer" = [])),
    params(("agent_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<VersionList>), ReadRefusals)
)]
async fn versions(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    id: PathId,
    Params(query): Params<PageQuery>,
) -> Result<Reply<VersionList>, ApiError> {
    let id = id.or(ErrorCode::AgentNotFound)?;
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    store::get(&mut tx, caller.tenant, id).await?.ok_or_else(missing)?;
    let (stored, total) = store::versions(&mut tx, caller.tenant, id, page).await?;
    let versions = stored
        .into_iter()
        .map(|it| AgentVersion {
            version: it.version,
            created_by: it.created_by,
            created_at: it.created_at,
            config: it.config,
        })
        .collect();
    Ok(Reply::ok("Versions of the voice agent", VersionList { versions, pagination: Pagination::new(page, total) }))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::AgentNotFound)
}

fn read_config(document: Map<String, Value>) -> Result<AgentConfig, ApiError> {
    AgentConfig::from_value(document.into()).map_err(|errors| ApiError::validation(&errors))
}

/// A configuration with some of its top-level keys replaced.
fn merge(config: &AgentConfig, patch: Map<String, Value>) -> Result<AgentConfig, ApiError> {
    let mut document = document_of(config)?;
    document.extend(patch);
    read_config(document)
}

/// The top-level keys in which two configurations differ.
fn changed_keys(before: &AgentConfig, after: &AgentConfig) -> Result<Vec<String>, ApiError> {
    let before = document_of(before)?;
    let after = document_of(after)?;
    Ok(after.into_iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, _)| key).collect())
}

fn document_of(config: &AgentConfig) -> Result<Map<String, Value>, ApiError> {
    match serde_json::to_value(config) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

/// All that it lists has to be installed; and stays so until the transaction is over.
async fn check_integrations(tx: &mut Tx, tenant: TenantId, config: &AgentConfig) -> Result<(), ApiError> {
    let there = integrations::store::lock_installed(tx, tenant, &config.integrations).await?;
    let mut check = Checker::default();
    check.each("integrations", &config.integrations, |check, id| {
        check.require("", there.contains(id), "is not the id of an installed integration");
    });
    check.finish().map_err(|errors| ApiError::validation(&errors))
}
