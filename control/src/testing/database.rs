//! A database a test.
//!
//! One private Postgres serves all test programs of a user; it starts with the first and is gone with its files seconds after the last,
//! however that ended. The migrations run once, on a template that bears their fingerprint; each test's database is a copy.

use std::{thread, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::db::{
    Db, DbConfig, migrate, migrations,
    private::{Lifetime, PrivateConfig, PrivatePostgres},
};

/// How long the server waits for the next test program.
const LINGER: Duration = Duration::from_secs(5);
/// Held by whoever makes a template.
const TEMPLATE_LOCK: i64 = 0x7472_756e_6b6c_696e;

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// The server, with a template.
struct Server {
    postgres: PrivatePostgres,
    template: String,
}

/// A database that one test has for itself, migrated. Dropping this drops the database.
#[derive(Debug)]
pub struct ScratchDb {
    /// The pool that serves.
    pub db: Db,
    /// How its owner connects.
    pub owner: PgConnectOptions,
    /// How the service connects.
    pub service: PgConnectOptions,
    name: String,
    server: PgConnectOptions,
}

impl ScratchDb {
    /// A new one.
    pub async fn new() -> Self {
        let Server { postgres, template } = SERVER.get_or_init(Server::start).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let server = postgres.owner().database("postgres");
        let mut connection = server.connect().await.expect("the server answers");
        run(&mut connection, format!("create database {name} template {template}")).await;
        let _ = connection.close().await;
        let owner = postgres.owner().database(&name);
        let service = postgres.service().database(&name);
        let mut config = DbConfig::new(service.clone());
        config.max_connections = 4;
        let db = Db::open(config).await.expect("the role is safe");
        Self { db, owner, service, name, server }
    }

    /// The database as its owner sees it, past row-level security: for looking at what is really there, and for holding one guard
    /// alone against an attacker.
    pub async fn superuser(&self) -> Db {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(2).connect_with(self.owner.clone());
        Db::from_pool(pool.await.expect("the owner connects"))
    }

    /// How many rows a table has, of all tenants.
    pub async fn count(&self, table: &'static str) -> i64 {
        let owner = self.superuser().await;
        let count = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")));
        count.fetch_one(owner.pool()).await.expect("the table is there")
    }
}

impl Drop for ScratchDb {
    /// Beside the test, which doesn't wait. What is left when the program ends goes with the server.
    fn drop(&mut self) {
        let server = self.server.clone();
        let drop = format!("drop database if exists {} with (force)", self.name);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| {
                runtime.block_on(async {
                    let mut connection = server.connect().await?;
                    connection.execute(AssertSqlSafe(drop)).await?;
                    connection.close().await
                })
            })
        });
    }
}

impl Server {
    async fn start() -> Self {
        let mut config = PrivateConfig::throw_away("tests");
        config.lifetime = Lifetime::ThrownAway { linger: LINGER };
        config.durable = false;
        config.binaries = std::env::var_os("PG_BIN").map(Into::into);
        let postgres = match PrivatePostgres::start(config).await {
            Ok(postgres) => postgres,
            Err(error) => panic!("the tests need a Postgres: {error}"),
        };
        let template = template(&postgres).await;
        Self { postgres, template }
    }
}

/// Makes the template of these migrations unless some program has made it.
async fn template(postgres: &PrivatePostgres) -> String {
    let mut hash = Sha256::new();
    for migration in migrations() {
        hash.update(&migration.checksum);
    }
    let hash = hash.finalize();
    let name = format!("template_{:016x}", u64::from_be_bytes(std::array::from_fn(|n| hash[n])));
    let mut connection = postgres.owner().database("postgres").connect().await.expect("the server answers");
    run(&mut connection, format!("select pg_advisory_lock({TEMPLATE_LOCK})")).await;
    let made: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .expect("the server knows its databases");
    if !made {
        // Under another name until it is whole.
        let begun = format!("begun_{name}");
        run(&mut connection, format!("drop database if exists {begun} with (force)")).await;
        run(&mut connection, format!("create database {begun}")).await;
        let owner = postgres.owner().database(&begun);
        migrate(&owner, postgres.service().get_username()).await.expect("migrations run");
        run(&mut connection, format!("alter database {begun} rename to {name}")).await;
    }
    // Closing gives the lock up.
    let _ = connection.close().await;
    name
}

async fn run(connection: &mut PgConnection, statement: String) {
    if let Err(error) = connection.execute(AssertSqlSafe(statement.clone())).await {
        panic!("{statement}: {error}");
    }
}
