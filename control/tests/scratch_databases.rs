//! Tests have a database each, from one server that is gone with its files after the last of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot look has failed")]

use sqlx::{Connection, Executor, PgConnection};
use trunkline_control::testing::ScratchDb;

async fn connect(scratch: &ScratchDb) -> PgConnection {
    PgConnection::connect_with(&scratch.owner).await.unwrap()
}

#[tokio::test]
async fn a_scratch_database_is_migrated_and_nobody_elses() {
    let (one, other) = tokio::join!(ScratchDb::new(), ScratchDb::new());
    assert_ne!(one.owner.get_database(), other.owner.get_database());
    let mut connection = connect(&one).await;
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
    assert!(tables > 5, "{tables}");
    connection.execute("create table only_here ()").await.unwrap();
    assert!(connect(&other).await.execute("select from only_here").await.is_err());
    assert!(one.db.is_alive(std::time::Duration::from_secs(10)).await);
}

/// Another runtime than the other test's, and the same server.
#[tokio::test]
async fn a_scratch_database_goes_with_its_test() {
    let kept = ScratchDb::new().await;
    let gone = ScratchDb::new().await;
    let name = gone.owner.get_database().unwrap().to_owned();
    drop(gone);
    let mut connection = connect(&kept).await;
    let wait = async {
        let exists = "select exists (select from pg_database where datname = $1)";
        while sqlx::query_scalar(exists).bind(&name).fetch_one(&mut connection).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.unwrap();
}
