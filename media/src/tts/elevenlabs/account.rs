//! Whether a key is good: `GET /v1/user`, and where the key may not read that, the lists of voices and of models.

use reqwest::header::HeaderValue;
use serde_json::Value;
use trunkline_base::Secret;

use crate::{
    account::{self, AccountError, Refusal},
    net::{BaseUrl, Http},
};

/// Whether an answer looks as the vendor's does.
type IsOurs = fn(&Value) -> bool;

/// What is asked, in order, until one answer settles it: the path's last segment, and what its answer looks like.
const QUESTIONS: [(&str, IsOurs); 3] = [
    ("user", |body| body.get("subscription").is_some_and(Value::is_object)),
    ("voices", |body| body.get("voices").is_some_and(Value::is_array)),
    ("models", |body| body.as_array().is_some_and(|models| models.iter().all(|model| model.get("model_id").is_some()))),
];

/// Asks whether the vendor takes the key. A key that may do nothing of what is asked may still be allowed to speak:
/// [`AccountError::NoPermission`] says only that it can't be told.
pub async fn probe(http: &Http, base_url: &BaseUrl, api_key: &Secret) -> Result<(), AccountError> {
    account::limited(async {
        let mut last = AccountError::BaseUrl;
        for (name, is_ours) in QUESTIONS {
            let url = account::resource(http, base_url, &["v1", name])?;
            let request = http.direct().get(url).header("xi-api-key", sensitive(api_key)?);
            let answer = account::ask(http, base_url.trust(), request).await?;
            last = match answer.success(code_of) {
                Ok(body) if is_ours(&body) => return Ok(()),
                Ok(_) => return Err(answer.not_that_vendor()),
                Err(AccountError::WrongKey(refusal)) => match about_key(refusal) {
                    lacks @ AccountError::NoPermission(_) => lacks,
                    settled => return Err(settled),
                },
                Err(lacks @ AccountError::NoPermission(_)) => lacks,
                Err(refused) => return Err(refused),
            };
        }
        Err(last)
    })
    .await
}

pub(super) fn sensitive(key: &Secret) -> Result<HeaderValue, AccountError> {
    let mut value = HeaderValue::from_str(key.expose()).map_err(|_| AccountError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The vendor says 401 to much that a key may not do or has used up.
pub(super) fn about_key(refusal: Refusal) -> AccountError {
    match refusal.code.as_deref() {
        Some("missing_permissions") => AccountError::NoPermission(refusal),
        Some("quota_exceeded") => AccountError::Quota(refusal),
        _ => AccountError::WrongKey(refusal),
    }
}

/// `{"detail": {"code", "status", …}}`, where older answers have `status` alone.
pub(super) fn code_of(body: &Value) -> Option<String> {
    let detail = body.get("detail")?;
    account::text(detail, "code").or_else(|| account::text(detail, "status"))
}
