//! How a call comes to this node: it rings, or it comes back after the process that had it is gone.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use trunkline_base::{CallId, Clock, Personal, Secret, SystemClock};
use trunkline_control::{
    agents::store::{self as agents, StoredAgent},
    conversations::{
        calls::{self as stored, NewConversation, StoredCall, StoredHistory},
        legs,
    },
    credentials::store as credentials,
    db::{DbError, Tx},
    error::ApiError,
    lookup,
    tenant::TenantId,
    tenants::{TenantSettings, store as tenants},
    vendors::Provider,
};
use trunkline_media::{
    call::CallConfig,
    event::Speaker,
    ids::TurnId,
    time::MediaTime,
    turn::{PastTurn, Resumed},
};
use uuid::Uuid;

use super::{
    Calls,
    account::CarrierAccount,
    live::Ringing,
    registry::{Live, RESUMES, Refused},
    status::Receipt,
    token, webhooks,
};
use crate::compose::{CallKeys, ComposeError, Composed};

/// How long a token's row may hold up an answer to the carrier; without it, the token still holds on this node.
const TOKEN_LIMIT: Duration = Duration::from_secs(2);

/// The longest address of a region that is kept.
pub(super) const MAX_REGION: usize = 256;

/// Who calls.
pub(super) struct Caller {
    pub(super) provider_call_id: String,
    pub(super) from: Personal<String>,
    pub(super) to: Personal<String>,
    /// Where the call lives, at a carrier with regions.
    pub(super) region_url: Option<String>,
    /// What tells the webhook from its replay, at a carrier that names each.
    pub(super) receipt: Option<Receipt>,
}

/// What a carrier's call is answered with.
pub(super) enum Answered {
    /// A media stream, with its token.
    Stream(CallId, Secret),
    /// It was over already.
    Over,
    /// Nobody is there for it, or there is no place.
    Rejected,
}

/// A call that this node takes.
struct Taken {
    tenant: TenantId,
    account: Arc<CarrierAccount>,
    provider_call_id: String,
    hash: token::TokenHash,
    /// When, if it was answered in another process.
    answered_at: Option<DateTime<Utc>>,
    /// How often it has been given another stream.
    resumes: u32,
}

/// An agent that can take a call.
pub(super) struct Ready {
    agent: Uuid,
    pub(super) version: i32,
    pub(super) tenant: TenantSettings,
    pub(super) composed: Result<Composed, ComposeError>,
}

