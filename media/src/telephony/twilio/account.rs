//! Whether Twilio takes an account's credentials, and whether a number is the account's.
//!
//! The account's own resource answers with its token in the body, which is why the body goes nowhere.

use serde_json::Value;
use url::Url;

use super::rest::TwilioAuth;
use crate::{
    account::{self, AccountError, Answer, Refusal},
    net::{BaseUrl, Http},
};

/// Credentials that work on some POST requests only.
const TEST_CREDENTIALS: &str = "20008";

/// Asks whether Twilio takes the credentials, and whether the account is active.
///
/// API keys (`SK…`) may be refused the account's resource and be good for its calls, which are asked for then.
pub async fn probe(http: &Http, base_url: &BaseUrl, account_sid: &str, auth: &TwilioAuth) -> Result<(), AccountError> {
    account::limited(async {
        let url = url(http, base_url, account_sid, None)?;
        let answer = ask(http, base_url, auth, url).await?;
        let refused = match success(&answer) {
            Ok(body) if account::text(&body, "sid").as_deref() == Some(account_sid) => {
                return match account::text(&body, "status").as_deref() {
                    Some("active") => Ok(()),
                    Some("suspended") => Err(AccountError::Inactive("suspended")),
                    Some("closed") => Err(AccountError::Inactive("closed")),
                    _ => Err(answer.not_that_vendor()),
                };
            }
            Ok(_) => return Err(answer.not_that_vendor()),
            Err(refused) => refused,
        };
        if auth.user == account_sid || !matches!(refused, AccountError::WrongKey(_) | AccountError::NoPermission(_)) {
            return Err(refused);
        }
        list(http, base_url, account_sid, auth, ("Calls.json", "calls"), ("PageSize", "1")).await.map(|_| ())
    })
    .await
}

/// The SID (`PN…`) of a number in E.164 if the account owns it.
pub async fn owns_number(
    http: &Http,
    base_url: &BaseUrl,
    account_sid: &str,
    auth: &TwilioAuth,
    e164: &str,
) -> Result<Option<String>, AccountError> {
    account::limited(async {
        let resource = ("IncomingPhoneNumbers.json", "incoming_phone_numbers");
        let numbers = list(http, base_url, account_sid, auth, resource, ("PhoneNumber", e164)).await?;
        // The filter matches parts of numbers too.
        let owned = numbers.iter().find(|number| account::text(number, "phone_number").as_deref() == Some(e164));
        Ok(owned.and_then(|number| account::text(number, "sid")))
    })
    .await
}

/// The first page of a list: `of` is its resource and its field in the answer.
async fn list(
    http: &Http,
    base_url: &BaseUrl,
    account_sid: &str,
    auth: &TwilioAuth,
    of: (&str, &str),
    filter: (&str, &str),
) -> Result<Vec<Value>, AccountError> {
    let mut url = url(http, base_url, account_sid, Some(of.0))?;
    url.query_pairs_mut().append_pair(filter.0, filter.1);
    let answer = ask(http, base_url, auth, url).await?;
    match success(&answer)?.get_mut(of.1).map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(answer.not_that_vendor()),
    }
}

async fn ask(http: &Http, base_url: &BaseUrl, auth: &TwilioAuth, url: Url) -> Result<Answer, AccountError> {
    let request = http.direct().get(url).basic_auth(&auth.user, Some(auth.password.expose()));
    account::ask(http, base_url.trust(), request).await
}

fn success(answer: &Answer) -> Result<Value, AccountError> {
    let mut code = None;
    let outcome = answer.success(|body| {
        code = body.get("code").and_then(Value::as_u64).map(|code| code.to_string());
        code.clone()
    });
    match outcome {
        Err(AccountError::NoPermission(Refusal { code: Some(code), .. })) if code == TEST_CREDENTIALS => {
            Err(AccountError::TestCredentials)
        }
        // With a code it is Twilio who knows no such account.
        Err(AccountError::NotThatVendor { status: 404 }) if code.is_some() => {
            Err(AccountError::WrongKey(Refusal { status: 404, code }))
        }
        other => other,
    }
}

fn url(http: &Http, base_url: &BaseUrl, account_sid: &str, resource: Option<&str>) -> Result<Url, AccountError> {
    let is_sid = (1..=64).contains(&account_sid.len()) && account_sid.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_sid {
        return Err(AccountError::Key);
    }
    let account = format!("{account_sid}.json");
    match resource {
        None => account::resource(http, base_url, &["2010-04-01", "Accounts", &account]),
        Some(resource) => account::resource(http, base_url, &["2010-04-01", "Accounts", account_sid, resource]),
    }
}
