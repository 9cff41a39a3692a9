//! A call that we placed is answered: by somebody, whom the agent speaks to from now on, or by something, which the carrier may find out.

use std::sync::Arc;

use trunkline_base::CallId;
use trunkline_control::{
    conversations::{
        dials::{self, Adopted},
        legs,
    },
    error::ApiError,
    tenant::TenantId,
};
use trunkline_media::{call::CallCommand, telephony::AnsweredBy};

use crate::calls::{
    Calls,
    account::CarrierAccount,
    ring::{Answered, MAX_REGION},
};

impl Calls {
    /// The carrier asks what to do with a call that we placed, now that it is answered: the vendors' sockets are opened, for one that
    /// hears nothing while it rings is closed by its vendor. Asked twice, it is answered with the same call.
    pub(in crate::calls) async fn answer(
        &self,
        tenant: TenantId,
        id: CallId,
        account: Arc<CarrierAccount>,
        provider_call_id: &str,
        region_url: Option<&str>,
    ) -> Result<Answered, ApiError> {
        match self.adopt(tenant, id, &account, provider_call_id).await? {
            Adopted::Now | Adopted::Before => {}
            Adopted::Stray | Adopted::Other | Adopted::NotDialled => return Ok(Answered::Over),
        }
        if let Some(region_url) = region_url.filter(|url| url.len() <= MAX_REGION) {
            let mut tx = self.control().db.begin(tenant).await?;
            legs::set_region(&mut tx, tenant, id, provider_call_id, region_url).await?;
            tx.commit().await?;
        }
        let token = match self.0.registry.renew_token(id) {
            Some(token) => {
                self.keep_token(tenant, id, &token).await;
                Some(token)
            }
            None => self.take_over(tenant, id, account, provider_call_id).await?,
        };
        if token.is_some() {
            self.tell_answered_by(tenant, id, provider_call_id).await?;
        }
        Ok(token.map_or(Answered::Over, |token| Answered::Stream(id, token)))
    }

    /// The carrier has found out who, or what, answered a call that we placed. It is kept for a call that no stream has come to yet.
    pub(in crate::calls) async fn on_answered_by(
        &self,
        tenant: TenantId,
        id: CallId,
        provider_call_id: &str,
        by: AnsweredBy,
    ) -> Result<(), ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let dialled = dials::set_answered_by(&mut tx, tenant, id, name(by)).await?;
        tx.commit().await?;
        if dialled && self.0.registry.contains(id) {
            self.0.registry.answered_by(id, provider_call_id, by);
        } else if dialled && let Err(error) = self.command(tenant, id, CallCommand::AnsweredBy { by }).await {
            // Whoever takes it later is told then.
            tracing::debug!(call = %id, cause = error.message, "no node has the call that was answered");
        }
        Ok(())
    }

    /// Tells a call that has just come here what is known of who answered.
    async fn tell_answered_by(&self, tenant: TenantId, id: CallId, provider_call_id: &str) -> Result<(), ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let known = dials::answered_by(&mut tx, tenant, id).await?;
        tx.commit().await?;
        if let Some(by) = known.as_deref().and_then(named) {
            self.0.registry.answered_by(id, provider_call_id, by);
        }
        Ok(())
    }

    /// What a carrier tells of a call first settles its dial: also what comes before the answer to the request that placed it.
    pub(in crate::calls) async fn settle_by_word(
        &self,
        tenant: TenantId,
        id: CallId,
        account: &Arc<CarrierAccount>,
        provider_call_id: &str,
    ) -> Result<(), ApiError> {
        self.adopt(tenant, id, account, provider_call_id).await?;
        Ok(())
    }
}

/// Its name where it is stored.
const fn name(by: AnsweredBy) -> &'static str {
    match by {
        AnsweredBy::Human => "human",
        AnsweredBy::Machine => "machine",
        AnsweredBy::MachineReady => "machine_ready",
        AnsweredBy::Fax => "fax",
        AnsweredBy::CallScreening => "call_screening",
        AnsweredBy::Unknown => "unknown",
    }
}

fn named(name: &str) -> Option<AnsweredBy> {
    serde_json::from_value(name.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back() {
        for by in [
            AnsweredBy::Human,
            AnsweredBy::Machine,
            AnsweredBy::MachineReady,
            AnsweredBy::Fax,
            AnsweredBy::CallScreening,
            AnsweredBy::Unknown,
        ] {
            assert_eq!(named(name(by)), Some(by));
        }
        assert_eq!(named("parrot"), None);
    }
}