impl Calls {
    /// Takes a call that rings on a tenant's number: writes it, opens its vendors' sockets, and leaves a task that waits for its
    /// stream. What is refused for want of place or of credentials is written too, as a call that failed.
    pub(super) async fn ring(
        &self,
        tenant: TenantId,
        agent: Option<Uuid>,
        account: Arc<CarrierAccount>,
        caller: Caller,
    ) -> Result<Answered, ApiError> {
        let Some(agent) = agent else { return Ok(Answered::Rejected) };
        let mut tx = self.control().db.begin(tenant).await?;
        let Some(ready) = self.agent(&mut tx, tenant, agent, None).await? else { return Ok(Answered::Rejected) };
        if ready.composed.as_ref().is_ok_and(|composed| !composed.agent().is_active) {
            return Ok(Answered::Rejected);
        }
        if let Some(receipt) = &caller.receipt
            && !receipt.write(&mut tx).await?
        {
            drop(tx);
            return self.ring_replayed(tenant, account.provider(), &caller.provider_call_id).await;
        }
        let is_full = tenants::is_full(&mut tx, tenant, &ready.tenant).await?;
        let id = CallId::generate();
        let context = webhooks::context(&caller);
        let conversation = NewConversation {
            id,
            agent: ready.agent,
            agent_version: ready.version,
            provider: account.provider(),
            provider_call_id: caller.provider_call_id.clone(),
            customer_phone: caller.from,
            our_number: caller.to,
            context: context.clone(),
            node: self.0.node.clone(),
        };
        match stored::create(&mut tx, tenant, &conversation, SystemClock.wall().into()).await {
            Ok(()) => {}
            Err(DbError::Unique(_)) => {
                drop(tx);
                return self.ring_again(tenant, account, &caller.provider_call_id).await;
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(region_url) = caller.region_url.as_deref().filter(|url| url.len() <= MAX_REGION) {
            legs::set_region(&mut tx, tenant, id, &caller.provider_call_id, region_url).await?;
        }
        let (token, hash) = token::mint(SystemClock.now());
        stored::put_token(&mut tx, tenant, id, hash.bytes(), token::VALID_FOR).await?;
        tx.commit().await?;
        self.tell_state(tenant, id);
        if is_full {
            tracing::warn!(call = %id, "call refused: the tenant has as many as it allows itself");
            self.give_up(tenant, id, "overloaded");
            return Ok(Answered::Rejected);
        }
        let composed = match ready.composed {
            Ok(composed) => composed.on_line(account.line()),
            Err(error) => {
                tracing::error!(call = %id, %error, "the call cannot be composed");
                self.give_up(tenant, id, "vendor_failed");
                return Ok(Answered::Rejected);
            }
        };
        let config = composed.config(id, &context, None);
        let live =
            Taken { tenant, account, provider_call_id: caller.provider_call_id, hash, answered_at: None, resumes: 0 };
        match self.take(live, composed, config) {
            Ok(()) => Ok(Answered::Stream(id, token)),
            Err(refused) => {
                tracing::warn!(call = %id, %refused, "call refused");
                self.give_up(tenant, id, "overloaded");
                Ok(Answered::Rejected)
            }
        }
    }

    /// A voice webhook that comes twice is one call.
    async fn ring_again(
        &self,
        tenant: TenantId,
        account: Arc<CarrierAccount>,
        provider_call_id: &str,
    ) -> Result<Answered, ApiError> {
        let found = lookup::call(&self.control().db, account.provider(), provider_call_id).await?;
        // The carrier's call may be known under another tenant only if the number has moved in the middle of it.
        let Some((_, id)) = found.filter(|(owner, _)| *owner == tenant) else { return Ok(Answered::Rejected) };
        let token = match self.0.registry.renew_token(id) {
            Some(token) => {
                self.keep_token(tenant, id, &token).await;
                Some(token)
            }
            None => self.take_over(tenant, id, account, provider_call_id).await?,
        };
        Ok(token.map_or(Answered::Over, |token| Answered::Stream(id, token)))
    }

    /// A webhook that had its effect already is answered again if its call still waits for what it was answered with: the carrier may
    /// not have got it.
    async fn ring_replayed(
        &self,
        tenant: TenantId,
        provider: Provider,
        provider_call_id: &str,
    ) -> Result<Answered, ApiError> {
        let found = lookup::call(&self.control().db, provider, provider_call_id).await?;
        let Some((_, id)) = found.filter(|(owner, _)| *owner == tenant) else { return Ok(Answered::Over) };
        Ok(self.answer_again(tenant, id).await.map_or(Answered::Over, |token| Answered::Stream(id, token)))
    }

    /// Another token for a call that waits for its stream here.
    pub(super) async fn answer_again(&self, tenant: TenantId, id: CallId) -> Option<Secret> {
        let token = self.0.registry.waits(id).then(|| self.0.registry.renew_token(id)).flatten()?;
        self.keep_token(tenant, id, &token).await;
        Some(token)
    }

    /// Takes a call that this process does not know: its own died, or lost its way to the carrier. `None`: it is over, or has come
    /// back too often.
    pub(super) async fn take_over(
        &self,
        tenant: TenantId,
        id: CallId,
        account: Arc<CarrierAccount>,
        provider_call_id: &str,
    ) -> Result<Option<Secret>, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let call = stored::read(&mut tx, tenant, id).await?;
        let Some(call) = call.filter(|call| !call.over && call.provider_call_id.as_deref() == Some(provider_call_id))
        else {
            return Ok(None);
        };
        // One that no stream has come to yet is not a part of a call, but its beginning.
        let part = match call.answered_at {
            Some(_) => u32::try_from(call.reattached).unwrap_or(u32::MAX).saturating_add(1),
            None => 0,
        };
        if part > RESUMES {
            return Ok(None);
        }
        let Some(ready) = self.agent(&mut tx, tenant, call.agent, Some(call.agent_version)).await? else {
            return Ok(None);
        };
        let composed = match ready.composed {
            Ok(composed) => composed.on_line(account.line()),
            Err(error) => {
                tracing::error!(call = %id, %error, "a call that came back cannot be composed");
                return Ok(None);
            }
        };
        let history = stored::history(&mut tx, tenant, id).await?;
        let (token, hash) = token::mint(SystemClock.now());
        stored::take_over(&mut tx, tenant, id, &self.0.node).await?;
        stored::put_token(&mut tx, tenant, id, hash.bytes(), token::VALID_FOR).await?;
        tx.commit().await?;
        self.tell_state(tenant, id);
        let account = Arc::new(account.at(call.region_url.as_deref()));
        let answered_at = call.answered_at;
        let resumed = resumed(&call, history);
        let config = composed.config(id, &call.context, resumed.map(|resumed| (resumed, part)));
        let live =
            Taken { tenant, account, provider_call_id: provider_call_id.to_owned(), hash, answered_at, resumes: part };
        match self.take(live, composed, config) {
            Ok(()) => {
                tracing::info!(call = %id, "a call has come back");
                metrics::counter!("trunkline_calls_taken_over_total").increment(1);
                Ok(Some(token))
            }
            // The carrier asked twice, and the other request was quicker.
            Err(Refused::Known) => {
                let token = self.0.registry.renew_token(id);
                if let Some(token) = &token {
                    self.keep_token(tenant, id, token).await;
                }
                Ok(token)
            }
            Err(refused @ (Refused::Draining | Refused::Full)) => {
                tracing::warn!(call = %id, %refused, "a call that came back is refused");
                self.give_up(tenant, id, "overloaded");
                Ok(None)
            }
        }
    }

    /// Lets a call wait for its stream here.
    fn take(&self, taken: Taken, composed: Composed, config: CallConfig) -> Result<(), Refused> {
        let Taken { tenant, account, provider_call_id, hash, answered_at, resumes } = taken;
        let (attach, attachments) = mpsc::channel(2);
        let (commands, asked) = mpsc::channel(super::live::COMMANDS);
        let expires = hash.expires();
        let live = Live::new(tenant, account.clone(), attach, commands, provider_call_id.clone(), hash, resumes);
        let word = live.word();
        self.0.registry.admit(config.id, live)?;
        self.0.journal.begin(tenant, config.id, answered_at);
        let ringing = Ringing { tenant, account, provider_call_id, composed, config, expires, word };
        self.spawn(ringing, attachments, asked);
        Ok(())
    }

    /// Closes a call that is written and that nobody takes, for a reason in the database's words.
    fn give_up(&self, tenant: TenantId, id: CallId, reason: &'static str) {
        metrics::counter!("trunkline_calls_total", "end_reason" => reason).increment(1);
        self.0.journal.begin(tenant, id, None);
        self.0.journal.fail(id, reason);
    }

    /// An agent in a version (`None`: the current one), with the tenant's credentials. `None`: there is no such agent any more.
    pub(super) async fn agent(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        agent: Uuid,
        version: Option<i32>,
    ) -> Result<Option<Ready>, ApiError> {
        let found = match version {
            Some(version) => agents::get_version(tx, tenant, agent, version).await?,
            None => agents::get(tx, tenant, agent).await?,
        };
        let Some(StoredAgent { version, config, .. }) = found else { return Ok(None) };
        let found = credentials::for_call(tx, tenant, &config.integrations).await?;
        let keys: Result<CallKeys, _> = found
            .into_iter()
            .map(|(provider, stored)| Ok((provider, self.control().vault.open(&stored.encrypted)?)))
            .collect();
        let settings = tenants::settings(tx, tenant).await?;
        let compose = |keys| self.0.composer.compose(config, &keys, settings.clone());
        let composed = keys.map_err(ComposeError::Vault).and_then(compose);
        Ok(Some(Ready { agent, version, tenant: settings, composed }))
    }

    /// Keeps a token for the other nodes. It holds on this one in any case.
    pub(super) async fn keep_token(&self, tenant: TenantId, id: CallId, token: &Secret) {
        let keep = async {
            let mut tx = self.control().db.begin(tenant).await?;
            stored::put_token(&mut tx, tenant, id, &token::hash(token.expose()), token::VALID_FOR).await?;
            tx.commit().await
        };
        match tokio::time::timeout(TOKEN_LIMIT, keep).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(call = %id, %error, "a stream's token could not be kept"),
            Err(_) => tracing::warn!(call = %id, "a stream's token could not be kept in time"),
        }
    }
}

/// What a call that was answered already goes on from; `None` if nobody has answered it yet.
fn resumed(call: &StoredCall, history: StoredHistory) -> Option<Resumed> {
    let answered: std::time::SystemTime = call.answered_at?.into();
    let since = SystemClock.wall().duration_since(answered).unwrap_or_default();
    let last = Duration::from_millis(history.last_ms);
    let speaker = |by_agent| if by_agent { Speaker::Agent } else { Speaker::Caller };
    Some(Resumed {
        history: history
            .turns
            .into_iter()
            .map(|turn| PastTurn { speaker: speaker(turn.by_agent), text: turn.text })
            .collect(),
        // Clocks of two machines may differ: time does not run backwards for that.
        clock: MediaTime::new(since.max(last)),
        next_seq: history.next_event,
        next_turn: TurnId(history.next_turn),
    })
}
