//! The catalogue and what is installed of it, as the API takes and shows them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{credentials::CredentialType, http::Pagination, vendors::Provider};

/// Something that can be installed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Integration {
    /// Its id, the same everywhere.
    pub id: Uuid,
    /// Whose service.
    pub provider: Provider,
    /// What people call it.
    #[schema(example = "OpenAI")]
    pub name: String,
    /// What it is for: `ai`, `speech`, `voice`, `telephony` or `crm`.
    #[schema(example = "ai")]
    pub category: String,
    /// The fields of its credentials, as a JSON Schema for each type of credential that it has.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Value>>, example = json!({ "api_key": {
        "type": "object", "required": ["api_key"], "additionalProperties": false,
        "properties": { "api_key": { "type": "string", "format": "password", "writeOnly": true, "minLength": 1, "maxLength": 16384 } }
    } }))]
    pub credential_schemas: BTreeMap<CredentialType, Value>,
    /// Whether the tenant has installed it.
    pub installed: bool,
}

/// A page of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IntegrationList {
    pub(super) integrations: Vec<Integration>,
    pub(super) pagination: Pagination,
}

/// What to install.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InstallRequest {
    /// Which integration of the catalogue.
    pub(super) integration_id: Uuid,
    /// With which credential.
    pub(super) credential_id: Uuid,
    /// The tenant's own settings. Of a carrier's, `calls_per_second` is read: how many calls may be placed, 0.1 to 500. Default: 1 at
    /// Twilio, 3 at Vonage, which is what they allow.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Value>, example = json!({}))]
    pub(super) config: Map<String, Value>,
}

/// Something was installed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Installed {
    /// What agents' `integrations` list.
    pub(super) installation_id: Uuid,
    /// Which integration of the catalogue.
    pub(super) integration_id: Uuid,
    /// With which credential.
    pub(super) credential_id: Uuid,
    /// Always `installed`.
    pub(super) status: InstalledStatus,
    /// What to set at the carrier, if it is one.
    #[schema(example = "https://voice.example.com/webhooks/twilio?kind=voice")]
    pub(super) webhook_url: Option<String>,
}

/// What became of a request to install.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum InstalledStatus {
    /// It is.
    Installed,
}

/// An integration that a tenant has installed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Installation {
    /// What agents' `integrations` list.
    pub id: Uuid,
    /// Which integration of the catalogue.
    pub integration_id: Uuid,
    /// That integration's provider.
    pub provider: Provider,
    /// With which credential.
    pub credential_id: Uuid,
    /// The tenant's own settings.
    #[schema(value_type = BTreeMap<String, Value>, example = json!({}))]
    pub config: Value,
    /// Whether agents use it that list none of this provider.
    pub is_default: bool,
    /// What to set at the carrier, if it is one.
    #[schema(example = "https://voice.example.com/webhooks/twilio?kind=voice")]
    pub webhook_url: Option<String>,
    /// When it was installed.
    pub created_at: DateTime<Utc>,
}

/// A page of what is installed, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InstallationList {
    pub(super) installations: Vec<Installation>,
    pub(super) pagination: Pagination,
}
