//! `trunkline keys`: the ring that encrypts credentials.
//!
//! To change the key: put a new one first (`ENCRYPTION_KEY=new,old`) and restart each node, which from then on reads both and writes
//! the new one; run `trunkline keys rotate` while they serve; then leave the old one out.

use clap::{Args, Subcommand};
use trunkline_control::{credentials::rotation::rotate_all, vault::Vault, webhooks};

use super::{Failure, console::Console, serve};
use crate::{config::Settings, storage::Storage, telemetry};

/// The keys that encrypt credentials.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new key for ENCRYPTION_KEY.
    Generate,
    /// Encrypt all credentials anew with the first key of the ring, while the service runs.
    Rotate {
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

impl Keys {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let console = Console::stdout();
        match self.command {
            Command::Generate => console.line(Vault::generate_key().expose()),
            Command::Rotate { settings } => {
                telemetry::init_logs("warn", None);
                settings.check()?;
                let vault = Vault::new(&serve::secrets(&settings)?.encryption_key)?;
                let storage = Storage::open(&settings).await?;
                let report = rotate_all(storage.db(), &vault, 100).await;
                let secrets = webhooks::rotation::rotate_all(storage.db(), &vault).await;
                storage.close().await;
                let (report, secrets) = (report?, secrets?);
                console.line(format!(
                    "{} credentials are encrypted with key {} now; {} could not be opened",
                    report.rotated,
                    vault.fingerprint(),
                    report.failed
                ));
                if secrets.rotated + secrets.failed > 0 {
                    let (rotated, failed) = (secrets.rotated, secrets.failed);
                    console.line(format!(
                        "so are the secrets of {rotated} webhooks; those of {failed} could not be opened"
                    ));
                }
                if report.failed + secrets.failed > 0 {
                    return Err("some credentials are encrypted with a key that is not in the ring".into());
                }
            }
        }
        Ok(())
    }
}
