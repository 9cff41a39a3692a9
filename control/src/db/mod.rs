//! The database: a pool whose connections can see one tenant at a time.
//!
//! Two guards keep tenants apart, and each holds alone. Every statement names its tenant; and every transaction sets the tenant that
//! row-level security lets through, for a role that cannot bypass it. Neither has a switch.
//!
//! A statement runs in a [`Tx`], which costs one round trip to begin: `begin` and the setting are one message.

mod error;
mod migrate;
pub mod private;
mod tx;

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::migrate::migrations;
pub use self::{
    error::DbError,
    migrate::{MigrateError, migrate},
    tx::{Plans, Tx},
};
use crate::tenant::TenantId;

/// The role that serves.
const SERVICE: &str = "trunkline_service";

/// A connection that has been idle for longer is tried before it is used.
const TRUSTED: Duration = Duration::from_secs(1);

/// How the database is reached.
#[derive(Debug, Clone)]
pub struct DbConfig {
    /// The server, its database and the login user, who must be a member of `trunkline_service`.
    pub connect: PgConnectOptions,
    /// Connections at once. More than the server's cores gain little; each holds some megabytes of the server's memory.
    pub max_connections: u32,
    /// How long a request waits for a connection.
    pub acquire: Duration,
}

impl DbConfig {
    /// With 16 connections and 5 s to wait for one.
    pub fn new(connect: PgConnectOptions) -> Self {
        // What is slow is worth knowing; what statements hold is not for logs, and sqlx logs no arguments.
        let connect = connect
            .application_name("trunkline")
            .log_statements(tracing::log::LevelFilter::Off)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
        Self { connect, max_connections: 16, acquire: Duration::from_secs(5) }
    }
}

/// Why the database cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody answered, or the login was refused.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// The login user may not become the service's role.
    #[error(
        "the database user {user} may not `set role {SERVICE}`: run `trunkline migrate` with MIGRATE_DATABASE_URL set to the owner, which grants it"
    )]
    NoRole {
        /// The login user.
        user: String,
    },
    /// The role could see what it must not.
    #[error("the role {SERVICE} {0}: then tenants would not be kept apart, so nothing is served")]
    Unsafe(String),
}

/// The pool of connections that serve.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
}

impl Db {
    /// Connects, and makes sure that the serving role can bypass nothing.
    pub async fn open(config: DbConfig) -> Result<Self, OpenError> {
        let mut probe = PgConnectOptions::connect(&config.connect).await.map_err(OpenError::Connect)?;
        check_role(&mut probe, config.connect.get_username()).await?;
        let _ = probe.close().await;
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire)
            // A connection that was used a moment ago works; asking each time would be a round trip for every transaction.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for < TRUSTED {
                        return Ok(true);
                    }
                    Ok(connection.ping().await.is_ok())
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(format!("set role {SERVICE}"))).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(config.connect);
        Ok(Self { pool })
    }

    /// A pool that was made elsewhere: a test's way to look past a guard.
    #[cfg(any(test, feature = "testing"))]
    pub const fn from_pool(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Begins a transaction that sees this tenant's rows and no others.
    pub async fn begin(&self, tenant: TenantId) -> Result<Tx, DbError> {
        Tx::begin(&self.pool, tenant).await
    }

    /// Begins one that only reads, by statements that are built for what is asked.
    pub async fn begin_list(&self, tenant: TenantId, plans: Plans) -> Result<Tx, DbError> {
        Tx::begin_list(&self.pool, tenant, plans).await
    }

    /// Whether the database answers, within this time.
    pub async fn is_alive(&self, limit: Duration) -> bool {
        let ask = sqlx::query("select 1").execute(&self.pool);
        matches!(tokio::time::timeout(limit, ask).await, Ok(Ok(_)))
    }

    /// Connections that are open: how many are at work, and how many wait for some.
    pub fn connections(&self) -> (u32, u32) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        (self.pool.size().saturating_sub(idle), idle)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// For [`crate::lookup`], which finds out whose something is.
    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }
}

async fn check_role(connection: &mut sqlx::PgConnection, user: &str) -> Result<(), OpenError> {
    let refused = |_| OpenError::NoRole { user: user.to_owned() };
    connection.execute(AssertSqlSafe(format!("set role {SERVICE}"))).await.map_err(refused)?;
    let row: (bool, bool, bool) = sqlx::query_as(
        "select r.rolsuper, r.rolbypassrls,
                exists (select from pg_class c where c.relowner = r.oid)
                or exists (select from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                           and pg_has_role(r.rolname, c.relowner, 'member'))
         from pg_roles r where r.rolname = current_user",
    )
    .fetch_one(connection)
    .await
    .map_err(OpenError::Connect)?;
    let wrong =
        [(row.0, "is a superuser"), (row.1, "has BYPASSRLS"), (row.2, "owns tables, or is a member of their owner")];
    match wrong.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, what)) => Err(OpenError::Unsafe(what.to_owned())),
        None => Ok(()),
    }
}
