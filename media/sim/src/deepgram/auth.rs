//! Who may connect: the API key, or a short-lived token that was granted for it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderValue, header};
use uuid::Uuid;

/// How long a token lives when the request doesn't say.
const DEFAULT_TTL: Duration = Duration::from_secs(30);
/// Tokens remembered at once; the oldest are those that expire first.
const MOST_TOKENS: usize = 10_000;

/// A caller that proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// With the API key: may do everything.
    Key,
    /// With a granted token: may only transcribe.
    Token,
}

/// The key, and the tokens granted for it.
#[derive(Debug)]
pub(super) struct Keyring {
    api_key: String,
    granted: Mutex<HashMap<String, Instant>>,
}

impl Keyring {
    pub(super) fn new(api_key: String) -> Self {
        Self { api_key, granted: Mutex::default() }
    }

    /// Checks `Authorization: Token <key>` or `Bearer <token>`, or the WebSocket subprotocols `token, <key>` or `bearer, <token>`.
    pub(super) fn check(&self, headers: &HeaderMap) -> Option<Caller> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
            return self.check_pair(scheme, credential.trim());
        }
        let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
        let (scheme, credential) = offered.split_once(',')?;
        self.check_pair(scheme, credential.trim())
    }

    /// A new token and its life in seconds.
    pub(super) fn grant(&self, ttl_seconds: Option<f64>) -> (String, f64) {
        let ttl = ttl_seconds.filter(|ttl| (1.0..=3_600.0).contains(ttl)).map_or(DEFAULT_TTL, Duration::from_secs_f64);
        let token = format!("sim.{}.{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let now = Instant::now();
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.retain(|_, expiry| *expiry > now);
        if granted.len() < MOST_TOKENS {
            granted.insert(token.clone(), now + ttl);
        }
        (token, ttl.as_secs_f64())
    }

    fn check_pair(&self, scheme: &str, credential: &str) -> Option<Caller> {
        if scheme.eq_ignore_ascii_case("token") {
            (credential == self.api_key).then_some(Caller::Key)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
            granted.get(credential).is_some_and(|expiry| *expiry > Instant::now()).then_some(Caller::Token)
        } else {
            None
        }
    }
}

/// The subprotocol that the upgrade's answer has to name, if the client authenticated by subprotocol.
pub(super) fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let (scheme, _) = offered.split_once(',')?;
    HeaderValue::from_str(scheme.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_key_and_granted_tokens_open_and_nothing_else_does() {
        let keyring = Keyring::new("secret".into());
        let (token, seconds) = keyring.grant(None);
        assert_eq!(seconds, 30.0);
        let check = |value: &str| keyring.check(&headers(header::AUTHORIZATION, value));
        assert_eq!(check("Token secret"), Some(Caller::Key));
        assert_eq!(check(&format!("Bearer {token}")), Some(Caller::Token));
        assert_eq!(check("Bearer secret"), None);
        assert_eq!(check(&format!("Token {token}")), None);
        assert_eq!(check("secret"), None);
        assert_eq!(keyring.check(&HeaderMap::new()), None);
        let by_protocol = headers(header::SEC_WEBSOCKET_PROTOCOL, "token, secret");
        assert_eq!(keyring.check(&by_protocol), Some(Caller::Key));
        assert_eq!(subprotocol(&by_protocol).unwrap(), "token");
    }
}
