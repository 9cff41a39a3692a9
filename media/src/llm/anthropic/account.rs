//! Whether a key is good: `GET /v1/models`, which costs nothing. Keys that may not list models may be allowed to ask them.

use reqwest::{RequestBuilder, header::HeaderValue};
use serde_json::{Value, json};
use trunkline_base::Secret;

use crate::{
    account::{self, AccountError},
    net::{BaseUrl, Http},
};

/// The oldest version of the API that there is: all of what is asked here is in it, and proxies know it.
const VERSION: &str = "2023-06-01";

/// Asks whether the vendor takes the key.
pub async fn probe(http: &Http, base_url: &BaseUrl, api_key: &Secret) -> Result<(), AccountError> {
    account::limited(async {
        let key = header(api_key)?;
        let sign =
            |request: RequestBuilder| request.header("x-api-key", key.clone()).header("anthropic-version", VERSION);
        let mut url = account::resource(http, base_url, &["v1", "models"])?;
        url.query_pairs_mut().append_pair("limit", "1");
        let answer = account::ask(http, base_url.trust(), sign(http.direct().get(url))).await?;
        match answer.success(code_of) {
            Ok(body) if is_list(&body) => Ok(()),
            Ok(_) => Err(answer.not_that_vendor()),
            Err(AccountError::NoPermission(_)) => {
                // Nothing is asked of a model: a good key is told that the request has no content.
                let url = account::resource(http, base_url, &["v1", "messages"])?;
                let request = sign(http.direct().post(url)).json(&json!({}));
                let answer = account::ask(http, base_url.trust(), request).await?;
                match answer.success(code_of) {
                    Err(AccountError::Vendor(told)) if told.status == 400 => Ok(()),
                    Err(told) => Err(told),
                    Ok(_) => Err(answer.not_that_vendor()),
                }
            }
            Err(refused) => Err(refused),
        }
    })
    .await
}

fn header(key: &Secret) -> Result<HeaderValue, AccountError> {
    let mut value = HeaderValue::from_str(key.expose()).map_err(|_| AccountError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Other makers' lists have no `has_more`.
fn is_list(body: &Value) -> bool {
    let has_ids = |models: &Vec<Value>| models.iter().all(|model| model.get("id").is_some_and(Value::is_string));
    body.get("has_more").is_some_and(Value::is_boolean)
        && body.get("data").and_then(Value::as_array).is_some_and(has_ids)
}

/// `{"type": "error", "error": {"type", "details": {"error_code"}}}`, where the details say which limit it is.
fn code_of(body: &Value) -> Option<String> {
    let error = body.get("error")?;
    let limit = error.get("details").and_then(|details| account::text(details, "error_code"));
    limit.or_else(|| account::text(error, "type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_this_vendors() {
        let model = json!({ "type": "model", "id": "claude-haiku-4-5", "display_name": "Claude Haiku 4.5" });
        assert!(is_list(&json!({ "data": [model], "has_more": true, "first_id": "a", "last_id": "a" })));
        assert!(is_list(&json!({ "data": [], "has_more": false, "first_id": null, "last_id": null })));
        for other in [
            json!({ "object": "list", "data": [{ "id": "gpt-4", "object": "model" }] }),
            json!({ "data": [{}], "has_more": false }),
            json!({ "data": null, "has_more": false }),
            json!([]),
            json!("ok"),
        ] {
            assert!(!is_list(&other), "{other}");
        }
    }

    #[test]
    fn the_code_is_the_most_exact_that_there_is() {
        let error = |error: Value| code_of(&json!({ "type": "error", "error": error, "request_id": "req_1" }));
        assert_eq!(
            error(json!({ "type": "authentication_error", "message": "m" })).as_deref(),
            Some("authentication_error")
        );
        let limit = json!({ "type": "rate_limit_error", "message": "m", "details": { "error_code": "enforced_spend_limit_reached" } });
        assert_eq!(error(limit).as_deref(), Some("enforced_spend_limit_reached"));
        assert_eq!(error(json!({ "type": "api_error", "details": null })).as_deref(), Some("api_error"));
        assert_eq!(error(json!("nonsense")), None);
        assert_eq!(code_of(&json!([])), None);
    }
}
