//! The do-not-call list in the database.

use trunkline_base::E164;

use super::DoNotCall;
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// Puts a number on it. A campaign's call to it that waits for its turn is not placed.
pub(super) async fn add(tx: &mut Tx, tenant: TenantId, number: &E164) -> Result<DoNotCall, DbError> {
    sqlx::query!(
        "insert into do_not_call (tenant_id, e164) values ($1, $2) on conflict do nothing",
        tenant.as_uuid(),
        number.expose()
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "update conversations c set ending_at = clock_timestamp(), ending_reason = 'canceled', version = version + 1
         where c.tenant_id = $1 and c.end_time is null and c.ending_at is null and c.campaign_contact_id is not null and c.id in (
             select d.conversation_id from dials d
             where d.tenant_id = $1 and d.to_number = $2 and d.settled_at is null and d.state = 'queued')",
        tenant.as_uuid(),
        number.expose()
    )
    .execute(tx.connection())
    .await?;
    let listed = sqlx::query_as!(
        DoNotCall,
        "select e164 as phone_number, created_at from do_not_call where tenant_id = $1 and e164 = $2",
        tenant.as_uuid(),
        number.expose()
    );
    Ok(listed.fetch_one(tx.connection()).await?)
}

/// A page of it, the last added first; and how many there are.
pub(super) async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<DoNotCall>, i64), DbError> {
    let total =
        sqlx::query_scalar!(r#"select count(*) as "n!" from do_not_call where tenant_id = $1"#, tenant.as_uuid());
    let total = total.fetch_one(tx.connection()).await?;
    let numbers = sqlx::query_as!(
        DoNotCall,
        "select e164 as phone_number, created_at from do_not_call
         where tenant_id = $1 order by created_at desc, e164 desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((numbers, total))
}

/// Takes a number off it. False if it isn't there.
pub(super) async fn remove(tx: &mut Tx, tenant: TenantId, number: &E164) -> Result<bool, DbError> {
    let done =
        sqlx::query!("delete from do_not_call where tenant_id = $1 and e164 = $2", tenant.as_uuid(), number.expose())
            .execute(tx.connection())
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a number is on it.
pub async fn has(tx: &mut Tx, tenant: TenantId, number: &E164) -> Result<bool, DbError> {
    let listed = sqlx::query_scalar!(
        r#"select exists (select from do_not_call where tenant_id = $1 and e164 = $2) as "is!""#,
        tenant.as_uuid(),
        number.expose()
    );
    Ok(listed.fetch_one(tx.connection()).await?)
}
