//! A Postgres of the program's own, for when it is given none.
//!
//! The server is a process of its own in a process group of its own, reached through a Unix socket in a private folder. It belongs to
//! a data folder rather than to a program: several programs on one data folder use one server. The first starts it; whoever stops
//! last stops it; and nobody who still uses it loses it because somebody else is done. A server whose programs were all killed runs on,
//! and the next program adopts it.
//!
//! What is kept in the data folder: `postgres/`, the cluster (or, as root, `postgres.id`, which names it); `postgres.log`, the server's
//! log, and `postgres.log.1`, an older one; `postgres.lock` and `postgres.users`, two empty files that only serve as locks.

mod binaries;
mod cluster;
mod database;
mod error;
mod lock;
mod log;
mod place;
mod postmaster;
mod server;
mod throw_away;

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::postgres::PgConnectOptions;

pub use self::error::PrivateError;
use self::{
    binaries::Binaries,
    lock::{Turn, Using},
    place::Place,
    server::Server,
};

/// What a private Postgres is given.
#[derive(Debug, Clone)]
pub struct PrivateConfig {
    /// The program's data folder (`TRUNKLINE_DATA`). It is made if it is not there.
    pub data: PathBuf,
    /// The only folder to take the server's programs from (`PG_BIN`). Without it: the newest in `/usr/lib/postgresql`, in the path,
    /// and where `pg_config` says.
    pub binaries: Option<PathBuf>,
    /// Where root's clusters are, which the server's user has to reach; `/var/lib/trunkline`.
    pub root_clusters: PathBuf,
    /// Whether what is committed survives a loss of power. Only a test may do without.
    pub durable: bool,
    /// Whether it is kept.
    pub lifetime: Lifetime,
}

/// How long a cluster lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until somebody removes it.
    Kept,
    /// As long as somebody uses it, and so much longer (in whole seconds) if the last one dies; it goes at once if the last one stops.
    ThrownAway {
        /// How much longer.
        linger: Duration,
    },
}

impl PrivateConfig {
    /// A durable one that is kept.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            binaries: None,
            root_clusters: PathBuf::from("/var/lib/trunkline"),
            durable: true,
            lifetime: Lifetime::Kept,
        }
    }

    /// A durable one in the temporary directory, which is gone when the last program that uses it has stopped or died. Programs of one
    /// user that give the same name share it. The name becomes a part of a file's name.
    pub fn throw_away(name: &str) -> Self {
        let data = throw_away::data(name);
        let lifetime = Lifetime::ThrownAway { linger: Duration::ZERO };
        Self { root_clusters: data.clone(), lifetime, ..Self::new(data) }
    }
}

/// What became of the server when a program was done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It has stopped.
    Stopped,
    /// Another program uses it; the last one stops it.
    InUse,
}

/// A Postgres that runs for this program.
///
/// Dropping it leaves the server to whoever starts next (or, if it is thrown away, to whoever watches it).
#[derive(Debug)]
pub struct PrivatePostgres {
    place: Place,
    server: Server,
    using: Using,
    lifetime: Lifetime,
}

impl PrivatePostgres {
    /// Starts the server of a data folder, or joins the programs that use it already. On a new folder it takes a second or so, later a
    /// fraction of one; after a crash it replays first, for two minutes at most.
    pub async fn start(config: PrivateConfig) -> Result<Self, PrivateError> {
        let lifetime = config.lifetime;
        let begun = blocking(move || Begun::begin(config)).await?;
        let begun = match database::ensure(&begun.server.socket).await {
            Ok(()) => begun,
            // One that was found and does not answer, its socket having been cleaned away for instance.
            Err(error) => {
                if !begun.server.adopted || !begun.using.is_alone(&begun.turn) {
                    return Err(error);
                }
                tracing::warn!(%error, "a Postgres that was left running does not answer and is started anew");
                let begun = blocking(move || begun.anew()).await?;
                database::ensure(&begun.server.socket).await?;
                begun
            }
        };
        let Begun { place, server, using, turn, .. } = begun;
        drop(turn);
        tracing::info!(cluster = %place.cluster.display(), adopted = server.adopted, "the private Postgres is ready");
        Ok(Self { place, server, using, lifetime })
    }

