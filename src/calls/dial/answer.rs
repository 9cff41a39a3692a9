//! A call that we placed is answered: by somebody, whom the agent speaks to from now on, or by something, which the carrier may find out.

use std::sync::Arc;

use trunkline_base::CallId;
use trunkline_control::{
    conversations::{dials::Adopted, legs},
    error::ApiError,
    tenant::TenantId,
};

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
        Ok(token.map_or(Answered::Over, |token| Answered::Stream(id, token)))
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
