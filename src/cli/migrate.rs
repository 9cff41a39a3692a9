//! `trunkline migrate`: brings a database up to date, as its owner.

use clap::Args;

use super::{Failure, console::Console};
use crate::{config::Settings, storage::migrate_named, telemetry};

/// Bring the database at MIGRATE_DATABASE_URL (or DATABASE_URL) up to date, and let DATABASE_URL's user serve from it.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    settings: Settings,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        telemetry::init_logs("warn", None);
        migrate_named(&self.settings).await?;
        Console::stdout().line("the database is up to date");
        Ok(())
    }
}
