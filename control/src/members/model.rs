//! Members as the API takes and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_base::Personal;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{auth::Role, http::Pagination};

/// Somebody to let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMember {
    /// The user's id at Supabase: the `sub` of their tokens.
    pub(super) user_id: Uuid,
    /// Their address, for people to know them by. Nothing is sent there.
    #[schema(value_type = Option<String>, min_length = 3, max_length = 254, pattern = r"^[^@\s]+@[^@\s]+$", example = "ada@example.com")]
    pub(super) email: Option<Personal<String>>,
    /// What they may do; nothing above one's own role.
    pub(super) role: Role,
}

/// What to change about a member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberPatch {
    /// What they may do; nothing above one's own role.
    pub(super) role: Role,
}

/// Somebody who may enter the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// The user's id at Supabase.
    pub user_id: Uuid,
    /// Their address, if it is known.
    #[schema(value_type = Option<String>, example = "ada@example.com")]
    pub email: Option<Personal<String>>,
    /// What they may do.
    pub role: Role,
    /// When they first came.
    pub created_at: DateTime<Utc>,
}

/// A page of members, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberList {
    pub(super) members: Vec<Member>,
    pub(super) pagination: Pagination,
}
