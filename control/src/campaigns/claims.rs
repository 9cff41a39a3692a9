//! The seam between campaigns and whoever dials for them.
//!
//! A contact is claimed in the transaction that writes its call: nobody is claimed for whom no call is under way, whatever dies meanwhile.
//! Whoever claims has the campaign's row until then, so that its concurrency and its calls per second are kept however many dial for it;
//! others leave it alone meanwhile, and do not wait.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};
use trunkline_base::{CallId, E164};
use uuid::Uuid;

use super::store::{self, corrupt, hours};
use crate::{
    db::{Db, DbError, Tx},
    lookup,
    tenant::TenantId,
};

/// How far ahead of its turn somebody is claimed.
pub const AHEAD: Duration = Duration::from_millis(500);
/// How long a campaign is left alone that has nobody to call just now.
const IDLE: TimeDelta = TimeDelta::seconds(1);
/// The same, while it is not the time to call anybody: clocks are not looked at more often.
const CLOSED: TimeDelta = TimeDelta::seconds(60);
/// How long one is left alone in any case.
const BREATH: TimeDelta = TimeDelta::milliseconds(100);

/// Campaigns that may have somebody to call, of all tenants.
pub async fn due(db: &Db, n: i32) -> Result<Vec<(TenantId, Uuid)>, DbError> {
    lookup::due_campaigns(db, n).await
}

/// A campaign that runs, as those who dial have to know it.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its id.
    pub id: Uuid,
    /// Who calls.
    pub agent: Uuid,
    /// From which number, if it says.
    pub from: Option<E164>,
    /// How long a call may ring.
    pub ring: Duration,
    /// What there is to do.
    pub work: Work,
    /// The zones in which people may be called now.
    open: Vec<String>,
    /// When that changes, as far as zones are closed.
    opens_at: Option<DateTime<Utc>>,
    /// What was said when it was looked at.
    rests_until: DateTime<Utc>,
}

/// What there is to do for a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// There is somebody to call.
    Some,
    /// There may be, and there is no room for the call, or it is not its turn.
    Later,
    /// There is nobody to call, or it is not the time to.
    None,
}