    /// How its superuser connects, who migrates.
    pub fn owner(&self) -> PgConnectOptions {
        database::owner(&self.server.socket)
    }

    /// How the service connects: as the role `trunkline`, which may do nothing until [`migrate`](super::migrate()) has made it a member
    /// of the role that serves.
    pub fn service(&self) -> PgConnectOptions {
        database::service(&self.server.socket)
    }

    /// The folder of its cluster.
    pub fn cluster(&self) -> &Path {
        &self.place.cluster
    }

    /// The process of its server.
    pub fn pid(&self) -> i32 {
        self.server.postmaster.pid.as_raw_nonzero().get()
    }

    /// Is done with it. If nobody else uses it, the server stops, without waiting for connections that are still open; and if it is
    /// to be thrown away, its files go too.
    pub async fn stop(self) -> Result<Stopped, PrivateError> {
        let remove = self.lifetime != Lifetime::Kept;
        self.end(remove).await
    }

    /// Is done with it and with all that it stores: if nobody else uses it, the server stops and its files are removed.
    pub async fn remove(self) -> Result<Stopped, PrivateError> {
        self.end(true).await
    }

    async fn end(self, remove: bool) -> Result<Stopped, PrivateError> {
        blocking(move || {
            let turn = Turn::take(&self.place.data)?;
            if !self.using.is_alone(&turn) {
                return Ok(Stopped::InUse);
            }
            server::stop(&self.place)?;
            if remove {
                throw_away::remove(&self.place)?;
            }
            Ok(Stopped::Stopped)
        })
        .await
    }
}

/// A server that takes connections, and nobody else's turn yet.
struct Begun {
    place: Place,
    server: Server,
    using: Using,
    turn: Turn,
    binaries: Binaries,
    durable: bool,
}

impl Begun {
    fn begin(config: PrivateConfig) -> Result<Self, PrivateError> {
        let turn_and_data = || {
            match config.lifetime {
                // What holds a database and keys is nobody else's.
                Lifetime::Kept => DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&config.data)
                    .map_err(PrivateError::io(&config.data))?,
                Lifetime::ThrownAway { .. } => throw_away::make(&config.data)?,
            }
            let data = fs::canonicalize(&config.data).map_err(PrivateError::io(&config.data))?;
            Ok((Turn::take(&data)?, data))
        };
        let (turn, data) = match turn_and_data() {
            // Whoever had the turn has removed the folder.
            Err(PrivateError::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => turn_and_data()?,
            taken => taken?,
        };
        let root_clusters = if config.root_clusters == config.data { data.clone() } else { config.root_clusters };
        let mut place = Place::find(&data, &root_clusters, &turn)?;
        let binaries = Binaries::find(config.binaries.as_deref(), &place.cluster)?;
        let using = Using::begin(&data, &turn)?;
        cluster::ensure(&place, &binaries, config.durable)?;
        // The system spells a process's folder without links.
        place.cluster = fs::canonicalize(&place.cluster).map_err(PrivateError::io(&place.cluster))?;
        if let Lifetime::ThrownAway { linger } = config.lifetime {
            throw_away::watch(&place, linger);
        }
        let server = server::ensure(&place, &binaries, config.durable)?;
        Ok(Self { place, server, using, turn, binaries, durable: config.durable })
    }

    fn anew(self) -> Result<Self, PrivateError> {
        server::stop(&self.place)?;
        let server = server::ensure(&self.place, &self.binaries, self.durable)?;
        Ok(Self { server, ..self })
    }
}

/// Files, locks and processes are waited for where no task waits behind them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PrivateError> + Send + 'static,
) -> Result<T, PrivateError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
