//! Bringing a database up to date, as its owner.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, postgres::PgConnectOptions};

use super::SERVICE;

/// The files of `migrations/`, embedded.
static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Why a database was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Nobody answered, or the login was refused.
    #[error("cannot connect to the database to migrate it: {0}")]
    Connect(#[source] sqlx::Error),
    /// It is not the Postgres that is needed.
    #[error("Postgres 15 or newer is needed, and this is {0}")]
    Version(String),
    /// A migration failed, or the database has others than this program.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The service's role could not be granted.
    #[error("cannot grant {SERVICE} to {user}: {cause}")]
    Grant {
        /// The login user that serves.
        user: String,
        /// Why.
        cause: sqlx::Error,
    },
}

/// What there is to run, in order.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn migrations() -> impl Iterator<Item = &'static sqlx::migrate::Migration> {
    MIGRATOR.iter()
}

/// Runs the migrations that are missing, as the owner; then lets `serving`, the login user of the pool, become the service's role.
/// Several programs may do so at once: one does, and the others wait.
pub async fn migrate(owner: &PgConnectOptions, serving: &str) -> Result<(), MigrateError> {
    let mut connection = owner.connect().await.map_err(MigrateError::Connect)?;
    let version: (String, i32) =
        sqlx::query_as("select current_setting('server_version'), current_setting('server_version_num')::int")
            .fetch_one(&mut connection)
            .await
            .map_err(MigrateError::Connect)?;
    if version.1 < 150_000 {
        return Err(MigrateError::Version(version.0));
    }
    MIGRATOR.run(&mut connection).await?;
    let granted: bool = sqlx::query_scalar("select pg_has_role($1, $2, 'member')")
        .bind(serving)
        .bind(SERVICE)
        .fetch_one(&mut connection)
        .await
        .map_err(MigrateError::Connect)?;
    if !granted {
        let grant = format!("grant {SERVICE} to \"{}\"", serving.replace('"', "\"\""));
        connection
            .execute(AssertSqlSafe(grant))
            .await
            .map_err(|cause| MigrateError::Grant { user: serving.to_owned(), cause })?;
    }
    let _ = connection.close().await;
    Ok(())
}
