//! Whether a key is good: `GET /models`, which costs nothing. Keys that may not list models may chat all the same.

use reqwest::RequestBuilder;
use serde_json::Value;
use trunkline_base::Secret;

use super::error::Code;
use crate::{
    account::{self, AccountError},
    net::{BaseUrl, Http},
};

/// Asks whether the vendor takes the key. `organization` is for keys that belong to several.
pub async fn probe(
    http: &Http,
    base_url: &BaseUrl,
    api_key: &Secret,
    organization: Option<&str>,
) -> Result<(), AccountError> {
    account::limited(async {
        let sign = |request: RequestBuilder| {
            let request = if api_key.is_empty() { request } else { request.bearer_auth(api_key.expose()) };
            match organization {
                Some(organization) => request.header("OpenAI-Organization", organization),
                None => request,
            }
        };
        let url = account::resource(http, base_url, &["models"])?;
        let answer = account::ask(http, base_url.trust(), sign(http.direct().get(url))).await?;
        match answer.success(code_of) {
            Ok(body) if is_list(&body) => Ok(()),
            Ok(_) => Err(answer.not_that_vendor()),
            Err(refused) if lacks_scope(&refused) => {
                // Nothing is asked of a model: a good key is told that the request has no content.
                let url = account::resource(http, base_url, &["chat", "completions"])?;
                let request = sign(http.direct().post(url)).json(&serde_json::json!({}));
                let answer = account::ask(http, base_url.trust(), request).await?;
                match answer.success(code_of) {
                    Err(AccountError::Vendor(told)) if matches!(told.status, 400 | 422) => Ok(()),
                    Err(told) => Err(told),
                    Ok(_) => Err(answer.not_that_vendor()),
                }
            }
            Err(refused) => Err(refused),
        }
    })
    .await
}

/// The vendor's list, or a bare one as some gateways give. Some say `null` where there is no model.
fn is_list(body: &Value) -> bool {
    let is_named = body.get("object").and_then(Value::as_str) == Some("list");
    match body.get("data").unwrap_or(body) {
        Value::Array(models) => is_named || models.iter().all(|model| model.get("id").is_some_and(Value::is_string)),
        Value::Null => is_named,
        _ => false,
    }
}

fn code_of(body: &Value) -> Option<String> {
    let code = Code::of(body);
    (!code.code().is_empty()).then(|| code.code().to_owned())
}

/// Whether it is about this request only. Such a refusal has come with 401 too.
fn lacks_scope(refused: &AccountError) -> bool {
    match refused {
        AccountError::NoPermission(_) => true,
        AccountError::WrongKey(refusal) => matches!(refusal.code.as_deref(), Some("missing_scope" | "missing_scopes")),
        _ => false,
    }
}
