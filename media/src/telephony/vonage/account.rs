//! Whether Vonage takes an account's credentials, and whether a number is the account's.
//!
//! An account has two kinds of credentials, and both must be good: its key and secret, which the application and the numbers are asked
//! with, and the application's private key, which calls are made with.

use std::time::SystemTime;

use reqwest::RequestBuilder;
use serde_json::Value;
use trunkline_base::Secret;

use super::{VonageHosts, token::token};
use crate::{
    account::{self, AccountError, Answer},
    net::{BaseUrl, Http},
};

/// What a Vonage account is used with.
#[derive(Debug, Clone)]
pub struct VonageAuth {
    /// The account's key, which is its name and no secret.
    pub api_key: String,
    /// The account's secret.
    pub api_secret: Secret,
    /// The voice application.
    pub application_id: String,
    /// The application's private key, RSA in PEM.
    pub private_key: Secret,
}

/// Asks whether Vonage takes the account's secret and the application's key, and whether the application is for calls. `jti` names the
/// token that is signed, and is different each time.
pub async fn probe(
    http: &Http,
    hosts: &VonageHosts,
    auth: &VonageAuth,
    now: SystemTime,
    jti: &str,
) -> Result<(), AccountError> {
    account::limited(async {
        let token = token(auth, now, jti).await?;
        let url = account::resource(http, &hosts.account, &["v2", "applications", &auth.application_id])?;
        let answer = ask(http, &hosts.account, basic(http.direct().get(url), auth)).await?;
        let application = match success(&answer) {
            Err(AccountError::NotThatVendor { status: 404 }) if answer.json().is_some() => {
                return Err(AccountError::NoSuchApplication(answer.refusal(code_of)));
            }
            other => other?,
        };
        let id = account::text(&application, "id");
        if !id.is_some_and(|id| id.eq_ignore_ascii_case(&auth.application_id)) {
            return Err(answer.not_that_vendor());
        }
        if !application.pointer("/capabilities/voice").is_some_and(Value::is_object) {
            return Err(AccountError::NoVoice);
        }
        let mut url = account::resource(http, &hosts.voice, &["v1", "calls"])?;
        url.query_pairs_mut().append_pair("page_size", "1");
        let answer = ask(http, &hosts.voice, http.direct().get(url).bearer_auth(token.expose())).await?;
        match success(&answer) {
            Ok(body) if body.pointer("/_embedded/calls").is_some_and(Value::is_array) => Ok(()),
            Ok(_) => Err(answer.not_that_vendor()),
            Err(AccountError::WrongKey(refusal)) => Err(AccountError::WrongSignature(refusal)),
            Err(refused) => Err(refused),
        }
    })
    .await
}

/// The number (E.164 without `+`, which is its id there) if the account owns it.
pub async fn owns_number(
    http: &Http,
    hosts: &VonageHosts,
    auth: &VonageAuth,
    e164: &str,
) -> Result<Option<String>, AccountError> {
    account::limited(async {
        let number = e164.trim_start_matches('+');
        let mut url = account::resource(http, &hosts.numbers, &["account", "numbers"])?;
        // Those that begin with it, of which there is no second page.
        let query = [("pattern", number), ("search_pattern", "0"), ("size", "100")];
        url.query_pairs_mut().extend_pairs(query);
        let answer = ask(http, &hosts.numbers, basic(http.direct().get(url), auth)).await?;
        let body = success(&answer)?;
        let numbers = match body.get("numbers") {
            Some(Value::Array(numbers)) => numbers.as_slice(),
            // There is no list where there is no number.
            None if body.as_object().is_some_and(|body| body.get("count").is_none_or(|count| *count == 0)) => &[],
            _ => return Err(answer.not_that_vendor()),
        };
        let owned = numbers.iter().any(|owned| account::text(owned, "msisdn").as_deref() == Some(number));
        Ok(owned.then(|| number.to_owned()))
    })
    .await
}

fn basic(request: RequestBuilder, auth: &VonageAuth) -> RequestBuilder {
    request.basic_auth(&auth.api_key, Some(auth.api_secret.expose()))
}

async fn ask(http: &Http, base: &BaseUrl, request: RequestBuilder) -> Result<Answer, AccountError> {
    account::ask(http, base.trust(), request).await
}

fn success(answer: &Answer) -> Result<Value, AccountError> {
    match answer.success(code_of) {
        // The money is gone.
        Err(AccountError::NoPermission(refusal))
            if matches!(refusal.code.as_deref(), Some("low-balance" | "out-of-credit")) =>
        {
            Err(AccountError::Quota(refusal))
        }
        other => other,
    }
}

/// The anchor of `{"type": "https://…/api-errors#unauthorized"}`, or the numbers' own `{"error-code": "401"}`.
fn code_of(body: &Value) -> Option<String> {
    let of_type = || {
        let kind = account::text(body, "type")?;
        let (_, anchor) = kind.rsplit_once(['#', '/'])?;
        Some(anchor.to_owned())
    };
    of_type().or_else(|| account::text(body, "error-code"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_s_code_is_found_in_each_of_its_forms() {
        let table = [
            (json!({ "type": "https://developer.vonage.com/api-errors#rate-limit" }), Some("rate-limit")),
            (json!({ "type": "https://developer.nexmo.com/api-errors/application#not-found" }), Some("not-found")),
            (json!({ "type": "https://www.nexmo.com/messages/Errors/unauthorized" }), Some("unauthorized")),
            (json!({ "error-code": "401", "error-code-label": "authentication failed" }), Some("401")),
            (json!({ "type": 400, "title": "Bad Request" }), None),
            (json!({ "type": "unauthorized" }), None),
            (json!([]), None),
        ];
        for (body, code) in table {
            assert_eq!(code_of(&body).as_deref(), code, "{body}");
        }
    }
}