/// Looks at a campaign; `None`: it does not run. One whose contacts all have their outcome is completed by that.
pub async fn look(tx: &mut Tx, tenant: TenantId, id: Uuid, now: DateTime<Utc>) -> Result<Option<Running>, DbError> {
    // What a leg's end has not given back, time does.
    sqlx::query!(
        "delete from slots where tenant_id = $1 and kind = 'campaign' and expires_at < now()",
        tenant.as_uuid()
    )
    .execute(tx.connection())
    .await?;
    let row = sqlx::query!(
        r#"select agent_id, from_number, ring_timeout_s, calling_hours, timezone, zones, rests_until,
                  concurrency > (
                      select count(*) from slots s
                      join contact_attempts a on a.tenant_id = s.tenant_id and a.conversation_id = s.holder
                      where s.tenant_id = $1 and s.kind = 'campaign' and a.campaign_id = $2) as "has_room!",
                  next_call_at <= clock_timestamp() + make_interval(secs => $3) as "is_due!"
           from campaigns where tenant_id = $1 and id = $2 and status = 'running'"#,
        tenant.as_uuid(),
        id,
        AHEAD.as_secs_f64(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hours = hours(row.calling_hours)?;
    let default: Tz = row.timezone.parse().map_err(|_| corrupt("timezone"))?;
    let (mut open, mut opens_at) = (Vec::new(), None);
    for name in row.zones {
        let zone = if name.is_empty() { default } else { name.parse().map_err(|_| corrupt("zones"))? };
        match hours.next(zone, now) {
            Some(at) if at <= now => open.push(name),
            at => opens_at = opens_at.into_iter().chain(at).min(),
        }
    }
    let work = if !row.has_room || !row.is_due {
        Work::Later
    } else if has_due(tx, tenant, id, &open).await? {
        Work::Some
    } else {
        complete(tx, tenant, id).await?;
        Work::None
    };
    Ok(Some(Running {
        id,
        agent: row.agent_id,
        from: row.from_number.map(|number| number.parse()).transpose().map_err(|_| corrupt("from_number"))?,
        ring: Duration::from_secs(u64::try_from(row.ring_timeout_s).unwrap_or_default()),
        work,
        open,
        opens_at,
        rests_until: row.rests_until,
    }))
}

async fn has_due(tx: &mut Tx, tenant: TenantId, id: Uuid, open: &[String]) -> Result<bool, DbError> {
    let due = sqlx::query_scalar!(
        r#"select exists (
               select from unnest($3::text[]) z (zone) where exists (
                   select from contacts c where c.tenant_id = $1 and c.campaign_id = $2 and c.status = 'pending' and c.timezone = z.zone
                       and c.due_at <= clock_timestamp())) as "is!""#,
        tenant.as_uuid(),
        id,
        open
    );
    Ok(due.fetch_one(tx.connection()).await?)
}

async fn complete(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "update campaigns set status = 'completed', completed_at = clock_timestamp(), updated_at = clock_timestamp()
         where tenant_id = $1 and id = $2 and status = 'running'
             and not exists (select from contacts where tenant_id = $1 and campaign_id = $2 and status = 'pending')
             and not exists (select from contacts where tenant_id = $1 and campaign_id = $2 and status = 'calling')",
        tenant.as_uuid(),
        id
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Leaves a campaign alone for as long as nothing is to be done for it, or a moment; unless something has come since it was looked at.
pub async fn rest(tx: &mut Tx, tenant: TenantId, campaign: &Running, now: DateTime<Utc>) -> Result<(), DbError> {
    let until = match campaign.work {
        Work::Some | Work::Later => now + BREATH,
        Work::None if !campaign.open.is_empty() => now + IDLE,
        Work::None => now + CLOSED,
    };
    let until = campaign.opens_at.map_or(until, |opens| until.min(opens));
    sqlx::query!(
        "update campaigns set rests_until = $3 where tenant_id = $1 and id = $2 and rests_until = $4",
        tenant.as_uuid(),
        campaign.id,
        until,
        campaign.rests_until
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What there is to claim.
#[derive(Debug)]
pub enum Claim {
    /// Somebody is to be called.
    Contact(Contact),
    /// Somebody's number is on the do-not-call list by now: their outcome is that.
    DoNotCall,
    /// Nobody is, now: there is nobody left, no room, or no turn; or the campaign has been paused, or is somebody else's just now.
    Nobody,
}

/// Somebody who is to be called.
#[derive(Debug)]
pub struct Contact {
    /// Its id.
    pub id: Uuid,
    /// Its number.
    pub number: E164,
    /// What is known of them.
    pub context: Map<String, Value>,
    /// The number of this attempt, which no other has, whatever comes of it.
    pub attempt: i32,
    /// In how long it is the campaign's turn to call.
    pub turn: Duration,
}

impl Contact {
    /// What a dial of this attempt is known by, so that there is one.
    pub fn key(&self) -> String {
        format!("campaign:{}:{}", self.id, self.attempt)
    }
}

/// Chooses whom to call next, and keeps the campaign's row until the transaction is over.
pub async fn claim(tx: &mut Tx, tenant: TenantId, campaign: &Running) -> Result<Claim, DbError> {
    let row = sqlx::query!(
        r#"select greatest(0, extract(epoch from next_call_at - clock_timestamp()))::float8 as "turn!", concurrency
           from campaigns where tenant_id = $1 and id = $2 and status = 'running'
           for no key update skip locked"#,
        tenant.as_uuid(),
        campaign.id
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(Claim::Nobody) };
    let turn = Duration::try_from_secs_f64(row.turn).unwrap_or_default();
    if turn > AHEAD || calls(tx, tenant, campaign.id).await? >= i64::from(row.concurrency) {
        return Ok(Claim::Nobody);
    }
    // Whoever is being dialled already, for this or for anything else, is called later.
    let contact = sqlx::query!(
        r#"select c.id as "id!", c.e164 as "e164!", c.context as "context!", c.last_attempt as "last_attempt!",
                  exists (select from do_not_call n where n.tenant_id = $1 and n.e164 = c.e164) as "listed!"
           from unnest($3::text[]) z (zone)
           cross join lateral (
               select c.* from contacts c
               where c.tenant_id = $1 and c.campaign_id = $2 and c.status = 'pending' and c.timezone = z.zone
                   and c.due_at <= clock_timestamp() and not exists (
                       select from dials d where d.tenant_id = $1 and d.to_number = c.e164 and d.settled_at is null)
               order by c.due_at, c.id limit 1) c
           order by c.due_at, c.id limit 1"#,
        tenant.as_uuid(),
        campaign.id,
        &campaign.open
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(contact) = contact else { return Ok(Claim::Nobody) };
    if contact.listed {
        sqlx::query!(
            "update contacts set status = 'done', outcome = 'do_not_call', done_at = clock_timestamp()
             where tenant_id = $1 and id = $2",
            tenant.as_uuid(),
            contact.id
        )
        .execute(tx.connection())
        .await?;
        return Ok(Claim::DoNotCall);
    }
    let corrupt = |cause: &str| DbError::Corrupt { table: "contacts", cause: cause.to_owned() };
    let Value::Object(context) = contact.context else { return Err(corrupt("context")) };
    Ok(Claim::Contact(Contact {
        id: contact.id,
        number: contact.e164.parse().map_err(|_| corrupt("e164"))?,
        context,
        attempt: contact.last_attempt + 1,
        turn,
    }))
}

/// How many calls of a campaign its carriers have, or may have.
async fn calls(tx: &mut Tx, tenant: TenantId, campaign: Uuid) -> Result<i64, DbError> {
    let calls = sqlx::query_scalar!(
        r#"select count(*) as "n!" from slots s
           join contact_attempts a on a.tenant_id = s.tenant_id and a.conversation_id = s.holder
           where s.tenant_id = $1 and s.kind = 'campaign' and a.campaign_id = $2"#,
        tenant.as_uuid(),
        campaign
    );
    Ok(calls.fetch_one(tx.connection()).await?)
}

/// Writes that a contact is being called, and that its call has one of the campaign's places, for `held_for` at most. In the transaction
/// that has claimed it and has written the call.
pub async fn begin(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: &Running,
    contact: &Contact,
    call: CallId,
    held_for: Duration,
) -> Result<(), DbError> {
    sqlx::query!(
        "with attempt as (
             insert into contact_attempts (tenant_id, contact_id, number, campaign_id, conversation_id) values ($1, $2, $3, $4, $5)
         ), slot as (
             insert into slots (tenant_id, kind, holder, expires_at)
             values ($1, 'campaign', $5, now() + make_interval(secs => $6))
         ), contact as (
             update contacts set status = 'calling', last_attempt = $3 where tenant_id = $1 and id = $2
         )
         update campaigns
         set next_call_at = greatest(next_call_at, clock_timestamp()) + make_interval(secs => 1 / calls_per_second)
         where tenant_id = $1 and id = $4",
        tenant.as_uuid(),
        contact.id,
        contact.attempt,
        campaign.id,
        call.as_uuid(),
        held_for.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes that a contact cannot be called at all.
pub async fn give_up(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: &Running,
    contact: &Contact,
    why: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "with attempt as (
             insert into contact_attempts (tenant_id, contact_id, number, campaign_id, outcome, error, ended_at)
             values ($1, $2, $3, $4, 'failed', $5, clock_timestamp())
         )
         update contacts set status = 'done', outcome = 'failed', last_attempt = $3, done_at = clock_timestamp()
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        contact.id,
        contact.attempt,
        campaign.id,
        why,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Keeps why an attempt came to no call: nothing secret, nothing personal.
pub async fn note(tx: &mut Tx, tenant: TenantId, call: CallId, why: &str) -> Result<(), DbError> {
    sqlx::query!(
        "update contact_attempts set error = $3 where tenant_id = $1 and conversation_id = $2",
        tenant.as_uuid(),
        call.as_uuid(),
        why
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Pauses a campaign that can call nobody as things are, and says why: all its contacts would fail.
pub async fn hold(tx: &mut Tx, tenant: TenantId, id: Uuid, why: &str) -> Result<bool, DbError> {
    let held = sqlx::query!(
        "update campaigns set paused_reason = $3 where tenant_id = $1 and id = $2 and status = 'running'",
        tenant.as_uuid(),
        id,
        why
    )
    .execute(tx.connection())
    .await?;
    if held.rows_affected() == 1 {
        store::pause(tx, tenant, id).await?;
    }
    Ok(held.rows_affected() == 1)
}
