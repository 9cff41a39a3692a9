//! What is asked of a live call from outside: where it is, and the legs that are rung to hand it over.

use chrono::{DateTime, Utc};
use trunkline_base::CallId;
use uuid::Uuid;

use super::journal::{self, Ended};
use crate::{
    db::{DbError, Tx},
    tenant::TenantId,
    vendors::Provider,
};

/// Where a call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// The node that keeps it alive, or did.
    pub node: Option<String>,
    /// Whether it is over, or about to be.
    pub over: bool,
    /// Who answers.
    pub agent: Uuid,
    /// In which version.
    pub agent_version: i32,
    /// By which carrier it goes; `None`: by none.
    pub provider: Option<Provider>,
    /// What the carrier calls the caller's leg.
    pub provider_call_id: Option<String>,
}

/// Where a call is; `None`: the tenant has no such call.
pub async fn whereabouts(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<Option<Whereabouts>, DbError> {
    let row = sqlx::query!(
        r#"select c.node, c.agent_id, c.agent_version, c.provider,
                  (c.ending_at is not null or c.end_time is not null) as "over!",
                  (select l.provider_call_id from call_legs l
                   where l.tenant_id = c.tenant_id and l.conversation_id = c.id and l.kind = 'customer'
                   order by l.created_at limit 1) as provider_call_id
           from conversations c where c.tenant_id = $1 and c.id = $2"#,
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Whereabouts {
        node: row.node,
        over: row.over,
        agent: row.agent_id,
        agent_version: row.agent_version,
        provider: row.provider.as_deref().and_then(|name| name.parse().ok()),
        provider_call_id: row.provider_call_id,
    }))
}

/// Writes the leg of somebody who is asked whether they take a call. One that is written already stays as it is.
pub async fn add_consult_leg(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    provider: Provider,
    provider_call_id: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into call_legs (tenant_id, conversation_id, id, provider, provider_call_id, kind, status, status_rank)
         values ($1, $2, $3, $4, $5, 'consult', 'queued', 0)
         on conflict do nothing",
        tenant.as_uuid(),
        id.as_uuid(),
        Uuid::now_v7(),
        provider.name(),
        provider_call_id,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes how far such a leg is. A status of the same rank or a lower one is late, and changes nothing.
pub async fn set_consult_status(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    provider_call_id: &str,
    status: &str,
    rank: i32,
) -> Result<(), DbError> {
    sqlx::query!(
        "update call_legs set status = $4, status_rank = $5
         where tenant_id = $1 and conversation_id = $2 and provider_call_id = $3 and kind = 'consult' and status_rank < $5",
        tenant.as_uuid(),
        id.as_uuid(),
        provider_call_id,
        status,
        rank,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes that a call is being ended for the API, whoever keeps it alive: what its carrier asks from now on is answered with the end.
pub async fn set_ending(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<(), DbError> {
    sqlx::query!(
        "update conversations
         set ending_at = coalesce(ending_at, now()), ending_reason = coalesce(ending_reason, 'api_hangup'), version = version + 1
         where tenant_id = $1 and id = $2 and end_time is null",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Closes a call that its carrier has ended for the API and that no node keeps alive; says whether it was so.
pub async fn close_hung_up(tx: &mut Tx, tenant: TenantId, id: CallId, now: DateTime<Utc>) -> Result<bool, DbError> {
    let answered = sqlx::query_scalar!(
        r#"select c.answered_at is not null as "answered!" from conversations c
           where c.tenant_id = $1 and c.id = $2 and c.end_time is null
             and not exists (select from slots s
                 where s.tenant_id = $1 and s.kind = 'call' and s.holder = $2 and s.expires_at > now())
           for update of c"#,
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(answered) = answered else { return Ok(false) };
    let status = if answered { "completed" } else { "failed" };
    journal::close(tx, tenant, id, &Ended { at: now, status, reason: "api_hangup".into() }, None).await
}
