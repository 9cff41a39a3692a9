//! Agents as the API takes and shows them: the keys of their configuration, flat, and what the service adds.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::Object},
};
use uuid::Uuid;

use super::{config::AgentConfig, describe::nullable, models, store::StoredAgent};
use crate::{http::Pagination, tenant::TenantId};

/// Something about a configuration that may be a mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Warning {
    /// Where, as `ai_config.model`.
    #[schema(example = "ai_config.model")]
    pub(super) field: String,
    /// What.
    #[schema(example = "openai is not known to have this model")]
    pub(super) message: String,
}

/// An agent.
#[derive(Debug, Serialize)]
pub(super) struct Agent {
    id: Uuid,
    tenant_id: TenantId,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    warnings: Vec<Warning>,
    #[serde(flatten)]
    config: AgentConfig,
}

impl Agent {
    pub(super) fn new(tenant_id: TenantId, stored: StoredAgent) -> Self {
        Self {
            id: stored.id,
            tenant_id,
            version: stored.version,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            warnings: models::warnings(&stored.config),
            config: stored.config,
        }
    }
}

/// What the service adds to an agent's configuration.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
struct Added {
    /// The agent's id.
    id: Uuid,
    /// Whose.
    tenant_id: Uuid,
    /// Counts changes, from 1.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// What may be a mistake, such as a model that its vendor is not known to have.
    warnings: Vec<Warning>,
}

fn object<T: PartialSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => Object::new(),
    }
}

impl PartialSchema for Agent {
    fn schema() -> RefOr<Schema> {
        let mut whole = object::<AgentConfig>();
        let added = object::<Added>();
        // Put together from its parts, so that it shows all that is there.
        whole.example = None;
        whole.description = Some("An agent. What was not set shows the platform's default.".into());
        whole.properties.extend(added.properties);
        // All of them, whether or not they have to be sent.
        whole.required = whole.properties.keys().cloned().collect();
        Schema::Object(whole).into()
    }
}

impl ToSchema for Agent {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        AgentConfig::schemas(schemas);
        schemas.push((Warning::name().into_owned(), Warning::schema()));
    }
}

/// What to change about an agent: whole top-level keys. Only its description; the document is merged before it is read.
pub(super) struct AgentPatch;

impl PartialSchema for AgentPatch {
    fn schema() -> RefOr<Schema> {
        let mut whole = object::<AgentConfig>();
        nullable(&mut whole);
        whole.required.clear();
        whole.example = Some(json!({ "is_active": false, "speech_config": { "model": "flux-general-en" } }));
        whole.description = Some("Whole top-level keys to replace; null brings back the platform's default.".into());
        Schema::Object(whole).into()
    }
}

impl ToSchema for AgentPatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        AgentConfig::schemas(schemas);
    }
}

/// A page of agents, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentList {
    pub(super) voice_agents: Vec<Agent>,
    pub(super) pagination: Pagination,
}

/// What an agent was from one change to the next.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentVersion {
    /// Counts changes, from 1.
    pub(super) version: i32,
    /// Who made it, as `user:<id>`.
    #[schema(example = "user:019acb5e-5b40-7000-8000-000000000002")]
    pub(super) created_by: String,
    /// When.
    pub(super) created_at: DateTime<Utc>,
    /// All of the configuration.
    pub(super) config: AgentConfig,
}

/// A page of versions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionList {
    pub(super) versions: Vec<AgentVersion>,
    pub(super) pagination: Pagination,
}
