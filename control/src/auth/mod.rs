//! Who is calling, for which tenant, and what they may do.
//!
//! A handler asks for `Allowed<R>`, where `R` is the least role that may do what it does: a route cannot forget to check, for
//! without it there is no tenant to pass to a store.

mod api_key;
mod authenticate;
mod extract;
#[cfg(test)]
mod forgery_tests;
mod jwks;
#[cfg(test)]
mod jwks_tests;
mod membership;
mod role;
#[cfg(test)]
mod role_tests;
#[cfg(test)]
mod signers;
#[cfg(test)]
mod tests;
mod token;

use chrono::{DateTime, Utc};

pub use self::{
    api_key::ApiKeys,
    extract::Allowed,
    jwks::{FetchedKeys, Jwks, KeySource, KeySourceError},
    role::{Admin, AtLeast, Member, Owner, Role, Viewer},
    token::{Claims, TokenError, TokenKeys, development_token},
};
use crate::{error::ApiError, tenant::TenantId};

/// How tokens and keys are checked, and tenants begin.
#[derive(Debug)]
pub struct Auth {
    /// What tokens are verified with.
    pub keys: TokenKeys,
    /// What API keys are checked with.
    pub api_keys: ApiKeys,
    /// Whether a tenant that does not exist is made for a user who merely says so in metadata of their own.
    pub auto_provision: bool,
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For which tenant.
    pub tenant: TenantId,
    /// As what.
    pub role: Role,
    /// Who, as it is written into versions and the audit log: `user:<id>` or `key:<id>`.
    pub actor: String,
    /// When their token or key ends; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Principal {
    /// Refuses to give, change or take away a role above one's own.
    pub(crate) fn must_reach(&self, role: Role) -> Result<(), ApiError> {
        if role <= self.role {
            return Ok(());
        }
        Err(ApiError::denied(format!("The role {role} is above your own, which is {}", self.role)))
    }
}
