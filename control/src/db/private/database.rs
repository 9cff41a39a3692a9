//! The database and the role within the server.

use std::{path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{error::PrivateError, server::PORT};

/// The database, and the role that serves it.
pub(super) const NAME: &str = "trunkline";
/// The role that initdb makes.
const SUPERUSER: &str = "postgres";
/// How long a server that says it is ready may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// How the superuser connects.
pub(super) fn owner(socket: &Path) -> PgConnectOptions {
    // The port and the folder make the socket's name. Nothing is asked of a password file, and there is no TLS on a socket.
    PgConnectOptions::new_without_pgpass()
        .socket(socket)
        .port(PORT)
        .ssl_mode(PgSslMode::Disable)
        .username(SUPERUSER)
        .database(NAME)
}

/// How the service connects.
pub(super) fn service(socket: &Path) -> PgConnectOptions {
    owner(socket).username(NAME)
}

/// Makes sure that both are there. Only whoever has the turn does this, so nobody else is about to.
pub(super) async fn ensure(socket: &Path) -> Result<(), PrivateError> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let mut connection = connect(&owner(socket).database("postgres"), deadline).await?;
    let made = async {
        if !exists(&mut connection, "select exists (select from pg_roles where rolname = $1)").await? {
            connection.execute(AssertSqlSafe(format!("create role {NAME} login"))).await?;
        }
        if !exists(&mut connection, "select exists (select from pg_database where datname = $1)").await? {
            connection.execute(AssertSqlSafe(format!("create database {NAME}"))).await?;
        }
        Ok::<_, sqlx::Error>(())
    };
    made.await.map_err(|cause| match cause {
        sqlx::Error::Database(told) if told.code().as_deref() == Some("53100") => {
            PrivateError::DiskFull { path: socket.to_path_buf() }
        }
        cause => PrivateError::Unusable(cause),
    })?;
    let _ = connection.close().await;
    Ok(())
}

async fn connect(options: &PgConnectOptions, deadline: Instant) -> Result<PgConnection, PrivateError> {
    loop {
        match timeout_at(deadline, options.connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            // It may be replaying after one of its processes crashed.
            Ok(Err(_)) if Instant::now() < deadline => sleep(POLL).await,
            Ok(Err(cause)) => return Err(PrivateError::Unusable(cause)),
            Err(_) => {
                return Err(PrivateError::TooSlow { what: "for Postgres to answer".to_owned(), limit: ANSWER_LIMIT });
            }
        }
    }
}

async fn exists(connection: &mut PgConnection, query: &'static str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(query).bind(NAME).fetch_one(connection).await
}
