//! Contacts in the database.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::{
    ImportContact, corrupt,
    model::{Contact, ContactAttempt, ContactStatus},
};
use crate::{
    db::{DbError, Tx},
    http::Page,
    tenant::TenantId,
};

/// What became of contacts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    pub(super) added: i64,
    pub(super) duplicates: i64,
    pub(super) do_not_call: i64,
}

/// Adds those to a campaign, which is locked, that may be called and are not there yet. A campaign that was completed has to be started
/// again for them.
pub(super) async fn add(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: Uuid,
    contacts: &[ImportContact],
) -> Result<Added, DbError> {
    let row = sqlx::query!(
        r#"with new as (
               select * from unnest($3::uuid[], $4::text[], $5::text[], $6::jsonb[]) as n (id, e164, timezone, context)
           ), listed as (
               select n.id from new n join do_not_call d on d.tenant_id = $1 and d.e164 = n.e164
           ), added as (
               insert into contacts (tenant_id, campaign_id, id, e164, timezone, context)
               select $1, $2, n.id, n.e164, n.timezone, n.context from new n where n.id not in (select id from listed) order by n.id
               on conflict (tenant_id, campaign_id, e164) do nothing returning timezone
           )
           select (select count(*) from added) as "added!", (select count(*) from listed) as "listed!",
                  array(select distinct timezone from added) as "zones!""#,
        tenant.as_uuid(),
        campaign,
        &contacts.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &contacts.iter().map(|it| it.phone_number.expose().to_owned()).collect::<Vec<_>>(),
        &contacts.iter().map(|it| it.timezone.clone()).collect::<Vec<_>>(),
        &contacts.iter().map(|it| Value::Object(it.context.clone())).collect::<Vec<_>>(),
    )
    .fetch_one(tx.connection())
    .await?;
    let all = i64::try_from(contacts.len()).unwrap_or(i64::MAX);
    let added = Added { added: row.added, do_not_call: row.listed, duplicates: all - row.added - row.listed };
    sqlx::query!(
        "update campaigns
         set zones = array(select distinct z from unnest(zones || $3::text[]) z order by z), duplicates = duplicates + $4,
             do_not_call = do_not_call + $5, rests_until = clock_timestamp(),
             status = case when status = 'completed' and $6 then 'paused' else status end
         where tenant_id = $1 and id = $2",
        tenant.as_uuid(),
        campaign,
        &row.zones,
        added.duplicates,
        added.do_not_call,
        added.added > 0,
    )
    .execute(tx.connection())
    .await?;
    Ok(added)
}

/// A page of a campaign's contacts, as they were added; and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: Uuid,
    status: Option<&str>,
    page: Page,
) -> Result<(Vec<Contact>, i64), DbError> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "n!" from contacts
           where tenant_id = $1 and campaign_id = $2 and ($3::text is null or status = $3)"#,
        tenant.as_uuid(),
        campaign,
        status
    )
    .fetch_one(tx.connection())
    .await?;
    let rows = sqlx::query!(
        "select id, e164, timezone, context, status, outcome, due_at, created_at, done_at from contacts
         where tenant_id = $1 and campaign_id = $2 and ($3::text is null or status = $3) order by id limit $4 offset $5",
        tenant.as_uuid(),
        campaign,
        status,
        page.limit,
        page.offset()
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut attempts = attempts(tx, tenant, &ids).await?;
    let contacts = rows.into_iter().map(|row| {
        let status = ContactStatus::named(&row.status).ok_or_else(|| corrupt("status"))?;
        Ok(Contact {
            id: row.id,
            phone_number: row.e164,
            timezone: Some(row.timezone).filter(|zone| !zone.is_empty()),
            context: row.context,
            status,
            outcome: row.outcome,
            next_attempt_at: (status == ContactStatus::Pending).then_some(row.due_at),
            attempts: attempts.remove(&row.id).unwrap_or_default(),
            created_at: row.created_at,
            done_at: row.done_at,
        })
    });
    Ok((contacts.collect::<Result<_, DbError>>()?, total))
}

async fn attempts(
    tx: &mut Tx,
    tenant: TenantId,
    contacts: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<ContactAttempt>>, DbError> {
    let rows = sqlx::query!(
        "select contact_id, number, conversation_id, outcome, error, started_at, ended_at from contact_attempts
         where tenant_id = $1 and contact_id = any ($2) order by number",
        tenant.as_uuid(),
        contacts
    )
    .fetch_all(tx.connection())
    .await?;
    let mut all = BTreeMap::<Uuid, Vec<ContactAttempt>>::new();
    for row in rows {
        all.entry(row.contact_id).or_default().push(ContactAttempt {
            number: row.number,
            conversation_id: row.conversation_id,
            outcome: row.outcome,
            error: row.error,
            started_at: row.started_at,
            ended_at: row.ended_at,
        });
    }
    Ok(all)
}
