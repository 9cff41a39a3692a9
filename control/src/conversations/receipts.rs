//! Which webhooks have had their effect. A receipt is written in the transaction of the effect: one whose effect was undone comes
//! again, and is not taken for its own replay.

use std::time::Duration;

use crate::{
    db::{Db, DbError, Tx},
    vendors::Provider,
};

/// How many are swept at once.
const BATCH: i64 = 5_000;

/// Writes a receipt; false if there is one: the webhook has had its effect. Two that come at once wait for each other.
pub async fn write(tx: &mut Tx, provider: Provider, key: &str) -> Result<bool, DbError> {
    let written = sqlx::query!(
        "insert into webhook_receipts (provider, dedupe_key) values ($1, $2) on conflict do nothing",
        provider.name(),
        key,
    )
    .execute(tx.connection())
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Whether there is a receipt.
pub async fn exists(tx: &mut Tx, provider: Provider, key: &str) -> Result<bool, DbError> {
    let exists = sqlx::query_scalar!(
        r#"select exists (select from webhook_receipts where provider = $1 and dedupe_key = $2) as "exists!""#,
        provider.name(),
        key,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(exists)
}

/// Removes receipts that are so old that what they are of is no longer believed anyway; says how many.
pub async fn sweep(db: &Db, age: Duration) -> Result<u64, DbError> {
    let swept = sqlx::query!(
        "delete from webhook_receipts where (provider, dedupe_key) in (
             select provider, dedupe_key from webhook_receipts where at < now() - make_interval(secs => $1) order by at limit $2)",
        age.as_secs_f64(),
        BATCH,
    )
    .execute(db.pool())
    .await?;
    Ok(swept.rows_affected())
}
