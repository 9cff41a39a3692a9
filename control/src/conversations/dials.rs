//! Calls that we place, as far as the database has to know of them so that nobody is dialled twice.
//!
//! A carrier that does not answer may have dialled all the same. So that a dial is under way is written before the carrier is asked,
//! only one is under way for a pair of numbers, and it stays so until it is settled: by the carrier's answer, by the first thing that
//! the carrier tells of the call, or by looking among its calls.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use trunkline_base::{CallId, E164, Personal};
use uuid::Uuid;

use crate::{
    db::{DbError, Tx},
    phone_numbers::Carrier,
    tenant::TenantId,
    vendors::Provider,
};

/// How long an `Idempotency-Key` stands for its call.
const KEY: &str = "24 hours";

/// A number that calls may be placed from.
#[derive(Debug, Clone)]
pub struct OwnNumber {
    /// Its id.
    pub id: Uuid,
    /// Who carries its calls.
    pub carrier: Carrier,
    /// The number.
    pub number: E164,
    /// With which credential it was confirmed.
    pub credential: Option<Uuid>,
    /// Who answers it.
    pub agent: Option<Uuid>,
}

/// The numbers that a carrier has confirmed, the oldest first.
pub async fn own_numbers(tx: &mut Tx, tenant: TenantId) -> Result<Vec<OwnNumber>, DbError> {
    let rows = sqlx::query!(
        "select id, provider, e164, credential_id, agent_id from phone_numbers
         where tenant_id = $1 and verified_at is not null order by created_at, id",
        tenant.as_uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let corrupt = |cause: &str| DbError::Corrupt { table: "phone_numbers", cause: cause.to_owned() };
    rows.into_iter()
        .map(|row| {
            let carrier = match row.provider.parse() {
                Ok(Provider::Twilio) => Carrier::Twilio,
                Ok(Provider::Vonage) => Carrier::Vonage,
                _ => return Err(corrupt("provider")),
            };
            let number = row.e164.parse().map_err(|_| corrupt("e164"))?;
            Ok(OwnNumber { id: row.id, carrier, number, credential: row.credential_id, agent: row.agent_id })
        })
        .collect()
}

/// The `calls_per_second` that the tenant has set where it installed a carrier with this credential; `None` if it has not.
pub async fn calls_per_second(tx: &mut Tx, tenant: TenantId, credential: Uuid) -> Result<Option<f64>, DbError> {
    let set = sqlx::query_scalar!(
        r#"select config -> 'calls_per_second' as "set: Value" from installations
           where tenant_id = $1 and credential_id = $2"#,
        tenant.as_uuid(),
        credential,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(set.flatten().and_then(|set| set.as_f64()))
}

/// A call that is to be placed.
#[derive(Debug)]
pub struct NewDial<'a> {
    /// The conversation's id, made by the program.
    pub id: CallId,
    /// Who calls.
    pub agent: Uuid,
    /// In which version.
    pub agent_version: i32,
    /// Whose call it is going to be.
    pub provider: Provider,
    /// From which number.
    pub from: &'a E164,
    /// To which number.
    pub to: &'a E164,
    /// What is known of whoever is called.
    pub context: &'a Map<String, Value>,
    /// What whoever asked wants kept with the conversation.
    pub metadata: &'a Map<String, Value>,
    /// Who dials.
    pub node: &'a str,
    /// The request's own name for itself.
    pub key: Option<&'a str>,
    /// The contact of a campaign that is called.
    pub contact: Option<Uuid>,
    /// How long the one that dials sees to it.
    pub held_for: Duration,
    /// How long the call holds its place among the tenant's calls until somebody answers.
    pub rings_for: Duration,
}

/// Why a dial does not begin.
#[derive(Debug, thiserror::Error)]
pub enum NoDial {
    /// One of this pair of numbers is under way.
    #[error("a dial of these numbers is under way")]
    Pair,
    /// The request was made before.
    #[error("the key stands for another dial")]
    Key,
    /// The database has not done it.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Writes a call that is to be placed: its conversation, its place among the tenant's calls, and the dial. Nothing of it is there after
/// an error, once the transaction is dropped.
pub async fn begin(tx: &mut Tx, tenant: TenantId, dial: &NewDial<'_>, now: DateTime<Utc>) -> Result<(), NoDial> {
    let in_db = |error: sqlx::Error| match DbError::from(error) {
        DbError::Unique(name) if name == "dials_pair" => NoDial::Pair,
        DbError::Unique(name) if name == "dials_key" => NoDial::Key,
        error => NoDial::Db(error),
    };
    sqlx::query!(
        "insert into conversations (tenant_id, id, agent_id, agent_version, channel, provider, direction, customer_phone, our_number,
                                    status, start_time, context, metadata, node, campaign_contact_id)
         values ($1, $2, $3, $4, 'phone', $5, 'outbound', $6, $7, 'ringing', $8, $9, $10, $11, $12)",
        tenant.as_uuid(),
        dial.id.as_uuid(),
        dial.agent,
        dial.agent_version,
        dial.provider.name(),
        dial.to.expose(),
        dial.from.expose(),
        now,
        Value::Object(dial.context.clone()),
        Value::Object(dial.metadata.clone()),
        dial.node,
        dial.contact,
    )
    .execute(tx.connection())
    .await
    .map_err(in_db)?;
    sqlx::query!(
        "insert into slots (tenant_id, kind, holder, expires_at) values ($1, 'call', $2, now() + make_interval(secs => $3))",
        tenant.as_uuid(),
        dial.id.as_uuid(),
        dial.rings_for.as_secs_f64(),
    )
    .execute(tx.connection())
    .await
    .map_err(in_db)?;
    if dial.key.is_some() {
        // What came to nothing, and what is long ago, may be asked for again.
        sqlx::query!(
            "update dials set idempotency_key = null
             where tenant_id = $1 and idempotency_key = $2
                 and (state = 'refused' or created_at < now() - $3::text::interval)",
            tenant.as_uuid(),
            dial.key,
            KEY,
        )
        .execute(tx.connection())
        .await
        .map_err(in_db)?;
    }
    sqlx::query!(
        "insert into dials (tenant_id, conversation_id, provider, from_number, to_number, idempotency_key, held_until)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))",
        tenant.as_uuid(),
        dial.id.as_uuid(),
        dial.provider.name(),
        dial.from.expose(),
        dial.to.expose(),
        dial.key,
        dial.held_for.as_secs_f64(),
    )
    .execute(tx.connection())
    .await
    .map_err(in_db)?;
    Ok(())
}

/// A dial that was asked for with a key.
#[derive(Debug, Clone)]
pub struct EarlierDial {
    /// Its conversation.
    pub id: CallId,
    /// Who calls.
    pub agent: Uuid,
    /// Who is called; `None` if that has been forgotten.
    pub to: Option<Personal<String>>,
    /// The carrier's name for the call, if it is known.
    pub provider_call_id: Option<String>,
    /// The conversation's status.
    pub status: String,
}

/// What a key stands for. A dial that came to nothing is not it.
pub async fn by_key(tx: &mut Tx, tenant: TenantId, key: &str) -> Result<Option<EarlierDial>, DbError> {
    let row = sqlx::query!(
        "select c.id, c.agent_id, c.customer_phone, c.status, l.provider_call_id as \"provider_call_id?\"
         from dials d join conversations c on c.tenant_id = d.tenant_id and c.id = d.conversation_id
         left join call_legs l on l.tenant_id = c.tenant_id and l.conversation_id = c.id and l.kind = 'customer'
         where d.tenant_id = $1 and c.tenant_id = $1 and d.idempotency_key = $2 and d.state <> 'refused'
             and d.created_at >= now() - $3::text::interval
         order by l.created_at limit 1",
        tenant.as_uuid(),
        key,
        KEY,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| EarlierDial {
        id: row.id.into(),
        agent: row.agent_id,
        to: row.customer_phone.map(Personal::new),
        provider_call_id: row.provider_call_id,
        status: row.status,
    }))
}

