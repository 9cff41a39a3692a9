//! Calls whose carrier has gone quiet: it is asked how they are, and its word closes them. A webhook may be lost, a node may die with its
//! calls, and a carrier that was told to hang up has not done so until it says so.
//!
//! What is to be asked is found in the database, by every node; a leg is claimed before it is asked about, so that one of them does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, timeout_at};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    conversations::{
        calls as stored,
        legs::{self, CallState, StoredLeg},
    },
    db::DbError,
    error::ApiError,
    lookup::{self, QuietLeg},
    tenant::TenantId,
};
use trunkline_media::telephony::CarrierStatus;

use super::{
    Calls,
    account::CarrierAccount,
    state::{Leg, Report},
};

/// How many abandoned calls, and how many legs, are looked at in one pass.
const BATCH: i32 = 500;
/// How many legs an account is asked about in one pass: its calls have limits, and those who dial go first.
const PER_ACCOUNT: usize = 20;
/// How long one pass may ask an account.
const PASS: Duration = Duration::from_secs(20);
/// For how long we wait to be told that a call which we place exists.
const UNPLACED: TimeDelta = TimeDelta::minutes(5);
/// When the carrier is asked about a call whose stream is gone, and how often.
const AFTER_LOSS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Is(CarrierStatus),
    /// The carrier does not know the call, or not any more.
    Unknown,
    /// There is no answer, or nobody to ask.
    None,
}

/// What is to be done about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Leave,
    /// Taken as if the carrier had told it by itself.
    Report(CarrierStatus),
    /// Close what nobody keeps alive: its media is lost.
    GiveUp,
    /// The same, and the carrier is to end its part.
    GiveUpAndHangUp,
    /// It was told to end, and goes on.
    HangUp,
}

/// What a carrier's word on a quiet leg leads to.
fn next(state: &CallState, leg: Leg, word: Word, now: DateTime<Utc>) -> Next {
    let abandoned = !state.over && !state.leased;
    let rings = state.outbound && !state.answered;
    match word {
        Word::Is(status) if status.is_terminal() => Next::Report(status),
        // Its caller is somebody else's.
        Word::Is(_) if state.ending && state.ending_reason.as_deref() == Some("transferred") => Next::Leave,
        Word::Is(_) if state.over || state.ending => Next::HangUp,
        // Nobody is needed yet: whoever gets the next webhook takes it.
        Word::Is(status) if abandoned && rings && status.rank() < CarrierStatus::Answered.rank() => {
            Next::Report(status)
        }
        Word::Is(_) if abandoned => Next::GiveUpAndHangUp,
        Word::Is(status) => Next::Report(status),
        // A call that goes on here is not over because a carrier has mislaid it.
        Word::Unknown if state.leased && state.answered => Next::Leave,
        Word::Unknown if state.answered || leg.status == CarrierStatus::Answered => {
            Next::Report(CarrierStatus::Completed)
        }
        Word::Unknown => Next::Report(CarrierStatus::Failed),
        Word::None if abandoned && rings && now - state.start_time < UNPLACED => Next::Leave,
        Word::None if abandoned => Next::GiveUp,
        Word::None => Next::Leave,
    }
}

/// What becomes of a call that nobody keeps alive, as far as its carrier need not be asked; `None`: it must.
fn without_asking(state: &CallState, leg: Option<&StoredLeg>, now: DateTime<Utc>) -> Option<Next> {
    if state.over || state.leased {
        return Some(Next::Leave);
    }
    match leg {
        Some(leg) if Leg::stored(&leg.status, leg.rank, leg.last_seq).status.is_terminal() => {
            Some(Next::Report(Leg::stored(&leg.status, leg.rank, leg.last_seq).status))
        }
        Some(leg) if leg.provider_call_id.is_some() => None,
        _ if state.outbound && !state.answered && now - state.start_time < UNPLACED => Some(Next::Leave),
        _ => Some(Next::GiveUp),
    }
}

/// A leg, and whom to ask about it.
struct Question {
    quiet: QuietLeg,
    provider_call_id: String,
    account: Arc<CarrierAccount>,
}

