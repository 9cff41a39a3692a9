//! Where things are stored: the database that is named, or a private Postgres.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use trunkline_base::Secret;
use trunkline_control::db::{
    Db, DbConfig, MigrateError, OpenError, migrate,
    private::{PrivateConfig, PrivateError, PrivatePostgres},
};
use url::Url;

use crate::config::Settings;

/// An open database.
#[derive(Debug)]
pub struct Storage {
    db: Db,
    server: Server,
}

/// Whose the database's server is.
#[derive(Debug)]
enum Server {
    /// Somebody's; the connections are ours.
    Named,
    /// Ours.
    Private(PrivatePostgres),
    /// Somebody's, and so are the connections.
    Borrowed,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("{0} is not the address of a Postgres, such as postgres://user:password@host:5432/database")]
    Url(&'static str),
    #[error(
        "there is no database to migrate: DATABASE_URL is not set, and the private Postgres is migrated when it starts"
    )]
    NothingToMigrate,
    #[error(transparent)]
    Private(#[from] PrivateError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Storage {
    /// Opens the database that is named, or starts the private one and brings it up to date.
    pub async fn open(settings: &Settings) -> Result<Self, StorageError> {
        if settings.store.database_url.is_empty() {
            let kept = PrivateConfig::new(&settings.data);
            return Self::private(PrivateConfig { binaries: settings.store.pg_bin.clone(), ..kept }).await;
        }
        let db = Db::open(DbConfig::new(named(settings)?)).await?;
        Ok(Self { db, server: Server::Named })
    }

    /// A private one that is gone when it is closed, or this process ends.
    pub async fn throw_away(name: &str) -> Result<Self, StorageError> {
        let binaries = std::env::var_os("PG_BIN").map(Into::into);
        Self::private(PrivateConfig { binaries, ..PrivateConfig::throw_away(name) }).await
    }

    /// How another program on this machine reaches a private one, as DATABASE_URL; and its server's process.
    pub fn to_share(&self) -> Option<(Secret, u32)> {
        let Server::Private(private) = &self.server else { return None };
        let service = private.service();
        let mut url = Url::parse("postgres://localhost").ok()?;
        url.set_username(service.get_username()).ok()?;
        url.set_path(service.get_database()?);
        url.query_pairs_mut().append_pair("host", service.get_socket()?.to_str()?);
        Some((Secret::new(url), u32::try_from(private.pid()).ok()?))
    }

    /// Removes a private one, and all that it stores.
    pub async fn remove(data: &Path) -> Result<(), StorageError> {
        let binaries = std::env::var_os("PG_BIN").map(Into::into);
        let private = PrivatePostgres::start(PrivateConfig { binaries, ..PrivateConfig::new(data) }).await?;
        private.remove().await?;
        Ok(())
    }

    async fn private(config: PrivateConfig) -> Result<Self, StorageError> {
        let private = PrivatePostgres::start(config).await?;
        let service = private.service();
        migrate(&private.owner(), service.get_username()).await?;
        let db = Db::open(DbConfig::new(service)).await?;
        Ok(Self { db, server: Server::Private(private) })
    }

    /// One that somebody else has opened, and will close.
    pub const fn of(db: Db) -> Self {
        Self { db, server: Server::Borrowed }
    }

    /// The pool that serves.
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// Closes it; a private Postgres that this program started is stopped.
    pub async fn close(self) {
        if let Server::Borrowed = self.server {
            return;
        }
        self.db.close().await;
        if let Server::Private(private) = self.server
            && let Err(error) = private.stop().await
        {
            tracing::warn!(%error, "the private Postgres did not stop");
        }
    }
}

/// Brings the database that is named up to date, as its owner.
pub async fn migrate_named(settings: &Settings) -> Result<(), StorageError> {
    let store = &settings.store;
    if store.database_url.is_empty() && store.migrate_database_url.is_empty() {
        return Err(StorageError::NothingToMigrate);
    }
    let owner = if store.migrate_database_url.is_empty() {
        named(settings)?
    } else {
        store.migrate_database_url.expose().parse().map_err(|_| StorageError::Url("MIGRATE_DATABASE_URL"))?
    };
    let serving = if store.database_url.is_empty() { owner.clone() } else { named(settings)? };
    Ok(migrate(&owner, serving.get_username()).await?)
}

fn named(settings: &Settings) -> Result<PgConnectOptions, StorageError> {
    settings.store.database_url.expose().parse().map_err(|_| StorageError::Url("DATABASE_URL"))
}
