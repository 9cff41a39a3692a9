//! One transaction of one tenant.

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use super::DbError;
use crate::tenant::TenantId;

/// A transaction in which row-level security lets one tenant's rows through. Dropping it undoes what was not committed.
#[derive(Debug)]
pub struct Tx(Transaction<'static, Postgres>);

/// When Postgres plans a statement. Left to itself it compares what it thinks that the ways would cost, which it often gets wrong for
/// lists: it doesn't know how few rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plans {
    /// Once: for a statement that has one good way whatever its values are, and is asked for often.
    Kept,
    /// Each time: for one whose way depends on its values.
    Fresh,
}

impl Tx {
    pub(super) async fn begin(pool: &PgPool, tenant: TenantId) -> Result<Self, DbError> {
        // One message, one round trip. A UUID's spelling holds nothing that could end the string.
        let begin = format!("begin; select set_config('app.tenant_id', '{tenant}', true)");
        Ok(Self(pool.begin_with(AssertSqlSafe(begin)).await?))
    }

    pub(super) async fn begin_list(pool: &PgPool, tenant: TenantId, plans: Plans) -> Result<Self, DbError> {
        let mode = match plans {
            Plans::Kept => "force_generic_plan",
            Plans::Fresh => "force_custom_plan",
        };
        let begin = format!(
            "begin read only; select set_config('app.tenant_id', '{tenant}', true), set_config('plan_cache_mode', '{mode}', true)"
        );
        Ok(Self(pool.begin_with(AssertSqlSafe(begin)).await?))
    }

    /// The connection, for a store's statements.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// Makes everything permanent.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.0.commit().await?)
    }
}
