//! Who is calling, for which tenant, and what they may do.
//!
//! A handler asks for `Allowed<R>`, where `R` is the least role that may do what it does: a route cannot forget to check, for
//! without it there is no tenant to pass to a store.

mod authenticate;
mod extract;
mod membership;
mod role;
#[cfg(test)]
mod tests;
mod token;

pub use self::{
    extract::Allowed,
    role::{Admin, AtLeast, Member, Owner, Role, Viewer},
    token::{Claims, TokenError, TokenKeys, development_token},
};
use crate::tenant::TenantId;

/// How tokens are checked and tenants begin.
#[derive(Debug)]
pub struct Auth {
    /// What tokens are verified with.
    pub keys: TokenKeys,
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
    /// Who, as it is written into versions and the audit log: `user:<id>`.
    pub actor: String,
}
