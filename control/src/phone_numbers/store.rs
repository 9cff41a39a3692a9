//! Phone numbers in the database.

use chrono::{DateTime, Utc};
use trunkline_base::E164;
use uuid::Uuid;

use super::{Carrier, PhoneNumber};
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
    vendors::Provider,
};

/// A number that its carrier has just confirmed.
#[derive(Debug)]
pub struct ConfirmedNumber<'a> {
    /// Its id.
    pub id: Uuid,
    /// Who carries its calls.
    pub carrier: Carrier,
    /// The number.
    pub number: &'a E164,
    /// The carrier's id of it.
    pub provider_sid: &'a str,
    /// With which credential the carrier was asked.
    pub credential_id: Uuid,
    /// Who answers it.
    pub agent_id: Option<Uuid>,
}

/// Inserts one. [`DbError::Unique`] if somebody has it.
pub async fn insert(tx: &mut Tx, tenant: TenantId, new: &ConfirmedNumber<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "insert into phone_numbers (tenant_id, id, provider, e164, provider_sid, credential_id, agent_id, verified_at)
         values ($1, $2, $3, $4, $5, $6, $7, now())",
        tenant.as_uuid(),
        new.id,
        Provider::from(new.carrier).name(),
        new.number.expose(),
        new.provider_sid,
        new.credential_id,
        new.agent_id
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A page, the newest first, without the carriers' addresses; and how many there are.
pub async fn list(tx: &mut Tx, tenant: TenantId, page: Page) -> Result<(Vec<PhoneNumber>, i64), DbError> {
    let total =
        sqlx::query_scalar!(r#"select count(*) as "n!" from phone_numbers where tenant_id = $1"#, tenant.as_uuid())
            .fetch_one(tx.connection())
            .await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, provider, e164, provider_sid, credential_id, agent_id, verified_at, created_at
         from phone_numbers where tenant_id = $1 order by created_at desc, id desc limit $2 offset $3",
        tenant.as_uuid(),
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    Ok((rows.into_iter().map(PhoneNumber::try_from).collect::<Result<_, _>>()?, total))
}

/// One, without the carrier's address.
pub async fn get(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<Option<PhoneNumber>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "select id, provider, e164, provider_sid, credential_id, agent_id, verified_at, created_at
         from phone_numbers where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(PhoneNumber::try_from).transpose()
}

/// Says who answers one. False if it isn't there.
pub async fn set_agent(tx: &mut Tx, tenant: TenantId, id: Uuid, agent: Option<Uuid>) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update phone_numbers set agent_id = $3 where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
        agent
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that the carrier has confirmed one for a credential. False if it isn't there; [`DbError::Unique`] if somebody else has it.
pub async fn confirm(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    credential: Uuid,
    provider_sid: &str,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update phone_numbers set credential_id = $3, provider_sid = $4, verified_at = now()
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        id,
        credential,
        provider_sid
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes one. False if it isn't there.
pub async fn remove(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, DbError> {
    let done = sqlx::query!("delete from phone_numbers where tenant_id = $1 and id = $2", tenant.as_uuid(), id)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

struct Row {
    id: Uuid,
    provider: String,
    e164: String,
    provider_sid: Option<String>,
    credential_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    verified_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for PhoneNumber {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let corrupt = |column: &str| DbError::Corrupt { table: "phone_numbers", cause: column.to_owned() };
        let provider = match row.provider.parse() {
            Ok(Provider::Twilio) => Carrier::Twilio,
            Ok(Provider::Vonage) => Carrier::Vonage,
            _ => return Err(corrupt("provider")),
        };
        Ok(Self {
            id: row.id,
            provider,
            phone_number: row.e164.parse().map_err(|_| corrupt("e164"))?,
            provider_sid: row.provider_sid,
            credential_id: row.credential_id,
            agent_id: row.agent_id,
            verified_at: row.verified_at,
            webhook_url: None,
            created_at: row.created_at,
        })
    }
}
