//! One look at a campaign: those whose turn it is are claimed, and their calls placed.

use std::time::Duration;

use serde_json::{Map, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    campaigns::claims::{self, Claim, Contact, Running, Work},
    conversations::dials::NoDial,
    db::DbError,
    error::{ApiError, ErrorCode},
    lookup::Turn,
    tenant::TenantId,
    tenants::store as tenants,
};
use uuid::Uuid;

use crate::calls::{
    Calls,
    dial::{Dialling, Fault, Line, Outcome, Refused, Wanted},
};

/// How many are claimed in one look: then the campaign is looked at again, which may have changed.
const BATCH: usize = 50;
/// How long a call is seen to here before the carrier is asked, beyond its turn: what nobody sees to is settled by others.
const HELD: Duration = Duration::from_secs(10);

pub(super) struct Pass {
    pub(super) calls: Calls,
    pub(super) tenant: TenantId,
    pub(super) id: Uuid,
    pub(super) stopped: CancellationToken,
    /// Calls that are being placed.
    pub(super) placing: TaskTracker,
}

/// What came of looking for somebody to call.
enum Next {
    Call(Box<Dialling>),
    /// Somebody had their outcome without a call, or is called later.
    Skipped,
    Nobody,
}

impl Pass {
    pub(super) async fn run(self) -> Result<(), DbError> {
        let mut tx = self.calls.control().db.begin(self.tenant).await?;
        let now = SystemClock.wall().into();
        let Some(campaign) = claims::look(&mut tx, self.tenant, self.id, now).await? else { return Ok(()) };
        claims::rest(&mut tx, self.tenant, &campaign, now).await?;
        tx.commit().await?;
        if campaign.work != Work::Some {
            return Ok(());
        }
        let tx = self.calls.control().db.begin(self.tenant).await?;
        let line = match self.calls.line(tx, self.tenant, campaign.agent, campaign.from.as_ref()).await {
            Ok(line) => line,
            Err(error) => return self.obstacle(&error).await,
        };
        for _ in 0..BATCH {
            if self.stopped.is_cancelled() {
                break;
            }
            match self.next(&campaign, &line).await? {
                Next::Call(dialling) => self.place(*dialling),
                Next::Skipped => {}
                Next::Nobody => break,
            }
        }
        Ok(())
    }

    /// Claims somebody, and writes their call: both, or neither.
    async fn next(&self, campaign: &Running, line: &Line) -> Result<Next, DbError> {
        let tenant = self.tenant;
        let mut tx = self.calls.control().db.begin(tenant).await?;
        if tenants::is_full(&mut tx, tenant, &line.tenant).await? {
            return Ok(Next::Nobody);
        }
        let contact = match claims::claim(&mut tx, tenant, campaign).await? {
            Claim::Contact(contact) => contact,
            Claim::DoNotCall => {
                tx.commit().await?;
                return Ok(Next::Skipped);
            }
            Claim::Nobody => return Ok(Next::Nobody),
        };
        if contact.number == line.number {
            claims::give_up(&mut tx, tenant, campaign, &contact, "its number is the one that would call").await?;
            tx.commit().await?;
            return Ok(Next::Skipped);
        }
        let key = contact.key();
        let wanted = Wanted {
            to: &contact.number,
            ring: campaign.ring,
            context: contact.context.clone(),
            metadata: self.metadata(&contact),
            key: Some(&key),
            contact: Some(contact.id),
            held_for: claims::AHEAD + HELD,
        };
        let mut dialling = match self.calls.write(&mut tx, tenant, line, wanted).await {
            Ok(dialling) => dialling,
            // Somebody has just begun to call them, who is seen the next time.
            Err(NoDial::Pair) => return Ok(Next::Skipped),
            Err(NoDial::Key) => {
                drop(tx);
                return self.taken(campaign, &contact).await;
            }
            Err(NoDial::Db(error)) => return Err(error),
        };
        let held_for = line.longest(campaign.ring);
        claims::begin(&mut tx, tenant, campaign, &contact, dialling.id, held_for).await?;
        dialling.turn = match line.turn(&mut tx, claims::AHEAD).await? {
            Turn::In(wait) => wait.max(contact.turn),
            Turn::NotBefore(_) => return Ok(Next::Nobody),
        };
        tx.commit().await?;
        self.calls.tell_state(tenant, dialling.id);
        Ok(Next::Call(Box::new(dialling)))
    }

    /// Somebody has used the attempt's key for a call of their own.
    async fn taken(&self, campaign: &Running, contact: &Contact) -> Result<Next, DbError> {
        let mut tx = self.calls.control().db.begin(self.tenant).await?;
        claims::give_up(&mut tx, self.tenant, campaign, contact, "its Idempotency-Key was used for another call")
            .await?;
        tx.commit().await?;
        Ok(Next::Skipped)
    }

    fn metadata(&self, contact: &Contact) -> Map<String, serde_json::Value> {
        let about = [("campaign_id", json!(self.id)), ("campaign_contact_id", json!(contact.id))];
        about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Places a call, by itself: what comes of it is in the database, but for why the carrier would not.
    fn place(&self, dialling: Dialling) {
        let (calls, tenant, campaign, id) = (self.calls.clone(), self.tenant, self.id, dialling.id);
        self.placing.spawn(async move {
            if let Outcome::Refused(refused) = calls.clone().place(dialling).await
                && let Err(error) = note(&calls, tenant, campaign, id, &refused).await
            {
                tracing::warn!(call = %id, %error, "why a call was not placed could not be noted");
            }
        });
    }

    /// The agent cannot call as it is. What will not mend itself pauses the campaign.
    async fn obstacle(&self, error: &ApiError) -> Result<(), DbError> {
        let lasts = matches!(
            error.code,
            ErrorCode::AgentNotFound
                | ErrorCode::Conflict
                | ErrorCode::IntegrationTestFailed
                | ErrorCode::ValidationError
        );
        if !lasts {
            tracing::warn!(campaign = %self.id, cause = error.message, "a campaign cannot be dialled for just now");
            return Ok(());
        }
        hold(&self.calls, self.tenant, self.id, &why(error)).await
    }
}

/// Keeps why the carrier has not placed a call. What holds for all calls of the account, or of the number that calls, pauses the
/// campaign: each of its contacts would fail for it.
async fn note(calls: &Calls, tenant: TenantId, campaign: Uuid, id: CallId, refused: &Refused) -> Result<(), DbError> {
    let mut tx = calls.control().db.begin(tenant).await?;
    claims::note(&mut tx, tenant, id, &refused.words).await?;
    tx.commit().await?;
    let of_all = match refused.fault {
        Fault::From => true,
        Fault::Carrier => matches!(refused.status, Some(401 | 403)),
        Fault::To => false,
    };
    if of_all { hold(calls, tenant, campaign, &refused.words).await } else { Ok(()) }
}

async fn hold(calls: &Calls, tenant: TenantId, campaign: Uuid, why: &str) -> Result<(), DbError> {
    let mut tx = calls.control().db.begin(tenant).await?;
    let held = claims::hold(&mut tx, tenant, campaign, why).await?;
    tx.commit().await?;
    if held {
        tracing::warn!(%campaign, tenant_id = %tenant, why, "a campaign is paused");
    }
    Ok(())
}

/// An error in a sentence: of a field, that field's.
fn why(error: &ApiError) -> String {
    let field = error.details.as_ref().and_then(|details| details["fields"].get(0));
    match field {
        Some(field) => {
            let text = |name: &str| field[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("field"), text("message"))
        }
        None => error.message.clone(),
    }
}
