//! Whether a token is good for anything: a request for what an API version has, which every user of the API may make.

use serde_json::Value;
use trunkline_base::Secret;

use super::wire::{data_code, is_resources, version};
use crate::{
    account::{self, AccountError, Answer},
    net::{BaseUrl, Http},
};

/// Asks whether the organisation's data opens.
pub async fn probe(http: &Http, instance: &BaseUrl, access_token: &Secret) -> Result<(), AccountError> {
    account::limited(async {
        let url = account::resource(http, instance, &["services", "data", ""])?;
        let answer = account::ask(http, instance.trust(), http.direct().get(url)).await?;
        let version = version(&success(&answer)?).ok_or_else(|| answer.not_that_vendor())?;
        let url = account::resource(http, instance, &["services", "data", &version, ""])?;
        let request = http.direct().get(url).bearer_auth(access_token.expose());
        let answer = account::ask(http, instance.trust(), request).await?;
        if is_resources(&success(&answer)?) { Ok(()) } else { Err(answer.not_that_vendor()) }
    })
    .await
}

fn success(answer: &Answer) -> Result<Value, AccountError> {
    match answer.success(data_code) {
        // The day's requests are used up, which is not a matter of permissions.
        Err(AccountError::NoPermission(refusal)) if refusal.code.as_deref() == Some("REQUEST_LIMIT_EXCEEDED") => {
            Err(AccountError::Quota(refusal))
        }
        other => other,
    }
}
