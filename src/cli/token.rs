//! `trunkline token`: a user's token for development, as Supabase would issue it.

use std::time::UNIX_EPOCH;

use clap::Args;
use trunkline_base::{Clock, SystemClock};
use trunkline_control::{
    auth::{Role, development_token},
    tenant::TenantId,
};
use uuid::Uuid;

use super::{Failure, console::Console, serve};
use crate::config::{Environment, Settings};

/// Print a user's token for development. The tenant begins with its first request.
#[derive(Debug, Args)]
pub(super) struct Token {
    /// The tenant. Default: a new one.
    #[arg(long)]
    tenant: Option<Uuid>,
    /// The user. Default: a new one.
    #[arg(long)]
    user: Option<Uuid>,
    /// What the user may do: viewer, member, admin or owner. A tenant's first user is its owner.
    #[arg(long, default_value = "owner", value_parser = role)]
    role: Role,
    /// Hours until it expires.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    #[command(flatten)]
    settings: Settings,
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.settings.check()?;
        if self.settings.environment() == Environment::Production {
            return Err("tokens are issued by Supabase in production; this one would be a forgery".into());
        }
        let secrets = serve::secrets(&self.settings)?;
        let now = SystemClock.wall().duration_since(UNIX_EPOCH)?.as_secs();
        let (user, tenant) = (self.user.unwrap_or_else(Uuid::now_v7), self.tenant.unwrap_or_else(Uuid::now_v7));
        let tenant = TenantId::new(tenant);
        let token = development_token(&secrets.jwt_secret, user, tenant, self.role, now, now + self.hours * 3600);
        Console::stdout().line(token.expose());
        Ok(())
    }
}

fn role(name: &str) -> Result<Role, &'static str> {
    name.parse().map_err(|()| "a role is viewer, member, admin or owner")
}
