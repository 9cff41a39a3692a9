//! What lists of conversations and dashboards cost while a million conversations are there, half of them one tenant's.
//!
//! `cargo bench --bench conversations` makes the data once, in a Postgres of its own under target/, serves the API on a socket and asks it
//! a thousand times a second. Requests are sent when they are due, whether or not the ones before are answered, and their time counts from
//! when they were due: a server that stalls is charged for everybody who would have waited. `-- --plans` prints how Postgres goes about
//! the pages instead; `-- --closes` measures how many calls of one agent can end at once; `-- --rate 100` asks more slowly.
//! BENCH_DATABASE_URL names another server, for whose database the user has to be a superuser; what is in it is replaced. Without
//! `--bench`, as in `cargo test`, all of it is small.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod closes;
mod data;
mod load;

use std::{path::Path, sync::Arc, time::Duration};

use axum::Router;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use trunkline_control::{
    Control,
    auth::Role,
    conversations,
    db::{
        Db, DbConfig, migrate,
        private::{PrivateConfig, PrivatePostgres},
    },
    http::finish,
    testing::{ScriptedVendors, User, control, user},
};

use self::{
    data::{Data, Size},
    load::{Load, Report},
};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A list's slowest in a hundred, in milliseconds.
const LIST_BUDGET: f64 = 25.0;
/// A dashboard, in milliseconds.
const DASHBOARD_BUDGET: f64 = 10.0;

fn main() -> Result<(), Error> {
    let has = |name: &str| std::env::args().any(|argument| argument == name);
    let mut size = if has("--bench") { Size::FULL } else { Size::SMALL };
    if let Some(rate) = std::env::args().skip_while(|argument| argument != "--rate").nth(1) {
        size = size.at(rate.parse()?);
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (owner, service, postgres) = database(size).await?;
        migrate(&owner, service.get_username()).await?;
        let data = Data::ensure(&owner, size).await?;
        let control = control(Db::open(DbConfig::new(service)).await?, Arc::new(ScriptedVendors::default()));
        if has("--plans") {
            plans(&control, &data).await?;
        } else if has("--closes") {
            closes::measure(&control.db, &data).await?;
        } else {
            figures(&control, &data, size).await?;
        }
        control.db.close().await;
        match postgres {
            Some(postgres) if size.is_small() => drop(postgres.remove().await),
            Some(postgres) => drop(postgres.stop().await),
            None => {}
        }
        Ok(())
    })
}

/// The owner's way in, the service's, and the server if it is one of our own.
async fn database(size: Size) -> Result<(PgConnectOptions, PgConnectOptions, Option<PrivatePostgres>), Error> {
    if let Ok(url) = std::env::var("BENCH_DATABASE_URL") {
        let owner: PgConnectOptions = url.parse()?;
        return Ok((owner.clone(), owner, None));
    }
    let mut config = if size.is_small() {
        PrivateConfig::throw_away("bench")
    } else {
        PrivateConfig::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-conversations"))
    };
    config.durable = false;
    config.binaries = std::env::var_os("PG_BIN").map(Into::into);
    let postgres = PrivatePostgres::start(config).await?;
    Ok((postgres.owner(), postgres.service(), Some(postgres)))
}

async fn plans(control: &Control, data: &Data) -> Result<(), Error> {
    let big = data.tenants[0];
    for query in data.queries(big) {
        println!("\n## {query}");
        // The second time, so that what it reads is in memory.
        conversations::explain_list(control, big, &query).await.map_err(|error| error.message)?;
        println!("{}", conversations::explain_list(control, big, &query).await.map_err(|error| error.message)?);
    }
    Ok(())
}

async fn figures(control: &Control, data: &Data, size: Size) -> Result<(), Error> {
    let router = finish(Router::from(trunkline_control::router()), control).with_state(control.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let users: Vec<User> = data.tenants.iter().map(|tenant| user(*tenant, Role::Owner)).collect();
    let load = Load::new(addr, &users);
    // Everybody becomes a member, and every connection to the database has seen every statement.
    load.run(&data.list_requests(1, size.warm_up), size.rate / 5).await?;
    let lists = load.run(&data.list_requests(2, size.requests), size.rate).await?;
    let dashboards = load.run(&data.dashboard_requests(3, size.requests / 20), size.rate / 20).await?;
    server.abort();
    println!("{:<40} {:>8} {:>8} {:>8} {:>8} {:>8}", "milliseconds", "n", "p50", "p90", "p99", "max");
    for (kind, report) in &lists.by_kind {
        line(kind, report);
    }
    line(&format!("all lists, {}/s", size.rate), &lists.all);
    for (kind, report) in &dashboards.by_kind {
        line(kind, report);
    }
    let verdict = |what: &str, found: f64, budget: f64| {
        println!("{what}: {found:.1} ms of {budget} ms: {}", if found <= budget { "met" } else { "MISSED" });
    };
    verdict("lists, p99", lists.all.quantile(0.99), LIST_BUDGET);
    verdict("dashboards, p99", dashboards.all.quantile(0.99), DASHBOARD_BUDGET);
    let failed = lists.failed + dashboards.failed;
    if failed > 0 {
        return Err(format!("{failed} requests failed").into());
    }
    Ok(())
}

fn line(kind: &str, report: &Report) {
    let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|quantile| report.quantile(quantile));
    println!("{kind:<40} {:>8} {p50:>8.1} {p90:>8.1} {p99:>8.1} {max:>8.1}", report.len());
}

/// How long it goes on at a rate, for so many requests.
fn due(n: usize, rate: u32) -> Duration {
    Duration::from_secs_f64(n as f64 / f64::from(rate.max(1)))
}
