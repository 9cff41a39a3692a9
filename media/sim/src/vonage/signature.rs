//! What Vonage signs its webhooks and its sockets' upgrades with: HS256 by the account's signature secret.

use std::time::SystemTime;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) api_key: String,
    pub(crate) secret: String,
    pub(crate) application_id: String,
}

#[derive(Debug, Serialize)]
struct Claims<'a> {
    iat: u64,
    jti: String,
    iss: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hash: Option<String>,
    api_key: &'a str,
    application_id: &'a str,
}

impl Signer {
    /// The value of `Authorization` for what is hashed, which an upgrade has none of. `jti` is the token's name; a new one if it has none.
    pub(crate) fn authorization(&self, payload: Option<&str>, jti: Option<&str>) -> String {
        let iat = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = Claims {
            iat,
            jti: jti.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned),
            iss: "Vonage",
            payload_hash: payload.map(payload_hash),
            api_key: &self.api_key,
            application_id: &self.application_id,
        };
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        let token = encode(&Header::new(Algorithm::HS256), &claims, &key);
        format!("Bearer {}", token.expect("claims are JSON and an HMAC takes any key"))
    }
}

/// The hash of a text: lower-case hexadecimal SHA-256.
pub fn payload_hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is hashed of a GET: its parameters in their order, as an object of texts.
pub fn query_text(query: &[(String, String)]) -> String {
    let text = |value: &str| Value::from(value).to_string();
    let members: Vec<String> = query.iter().map(|(name, value)| format!("{}:{}", text(name), text(value))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_the_ones_of_known_requests() {
        let body = r#"{"from":"447700900000","to":"442079460000","uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab","conversation_uuid":"CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab","status":"answered","direction":"inbound","timestamp":"2026-01-01T00:00:00.000Z"}"#;
        assert_eq!(payload_hash(body), "6e71b089c439d12683a3f752fa55911967455df089765d96d499751cb765f0d4");
        let query = [
            ("to", "442079460000"),
            ("from", "447700900000"),
            ("conversation_uuid", "CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab"),
            ("uuid", "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let hash = payload_hash(&query_text(&query));
        assert_eq!(hash, "dadc1d9eb45347f0fb12e740910b61007789b4475d74d770b217e0868eb888cf");
    }
}
