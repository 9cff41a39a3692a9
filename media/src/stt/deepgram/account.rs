//! Whether a key is good: `GET /v1/projects`, and where the key may not see projects, `GET /v1/auth/token`.

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::Value;
use trunkline_base::Secret;

use super::wire::Refusal;
use crate::{
    account::{self, AccountError},
    net::{BaseUrl, Http},
};

/// Asks whether the vendor takes the key.
pub async fn probe(http: &Http, base_url: &BaseUrl, api_key: &Secret) -> Result<(), AccountError> {
    account::limited(async {
        let get = async |path: &[&str]| {
            let request = http.direct().get(account::resource(http, base_url, path)?);
            let request = request.header(AUTHORIZATION, token(api_key)?);
            account::ask(http, base_url.trust(), request).await
        };
        let answer = get(&["v1", "projects"]).await?;
        match answer.success(code_of) {
            Ok(body) if body.get("projects").is_some_and(Value::is_array) => Ok(()),
            Ok(_) => Err(answer.not_that_vendor()),
            Err(AccountError::NoPermission(_)) => {
                let answer = get(&["v1", "auth", "token"]).await?;
                match answer.success(code_of) {
                    Ok(body) if body.is_object() => Ok(()),
                    Ok(_) => Err(answer.not_that_vendor()),
                    Err(refused) => Err(refused),
                }
            }
            Err(refused) => Err(refused),
        }
    })
    .await
}

pub(super) fn token(key: &Secret) -> Result<HeaderValue, AccountError> {
    let mut value = HeaderValue::from_str(&format!("Token {}", key.expose())).map_err(|_| AccountError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn code_of(body: &Value) -> Option<String> {
    let refusal: Refusal = serde_json::from_value(body.clone()).ok()?;
    Some(refusal.err_code)
}