impl Calls {
    /// One pass over all that is quiet.
    pub(super) async fn reconcile(&self) -> Result<(), DbError> {
        for (tenant, id) in lookup::abandoned_calls(&self.control().db, BATCH).await? {
            if !self.0.registry.contains(id) {
                self.close_abandoned(tenant, id).await?;
            }
        }
        let mut accounts: BTreeMap<String, Vec<Question>> = BTreeMap::new();
        let mut known = HashMap::new();
        for quiet in lookup::quiet_legs(&self.control().db, BATCH).await? {
            if let Some(question) = self.question(quiet, &mut known).await? {
                let account = &question.account;
                accounts.entry(format!("{}:{}", account.provider(), account.account_ref())).or_default().push(question);
            }
        }
        let until = SystemClock.now() + PASS;
        let mut asking: FuturesUnordered<_> =
            accounts.into_values().map(|questions| self.ask_all(questions, until)).collect();
        while let Some(asked) = asking.next().await {
            asked?;
        }
        Ok(())
    }

    /// Ends a call that nobody keeps alive, if it is known how without asking its carrier.
    async fn close_abandoned(&self, tenant: TenantId, id: CallId) -> Result<(), DbError> {
        let now = SystemClock.wall().into();
        let mut tx = self.control().db.begin(tenant).await?;
        let Some(state) = legs::lock(&mut tx, tenant, id).await? else { return Ok(()) };
        let legs = legs::of_call(&mut tx, tenant, id).await?;
        let closed = match without_asking(&state, legs.iter().find(|leg| leg.is_customer), now) {
            Some(Next::Report(status)) => self.close(&mut tx, tenant, id, &state, status).await?,
            Some(Next::GiveUp) => stored::close_abandoned(&mut tx, tenant, id, now).await?,
            _ => false,
        };
        tx.commit().await?;
        if closed {
            self.abandoned(tenant, id);
        }
        Ok(())
    }

    fn abandoned(&self, tenant: TenantId, id: CallId) {
        self.tell_state(tenant, id);
        tracing::warn!(call = %id, "a call that no node keeps alive is closed");
        metrics::counter!("trunkline_calls_total", "end_reason" => "abandoned").increment(1);
    }

    /// Whom to ask about a leg. `None`: there is nobody, which is acted upon at once.
    async fn question(
        &self,
        quiet: QuietLeg,
        known: &mut HashMap<(TenantId, String), Option<Arc<CarrierAccount>>>,
    ) -> Result<Option<Question>, DbError> {
        let QuietLeg { tenant, leg, conversation } = quiet;
        let mut tx = self.control().db.begin(tenant).await?;
        let state = legs::lock(&mut tx, tenant, conversation).await?;
        let found = legs::of_call(&mut tx, tenant, conversation).await?.into_iter().find(|found| found.id == leg);
        tx.commit().await?;
        let (Some(state), Some(found)) = (state, found) else { return Ok(None) };
        let Some(provider_call_id) = found.provider_call_id else { return Ok(None) };
        let number = state.our_number.as_ref().map_or("", |number| number.expose());
        let key = (tenant, format!("{}{number}", found.provider));
        let account = match known.get(&key) {
            Some(account) => account.clone(),
            None => {
                let account = self.account_of_our_number(tenant, found.provider, number).await;
                let account = match account {
                    Ok(account) => account.map(Arc::new),
                    Err(error) => {
                        tracing::warn!(call = %conversation, cause = error.message, "a call's account cannot be found");
                        return Ok(None);
                    }
                };
                known.entry(key).or_insert(account).clone()
            }
        };
        match account {
            Some(account) => {
                let account = Arc::new(account.at(found.region_url.as_deref()));
                Ok(Some(Question { quiet, provider_call_id, account }))
            }
            None => {
                if self.claim(tenant, leg).await? {
                    self.act(quiet, &provider_call_id, Word::None).await?;
                }
                Ok(None)
            }
        }
    }