/// Says that the carrier is about to be asked, and for how long that is seen to. False: it must not be, for the call was given up, or
/// somebody else has settled the dial.
pub async fn send(tx: &mut Tx, tenant: TenantId, id: CallId, held_for: Duration) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update dials set state = 'sent', sent_at = coalesce(sent_at, clock_timestamp()),
             held_until = now() + make_interval(secs => $3)
         where tenant_id = $1 and conversation_id = $2 and settled_at is null and exists (
             select from conversations c
             where c.tenant_id = $1 and c.id = $2 and c.end_time is null and c.ending_at is null)",
        tenant.as_uuid(),
        id.as_uuid(),
        held_for.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A dial that is not settled.
#[derive(Debug, Clone)]
pub struct Unsettled {
    /// From which number.
    pub from: E164,
    /// To which number.
    pub to: E164,
    /// Whose call it is, if it is one.
    pub provider: Provider,
    /// When the carrier was first asked; `None`: it was not.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Takes a dial that nobody sees to; `None`: somebody does, or it is settled.
pub async fn take(tx: &mut Tx, tenant: TenantId, id: CallId, held_for: Duration) -> Result<Option<Unsettled>, DbError> {
    let row = sqlx::query!(
        r#"update dials set held_until = now() + make_interval(secs => $3)
           where tenant_id = $1 and conversation_id = $2 and settled_at is null and held_until < now()
           returning provider, from_number as "from_number!", to_number as "to_number!", sent_at"#,
        tenant.as_uuid(),
        id.as_uuid(),
        held_for.as_secs_f64(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let corrupt = |cause: &str| DbError::Corrupt { table: "dials", cause: cause.to_owned() };
    row.map(|row| {
        Ok(Unsettled {
            from: row.from_number.parse().map_err(|_| corrupt("from_number"))?,
            to: row.to_number.parse().map_err(|_| corrupt("to_number"))?,
            provider: row.provider.parse().map_err(|_| corrupt("provider"))?,
            sent_at: row.sent_at,
        })
    })
    .transpose()
}

/// What a carrier's call is to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It was not known until now, and is the one that was dialled.
    Now,
    /// It was known to be.
    Before,
    /// The dial was given up: nobody waits for it.
    Stray,
    /// It is another one than that which was dialled.
    Other,
    /// The conversation is none that we have dialled.
    NotDialled,
}

/// Settles a dial: the carrier has the call, under this name.
pub async fn adopt(
    tx: &mut Tx,
    tenant: TenantId,
    id: CallId,
    provider: Provider,
    provider_call_id: &str,
) -> Result<Adopted, DbError> {
    let dial = sqlx::query!(
        r#"select state, provider = $3 as "same!" from dials where tenant_id = $1 and conversation_id = $2 for update"#,
        tenant.as_uuid(),
        id.as_uuid(),
        provider.name(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(dial) = dial else { return Ok(Adopted::NotDialled) };
    // A statement of its own: one that waits for the lock does not see what its holder has written of other tables.
    let known = sqlx::query_scalar!(
        r#"select exists (select from call_legs l where l.tenant_id = $1 and l.conversation_id = $2
                          and l.provider = $3 and l.provider_call_id = $4) as "known!""#,
        tenant.as_uuid(),
        id.as_uuid(),
        provider.name(),
        provider_call_id,
    )
    .fetch_one(tx.connection())
    .await?;
    if known {
        return Ok(Adopted::Before);
    }
    match dial.state.as_str() {
        "refused" => return Ok(Adopted::Stray),
        "queued" | "sent" if dial.same => {}
        _ => return Ok(Adopted::Other),
    }
    let leg = sqlx::query!(
        "insert into call_legs (tenant_id, conversation_id, id, provider, provider_call_id, kind, status, status_rank)
         values ($1, $2, $3, $4, $5, 'customer', 'queued', 0)
         on conflict (provider, provider_call_id) do nothing",
        tenant.as_uuid(),
        id.as_uuid(),
        Uuid::now_v7(),
        provider.name(),
        provider_call_id,
    )
    .execute(tx.connection())
    .await?;
    if leg.rows_affected() == 0 {
        return Ok(Adopted::Other);
    }
    settle(tx, tenant, id, "placed").await?;
    Ok(Adopted::Now)
}

/// Keeps everybody else from settling a dial until the transaction ends.
pub async fn hold(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<(), DbError> {
    sqlx::query_scalar!(
        "select state from dials where tenant_id = $1 and conversation_id = $2 for update",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(())
}

/// Settles a dial: the carrier has no such call. False if it was settled already.
pub async fn refuse(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<bool, DbError> {
    settle(tx, tenant, id, "refused").await
}

async fn settle(tx: &mut Tx, tenant: TenantId, id: CallId, state: &str) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update dials set state = $3, settled_at = now(), from_number = null, to_number = null
         where tenant_id = $1 and conversation_id = $2 and settled_at is null",
        tenant.as_uuid(),
        id.as_uuid(),
        state,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What came of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Nobody knows yet.
    No,
    /// The carrier has the call, under this name.
    Placed(String),
    /// It has not.
    Refused,
}

/// Whether a dial is settled, and how.
pub async fn settled(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<Settled, DbError> {
    let row = sqlx::query!(
        r#"select d.state, (select l.provider_call_id from call_legs l
                            where l.tenant_id = $1 and l.conversation_id = $2 and l.kind = 'customer'
                            order by l.created_at limit 1) as provider_call_id
           from dials d where d.tenant_id = $1 and d.conversation_id = $2"#,
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(match row {
        Some(row) if row.state == "placed" => row.provider_call_id.map_or(Settled::Refused, Settled::Placed),
        Some(row) if row.state != "refused" => Settled::No,
        _ => Settled::Refused,
    })
}

/// Which of a carrier's calls are a conversation's already.
pub async fn known(
    tx: &mut Tx,
    tenant: TenantId,
    provider: Provider,
    provider_call_ids: &[String],
) -> Result<Vec<String>, DbError> {
    let known = sqlx::query_scalar!(
        r#"select provider_call_id as "id!" from call_legs
           where tenant_id = $1 and provider = $2 and provider_call_id = any ($3)"#,
        tenant.as_uuid(),
        provider.name(),
        provider_call_ids,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(known)
}

/// Keeps what the carrier has found out of who answered, for whoever takes the call. False: it is none that we have dialled.
pub async fn set_answered_by(tx: &mut Tx, tenant: TenantId, id: CallId, by: &str) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "update dials set answered_by = $3 where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        id.as_uuid(),
        by,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What the carrier has found out of who answered.
pub async fn answered_by(tx: &mut Tx, tenant: TenantId, id: CallId) -> Result<Option<String>, DbError> {
    let by = sqlx::query_scalar!(
        "select answered_by from dials where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(by.flatten())
}
