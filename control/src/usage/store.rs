//! Reading usage.

use super::{UsageLine, query::UsageFilter};
use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
};

/// What was used, by day if so asked for, provider, unit and currency.
pub(super) async fn read(tx: &mut Tx, tenant: TenantId, filter: &UsageFilter) -> Result<Vec<UsageLine>, DbError> {
    Ok(sqlx::query_as!(
        UsageLine,
        r#"select case when $4 then day end as day, provider, unit, sum(quantity)::bigint as "quantity!",
                  sum(wasted)::bigint as "wasted!", sum(cost_micros)::bigint as cost_micros, nullif(currency, '') as currency
           from usage_daily where tenant_id = $1 and day between $2 and $3
           group by 1, provider, unit, usage_daily.currency
           order by 1, provider, unit, usage_daily.currency"#,
        tenant.as_uuid(),
        filter.from,
        filter.to,
        filter.by_day,
    )
    .fetch_all(tx.connection())
    .await?)
}
