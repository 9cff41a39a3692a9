//! One transaction of one tenant.

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use super::DbError;
use crate::tenant::TenantId;

/// A transaction in which row-level security lets one tenant's rows through. Dropping it undoes what was not committed.
#[derive(Debug)]
pub struct Tx(Transaction<'static, Postgres>);

impl Tx {
    pub(super) async fn begin(pool: &PgPool, tenant: TenantId) -> Result<Self, DbError> {
        // One message, one round trip. A UUID's spelling holds nothing that could end the string.
        let begin = format!("begin; select set_config('app.tenant_id', '{tenant}', true)");
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
