//! API keys as the API takes and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{auth::Role, http::Pagination};

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApiKey {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    pub(super) name: String,
    /// What it may do; nothing above one's own role.
    pub(super) role: Role,
    /// When it ends. Default: never.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// A key that works, or worked until it expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// The part of the key by which people know it again: `tlk_<key_id>_…`.
    #[schema(pattern = "^[0-9a-f]{12}$", example = "3f9a0c5d71b2")]
    pub key_id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it ends; null: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute; null: never.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Who made it: `user:<id>` or `key:<id>`.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A key that has just been made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedApiKey {
    /// The key itself, to be sent as `Authorization: Bearer <key>` or `X-API-Key: <key>`. It is shown this once.
    #[schema(value_type = String, pattern = "^tlk_[0-9a-f]{12}_[0-9a-f]{64}$",
        example = "tlk_3f9a0c5d71b2_0000000000000000000000000000000000000000000000000000000000000000")]
    pub(super) key: Shown,
    /// What is kept of it.
    #[serde(flatten)]
    pub(super) api_key: ApiKey,
}

/// A secret that is meant to be shown, in an answer and nowhere else.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Shown(pub(super) String);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// A page of keys that are not revoked, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKeyList {
    pub(super) api_keys: Vec<ApiKey>,
    pub(super) pagination: Pagination,
}
