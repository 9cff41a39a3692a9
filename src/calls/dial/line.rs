//! What the calls of an agent from one of its tenant's numbers have in common, and writing one of them.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use trunkline_base::{CallId, Clock, E164, SystemClock};
use trunkline_control::{
    agents::config::VoicemailAction,
    conversations::dials::{self, NewDial, NoDial},
    db::{DbError, Tx},
    error::{ApiError, ErrorCode},
    lookup::{self, FoundNumber, Turn},
    tenant::TenantId,
    tenants::TenantSettings,
    vendors::Provider,
};
use uuid::Uuid;

use super::{
    MARGIN, PATIENCE, QUEUE,
    carrier::{Detection, Order},
    place::Dialling,
    request,
};
use crate::{
    calls::{Calls, account::CarrierAccount},
    compose::{ComposeError, Composed},
};

/// An agent that can call, and from where.
pub(in crate::calls) struct Line {
    pub(in crate::calls) tenant: TenantSettings,
    /// The number that calls.
    pub(in crate::calls) number: E164,
    agent: Uuid,
    version: i32,
    composed: Composed,
    account: Arc<CarrierAccount>,
    /// How many calls a second the account may place.
    rate: f64,
}

/// A call that is wanted of it.
pub(in crate::calls) struct Wanted<'a> {
    pub(in crate::calls) to: &'a E164,
    pub(in crate::calls) ring: Duration,
    /// What is known of whoever is called.
    pub(in crate::calls) context: Map<String, Value>,
    pub(in crate::calls) metadata: Map<String, Value>,
    pub(in crate::calls) key: Option<&'a str>,
    /// The contact of a campaign that is called.
    pub(in crate::calls) contact: Option<Uuid>,
    /// How long it is seen to before the carrier is asked.
    pub(in crate::calls) held_for: Duration,
}

impl Line {
    /// Takes the account's next turn to place a call, if that is not too far away.
    pub(in crate::calls) async fn turn(&self, tx: &mut Tx, patience: Duration) -> Result<Turn, DbError> {
        let every = Duration::from_secs_f64(1.0 / self.rate);
        lookup::call_turn(tx, self.account.provider(), self.account.account_ref(), every, patience).await
    }

    /// The longest that a call may take, from when it is asked for to its end: the carrier ends what is longer.
    pub(in crate::calls) fn longest(&self, ring: Duration) -> Duration {
        QUEUE + PATIENCE + ring + self.time_limit() + MARGIN
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(u64::from(self.composed.agent().call_config.max_duration_s)) + MARGIN
    }
}

impl Calls {
    /// What an agent would call with, or why it cannot.
    pub(in crate::calls) async fn line(
        &self,
        mut tx: Tx,
        tenant: TenantId,
        agent: Uuid,
        from: Option<&E164>,
    ) -> Result<Line, ApiError> {
        let ready = self.agent(&mut tx, tenant, agent, None).await?;
        let ready = ready.ok_or_else(|| ApiError::not_found(ErrorCode::AgentNotFound))?;
        let composed = ready.composed.map_err(cannot_call)?;
        if !composed.agent().is_active {
            return Err(ApiError::conflict("The agent is not active: make it so, and it calls"));
        }
        let numbers = dials::own_numbers(&mut tx, tenant).await?;
        let number = request::caller(&numbers, agent, from)?;
        let provider = Provider::from(number.carrier);
        let rate = match number.credential {
            Some(credential) => dials::calls_per_second(&mut tx, tenant, credential).await?,
            None => None,
        };
        let rate = rate.filter(|rate| *rate > 0.0).unwrap_or_else(|| CarrierAccount::calls_per_second(provider));
        tx.commit().await?;
        let found = FoundNumber { tenant, id: number.id, agent: number.agent, credential: number.credential };
        let account = self.account_of_number(provider, &found).await?.ok_or_else(|| no_account(provider))?;
        Ok(Line {
            tenant: ready.tenant,
            number: number.number.clone(),
            agent,
            version: ready.version,
            composed,
            account: Arc::new(account),
            rate,
        })
    }

    /// Writes a call that is to be placed; at once, as far as nobody says when its turn is.
    pub(in crate::calls) async fn write(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        line: &Line,
        wanted: Wanted<'_>,
    ) -> Result<Dialling, NoDial> {
        let Wanted { to, ring, mut context, metadata, key, contact, held_for } = wanted;
        let provider = line.account.provider();
        // What is known of a call are the numbers too, as of calls that come in.
        context.insert("from_number".to_owned(), line.number.expose().into());
        context.insert("to_number".to_owned(), to.expose().into());
        let id = CallId::generate();
        let dial = NewDial {
            id,
            agent: line.agent,
            agent_version: line.version,
            provider,
            from: &line.number,
            to,
            context: &context,
            metadata: &metadata,
            node: &self.0.node,
            key,
            contact,
            held_for,
            rings_for: QUEUE + PATIENCE + ring + MARGIN,
        };
        dials::begin(tx, tenant, &dial, SystemClock.wall().into()).await?;
        let action = line.composed.agent().call_config.voicemail.action;
        let detection = (action != VoicemailAction::Continue).then(|| Detection {
            waits_for_end: action == VoicemailAction::LeaveMessage,
            url: self.webhook_url(provider, "amd", id),
        });
        let (answer, status) = CarrierAccount::webhook_kinds(provider);
        let order = Order {
            to: to.clone(),
            from: line.number.clone(),
            answer_url: self.webhook_url(provider, answer, id),
            status_url: self.webhook_url(provider, status, id),
            ring,
            time_limit: line.time_limit(),
            detection,
        };
        Ok(Dialling { tenant, id, account: line.account.clone(), order, turn: Duration::ZERO })
    }
}

fn no_account(provider: Provider) -> ApiError {
    let message = format!("The number has no usable credential of {provider}: change the number's credential");
    ApiError::new(ErrorCode::IntegrationTestFailed, message)
        .details(serde_json::json!({ "vendor": provider, "status": null, "code": null }))
}

/// Why an agent cannot call as it is.
fn cannot_call(error: ComposeError) -> ApiError {
    match error {
        ComposeError::NoCredential(provider) => ApiError::new(ErrorCode::IntegrationTestFailed, error.to_string())
            .details(serde_json::json!({ "vendor": provider, "status": null, "code": null })),
        ComposeError::NotYet(_) => ApiError::conflict(error.to_string()),
        error => ApiError::internal(&error),
    }
}