    async fn claim(&self, tenant: TenantId, leg: uuid::Uuid) -> Result<bool, DbError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let claimed = legs::claim(&mut tx, tenant, leg).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Asks an account about its legs, one after the other.
    async fn ask_all(&self, questions: Vec<Question>, until: Instant) -> Result<(), DbError> {
        for Question { quiet, provider_call_id, account } in questions.into_iter().take(PER_ACCOUNT) {
            if SystemClock.now() >= until {
                break;
            }
            if !self.claim(quiet.tenant, quiet.leg).await? {
                continue;
            }
            let asked = timeout_at(until, account.fetch(&provider_call_id)).await;
            let (word, outcome) = match asked {
                Ok(Ok(Some(status))) => (Word::Is(status), "status"),
                Ok(Ok(None)) => (Word::Unknown, "unknown"),
                Ok(Err(error)) => {
                    tracing::warn!(call = %quiet.conversation, %error, "the carrier does not say how a call is");
                    (Word::None, "failed")
                }
                Err(_) => (Word::None, "timeout"),
            };
            metrics::counter!("trunkline_carrier_asked_total", "outcome" => outcome).increment(1);
            if let Next::HangUp | Next::GiveUpAndHangUp = self.act(quiet, &provider_call_id, word).await?
                && let Err(error) = account.hang_up(&provider_call_id).await
            {
                // It is asked about again.
                tracing::warn!(call = %quiet.conversation, %error, "the carrier cannot be told that a call is over");
            }
        }
        Ok(())
    }

    /// Does what follows of a word, as the call is by now.
    async fn act(&self, quiet: QuietLeg, provider_call_id: &str, word: Word) -> Result<Next, DbError> {
        let QuietLeg { tenant, leg, conversation: id } = quiet;
        let now = SystemClock.wall().into();
        let mut tx = self.control().db.begin(tenant).await?;
        let state = legs::lock(&mut tx, tenant, id).await?;
        let found = legs::of_call(&mut tx, tenant, id).await?.into_iter().find(|found| found.id == leg);
        let (Some(state), Some(found)) = (state, found) else { return Ok(Next::Leave) };
        let next = next(&state, Leg::stored(&found.status, found.rank, found.last_seq), word, now);
        // What is alive here is not abandoned, whatever its lease says.
        if self.0.registry.contains(id) && !matches!(next, Next::Report(_)) {
            return Ok(Next::Leave);
        }
        match next {
            Next::Report(status) => {
                let report = Report { status, seq: None };
                let change = self.take_report(&mut tx, tenant, id, &state, &found, report).await?;
                tx.commit().await?;
                self.tell_change(tenant, id, provider_call_id, change);
            }
            Next::GiveUp | Next::GiveUpAndHangUp => {
                let closed = stored::close_abandoned(&mut tx, tenant, id, now).await?;
                tx.commit().await?;
                if closed {
                    self.abandoned(tenant, id);
                }
            }
            Next::Leave | Next::HangUp => {}
        }
        Ok(next)
    }

    /// Finds out why a stream is gone, unless another comes or the carrier tells by itself: a caller who has hung up need not be
    /// waited for, and is not a call that was lost.
    pub(super) async fn ask_after(
        &self,
        tenant: TenantId,
        id: CallId,
        account: &CarrierAccount,
        provider_call_id: &str,
        stream: u32,
    ) {
        for pause in AFTER_LOSS {
            sleep(pause).await;
            if !self.0.registry.waits_after(id, stream) {
                return;
            }
            match self.ended(tenant, id, account, provider_call_id).await {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    tracing::warn!(call = %id, cause = error.message, "why a stream is gone cannot be found out");
                }
            }
        }
    }

    /// Whether a call that is alive here has ended at its carrier; then it is told.
    async fn ended(
        &self,
        tenant: TenantId,
        id: CallId,
        account: &CarrierAccount,
        provider_call_id: &str,
    ) -> Result<bool, ApiError> {
        // The webhook may have reached another node.
        let mut tx = self.control().db.begin(tenant).await?;
        let legs = legs::of_call(&mut tx, tenant, id).await?;
        tx.commit().await?;
        let leg = legs.iter().find(|leg| leg.provider_call_id.as_deref() == Some(provider_call_id));
        let noted = leg.map(|leg| Leg::stored(&leg.status, leg.rank, leg.last_seq).status);
        if let Some(status) = noted.filter(|status| status.is_terminal()) {
            self.0.registry.over(id, provider_call_id, status);
            return Ok(true);
        }
        match account.fetch(provider_call_id).await {
            Ok(Some(status)) => {
                self.on_report(tenant, id, provider_call_id, Report { status, seq: None }, None).await?;
                Ok(status.is_terminal())
            }
            Ok(None) => Ok(false),
            Err(error) => {
                tracing::warn!(call = %id, %error, "the carrier does not say how a call is");
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests;
