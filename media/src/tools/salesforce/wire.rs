//! The vendor's JSON, and the forms that tokens are asked for with.

use serde::Deserialize;
use serde_json::Value;
use trunkline_base::Secret;

use crate::account::{self, NoToken};

/// The newest version of the API that is known here to work; each is served for three years at least.
const TESTED: u32 = 68;

/// A token's answer, as far as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: Secret,
    /// Whatever else is missing, a refresh token that came must not be lost.
    #[serde(default)]
    pub(super) instance_url: String,
    #[serde(default)]
    pub(super) refresh_token: Option<Secret>,
}

/// Why there is no token: OAuth's code, of which `invalid_grant` stands for many things that only the description tells apart.
pub(super) fn no_token(body: &Value) -> NoToken {
    let error = account::text(body, "error").unwrap_or_default();
    let description = account::text(body, "error_description").unwrap_or_default().to_lowercase();
    let says = |words: &str| description.contains(words);
    match error.as_str() {
        "invalid_client_id" | "invalid_client" => NoToken::Client,
        "unsupported_grant_type" | "unauthorized_client" => NoToken::Flow,
        "inactive_user" => NoToken::User,
        "inactive_org" => NoToken::Organisation,
        "invalid_grant" | "invalid_request" | "invalid_assertion" => match () {
            () if says("approved") => NoToken::NotApproved,
            () if says("no client credentials user") => NoToken::NoRunAsUser,
            () if says("not supported on this domain") => NoToken::Domain,
            () if says("audience") => NoToken::Audience,
            () if says("ip restricted") || says("ip not allowed") => NoToken::Address,
            () if says("expired") || says("refresh token") => NoToken::Expired,
            () if says("inactive user") || says("user is inactive") => NoToken::User,
            () => NoToken::Other,
        },
        _ => NoToken::Other,
    }
}

/// OAuth's code.
pub(super) fn oauth_code(body: &Value) -> Option<String> {
    account::text(body, "error")
}

/// The data API's code: errors are a list.
pub(super) fn data_code(body: &Value) -> Option<String> {
    account::text(body.get(0)?, "errorCode")
}

/// The version to use of those that there are, such as `v68.0`; `None` if it is no such list.
pub(super) fn version(body: &Value) -> Option<String> {
    let number = |version: &Value| account::text(version, "version")?.strip_suffix(".0")?.parse::<u32>().ok();
    let newest = body.as_array()?.iter().filter_map(number).max()?;
    Some(format!("v{}.0", newest.min(TESTED)))
}

/// Whether it is the list of what a version has.
pub(super) fn is_resources(body: &Value) -> bool {
    body.get("sobjects").is_some_and(Value::is_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_invalid_grant_is_told_apart_by_its_description() {
        let table = [
            ("invalid_client_id", "client identifier invalid", NoToken::Client),
            ("invalid_client", "invalid client credentials", NoToken::Client),
            ("invalid_grant", "authentication failure", NoToken::Other),
            ("invalid_grant", "user hasn't approved this consumer", NoToken::NotApproved),
            ("invalid_grant", "expired access/refresh token", NoToken::Expired),
            ("invalid_grant", "no client credentials user enabled", NoToken::NoRunAsUser),
            ("invalid_grant", "request not supported on this domain", NoToken::Domain),
            ("invalid_grant", "audience is invalid", NoToken::Audience),
            ("invalid_grant", "ip restricted", NoToken::Address),
            ("inactive_user", "user is inactive", NoToken::User),
            ("inactive_org", "organization is inactive", NoToken::Organisation),
            ("unsupported_grant_type", "grant type not supported", NoToken::Flow),
            ("anything", "else", NoToken::Other),
        ];
        for (error, error_description, expected) in table {
            let body = json!({ "error": error, "error_description": error_description });
            assert_eq!((no_token(&body), oauth_code(&body).as_deref()), (expected, Some(error)), "{error_description}");
        }
        assert_eq!(no_token(&json!([])), NoToken::Other);
    }

    #[test]
    fn a_token_prints_nothing_of_itself() {
        let body = json!({
            "access_token": "00D-hush", "signature": "s", "scope": "api", "instance_url": "https://acme.my.salesforce.com",
            "id": "https://login.salesforce.com/id/00D/005", "token_type": "Bearer", "issued_at": "1700000000000", "refresh_token": "5Aep-hush",
        });
        let answer: TokenAnswer = serde_json::from_value(body).unwrap();
        assert_eq!(answer.refresh_token.as_ref().unwrap().expose(), "5Aep-hush");
        assert!(!format!("{answer:?}").contains("hush"));
        for bad in [json!({}), json!({ "access_token": 1, "instance_url": "x" })] {
            assert!(serde_json::from_value::<TokenAnswer>(bad).is_err());
        }
    }

    #[test]
    fn the_version_is_the_newest_that_is_known_here() {
        let of = |versions: &[&str]| {
            version(&versions.iter().map(|version| json!({ "label": "x", "url": "/x", "version": version })).collect())
        };
        assert_eq!(of(&["31.0", "66.0", "65.0"]).as_deref(), Some("v66.0"));
        assert_eq!(of(&["67.0", "99.0"]).as_deref(), Some("v68.0"));
        for bad in [of(&[]), of(&["x"]), version(&json!({ "version": "66.0" })), version(&json!("66.0"))] {
            assert_eq!(bad, None);
        }
    }

    #[test]
    fn the_data_api_s_errors_are_a_list() {
        let body = json!([{ "message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID" }]);
        assert_eq!(data_code(&body).as_deref(), Some("INVALID_SESSION_ID"));
        assert_eq!(data_code(&json!([])), None);
        assert_eq!(data_code(&json!({ "errorCode": "x" })), None);
    }
}
