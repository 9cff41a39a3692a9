//! Roles, and roles as types.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a member of a tenant may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Agents, calls, campaigns, documents.
    Member,
    /// Credentials, numbers, keys, members, the tenant itself.
    Admin,
    /// Also grants and removes owners.
    Owner,
}

impl Role {
    /// The name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Viewer, Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| role.name() == name).ok_or(())
    }
}

/// A role as a type: the least that a route asks for.
pub trait AtLeast: Send + Sync + 'static {
    /// Which.
    const ROLE: Role;
}

/// Any member.
#[derive(Debug, Clone, Copy)]
pub struct Viewer;

/// A member who may change agents.
#[derive(Debug, Clone, Copy)]
pub struct Member;

/// A member who may change credentials.
#[derive(Debug, Clone, Copy)]
pub struct Admin;

/// A member who may change owners.
#[derive(Debug, Clone, Copy)]
pub struct Owner;

impl AtLeast for Viewer {
    const ROLE: Role = Role::Viewer;
}

impl AtLeast for Member {
    const ROLE: Role = Role::Member;
}

impl AtLeast for Admin {
    const ROLE: Role = Role::Admin;
}

impl AtLeast for Owner {
    const ROLE: Role = Role::Owner;
}
