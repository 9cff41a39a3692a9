//! What is found out about a call once it is over.

use serde_json::Value;
use trunkline_base::CallId;

use super::store;
use crate::{
    analytics::rollup,
    db::{DbError, Tx},
    tenant::TenantId,
};

/// What was made of a transcript.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// How the caller felt.
    pub sentiment: Option<String>,
    /// What came of it, in the agent's words for outcomes.
    pub outcome: Option<String>,
    /// In the agent's words for tags.
    pub tags: Vec<String>,
    /// In a few sentences.
    pub summary: Option<String>,
    /// How content the caller was, 1 to 5.
    pub satisfaction_score: Option<f32>,
    /// What the agent's schema asks for.
    pub extraction: Option<Value>,
}

/// Writes what was made of a call that is over, in the place of what was there, and counts the call anew: so it comes last in its
/// transaction. False if it is not over, or has been erased in the meantime.
pub async fn write(tx: &mut Tx, tenant: TenantId, id: CallId, analysis: &Analysis) -> Result<bool, DbError> {
    let Some(before) = store::counted(tx, tenant, id.as_uuid()).await? else { return Ok(false) };
    let written = sqlx::query!(
        "update conversations
         set sentiment = $3, outcome = nullif($4, ''), tags = $5, summary = $6, satisfaction_score = $7, extraction = $8,
             analyzed_at = clock_timestamp(), version = version + 1
         where tenant_id = $1 and id = $2 and end_time is not null and erased_at is null",
        tenant.as_uuid(),
        id.as_uuid(),
        analysis.sentiment,
        analysis.outcome,
        &analysis.tags,
        analysis.summary,
        analysis.satisfaction_score.filter(|score| score.is_finite()),
        analysis.extraction,
    )
    .execute(tx.connection())
    .await?;
    if written.rows_affected() == 0 {
        return Ok(false);
    }
    let after = store::counted(tx, tenant, id.as_uuid()).await?;
    rollup::adjust(tx, tenant, &[before], after.as_slice()).await?;
    Ok(true)
}
